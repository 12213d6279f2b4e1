"""A body that attends along time and along bands (Lu et al., 2023)."""

import torch
from torch import Tensor, distributed, nn
from torch.nn.functional import pad, scaled_dot_product_attention

from msa_sk.nn.bodies import InputNorm, clean_frames
from msa_sk.nn.losses import frame_mask

_N_BANDS = 24
_WIDEST = 50  # The last band is so many times as wide as the first.
_HEAD_SIZE = 16
_BLOCK = 64  # frames that attend together, where all are too many


class BandSplit(nn.Module):
    """A body of transformers along time and along bands.

    It is a small one of the kind of Lu, Wang, Kong and Hung, "Music source separation with
    Band-Split RoPE Transformer" (2023). Bins are split into bands, narrow ones below and wide
    ones above. Each is projected to a vector; and in each layer every vector attends to those of
    other frames in its band, and then to those of other bands in its frame. Vectors know each
    other's distance from rotary position embeddings.

    In training a frame attends to all of its sequence, in evaluation to as many frames as the
    longest of these sequences had, half of them before it and half after it: attention over
    times that it was never trained on makes little sense.

    Parameters
    ----------
    n_inputs : int
        Values per frame: bins.
    hidden_size : int
        Four times the size of a band's vector, which has whole heads of 16.
    n_layers : int
        Transformers along time, and as many along bands.
    dropout : float, default=0.0
        Of what attention and feed-forward layers add to vectors.
    batch_norm : bool, default=False
        Whether an `InputNorm` comes first.
    """

    longest: Tensor

    def __init__(
        self,
        n_inputs: int,
        hidden_size: int,
        n_layers: int,
        dropout: float = 0.0,
        batch_norm: bool = False,
    ):
        super().__init__()
        n_heads = max(1, hidden_size // (4 * _HEAD_SIZE))
        size = n_heads * _HEAD_SIZE
        self.norm = InputNorm(n_inputs) if batch_norm else nn.Identity()
        self.widths = band_widths(n_inputs)
        self.bands = nn.ModuleList(
            nn.Sequential(nn.RMSNorm(width), nn.Linear(width, size)) for width in self.widths
        )
        self.along_time, self.along_bands = (
            nn.ModuleList(Transformer(size, n_heads, dropout) for _ in range(n_layers))
            for _ in range(2)
        )
        self.n_features = 2 * hidden_size
        # Queries, keys and values, turned, and with the neighbours that blocks reach into.
        self.values_per_frame = 24 * len(self.widths) * size
        self.last_norm = nn.LayerNorm(size)
        self.last = nn.Linear(len(self.widths) * size, self.n_features)
        self.register_buffer("longest", torch.zeros(1, dtype=torch.long))

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Return features (n_batch, n_frames, n_features) of frames (n_batch, n_frames, n_inputs).

        Those of padding are 0.
        """
        there = frame_mask(lengths, frames.shape[1]).bool()
        bands = clean_frames(frames, there, self.norm).split(self.widths, dim=-1)
        vectors = torch.stack(
            [project(band) for project, band in zip(self.bands, bands, strict=True)], dim=1
        )  # (n_batch, n_bands, n_frames, size)
        reach = self._reach(frames.shape[1])
        for along_time, along_bands in zip(self.along_time, self.along_bands, strict=True):
            vectors = along_time(vectors, there, reach)
            vectors = along_bands(vectors.transpose(1, 2)).transpose(1, 2)
        features = self.last(self.last_norm(vectors).transpose(1, 2).flatten(2)).relu()
        return features * there[..., None]

    def _reach(self, n_frames: int) -> int:
        """Return how many frames before and after it a frame attends to."""
        if not self.training:
            return int(self.longest) // 2
        self.longest.clamp_(min=n_frames)
        if distributed.is_available() and distributed.is_initialized():
            distributed.all_reduce(self.longest, distributed.ReduceOp.MAX)
        return n_frames


def band_widths(n_bins: int) -> list[int]:
    """Return how many bins each band has: more and more, and at least one."""
    position = torch.linspace(0, 1, _N_BANDS + 1, dtype=torch.double)
    edges = (n_bins * (_WIDEST**position - 1) / (_WIDEST - 1)).round().long()
    return [int(width) for width in edges.diff() if width > 0]


class Transformer(nn.Module):
    """Attention and a feed-forward layer, each of which adds to what comes in, normalized."""

    def __init__(self, size: int, n_heads: int, dropout: float):
        super().__init__()
        self.n_heads = n_heads
        self.before = nn.Sequential(nn.LayerNorm(size), nn.Linear(size, 3 * size, bias=False))
        self.after = nn.Linear(size, size)
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(size), nn.Linear(size, 4 * size), nn.ReLU(), nn.Linear(4 * size, size)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, there: Tensor | None = None, reach: int = 0) -> Tensor:
        """Return vectors (n_batch, n_rows, n, size), each of which attended to those of its row.

        Parameters
        ----------
        x : Tensor of shape (n_batch, n_rows, n, size)
        there : bool Tensor of shape (n_batch, n), default=None
            Who may be attended to, from up to `reach` away; None is all, from everywhere.
        reach : int, default=0
        """
        # Rows do not meet, as heads do not: (n_batch, n_rows * n_heads, n, head size).
        q, k, v = (
            one.unflatten(-1, (self.n_heads, -1)).transpose(2, 3).flatten(1, 2)
            for one in self.before(x).chunk(3, dim=-1)
        )
        attended = attend(q, k, v, there, reach).unflatten(1, (-1, self.n_heads))
        x = x + self.dropout(self.after(attended.transpose(2, 3).flatten(3)))
        return x + self.dropout(self.feed_forward(x))


def attend(q: Tensor, k: Tensor, v: Tensor, there: Tensor | None = None, reach: int = 0) -> Tensor:
    """Return softmax(q k') v with rotary positions, all (n_batch, n_heads, n, size).

    `there` and `reach` are as in `Transformer`; each attends to itself in any case. The time and
    memory that it takes grow with n times the reach.
    """
    n = q.shape[2]
    if there is None or n <= reach + 1:
        mask = None
        if there is not None:
            mask = there[:, None, None] | torch.eye(n, dtype=torch.bool, device=q.device)
        return weighed(rotated(q), rotated(k), v, mask)
    # In blocks, whose keys reach into their neighbours.
    n_batch, size = len(q), max(reach, _BLOCK)
    n_missing = -n % size
    q = pad(q, (0, 0, 0, n_missing)).unfold(2, size, size)
    k, v = (
        pad(one, (0, 0, reach, reach + n_missing)).unfold(2, size + 2 * reach, size)
        for one in (k, v)
    )
    q, k, v = (one.transpose(1, 2).flatten(0, 1).mT for one in (q, k, v))
    distance = torch.arange(-reach, size + reach, device=q.device) - torch.arange(
        size, device=q.device
    ).unsqueeze(1)
    mask = (distance.abs() <= reach).expand(len(q), 1, -1, -1)
    keys = pad(there, (reach, reach + n_missing)).unfold(1, size + 2 * reach, size)
    mask = mask & (keys.flatten(0, 1)[:, None, None] | (distance == 0))
    found = weighed(rotated(q, reach), rotated(k), v, mask)
    return found.unflatten(0, (n_batch, -1)).transpose(1, 2).flatten(2, 3)[:, :, :n]


def weighed(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Return softmax(q k') v in single precision: halves take CPUs many times as long."""
    with torch.autocast(q.device.type, enabled=False):
        return scaled_dot_product_attention(q, k, v.to(q.dtype), attn_mask=mask)


def rotated(x: Tensor, first: int = 0) -> Tensor:
    """Turn pairs of values by angles that grow with the position (Su et al., 2021).

    So the product of two vectors depends on how far apart they are.

    Parameters
    ----------
    x : Tensor of shape (..., n, size)
        Of positions `first`, `first` + 1, ...
    first : int, default=0
    """
    half = x.shape[-1] // 2
    rate = 10_000 ** (-torch.arange(half, device=x.device) / half)
    position = torch.arange(first, first + x.shape[-2], device=x.device)
    angle = position[:, None] * rate
    cos, sin = angle.cos(), angle.sin()
    one, other = x.chunk(2, dim=-1)
    return torch.cat([one * cos - other * sin, one * sin + other * cos], dim=-1)
