"""Long recordings: what an hour needs, and what working in windows changes.

A network is trained for a moment. From a file of stereo sound at 44.1 kHz it then writes stems and
notes, in a process of its own whose memory is measured, and from one that is many times as long.
A third recording is taken whole and in windows of 30 s: how far apart are the sources, and how far
from the true ones? A recurrent network remembers more than a window holds, so that they differ
everywhere; fixed spectra (NMF) remember nothing.

Claimed and asserted: the long file needs at most 15 % more memory than the short one, and less
than 1.5 GB; what windows change is at least 25 dB below the mixture with the network and 100 dB
with fixed spectra, and changes SI-SDR by at most 0.1 dB.

``python -m benchmarks.long_audio --size tiny|small [--seed 0]``
"""

import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile

import msa_sk
from benchmarks._report import parse_arguments, write_report
from msa_sk import Cerberus, Mixture, NMFSeparator, Scene
from msa_sk.audio import resample, rms
from msa_sk.datasets import make_scenes
from msa_sk.metrics import si_sdr

RATE = 44100


class Size(NamedTuple):
    """How long the recordings are, in minutes, and how many scenes and epochs teach."""

    short: float
    long: float
    n_scenes: int
    max_epochs: int


SIZES = {"tiny": Size(1.5, 6, 32, 5), "small": Size(5, 60, 96, 20)}
MAX_GROWTH, MAX_MB = 1.15, 1500
MAX_DB, MAX_SI_SDR = {"Cerberus": -25, "NMFSeparator": -100}, 0.1


def main() -> None:
    arguments = parse_arguments(__doc__)
    if arguments.size not in SIZES:
        raise SystemExit(f"{arguments.size}: this benchmark has the sizes {', '.join(SIZES)}.")
    size, start = SIZES[arguments.size], time.monotonic()
    data = make_scenes(size.n_scenes, duration=4.0, random_state=arguments.seed)
    settings: dict[str, Any] = {"random_state": arguments.seed}
    cerberus = Cerberus(max_epochs=size.max_epochs, verbose=0, **settings).fit(*data)
    nmf = NMFSeparator(n_components=8, max_iter=100, tol=0, **settings).fit(*data)
    with tempfile.TemporaryDirectory() as folder:
        rows = measure_memory(cerberus, join(data[0]), size, Path(folder))
    rows += [compare(model, *data) for model in (cerberus, nmf)]
    for row in rows:
        print(row)
    note = __doc__.split("\n\n")[1].replace("\n", " ")
    path = write_report("long_audio", arguments, rows, time.monotonic() - start, note=note)
    print(f"Written: {path}")
    short, long, *differences = rows
    assert long["peak MB"] <= MAX_GROWTH * short["peak MB"], "memory grows with length"
    assert long["peak MB"] < MAX_MB, "a long recording needs too much memory"
    for row in differences:
        assert row["difference dB"] <= MAX_DB[row["work"].split()[0]], row
        assert abs(row["SI-SDR in windows"] - row["SI-SDR whole"]) <= MAX_SI_SDR, row


def join(mixes: Sequence[Mixture]) -> np.ndarray:
    """Return mixtures one after the other, in stereo and at 44.1 kHz."""
    song = np.concatenate([mix.read() for mix in mixes])
    return resample(np.stack([song, 0.7 * np.roll(song, 16000)]), mixes[0].rate, RATE)


def measure_memory(
    model: Cerberus, song: np.ndarray, size: Size, folder: Path
) -> list[dict[str, Any]]:
    """Return what each length needs."""
    saved = model.save(folder / "model.msa")
    rows = []
    for minutes in (size.short, size.long):
        path = write_repeated(folder / f"{minutes:g}.wav", song, minutes)
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
            seconds, peak = process.submit(separate, saved, path, folder / "out").result()
        rows.append(
            {
                "work": f"{minutes:g} min from file to stems",
                "peak MB": peak,
                "seconds": seconds,
                "times real time": 60 * minutes / seconds,
            }
        )
        path.unlink()
    return rows


def write_repeated(path: Path, song: np.ndarray, minutes: float) -> Path:
    """Write a song again and again, until the file is so long."""
    n_left = round(60 * minutes * RATE)
    with soundfile.SoundFile(path, "w", RATE, len(song), "PCM_16") as file:
        while n_left:
            file.write(song[:, :n_left].T)
            n_left -= min(n_left, song.shape[1])
    return path


def separate(model: Path, path: Path, directory: Path) -> tuple[float, float]:
    """Return how long it took, in seconds, and the memory of this process at its peak, in MB."""
    start = time.monotonic()
    msa_sk.load(model).predict_to_files([path], directory, overwrite=True)
    return time.monotonic() - start, peak_memory()


def peak_memory() -> float:
    """Return the most memory that this process had in use, in MB.

    Not from ``resource.getrusage``: what that says begins at what the parent had.
    """
    status = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in status if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


def compare(model: Any, mixes: Sequence[Mixture], scenes: Sequence[Scene]) -> dict[str, Any]:
    """Return how far sources in windows are from those of the whole, and both from the truth."""
    song = Mixture(np.concatenate([mix.read() for mix in mixes]), mixes[0].rate)
    truth = np.stack(
        [np.concatenate([scene.source(name) for scene in scenes]) for name in model.instruments_]
    )
    windowed = model.predict([song])[0].sources
    whole = model.set_params(window_seconds=None).predict([song])[0].sources
    difference = rms(windowed - whole) / rms(song.read())
    return {
        "work": f"{type(model).__name__} whole and in windows",
        "difference dB": 20 * float(np.log10(max(difference, 1e-10))),
        "SI-SDR whole": float(np.mean(si_sdr(truth, whole))),
        "SI-SDR in windows": float(np.mean(si_sdr(truth, windowed))),
    }


if __name__ == "__main__":
    main()
