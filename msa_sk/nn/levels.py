"""Masks for the levels of a hierarchy's path, the leaf first (dissertation, chapter 2)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from msa_sk.nn.bodies import BLSTM
from msa_sk.nn.inputs import StandardisedInput
from msa_sk.nn.losses import frame_mask, mask_loss


def nest(masks: Tensor) -> Tensor:
    """Return masks of which each is, in every bin, at least the one below it (eq. 2.4).

    A maximum has no gradient by the smaller of two numbers: a level whose mask has lost a bin
    to the level below could never win it back. So where more is asked for of such a bin, the
    gradient goes to both; where less, to the level below alone, as a maximum has it.

    Parameters
    ----------
    masks : Tensor of shape (n_batch, n_levels, n_bins, n_frames)
        The leaf's first.
    """
    nested = [masks[:, 0]]
    for own in masks[:, 1:].unbind(1):
        nested.append(_AtLeast.apply(own, nested[-1]))
    return torch.stack(nested, 1)


class _AtLeast(torch.autograd.Function):
    """The maximum of two masks; of equals it is the first."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, below: Tensor) -> Tensor:
        ctx.save_for_backward(own >= below)
        return torch.maximum(own, below)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        (wins,) = ctx.saved_tensors
        return torch.where(wins, gradient, gradient.clamp(max=0)), gradient * ~wins


class LevelHead(nn.Module):
    """One mask per level: linear, sigmoid (2.3.2), and perhaps each at least the one below it.

    Parameters
    ----------
    n_features, n_bins, n_levels : int
    constraint : bool
        Whether masks are nested.
    """

    def __init__(self, n_features: int, n_bins: int, n_levels: int, constraint: bool):
        super().__init__()
        self.n_levels, self.constraint = n_levels, constraint
        self.linear = nn.Linear(n_features, n_levels * n_bins)

    def forward(self, features: Tensor) -> Tensor:
        """Return (n_batch, n_levels, n_bins, n_frames)."""
        scores = self.linear(features).unflatten(-1, (self.n_levels, -1))
        masks = torch.sigmoid(scores).permute(0, 2, 3, 1)
        return nest(masks) if self.constraint else masks


class LevelModule(StandardisedInput):
    """One network that finds masks for all levels of a path.

    Parameters
    ----------
    n_bins, n_levels : int
    hidden_size, n_layers, dropout
        Of the body, as in `BLSTM`.
    input_scale : {"log", "magnitude"}
    constraint : bool
        As in `LevelHead`.
    n_beside : int, default=0
        How many numbers each frame has besides its bins.
    """

    def __init__(
        self,
        n_bins: int,
        n_levels: int,
        *,
        hidden_size: int,
        n_layers: int,
        dropout: float,
        input_scale: str,
        constraint: bool,
        n_beside: int = 0,
    ):
        super().__init__(n_bins, input_scale)
        self.body = BLSTM(n_bins + n_beside, hidden_size, n_layers, dropout)
        head = LevelHead(self.body.n_features, n_bins, n_levels, constraint)
        self.heads = nn.ModuleDict({"mask": head})

    def forward(
        self, magnitude: Tensor, lengths: Tensor, wanted: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        """Return the masks of mixtures.

        Parameters
        ----------
        magnitude : Tensor of shape (n_batch, n_bins, n_frames)
        lengths : Tensor of shape (n_batch,)
            In frames.
        wanted : sequence of str, default=None
            There is but one head.

        Returns
        -------
        heads : dict
            ``"mask"`` (n_batch, n_levels, n_bins, n_frames).
        """
        return self.masks_of(self.frames_of(magnitude), lengths)

    def masks_of(self, frames: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Return the masks of frames (n_batch, n_frames, n_bins + n_beside)."""
        return {"mask": self.heads["mask"](self.body(frames, lengths))}


class SeparateLevels(nn.Module):
    """A network of its own for each level; they share no weights.

    Parameters
    ----------
    n_bins, n_levels : int
    **parameters
        Of each `LevelModule`.
    """

    def __init__(self, n_bins: int, n_levels: int, **parameters: Any):
        super().__init__()
        self.networks = nn.ModuleList(
            LevelModule(n_bins, 1, **parameters) for _ in range(n_levels)
        )

    def standardise(self, magnitudes: Sequence[Tensor]) -> None:
        """Give the inputs of each bin mean 0 and variance 1 over these (n_bins, n_frames)."""
        for network in self.networks:
            network.standardise(magnitudes)  # type: ignore[operator]

    def forward(
        self, magnitude: Tensor, lengths: Tensor, wanted: Sequence[str] | None = None
    ) -> dict[str, Tensor]:
        """Return the masks of mixtures, as `LevelModule.forward` does."""
        masks = [network(magnitude, lengths)["mask"] for network in self.networks]
        return {"mask": torch.cat(masks, 1)}


class LevelLoss:
    """The truncated phase-sensitive approximation (eq. 2.3) of all levels that are known.

    Parameters
    ----------
    levels : sequence of str
        Names, the leaf's first. What the target has as ``"has_" + name`` says of each example
        whether its truth is known there.
    shared : bool, default=True
        Of one network for all levels the loss is, for each example, the mean over the levels
        that it knows. Otherwise each level's is, for itself, the mean over the examples that
        know it, so that networks which share no weights do not depend on each other.
    """

    def __init__(self, levels: Sequence[str], shared: bool = True):
        self.levels = levels
        self.shared = shared

    def __call__(self, heads: dict[str, Tensor], target: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return what each level that some example knows adds to the loss."""
        magnitude, masks, true = target["magnitude"], heads["mask"], target["mask_target"]
        valid = frame_mask(target["lengths"], magnitude.shape[-1])
        known = torch.stack([target[f"has_{name}"] for name in self.levels], 1)
        if self.shared:
            weight = known / known.sum(1, keepdim=True).clamp(min=1) / len(known)
        else:
            weight = known / known.sum(0).clamp(min=1) / len(self.levels)
        return {
            name: mask_loss(masks[:, [k]], magnitude, true[:, [k]], valid) @ weight[:, k]
            for k, name in enumerate(self.levels)
            if known[:, k].any() or not known.any()
        }
