"""Bodies: what turns the frames of a mixture into features that every head shares."""

from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


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
    """

    def __init__(self, n_inputs: int, hidden_size: int, n_layers: int, dropout: float = 0.0):
        super().__init__()
        self.n_features = 2 * hidden_size
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
            return self.lstm(frames)[0]
        packed = pack_padded_sequence(
            frames, lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        features, _ = pad_packed_sequence(
            self.lstm(packed)[0], batch_first=True, total_length=n_frames
        )
        return features
