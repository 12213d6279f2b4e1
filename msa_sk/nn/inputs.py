"""Magnitudes as networks see them."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

# Quieter magnitudes look alike to the network.
_INPUT_FLOOR = 1e-4


class StandardisedInput(nn.Module):
    """Base class of networks that see magnitudes, of which each bin is standardised.

    Parameters
    ----------
    n_bins : int
    input_scale : {"log", "magnitude"}
    """

    input_mean: Tensor
    input_std: Tensor

    def __init__(self, n_bins: int, input_scale: str):
        super().__init__()
        self.input_scale = input_scale
        self.register_buffer("input_mean", torch.zeros(n_bins))
        self.register_buffer("input_std", torch.ones(n_bins))

    def frames_of(self, magnitude: Tensor) -> Tensor:
        """Return (n_batch, n_frames, n_bins) of magnitudes (n_batch, n_bins, n_frames)."""
        return (self._scaled(magnitude) - self.input_mean) / self.input_std

    def standardise(self, magnitudes: Sequence[Tensor]) -> None:
        """Give the inputs of each bin mean 0 and variance 1 over these (n_bins, n_frames)."""
        frames = torch.cat([self._scaled(one[None])[0] for one in magnitudes])
        self.input_mean.copy_(frames.mean(0))
        # A bin that never changes tells nothing and must not be blown up.
        least = max(0.1 * float(frames.std()), 1e-6)
        self.input_std.copy_(frames.std(0, correction=0).clamp(min=least))

    def _scaled(self, magnitude: Tensor) -> Tensor:
        frames = magnitude.transpose(1, 2)
        return frames.clamp(min=_INPUT_FLOOR).log10() if self.input_scale == "log" else frames
