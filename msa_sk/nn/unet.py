"""A convolutional U-Net on frames and bins."""

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, pad

from msa_sk.nn.bodies import InputNorm, clean_frames
from msa_sk.nn.losses import frame_mask

_STRIDE = 4  # in bins


class UNet(nn.Module):
    """A body of convolutions over frames and bins, down to few bins and up again.

    After Jansson et al., "Singing voice separation with deep U-Net convolutional networks"
    (2017). Each level has a quarter of the bins above it and twice the channels; what it finds
    goes up again, and is added to what the way down had found there. Frames are never thinned
    out: each is told from its neighbours, and where a recording begins makes no difference.

    Parameters
    ----------
    n_inputs : int
        Values per frame: bins.
    hidden_size : int
        Eight times the channels of the first level.
    n_layers : int
        Levels.
    dropout : float, default=0.0
        Of each level's channels, on the way up.
    batch_norm : bool, default=False
        Whether an `InputNorm` comes first.
    """

    def __init__(
        self,
        n_inputs: int,
        hidden_size: int,
        n_layers: int,
        dropout: float = 0.0,
        batch_norm: bool = False,
    ):
        super().__init__()
        first = max(2, hidden_size // 8)
        channels = [1, *(first * 2**k for k in range(n_layers))]
        self.norm = InputNorm(n_inputs) if batch_norm else nn.Identity()
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for k in range(n_layers):
            self.down.append(Down(channels[k], channels[k + 1], dilation=2**k))
            if k:
                self.up.append(Up(channels[k + 1], channels[k], dropout))
        n_bins = -(-n_inputs // _STRIDE)
        self.n_features = 2 * hidden_size
        self.values_per_frame = first * n_inputs  # four times those of its largest layer
        self.last = nn.Linear(n_bins * first, self.n_features)

    @staticmethod
    def most_levels(n_inputs: int) -> int:
        """Return after how many levels a single bin is left."""
        levels, n_bins = 1, -(-n_inputs // _STRIDE)
        while n_bins > 1:
            levels, n_bins = levels + 1, -(-n_bins // _STRIDE)
        return levels

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Return features (n_batch, n_frames, n_features) of frames (n_batch, n_frames, n_inputs).

        Those of padding are 0.
        """
        there = frame_mask(lengths, frames.shape[1])[:, None, :, None]
        x = clean_frames(frames, there[:, 0, :, 0].bool(), self.norm)[:, None]
        found = []
        for down in self.down:
            x = down(x, there)
            found.append(x)
        for up, before in zip(reversed(self.up), reversed(found[:-1]), strict=True):
            x = up(x, before) * there
        features = self.last(x.transpose(1, 2).flatten(2)).relu()
        return features * there[:, 0]


class Normed(nn.Module):
    """Normalize each frame, scale its channels as is learnt, and leave out what is below 0."""

    def __init__(self, n_channels: int):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(n_channels, 1, 1))
        self.offset = nn.Parameter(torch.zeros(n_channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Return (n_batch, n_channels, n_frames, n_bins), as it came."""
        frames = x.transpose(1, 2)
        frames = layer_norm(frames, (x.shape[1], x.shape[3])).transpose(1, 2)
        return torch.addcmul(self.offset, frames, self.scale).relu()


class Down(nn.Module):
    """A level of the way down: a quarter of the bins, and then a look at more frames."""

    def __init__(self, n_before: int, n_channels: int, dilation: int):
        super().__init__()
        self.fewer = nn.Conv2d(n_before, n_channels, (3, 8), (1, _STRIDE), (1, 2))
        self.norm = Normed(n_channels)
        self.around = nn.Conv2d(
            n_channels, n_channels, 3, padding=(dilation, 1), dilation=(dilation, 1)
        )
        self.around_norm = Normed(n_channels)

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        """Return (n_batch, n_channels, n_frames, n_bins / 4, rounded up)."""
        x = pad(x, (0, -x.shape[-1] % _STRIDE))
        x = self.norm(self.fewer(x)) * there
        return x + self.around_norm(self.around(x)) * there


class Up(nn.Module):
    """A level of the way up: four times the bins, added to what was found there."""

    def __init__(self, n_before: int, n_channels: int, dropout: float):
        super().__init__()
        self.more = nn.ConvTranspose2d(n_before, n_channels, (3, 8), (1, _STRIDE), (1, 2))
        self.norm = Normed(n_channels)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, x: Tensor, before: Tensor) -> Tensor:
        """Return (n_batch, n_channels, n_frames, n_bins), as `before` is."""
        x = self.norm(self.more(x))[..., : before.shape[-1]]
        return before + self.dropout(x)
