"""Bodies: what turns the frames of a mixture into features that every head shares."""

import torch
from torch import Tensor, distributed, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence


class InputNorm(nn.Module):
    """Batch normalization of what a network takes in (Ioffe and Szegedy, ICML 2015).

    In training a batch is normalized by its own mean and variance, those of its shares in all
    processes that train together; otherwise by running means of these. They are taken for
    constants: what is normalized is not itself learnt.
    """

    _MOMENTUM, _LEAST = 0.1, 1e-5

    mean: Tensor
    variance: Tensor

    def __init__(self, n_inputs: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n_inputs))
        self.bias = nn.Parameter(torch.zeros(n_inputs))
        self.register_buffer("mean", torch.zeros(n_inputs))
        self.register_buffer("variance", torch.ones(n_inputs))

    def forward(self, frames: Tensor) -> Tensor:
        """Return frames (..., n_inputs) with mean 0 and variance 1, and then scaled as learnt."""
        mean, variance = self.mean, self.variance
        if self.training:
            with torch.no_grad():
                mean, variance = _moments(frames.flatten(0, -2))
                self.mean.lerp_(mean, self._MOMENTUM)
                self.variance.lerp_(variance, self._MOMENTUM)
        return (frames - mean) * (variance + self._LEAST).rsqrt() * self.weight + self.bias


def _moments(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the variance of rows (n, n_inputs), and of those of other processes."""
    n_rows = _added_up(rows.new_tensor(len(rows)))
    mean = _added_up(rows.sum(0)) / n_rows
    return mean, _added_up((rows - mean).square().sum(0)) / n_rows


def _added_up(value: Tensor) -> Tensor:
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(value)
    return value


def clean_frames(frames: Tensor, there: Tensor, norm: nn.Module) -> Tensor:
    """Return frames (n_batch, n_frames, n_inputs) that are normalized; those of padding are 0.

    Parameters
    ----------
    frames : Tensor of shape (n_batch, n_frames, n_inputs)
    there : bool Tensor of shape (n_batch, n_frames)
        Where frames are no padding; by others nothing is normalized.
    norm : nn.Module
    """
    clean = torch.zeros_like(frames)
    clean[there] = norm(frames[there])
    return clean


class BLSTM(nn.Module):
    """A stack of bidirectional long short-term memory layers (dissertation, section 6.1).

    Parameters
    ----------
    n_inputs : int
        Values per frame.
    hidden_size : int
        Units per direction and layer.
    n_layers : int
    dropout : float, default=0.0
        Between layers.
    batch_norm : bool, default=False
        Whether an `InputNorm` comes first (section 4.3.5).
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
        self.n_features = 2 * hidden_size
        self.norm = InputNorm(n_inputs) if batch_norm else nn.Identity()
        self.lstm = nn.LSTM(
            n_inputs,
            hidden_size,
            n_layers,
            batch_first=True,
            bidirectional=True,
            dropout=dropout if n_layers > 1 else 0.0,
        )

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Return features (n_batch, n_frames, n_features) of frames (n_batch, n_frames, n_inputs).

        Sequences are packed: padding would leak backwards into the last true frames.
        """
        n_frames = frames.shape[1]
        if bool((lengths == n_frames).all()):
            return self.lstm(self.norm(frames))[0]
        packed = pack_padded_sequence(
            frames, lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        packed = PackedSequence(self.norm(packed.data), *packed[1:])  # the true frames alone
        features, _ = pad_packed_sequence(
            self.lstm(packed)[0], batch_first=True, total_length=n_frames
        )
        return features
