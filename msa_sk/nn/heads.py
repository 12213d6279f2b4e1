"""Heads: what reads masks, embeddings and piano rolls off a body's features."""

import math

import torch
from torch import Tensor, nn


class EmbeddingHead(nn.Module):
    """A point for each time-frequency bin: linear, sigmoid, scaled to unit length (3.3.5)."""

    def __init__(self, n_features: int, n_bins: int, n_dimensions: int):
        super().__init__()
        self.n_dimensions = n_dimensions
        self.linear = nn.Linear(n_features, n_bins * n_dimensions)

    def forward(self, features: Tensor) -> Tensor:
        """Return (n_batch, n_frames, n_bins, n_dimensions)."""
        points = torch.sigmoid(self.linear(features)).unflatten(-1, (-1, self.n_dimensions))
        return nn.functional.normalize(points, dim=-1)


class MaskHead(nn.Module):
    """One mask per source: linear, softmax across sources (3.3.5), so that they add up to 1."""

    def __init__(self, n_features: int, n_bins: int, n_sources: int):
        super().__init__()
        self.n_sources = n_sources
        self.linear = nn.Linear(n_features, n_sources * n_bins)

    def forward(self, features: Tensor) -> Tensor:
        """Return (n_batch, n_sources, n_bins, n_frames)."""
        scores = self.linear(features).unflatten(-1, (self.n_sources, -1))
        return torch.softmax(scores, dim=2).permute(0, 2, 3, 1)


class RollHead(nn.Module):
    """The posterior of every pitch for each source: linear, sigmoid (3.3.5).

    Parameters
    ----------
    n_features, n_pitches, n_sources : int
    prior : float, default=0.1
        Where the posteriors start. Few of the pitches sound, and a network need not learn that
        first; but much lower, and the gradient of a squared error has nearly vanished.
    """

    def __init__(self, n_features: int, n_pitches: int, n_sources: int, prior: float = 0.1):
        super().__init__()
        self.n_sources = n_sources
        self.linear = nn.Linear(n_features, n_sources * n_pitches)
        nn.init.constant_(self.linear.bias, math.log(prior / (1 - prior)))

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (n_batch, n_sources, n_pitches, n_frames)."""
        return self.linear(features).unflatten(-1, (self.n_sources, -1)).permute(0, 2, 3, 1)
