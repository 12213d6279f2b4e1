"""Saving and loading fitted estimators, as JSON and safetensors under one sha256.

A model file is one line of ASCII, ``msa_sk <format> <sha256 of all else>``, one line of
JSON, in which every format says by ``versions`` what wrote it, and a safetensors block. Loading
runs no code from the file and makes only estimators that this package, or a call of `register`,
names.
"""

import hashlib
import importlib
import inspect
import json
import os
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

import msa_sk
from msa_sk._arguments import check_path
from msa_sk._files import atomic_path
from msa_sk.exceptions import InputError, ModelFileError, MsaWarning, ParameterError
from msa_sk.hierarchy import Hierarchy

FORMAT = 1
MAX_BYTES = 4 * 2**30
MAX_HEADER_BYTES = 2**20  # of the safetensors block; ours have a few kilobytes

_GENERATOR = "MT19937"  # numpy's name of what is in a RandomState(seed)

_registered: dict[str, type] = {"Pipeline": Pipeline}


def register(cls: type) -> type:
    """Let `load` make estimators of this class; usable as a decorator.

    The class must have ``_get_state`` and ``_set_state`` as `SceneEstimator` does. It may list
    in ``_not_saved`` parameters that files leave out, in ``_before_it_was_saved`` those that older
    files do not have, by what such a model does, and in ``_computes_with`` libraries whose
    versions they keep.
    """
    _registered[cls.__name__] = cls
    return cls


def save(estimator: BaseEstimator, path: str | os.PathLike) -> Path:
    """Write an estimator, or a Pipeline of them, to one file, which `load` reads.

    The file is JSON and safetensors under a sha256, and is there whole or not at all. What is
    not fitted comes back so.

    Parameters
    ----------
    estimator : estimator or Pipeline
        Of this package, or of classes that `register` was called on.
    path : path-like

    Returns
    -------
    path : Path

    Raises
    ------
    ParameterError
        If a parameter is nothing that JSON can hold or has changed since `fit` settled it, or
        a class is not registered.
    InputError
        If the path is a folder, or its folder is not there.

    Examples
    --------
    ::

        pipeline = Pipeline([("stft", STFT()), ("separate", NMFSeparator())]).fit(X, y)
        msa_sk.save(pipeline, "pipeline.msa")
        msa_sk.load("pipeline.msa").predict(X)
    """
    arrays: dict[str, np.ndarray] = {}
    document = {
        "versions": versions_of(estimator),
        "estimator": _describe(estimator, "", arrays),
    }
    return write_document(path, document, arrays)


def load(path: str | os.PathLike) -> Any:
    """Read an estimator or a Pipeline that `save` wrote; it predicts the same bytes.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    estimator : estimator or Pipeline

    Raises
    ------
    ModelFileError
        If the file is missing, not ours, damaged, altered in any byte, or newer than this
        version understands.
    ParameterError
        If it is no path.

    Warns
    -----
    MsaWarning
        If it was saved with another version of this package, numpy, scikit-learn or, where it
        is a network, torch: predictions may then differ by rounding.
    """
    check_path(path)
    with refusing_made_up(path):
        document, arrays = read_document(path)
        if "checkpoint" in document:
            raise ModelFileError(
                str(path), "a model", "a checkpoint of training", "Call fit again to finish it."
            )
        estimator = _restore(document["estimator"], "", arrays, str(path))
        _compare_versions(document.get("versions", {}), versions_of(estimator), path)
    return estimator


def versions_of(estimator: Any) -> dict[str, str]:
    """Return the versions of what an estimator, or a Pipeline of them, computes with."""
    if isinstance(estimator, Pipeline):
        return {k: v for _, step in estimator.steps for k, v in versions_of(step).items()}
    names = ("msa_sk", "numpy", "sklearn", *getattr(estimator, "_computes_with", ()))
    return {name: importlib.import_module(name).__version__ for name in names}


def _compare_versions(
    before: Mapping[str, str], now: Mapping[str, str], path: str | os.PathLike
) -> None:
    changes = [
        f"{name} {before[name]} (now {version})"
        for name, version in now.items()
        # What comes after "+" says which processor or CUDA it was built for.
        if name in before and before[name].split("+")[0] != version.split("+")[0]
    ]
    if changes:
        warnings.warn(
            f"{path} was saved with {', '.join(changes)}: predictions may differ by rounding.",
            MsaWarning,
            stacklevel=3,
        )


def write_document(path: str | os.PathLike, document: dict, arrays: dict[str, np.ndarray]) -> Path:
    """Write what JSON holds, and arrays, to one file under a sha256; whole or not at all."""
    from safetensors.numpy import save as save_tensors

    body = json.dumps(document, allow_nan=True).encode() + b"\n" + save_tensors(arrays)
    with atomic_path(path) as temporary:
        temporary.write_bytes(f"msa_sk {FORMAT} {_fingerprint(FORMAT, body)}\n".encode() + body)
    return Path(path)


def read_document(path: str | os.PathLike) -> tuple[dict, dict[str, np.ndarray]]:
    """Read what `write_document` wrote, within a block of `refusing_made_up`."""
    from safetensors.numpy import load as load_tensors

    text, _, tensors = _read_body(Path(path)).partition(b"\n")
    if int.from_bytes(tensors[:8], "little") > MAX_HEADER_BYTES:
        raise ValueError("the list of its arrays is too long")
    return json.loads(text), load_tensors(tensors)


@contextmanager
def refusing_made_up(path: str | os.PathLike, remedy: str = "Save it again.") -> Iterator[None]:
    """Turn whatever a file that was made up can provoke into a ModelFileError."""
    from safetensors import SafetensorError

    try:
        yield
    except ModelFileError:
        raise
    except InputError as error:  # it says itself what is wrong
        raise ModelFileError(
            f"{path}, {error.item}", error.expected, error.got, error.remedy
        ) from error
    except (
        SafetensorError,
        ValueError,
        LookupError,
        OverflowError,
        TypeError,
        AttributeError,
        RuntimeError,
        StopIteration,
    ) as error:
        raise ModelFileError(
            str(path),
            "a file that msa_sk saved",
            f"{type(error).__name__}: {error}",
            remedy,
        ) from error


def _fingerprint(file_format: int, body: bytes) -> str:
    return hashlib.sha256(f"msa_sk {file_format}\n".encode() + body).hexdigest()


def _read_body(path: Path) -> bytes:
    """Return what the first line vouches for, itself included."""
    if not path.is_file():
        got = "a folder" if path.is_dir() else "nothing there"
        raise ModelFileError(str(path), "a model file", got, "Check the path.")
    if path.stat().st_size > MAX_BYTES:
        raise ModelFileError(
            str(path),
            f"at most {MAX_BYTES} bytes",
            f"{path.stat().st_size}",
            "This is no model of msa_sk.",
        )
    head, _, body = path.read_bytes().partition(b"\n")
    words = head.split(b" ")
    is_ours = len(words) == 3 and words[0] == b"msa_sk" and words[1].isdigit()
    if not is_ours or len(words[1]) > 9:
        raise ModelFileError(
            str(path),
            "a model that msa_sk saved",
            "another kind of file",
            "Nothing was loaded from it.",
        )
    if int(words[1]) > FORMAT:
        raise ModelFileError(
            str(path),
            f"format {FORMAT} or older",
            f"format {int(words[1])}",
            f"It needs msa_sk {_writer(body)} or newer.",
        )
    if _fingerprint(int(words[1]), body).encode() != words[2]:
        raise ModelFileError(
            str(path),
            "contents that match their sha256",
            "altered contents",
            "The file is damaged: use another copy.",
        )
    return body


def _writer(body: bytes) -> str:
    """Return which version wrote a file, as far as one can tell whose format is not known."""
    try:
        version = json.loads(body.partition(b"\n")[0])["versions"]["msa_sk"]
    except (ValueError, LookupError, TypeError, RecursionError):
        version = None
    return version[:40] if isinstance(version, str) else f"later than {msa_sk.__version__}"


def _describe(estimator: Any, prefix: str, arrays: dict[str, np.ndarray]) -> dict:
    """Return an estimator as JSON values; add its arrays under names that start with `prefix`."""
    cls = type(estimator)
    name = cls.__name__
    if _resolve(name) is not cls:
        remedy = "Call msa_sk.persistence.register on its class."
        if hasattr(estimator, "best_estimator_"):
            remedy = "Save what it found: search.best_estimator_."
        expected = "an estimator of msa_sk or a registered class"
        raise ParameterError("save", expected, f"{cls.__module__}.{name}", remedy)
    if isinstance(estimator, Pipeline):
        steps = [
            [step, _describe(one, f"{prefix}{step}.", arrays)] for step, one in estimator.steps
        ]
        return {"class": name, "steps": steps}
    parameters = encode_parameters(estimator, getattr(cls, "_not_saved", ()))
    state = None
    if hasattr(estimator, "_get_state") and estimator.__sklearn_is_fitted__():
        state, own = estimator._get_state()
        arrays.update({prefix + key: np.ascontiguousarray(value) for key, value in own.items()})
    return {"class": name, "parameters": parameters, "state": state}


def encode_parameters(estimator: BaseEstimator, without: Collection[str] = ()) -> dict[str, Any]:
    """Return parameters as JSON holds them; a ParameterError says which one it cannot."""
    return {
        key: _encode(value, f"{type(estimator).__name__}({key}=)")
        for key, value in estimator.get_params(deep=False).items()
        if key not in without
    }


def _restore(description: dict, prefix: str, arrays: dict[str, np.ndarray], item: str) -> Any:
    cls = _resolve(description["class"])
    if cls is None:
        raise ModelFileError(
            item,
            "a registered class",
            repr(description["class"]),
            "Nothing was loaded; register the class if you trust it.",
        )
    if cls is Pipeline:
        return Pipeline(
            [
                (step, _restore(one, f"{prefix}{step}.", arrays, item))
                for step, one in description["steps"]
            ]
        )
    parameters = {key: _decode(value, item) for key, value in description["parameters"].items()}
    before = getattr(cls, "_before_it_was_saved", {})
    there = inspect.signature(cls).parameters
    estimator = cls(**{key: before[key] for key in before if key in there} | parameters)
    if description["state"] is not None:
        own = {
            key.removeprefix(prefix): value
            for key, value in arrays.items()
            if key.startswith(prefix)
        }
        estimator._set_state(description["state"], own)
    return estimator


def _resolve(name: Any) -> type | None:
    """Return the estimator class of this name; None unless ours or registered."""
    if name in _registered:
        return _registered[name]
    if name in msa_sk._WHERE:
        found = getattr(msa_sk, name)
        if isinstance(found, type) and issubclass(found, BaseEstimator):
            return found
    return None


def _encode(value: Any, item: str) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list):
        return [_encode(one, item) for one in value]
    if isinstance(value, tuple):
        return {"tuple": [_encode(one, item) for one in value]}
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {"dict": {key: _encode(one, item) for key, one in value.items()}}
    if isinstance(value, Hierarchy):
        return {"hierarchy": value.to_dict()}
    if isinstance(value, np.random.RandomState):
        state: Any = value.get_state(legacy=False)
        if state["bit_generator"] == _GENERATOR:
            key = state["state"]["key"].tolist()
            return {"generator": {**state, "state": {**state["state"], "key": key}}}
    if isinstance(value, BaseEstimator):
        return {"estimator": _describe(value, "", {})}
    raise ParameterError(
        item,
        "a value that JSON can hold, to be saved",
        type(value).__name__,
        "Set it to a number, a string or None before saving.",
    )


def _generator_of(bit_generator: str, state: dict, **rest: Any) -> np.random.RandomState:
    random = np.random.RandomState()
    key, pos = np.array(state["key"], np.uint32), state["pos"]
    if pos not in range(len(key) + 1):  # numpy would read beyond
        raise ValueError(f"{bit_generator} at {pos!r}")
    random.set_state({"bit_generator": bit_generator, "state": {"key": key, "pos": pos}, **rest})
    return random


def _decode(value: Any, item: str) -> Any:
    if isinstance(value, list):
        return [_decode(one, item) for one in value]
    if isinstance(value, dict):
        kind, content = next(iter(value.items()))
        if kind == "hierarchy":
            return Hierarchy.from_dict(content)
        if kind == "generator":
            return _generator_of(**content)
        if kind == "tuple":
            return tuple(_decode(one, item) for one in content)
        if kind == "dict":
            return {key: _decode(one, item) for key, one in content.items()}
        return _restore(content, "", {}, item)
    return value
