"""What a checkpoint keeps of callbacks, so that they go on as well."""

from typing import Any

import numpy as np
from torch import Tensor

_WHOLE = {f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)}
_DTYPES = {"bool", "float16", "float32", "float64", *_WHOLE}


def remembered(part: Any) -> dict[str, Any]:
    """Return what a part of training remembers, as a checkpoint holds it.

    One with ``state_dict`` and ``load_state_dict`` says it. Of others it is what scikit-learn and
    skorch would call learnt, attributes that end with an underscore: those that are plain, and
    of those that have these two methods what they say.
    """
    if _says(part):
        return part.state_dict()
    learnt = {
        name: value for name, value in getattr(part, "__dict__", {}).items() if _is_learnt(name)
    }
    said = {name: value.state_dict() for name, value in learnt.items() if _says(value)}
    return {
        "values": {name: value for name, value in learnt.items() if is_plain(value)},
        "parts": {name: state for name, state in said.items() if is_plain(state)},
    }


def remind(part: Any, state: dict[str, Any]) -> None:
    """Let a part of training that is ready to begin know what `remembered` returned."""
    if _says(part):
        part.load_state_dict(state)
        return
    for name, value in state["values"].items():
        if _is_learnt(name):
            setattr(part, name, value)
    for name, said in state["parts"].items():
        inner: Any = getattr(part, name, None)
        if _is_learnt(name) and _says(inner):
            inner.load_state_dict(said)


def is_plain(value: Any) -> bool:
    """Tell numbers, text, None, arrays and tensors, and lists and dicts of them, from all else."""
    if isinstance(value, dict):
        return all(isinstance(key, str | int) and is_plain(one) for key, one in value.items())
    if isinstance(value, list):
        return all(map(is_plain, value))
    if isinstance(value, Tensor | np.ndarray | np.generic):
        return str(value.dtype).removeprefix("torch.") in _DTYPES
    return value is None or isinstance(value, bool | int | float | str)


def _is_learnt(name: str) -> bool:
    return name.endswith("_") and not name.startswith("_")


def _says(part: Any) -> bool:
    """Tell whether something is no class and has both methods."""
    return not isinstance(part, type) and all(
        hasattr(part, name) for name in ("state_dict", "load_state_dict")
    )
