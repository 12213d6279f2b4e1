"""Heads: what reads masks, embeddings and piano rolls off a body's features."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def unit_length(points: Tensor) -> Tensor:
    """Return points (..., n_dimensions) scaled to length 1, in float32 or better.

    It is what `torch.nn.functional.normalize` computes, with its gradient in closed form and
    in half the time. A point shorter than 1e-12 is divided by that.
    """
    return _UnitLength.apply(points.to(torch.promote_types(points.dtype, torch.float32)))


class _UnitLength(torch.autograd.Function):
    """The gradient is what of it is across the point, divided by the point's length."""

    @staticmethod
    def forward(ctx: Any, points: Tensor) -> Tensor:
        length = points.norm(dim=-1, keepdim=True).clamp_(min=1e-12)
        unit = points / length
        ctx.save_for_backward(unit, length)
        return unit

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        unit, length = ctx.saved_tensors
        with torch.autocast(unit.device.type, enabled=False):
            along = torch.einsum("...d,...d->...", gradient, unit)[..., None]
        return torch.addcmul(gradient, unit, along, value=-1).div_(length)


class EmbeddingHead(nn.Module):
    """A point for each time-frequency bin: linear, sigmoid, scaled to unit length (3.3.5).

    Parameters
    ----------
    n_features, n_bins, n_dimensions : int
    spread : float, default=8
        How many times torch's own the initial weights are. With those, points begin within a
        few degrees of each other, where the loss has next to no gradient.
    """

    def __init__(self, n_features: int, n_bins: int, n_dimensions: int, spread: float = 8.0):
        super().__init__()
        self.n_dimensions = n_dimensions
        self.linear = nn.Linear(n_features, n_bins * n_dimensions)
        with torch.no_grad():
            self.linear.weight *= spread

    def forward(self, features: Tensor) -> Tensor:
        """Return (n_batch, n_frames, n_bins, n_dimensions)."""
        points = torch.sigmoid(self.linear(features)).unflatten(-1, (-1, self.n_dimensions))
        return unit_length(points)


class MaskHead(nn.Module):
    """One mask per source: linear, and what brings it into [0, 1].

    Parameters
    ----------
    n_features, n_bins, n_sources : int
    activation : {"softmax", "sigmoid", "leaky_relu"}, default="softmax"
        A softmax across sources lets masks add up to 1 (section 3.3.5), a sigmoid leaves each to
        itself. A leaky ReLU (4.3.5) knows no bounds in training, and is cut to them otherwise;
        its masks begin at equal shares, where it has a gradient.
    """

    def __init__(self, n_features: int, n_bins: int, n_sources: int, activation: str = "softmax"):
        super().__init__()
        self.n_sources, self.activation = n_sources, activation
        self.linear = nn.Linear(n_features, n_sources * n_bins)
        if activation == "leaky_relu":
            nn.init.constant_(self.linear.bias, 1 / n_sources)

    def forward(self, features: Tensor, evidence: Tensor | None = None) -> Tensor:
        """Return (n_batch, n_sources, n_bins, n_frames).

        Parameters
        ----------
        features : Tensor of shape (n_batch, n_frames, n_features)
        evidence : Tensor of shape (n_batch, n_frames, n_first, n_bins), default=None
            What is added, for the first of the sources, before the activation.
        """
        scores = self.linear(features).unflatten(-1, (self.n_sources, -1))
        if evidence is not None:
            n_others = self.n_sources - evidence.shape[2]
            scores = scores + nn.functional.pad(evidence, (0, 0, 0, n_others))
        if self.activation == "softmax":
            masks = torch.softmax(scores, dim=2)
        elif self.activation == "sigmoid":
            masks = torch.sigmoid(scores)
        else:
            masks = nn.functional.leaky_relu(scores) if self.training else scores.clamp(0, 1)
        return masks.permute(0, 2, 3, 1)


class RollHead(nn.Module):
    """The posterior of every pitch for each source: linear, sigmoid (3.3.5).

    Parameters
    ----------
    n_features, n_pitches, n_sources : int
    prior : float, default=0.1
        Where the posteriors start. Few of the pitches sound, and a network need not learn that
        first; but much lower, and the gradient of a squared error has nearly vanished.
    leaky : bool, default=False
        Whether a leaky ReLU (6.2) comes in place of the sigmoid.
    """

    def __init__(
        self,
        n_features: int,
        n_pitches: int,
        n_sources: int,
        prior: float = 0.1,
        leaky: bool = False,
    ):
        super().__init__()
        self.n_sources = n_sources
        self.linear = nn.Linear(n_features, n_sources * n_pitches)
        nn.init.constant_(self.linear.bias, prior if leaky else math.log(prior / (1 - prior)))

    def forward(self, features: Tensor) -> Tensor:
        """Return (n_batch, n_sources, n_pitches, n_frames), before the sigmoid or leaky ReLU."""
        return self.linear(features).unflatten(-1, (self.n_sources, -1)).permute(0, 2, 3, 1)
