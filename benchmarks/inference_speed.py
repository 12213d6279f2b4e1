"""How fast Cerberus separates, beside the architecture of Open-Unmix.

Open-Unmix (Stöter et al., "Open-Unmix: a reference implementation for music source separation",
JOSS 2019) has one network per source, of the size of its largest model, umxl, for stereo at
44.1 kHz. What time takes does not depend on weights, so that these are random. Its scaling of
inputs and outputs and its Wiener filter are left out, in its favour.

Both separate stereo. As they work at different rates, time is given per million samples of audio,
of both channels. Open-Unmix reads the channels side by side; Cerberus reads their common level and
masks both.

Cerberus is asked for ``precision="auto"``, which takes bfloat16 where the processor gains by it;
its peer computes as it is published, in float32, and once in bfloat16 too.

Claimed and asserted: heads that are not wanted change no other; masks are those of float32 to
0.02; and, from the size small upwards,

- `Cerberus.predict`, at the paper's size (preset "chapter3"), needs at most half of
  Open-Unmix's time per sample.

``python -m benchmarks.inference_speed --size tiny|small|paper [--seed 0]``
"""

import copy
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks._report import conclude, parse_arguments, race, write_report
from benchmarks.training_speed import fitted
from msa_sk import Cerberus, Mixture
from msa_sk.neural.data import LevelledSTFT, collate

RATE, PEER_RATE = 16000, 44100
N_SOURCES = 4


class Size(NamedTuple):
    """How large the networks are, how long the audio, and how many turns each has."""

    hidden_size: int
    n_layers: int
    peer_hidden: int
    seconds: float
    n_runs: int


SIZES = {
    "tiny": Size(8, 2, 16, 1.0, 2),
    "small": Size(300, 4, 1024, 60.0, 5),
    "paper": Size(300, 4, 1024, 180.0, 9),
}


def main(argv: list[str] | None = None) -> None:
    """Measure, write the report, then fail if a claim does not hold."""
    arguments = parse_arguments(__doc__.splitlines()[0], argv)
    size, rng = SIZES[arguments.size], np.random.default_rng(arguments.seed)
    start = time.perf_counter()
    cerberus = fitted(size, arguments.seed, "auto", N_SOURCES)
    rows = [
        *against_open_unmix(cerberus, size, rng, fast=arguments.size != "tiny"),
        unwanted_heads(cerberus, size, rng),
        against_float32(cerberus, size, rng),
    ]
    path = write_report(
        "inference_speed",
        arguments,
        rows,
        time.perf_counter() - start,
        packages=("librosa",),
        note=f"Threads: {torch.get_num_threads()}. Median seconds per million samples over turns "
        "taken alternately; ratio: the median over turns of peer / ours.",
    )
    conclude(path, rows)


def against_open_unmix(
    cerberus: Cerberus, size: Size, rng: np.random.Generator, fast: bool
) -> list[dict[str, Any]]:
    """From audio to sources, and the networks alone."""
    audio = noise(rng, size)
    stereo = torch.from_numpy(noise(rng, size, PEER_RATE))
    umx = OpenUnmix(size.peer_hidden).eval()
    with torch.inference_mode():
        figures = per_million(
            lambda: cerberus.predict([Mixture(audio, RATE)]),
            lambda: umx.separate(stereo),
            (audio.size, stereo.numel()),
            size.n_runs,
        )
        batch, spectrum = batch_of(cerberus, audio), umx.stft(stereo)
        networks = per_million(
            lambda: cerberus.net_.heads(batch, wanted=["mask"]),
            lambda: umx(spectrum.abs()),
            (audio.size, stereo.numel()),
            size.n_runs,
        )
        with torch.autocast("cpu", torch.bfloat16):
            rounded = per_million(
                lambda: cerberus.net_.heads(batch, wanted=["mask"]),
                lambda: umx(spectrum.abs()),
                (audio.size, stereo.numel()),
                size.n_runs,
            )
    claim = "ratio >= 2"
    work, against = f"{size.seconds:g} s, {N_SOURCES} sources", "Open-Unmix, stereo at 44.1 kHz"
    return [
        {
            "work": f"{work}, audio to sources and notes ({real_time(figures)})",
            "against": against,
            **figures,
            "claim": claim,
            "holds": figures["ratio"] >= 2 if fast else None,
        },
        {
            "work": f"{work}, magnitudes to masks ({real_time(networks)})",
            "against": f"{against}, its networks",
            **networks,
            "claim": None,
            "holds": None,
        },
        {
            "work": f"{work}, magnitudes to masks ({real_time(rounded)})",
            "against": f"{against}, its networks in bfloat16",
            **rounded,
            "claim": None,
            "holds": None,
        },
    ]


def unwanted_heads(cerberus: Cerberus, size: Size, rng: np.random.Generator) -> dict[str, Any]:
    """The network with the heads that separation needs, and with all."""
    audio = noise(rng, size)
    batch = batch_of(cerberus, audio)
    masks, every = (
        lambda: cerberus.net_.heads(batch, wanted=["mask"]),
        lambda: cerberus.net_.heads(batch),
    )
    figures = per_million(masks, every, (audio.size, audio.size), size.n_runs)
    return {
        "work": f"{size.seconds:g} s, the mask head alone",
        "against": "all heads",
        **figures,
        "claim": "the same masks",
        "holds": bool(np.array_equal(masks()["mask"], every()["mask"])),
    }


def against_float32(cerberus: Cerberus, size: Size, rng: np.random.Generator) -> dict[str, Any]:
    """The precision that "auto" takes beside float32."""
    audio = noise(rng, size)
    batch, net = batch_of(cerberus, audio), cerberus.net_
    exact = copy.copy(net)
    exact.precision = "float32"
    masks, as_float32 = (
        lambda: net.heads(batch, wanted=["mask"]),
        lambda: exact.heads(batch, wanted=["mask"]),
    )
    figures = per_million(masks, as_float32, (audio.size, audio.size), size.n_runs)
    error = float(np.abs(masks()["mask"] - as_float32()["mask"]).max())
    return {
        "work": f"{size.seconds:g} s, the mask head in {net.precision}",
        "against": f"float32 (masks differ by at most {error:.1g})",
        **figures,
        "claim": "difference <= 0.02",
        "holds": error <= 0.02,
    }


def noise(rng: np.random.Generator, size: Size, rate: int = RATE) -> np.ndarray:
    """Return noise in stereo."""
    return rng.standard_normal((2, round(size.seconds * rate)), np.float32)


def batch_of(cerberus: Cerberus, audio: np.ndarray) -> dict[str, Tensor]:
    """Return what the network is given for a mixture in one piece."""
    (item,) = cerberus.transformer_.transform([Mixture(audio, RATE)])
    return collate([({"magnitude": LevelledSTFT.of(item).magnitude}, {})])[0]


def per_million(
    ours: Callable[[], Any], peer: Callable[[], Any], n_samples: tuple[int, int], n_runs: int
) -> dict[str, Any]:
    """Race two ways to work through so many samples each; return seconds per million."""
    figures, _, _ = race(ours, peer, n_runs)
    n_ours, n_peer = n_samples
    return {
        "ours": figures["ours"] / n_ours * 1e6,
        "peer": figures["peer"] / n_peer * 1e6,
        "ratio": figures["ratio"] * n_ours / n_peer,
        "n_runs": n_runs,
    }


def real_time(figures: dict[str, Any]) -> str:
    """Say how many times faster than it sounds both worked."""
    ours, peer = 5e5 / RATE / figures["ours"], 5e5 / PEER_RATE / figures["peer"]
    return f"{ours:.0f} and {peer:.0f} times real time"


class OpenUnmix(nn.Module):
    """Four networks of Open-Unmix's architecture around one STFT."""

    N_FFT, HOP, N_BINS = 4096, 1024, 2049

    def __init__(self, hidden: int):
        super().__init__()
        self.targets = nn.ModuleList(Target(hidden, self.N_BINS) for _ in range(N_SOURCES))
        self.register_buffer("window", torch.hann_window(self.N_FFT))

    def stft(self, audio: Tensor) -> Tensor:
        """Return (n_channels, n_bins, n_frames) of (n_channels, n_samples)."""
        return torch.stft(audio, self.N_FFT, self.HOP, window=self.window, return_complex=True)

    def forward(self, magnitude: Tensor) -> list[Tensor]:
        """Return a mask for each source, shaped as the magnitude."""
        frames = magnitude.permute(2, 0, 1)
        return [target(frames).permute(1, 2, 0) for target in self.targets]

    def separate(self, audio: Tensor) -> list[Tensor]:
        """Return the sources of a mixture."""
        spectrum = self.stft(audio)
        return [
            torch.istft(
                mask * spectrum, self.N_FFT, self.HOP, window=self.window, length=audio.shape[-1]
            )
            for mask in self(spectrum.abs())
        ]


class Target(nn.Module):
    """One source's network: it sees the bins below 16 kHz of both channels, and masks all."""

    N_SEEN = 1487

    def __init__(self, hidden: int, n_bins: int):
        super().__init__()
        self.encode = nn.Sequential(
            nn.Linear(2 * self.N_SEEN, hidden, bias=False), nn.BatchNorm1d(hidden), nn.Tanh()
        )
        self.lstm = nn.LSTM(hidden, hidden // 2, 3, bidirectional=True)
        self.decode = nn.Sequential(
            nn.Linear(2 * hidden, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, 2 * n_bins, bias=False),
            nn.BatchNorm1d(2 * n_bins),
            nn.ReLU(),
        )

    def forward(self, frames: Tensor) -> Tensor:
        """Return masks (n_frames, n_channels, n_bins) for magnitudes of that shape."""
        seen = self.encode(frames[..., : self.N_SEEN].flatten(1))
        heard, _ = self.lstm(seen)
        return self.decode(torch.cat([seen, heard], dim=-1)).view_as(frames)


if __name__ == "__main__":
    main()
