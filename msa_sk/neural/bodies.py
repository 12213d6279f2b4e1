"""The bodies that a network can have, by name."""

from collections.abc import Callable
from typing import TypeVar

from torch import nn

from msa_sk.exceptions import ParameterError
from msa_sk.neural.own_bodies import checked
from msa_sk.nn.band_split import BandSplit
from msa_sk.nn.bodies import BLSTM
from msa_sk.nn.unet import UNet

_OURS: dict[str, type[nn.Module]] = {"blstm": BLSTM, "unet": UNet, "band_split": BandSplit}
#: Those that there are in this process.
BODIES = dict(_OURS)

Body = TypeVar("Body", bound=type[nn.Module])


def register_body(name: str) -> Callable[[Body], Body]:
    """Let networks have a body of a class of your own: a decorator of the class.

    A saved model keeps the name alone: import the module that registers it, and then load. To the
    processes of a search a body goes along with the estimator that has it:
    ``GridSearchCV(Cerberus(body="mine"), {"body": ["blstm", "mine"]}, n_jobs=2)``.

    Parameters
    ----------
    name : str
        What ``body=`` calls it. A name that is registered again means the class that came last.

    Returns
    -------
    decorate : callable
        Takes a class of torch modules and returns it. One is made by ``cls(n_inputs, hidden_size,
        n_layers, dropout, batch_norm)`` and has ``n_features``; ``forward(frames, lengths)``
        makes of frames (n_batch, n_frames, n_inputs), each bin standardised, features (n_batch,
        n_frames, n_features). What follows ``lengths`` (n_batch,) frames is padding, which must
        make no difference. It may say in ``values_per_frame`` how many numbers it holds at a
        time for each frame, with which ``predict_to_files(max_memory_gb=)`` reckons.

    Raises
    ------
    ParameterError
        If the name is one of ours, or the class is no torch module. What it makes is looked at
        when a network is made of it.

    Examples
    --------
    >>> import torch
    >>> from msa_sk import Cerberus, register_body
    >>> @register_body("frame by frame")
    ... class FrameByFrame(torch.nn.Module):
    ...     def __init__(self, n_inputs, hidden_size, n_layers, dropout, batch_norm):
    ...         super().__init__()
    ...         self.n_features = hidden_size
    ...         self.linear = torch.nn.Linear(n_inputs, hidden_size)
    ...
    ...     def forward(self, frames, lengths):
    ...         return torch.relu(self.linear(frames))
    >>> cerberus = Cerberus(body="frame by frame")
    """
    if not isinstance(name, str) or name in ("", *_OURS):
        expected = f"a str that is not empty and none of {', '.join(_OURS)}"
        raise ParameterError("register_body(name)", expected, repr(name), "Choose another name.")

    def decorate(cls: Body) -> Body:
        if not (isinstance(cls, type) and issubclass(cls, nn.Module)):
            raise ParameterError(
                "register_body", "a subclass of torch.nn.Module", repr(cls)[:80], "Make it one."
            )
        BODIES[name] = cls
        return cls

    return decorate


def body_maker(name: str, item: str) -> Callable[..., nn.Module]:
    """Return what makes a body by its name; one that is not ours is held to its contract.

    Raises
    ------
    ParameterError
        As `body_named`, and when a body is made.
    """
    cls = body_named(name, item)
    return cls if name in _OURS else checked(cls, item)


def check_levels(name: str, n_layers: int, n_bins: int, item: str) -> None:
    """Refuse a U-Net of more levels than there are bins to part: it would take all memory.

    Raises
    ------
    ParameterError
    """
    most = UNet.most_levels(n_bins)
    if name == "unet" and n_layers > most:
        expected = f"at most {most} levels, as each has a quarter of the {n_bins} bins before it"
        raise ParameterError(item, expected, str(n_layers), "Set fewer, 2 to start with.")


def body_named(name: str, item: str) -> type[nn.Module]:
    """Return the class of a body.

    Raises
    ------
    ParameterError
        If there is no such body here; `item` is what the message calls it.
    """
    if name not in BODIES:
        raise ParameterError(
            item,
            f"one of {', '.join(BODIES)}",
            repr(name),
            "Check the spelling, or import the module that registers it (msa_sk.register_body); "
            "in a search over processes, give it to the estimator that is searched.",
        )
    return BODIES[name]
