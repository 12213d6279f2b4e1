"""Whether a body of a user's own does what heads and engine rely on, asked when it is made."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from msa_sk.exceptions import MsaError, ParameterError

_N_BATCH, _N_FRAMES, _N_TRUE = 2, 64, 40  # what it is tried on: the second sequence is shorter
_TOLERANCE = 1e-3  # of the largest feature
_REMEDY = "register_body says what a body has to be."


def checked(cls: type[nn.Module], item: str) -> Callable[..., nn.Module]:
    """Return what makes a body of a class, and refuses one that breaks its contract.

    It is tried on a few frames, twice, with other padding. That draws nothing that others would
    have drawn, and leaves the body as it was made.

    Parameters
    ----------
    cls : type
        As `msa_sk.register_body` describes it.
    item : str
        What messages call it.

    Raises
    ------
    ParameterError
        When a body is made.
    """

    def make(n_inputs: int, *sizes: Any) -> nn.Module:
        call = f"{cls.__name__}(n_inputs, hidden_size, n_layers, dropout, batch_norm) to make one"
        with _translated(item, call):
            body = cls(n_inputs, *sizes)
        n_features = getattr(body, "n_features", None)
        if not isinstance(n_features, int) or n_features < 1:
            got = "none" if n_features is None else repr(n_features)
            raise ParameterError(
                item, f"a {cls.__name__} with a number n_features of 1 or more", got, _REMEDY
            )
        _try_out(body, n_inputs, item)
        return body

    return make


def _try_out(body: Any, n_inputs: int, item: str) -> None:
    """Refuse a body whose features are not what it says, or depend on padding."""
    name = type(body).__name__
    draws = torch.Generator().manual_seed(0)
    frames = torch.randn(_N_BATCH, _N_FRAMES, n_inputs, generator=draws)
    other = frames.clone()
    other[1, _N_TRUE:] = 0
    shape = f"({_N_BATCH}, {_N_FRAMES}, {body.n_features})"
    expected = f"{name} to make features {shape} of frames {tuple(frames.shape)}"
    with _translated(item, expected):
        features, again = (_features(body, one) for one in (frames, other))
    if not isinstance(features, torch.Tensor):
        raise ParameterError(item, expected, f"a {type(features).__name__}", _REMEDY)
    if str(tuple(features.shape)) != shape:
        raise ParameterError(item, expected, f"{tuple(features.shape)}", _REMEDY)
    if features.dtype != frames.dtype or not features.isfinite().all():
        expected = f"{name} to make finite features in {frames.dtype}"
        got = f"{features.dtype}" if features.dtype != frames.dtype else "NaN or infinity"
        raise ParameterError(item, expected, got, _REMEDY)
    differ = (features - again)[1, :_N_TRUE].abs().max()
    if differ > _TOLERANCE * features.abs().max():
        raise ParameterError(
            item,
            f"{name} to make the same features whatever follows `lengths` frames",
            f"features that differ by {differ:.2g}",
            f"Mask what is padding, or pack the sequences. {_REMEDY}",
        )


def _features(body: nn.Module, frames: torch.Tensor) -> Any:
    """Return what a copy of a body makes of frames, with the draws that each time are the same."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        return copy.deepcopy(body).eval()(frames, torch.tensor([_N_FRAMES, _N_TRUE]))


@contextmanager
def _translated(item: str, expected: str) -> Iterator[None]:
    """Say of what fails within the block that it is the body's fault."""
    try:
        yield
    except (MsaError, MemoryError):
        raise
    except Exception as error:
        got = f"{type(error).__name__}: {error}"
        raise ParameterError(item, expected, got, _REMEDY) from error
