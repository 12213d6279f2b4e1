"""What tests of systems that are told something besides the mixture have in common."""

from msa_sk import STFT, attach_truth
from msa_sk.datasets import make_scenes

RATE = 8000
SEEN = STFT(sample_rate=RATE, n_fft=256, hop_length=64)
TINY = {
    "hidden_size": 8,
    "n_layers": 1,
    "hint_size": 8,
    "hint_features": 8,
    "max_epochs": 1,
    "validation_fraction": 0,
    "transformer": SEEN,
    "random_state": 0,
    "device": "cpu",
    "verbose": 0,
}
#: Of the networks themselves.
SIZES = {
    "hidden_size": 5,
    "n_layers": 1,
    "dropout": 0.0,
    "hint_size": 4,
    "hint_layers": 1,
    "hint_features": 3,
    "input_scale": "log",
    "batch_norm": True,
}
VARIANTS = ("vanilla", "processed", "residual")
INSTRUMENTS = ("guitar", "piano")


def told_scenes():
    """Return mixtures that bring their true notes and sources along, and their scenes."""
    X, y = make_scenes(4, INSTRUMENTS, duration=1.0, sample_rate=RATE, random_state=0)
    return attach_truth(X, y), y
