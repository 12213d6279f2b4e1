"""How many frames a second Cerberus learns from, and whether its data keep up, on one device.

The device is the fastest that is there. Songs of four stems lie in files at the model's rate; in
each step processes beside the training draw stretches of them, mix them, and make targets. A
batch is waited for from the end of a step to the begin of the next. Of the device's peak, what
is reached is reckoned with 6 operations per weight and frame, one multiplication and one addition
forward and two of each backward; the peak is what it reaches in products of large matrices.

Claimed and asserted, from the size small upwards and where the device is a GPU: under 5 % of the
time is spent waiting for data.

``python -m benchmarks.throughput --size tiny|small|paper [--seed 0]``
"""

import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from skorch.callbacks import Callback

from benchmarks._report import conclude, parse_arguments, write_report
from benchmarks.feeding import INSTRUMENTS, RATE, make_songs
from benchmarks.feeding import Size as SongSize
from msa_sk import Cerberus
from msa_sk.datasets import Excerpts, IncoherentMixing, cache_resampled
from msa_sk.neural.allocator import keep_large_buffers
from msa_sk.neural.devices import resolve_device, resolve_precision

SECONDS = 5.0
EPOCH = 20_000  # mixtures: the paper's (section 3.3.3)
N_WARM = 3  # steps in which buffers and processes come to be


class Size(NamedTuple):
    """How many songs there are, how many steps are timed, and the network."""

    n_songs: int
    song_seconds: float
    n_steps: int
    matrix: int
    changes: dict[str, Any]  # of the preset "chapter3"


SIZES = {
    "tiny": Size(
        *(4, 12.0, 4, 64),
        {"hidden_size": 8, "n_layers": 1, "batch_size": 2},
    ),
    "small": Size(16, 60.0, 30, 2048, {}),
    "paper": Size(64, 180.0, 500, 8192, {}),
}


def main(argv: list[str] | None = None) -> None:
    """Measure, write the report, then fail if a claim does not hold."""
    arguments = parse_arguments(__doc__.splitlines()[0], argv)
    size, start = SIZES[arguments.size], time.perf_counter()
    keep_large_buffers()
    device = resolve_device("auto")
    with tempfile.TemporaryDirectory() as folder:
        songs = SongSize(size.n_songs, size.song_seconds, 0, 0, 0, 0)
        made = make_songs(Path(folder), songs, np.random.default_rng(arguments.seed))
        copies = cache_resampled(*made, Path(folder) / "copies", RATE)
        X, y = Excerpts(SECONDS, min_notes=1).apply(*copies)
        rows = training(X, y, size, arguments.seed, device)
    path = write_report(
        "throughput",
        arguments,
        rows,
        time.perf_counter() - start,
        packages=("skorch",),
        note=f"Device: {name_of(device)}. Seconds are medians over steps.",
    )
    conclude(path, rows if arguments.size != "tiny" else [])


class Clock(Callback):
    """The seconds that each step took, and those it was waited for."""

    def __init__(self, device: str):
        self.device = device
        self.steps: list[float] = []
        self.waits: list[float] = []

    def on_epoch_begin(self, net: Any, **kwargs: Any) -> None:
        self.last = time.perf_counter()

    def on_batch_begin(self, net: Any, training: bool = False, **kwargs: Any) -> None:
        self.begin = time.perf_counter()
        self.waits.append(self.begin - self.last)

    def on_batch_end(self, net: Any, training: bool = False, **kwargs: Any) -> None:
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()
        self.last = time.perf_counter()
        self.steps.append(self.last - self.begin)


def training(X: list, y: list, size: Size, seed: int, device: str) -> list[dict[str, Any]]:
    """Time the steps of a training that mixes on the fly."""
    clock = Clock(device)
    precision = resolve_precision("auto", device)
    n_workers = max(1, min(16, (os.cpu_count() or 1) - 1))
    preset = {"max_epochs": 1, "num_workers": n_workers, "precision": precision} | size.changes
    batch_size = preset.get("batch_size", 40)
    system = Cerberus.from_preset(
        "chapter3",
        **preset,
        instruments=INSTRUMENTS,
        sampler=IncoherentMixing((N_WARM + size.n_steps) * batch_size),
        validation_fraction=0,
        callbacks=[clock],
        device=device,
        random_state=seed,
        verbose=0,
    )
    system.fit(X, y)
    step, waits = statistics.median(clock.steps[N_WARM:]), clock.waits[N_WARM:]
    waited = sum(waits) / (sum(waits) + sum(clock.steps[N_WARM:]))
    n_weights = sum(weight.numel() for weight in system.net_.module_.parameters())
    n_frames = batch_size * (1 + int(SECONDS * RATE) // 256)
    reached = 6 * n_weights * n_frames / step
    peak = peak_of(size.matrix, device, precision)
    of_data = step / (1 - waited)
    no_claim = {"claim": "none", "holds": None}
    return [
        {
            "work": f"a step of {batch_size} mixtures of {SECONDS:g} s, {n_weights / 1e6:.1f} "
            f"million weights, {precision}",
            "ours": step,
            **no_claim,
        },
        {"work": "frames a second", "ours": n_frames / step, **no_claim},
        {"work": "share of the peak", "ours": reached / peak, **no_claim},
        {"work": "peak, operations a second", "ours": peak, **no_claim},
        {
            "work": f"an epoch of {EPOCH} mixtures, reckoned from steps and waits",
            "ours": of_data * EPOCH / batch_size,
            **no_claim,
        },
        {
            "work": f"share of the time spent waiting for {n_workers} processes that mix",
            "ours": waited,
            "claim": "under 0.05" if device.startswith("cuda") else "none",
            "holds": waited < 0.05 if device.startswith("cuda") else None,
        },
    ]


def peak_of(n: int, device: str, precision: str) -> float:
    """Return the operations a second of products of n x n matrices."""
    one = torch.randn(n, n, device=device, dtype=getattr(torch, precision))
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        product = one @ one
        float(product[0, 0])  # it is there
        seconds.append(time.perf_counter() - start)
    return 2 * n**3 / statistics.median(seconds[2:])


def name_of(device: str) -> str:
    """Return what the device is called."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name()
    return f"{device}, {torch.get_num_threads()} threads on {platform.machine()}"


if __name__ == "__main__":
    main()
