"""Checkpoints: one file from which a killed training goes on as if nothing had happened."""

import copy
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from skorch.history import History
from torch import Tensor

from msa_sk._arguments import check_file
from msa_sk._files import begin_file, remove_stale
from msa_sk._version import __version__
from msa_sk.exceptions import InputError, ModelFileError, MsaWarning, TrainingError
from msa_sk.neural.parallel import rank
from msa_sk.neural.remembering import remembered, remind
from msa_sk.persistence import read_document, refusing_made_up, write_document

# What else may have been meant by a change.
_HINTS = {
    "max_epochs": "To train further, set warm_start=True or call partial_fit.",
    "the weights before": "A warm start is another training.",
}


class Resumable:
    """A part of training that says what of it is in the checkpoint; see `remembering`."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state: numbers, text, arrays and tensors in lists and dicts."""
        raise AttributeError(f"{type(self).__name__} says nothing of its state")

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state that `state_dict` returned."""
        raise AttributeError(f"{type(self).__name__} says nothing of its state")


class Checkpoint:
    """The file of one training, and what it holds.

    Parameters
    ----------
    path : path-like
    minutes : float
        It is due so many minutes after it was last written.
    fingerprint : dict
        Of this training: see `fingerprint_of`.
    random : RandomState
        From which all of the training is drawn; it is set to what the file says.

    Attributes
    ----------
    state : dict or None
        What `restore` puts a net into; None where there is no file yet.

    Raises
    ------
    InputError
        If the file is of another training; it names the first item that differs. If no file can
        be made there.
    ModelFileError
        If the file is damaged or not ours.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        minutes: float,
        fingerprint: dict[str, Any],
        random: np.random.RandomState,
    ):
        self.path = check_file(path, "checkpoint")
        self.minutes, self.fingerprint = minutes, fingerprint
        self.state: dict | None = None
        self._written = time.monotonic()
        if rank() == 0:
            remove_stale(self.path)
        if self.path.exists():
            self.random, self.state = self._read()
            random.set_state(self.random)
        else:
            self.random = random.get_state(legacy=False)
            if rank() == 0:
                begin_file(self.path).unlink()  # rather than to fail after the first epoch

    @property
    def due(self) -> bool:
        """Whether the last one is old enough to write another."""
        return time.monotonic() - self._written >= 60 * self.minutes

    def restore(self, net: Any) -> None:
        """Put a net that is ready to train into the state of the file.

        Raises
        ------
        ModelFileError
            If the file lacks a part of it.
        """
        if self.state is not None:
            with self._refusing():
                restore(net, copy.deepcopy(self.state))  # which callbacks may change

    def write(self, net: Any) -> None:
        """Write the state of training; the file is the one before, or this one."""
        if rank() > 0:
            return
        net.check_weights()
        state = snapshot(net)
        arrays: dict[str, np.ndarray] = {}
        held = {"fingerprint": self.fingerprint, "random": self.random, "state": state}
        document = {"version": __version__, "checkpoint": pack(held, "", arrays)}
        try:
            write_document(self.path, document, arrays)
        except (OSError, InputError) as error:
            raise TrainingError(
                f"The checkpoint {self.path} cannot be written in epoch {len(net.history)}: "
                f"{error}. The one before, if any, is as it was; make room and call fit again."
            ) from error
        self._written = time.monotonic()

    def _read(self) -> tuple[dict, dict]:
        with self._refusing():
            document, arrays = read_document(self.path)
            if "checkpoint" not in document:
                raise ModelFileError(str(self.path), "a checkpoint", "a model")
            held = unpack(document["checkpoint"], arrays)
            random, state = held["random"], held["state"]
        self._compare(held["fingerprint"])
        return random, state

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Say of whatever is wrong with the file what to do about it in a training."""
        try:
            with refusing_made_up(self.path, remedy=""):
                yield
        except ModelFileError as error:
            ways = (
                "Set checkpoint= to another path, or delete this file to train from the beginning."
            )
            remedy = f"{error.remedy} {ways}".lstrip()
            raise ModelFileError(error.item, error.expected, error.got, remedy) from error

    def _compare(self, of_file: dict) -> None:
        ours = self.fingerprint["class"]
        theirs = of_file.get("class", ours)
        if theirs != ours:
            raise InputError(
                f"{ours}(checkpoint=)",
                f"a file of a training of {ours}",
                f"one of {theirs}: {self.path}",
                "Choose another path for this training.",
            )
        for item, ours in self.fingerprint["same"].items():
            theirs = of_file["same"].get(item)
            if ours == theirs:
                continue
            theirs = of_file.get("sizes", {}).get(item, theirs)
            ours = self.fingerprint["sizes"].get(item, ours)
            if ours == theirs:
                ours += " in another state" if "random_state" in item else " of other content"
            hint = next((one for name, one in _HINTS.items() if name in item), "")
            raise InputError(
                item,
                f"{_shown(theirs)}, as in the checkpoint {self.path}",
                _shown(ours),
                "Restore it to finish that training, or choose another path for this one: each "
                f"needs a file of its own. {hint}",
            )
        changes = [
            f"{item} was {_shown(of_file['alike'].get(item))} and is {_shown(ours)}"
            for item, ours in self.fingerprint["alike"].items()
            if ours != of_file["alike"].get(item)
        ]
        if changes:
            warnings.warn(
                f"Training goes on from {self.path}, but not bit for bit: {', '.join(changes)}.",
                MsaWarning,
                stacklevel=2,
            )


def snapshot(net: Any) -> dict[str, Any]:
    """Return all that training depends on, between two of its steps."""
    rows = [{**row, "batches": []} for row in net.history.to_list()]
    if rows and net.batches.n_done:
        rows[-1]["batches"] = net.history[-1]["batches"][: net.batches.n_done]
    return {
        "module": net.module_.state_dict(),
        "optimizer": net.optimizer_.state_dict(),
        "clipping": net.clipping_.state_dict(),
        "batches": net.batches.state_dict(),
        "history": rows,
        "stopped": net.stopped_,
        "callbacks": {
            name: remembered(one) for name, one in net.callbacks_ if name not in net.paused_by_
        },
        "frozen": [name for name, one in net.module_.named_parameters() if not one.requires_grad],
        "generator": torch.get_rng_state(),
        "cuda_generators": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def restore(net: Any, state: dict[str, Any]) -> None:
    """Put a net that is ready to train into the state of a snapshot."""
    net.module_.load_state_dict(state["module"])
    net.optimizer_.load_state_dict(state["optimizer"])
    net.clipping_.load_state_dict(state["clipping"])
    net.batches.load_state_dict(state["batches"])
    net.history = History(state["history"])
    net.stopped_ = state["stopped"]
    for name, one in net.callbacks_:
        if name in state["callbacks"]:
            remind(one, state["callbacks"][name])
    for name, one in net.module_.named_parameters():
        one.requires_grad_(name not in state.get("frozen", ()))
    torch.set_rng_state(state["generator"])
    if torch.cuda.is_available() and len(state["cuda_generators"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda_generators"])


def pack(value: Any, name: str, arrays: dict[str, np.ndarray]) -> Any:
    """Return a tree as JSON holds it; its tensors and arrays go into `arrays`."""
    if isinstance(value, dict):
        return {"dict": [[key, pack(one, f"{name}.{key}", arrays)] for key, one in value.items()]}
    if isinstance(value, list | tuple):
        return [pack(one, f"{name}.{i}", arrays) for i, one in enumerate(value)]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Tensor | np.ndarray):
        kind = "tensor" if isinstance(value, Tensor) else "array"
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
        arrays[name] = np.ascontiguousarray(array)  # which gives numbers an axis
        return {kind: name, "shape": list(array.shape)}
    return value


def unpack(value: Any, arrays: dict[str, np.ndarray]) -> Any:
    """Undo `pack`; tuples come back as lists."""
    if isinstance(value, list):
        return [unpack(one, arrays) for one in value]
    if not isinstance(value, dict):
        return value
    if "dict" in value:
        return {key: unpack(one, arrays) for key, one in value["dict"]}
    name = value["tensor"] if "tensor" in value else value["array"]
    array = arrays[name].reshape(value["shape"])
    return torch.from_numpy(array.copy()) if "tensor" in value else array


def _shown(value: Any) -> str:
    return "nothing" if value is None else str(value)[:300]
