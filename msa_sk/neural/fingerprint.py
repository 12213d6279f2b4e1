"""By what a checkpoint knows the training that it is of."""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from numbers import Integral
from typing import Any

import numpy as np
import torch

from msa_sk.neural.devices import resolve_device
from msa_sk.persistence import encode_parameters, versions_of
from msa_sk.records import Scene
from msa_sk.spectral import Spectrogram


def fingerprint_of(
    estimator: Any,
    items: Sequence[Spectrogram],
    scenes: Sequence[Scene],
    validation: tuple[Sequence[Spectrogram], Sequence[Scene]] | None,
    start: dict[str, Any] | None,
) -> dict[str, Any]:
    """Return by what trainings are told apart, as JSON holds it.

    Parameters
    ----------
    estimator : NeuralEstimator
        Whose parameters in ``_not_trained_by`` make no difference.
    items, scenes, validation
        What is learnt from, and what the best epoch is chosen by.
    start : dict or None
        The weights from which a warm start begins.

    Returns
    -------
    fingerprint : dict
        ``"class"`` and what is in ``"same"``, by item, must be as a checkpoint says; what is in
        ``"alike"`` should be. ``"sizes"`` says in words how much there is of what ``"same"`` has
        a `digest` of.
    """
    name = type(estimator).__name__
    parameters = encode_parameters(estimator, without=estimator._not_trained_by)
    random_state = estimator.random_state
    seed = random_state
    if random_state is not None and not isinstance(random_state, Integral):
        seed = digest(random_state.get_state(legacy=False))
    same = {f"{name}({key}=)": value for key, value in parameters.items()}
    same |= {f"{name}(random_state=)": seed, "X": digest(items), "y": digest(scenes)}
    same |= {"X_val, y_val": digest(validation), "the weights before": digest(start)}
    sizes = {
        "X": f"{len(items)} mixtures",
        "y": f"{len(scenes)} scenes",
        "X_val, y_val": f"{len(validation[0])} mixtures" if validation else "none",
        "the weights before": "some" if start else "none",
    }
    if seed is not random_state:
        sizes[f"{name}(random_state=)"] = f"a {type(random_state).__name__}"
    alike = versions_of(estimator) | {
        "device": resolve_device(estimator.device),
        "the number of threads": torch.get_num_threads(),
    }
    fingerprint = {"class": name, "same": same, "sizes": sizes, "alike": alike}
    return json.loads(json.dumps(fingerprint, default=int))


def digest(value: Any) -> str:
    """Return the sha256 of records: of all samples in memory, of names and sizes of files."""
    sha = hashlib.sha256()
    _feed(sha, value)
    return sha.hexdigest()


def _feed(sha: Any, value: Any) -> None:
    # Each part says where it ends, so that no two trees look alike.
    if is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, dict):
        value = list(value.items())
    if isinstance(value, list | tuple):
        sha.update(f"{len(value)} parts:".encode())
        for one in value:
            _feed(sha, one)
    elif hasattr(value, "__array__") and (array := np.asarray(value)).dtype != object:
        sha.update(f"{array.dtype.str}{array.shape}:".encode())
        sha.update(np.ascontiguousarray(array).data)
    elif isinstance(value, str | os.PathLike):
        text = os.fspath(value)
        size = os.path.getsize(text) if os.path.isfile(text) else None
        sha.update(f"{text!r}, {size};".encode("utf-8", "surrogateescape"))
    else:
        sha.update(f"{value!r};".encode())
