"""How fast training data can be read and mixed, and what 100,000 records of it weigh.

Claimed and asserted:

- copies that `cache_resampled` made sound as librosa resamples: difference below 1e-3;
- a record of an excerpt, four sources and their notes, weighs under 1 kB when it is sent;
- reading eight times as many scenes needs no more memory: under 10 % more;

and, from the size small upwards,

- scenes from copies are read and mixed at least 5 times faster than by librosa.load;
- two processes read and mix at least 500 scenes a second, each 5 s of 4 sources;
- 100,000 records are cut in under a minute.

``python -m benchmarks.feeding --size tiny|small|paper [--seed 0]``
"""

import importlib.util
import pickle
import tempfile
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed

from benchmarks._report import parse_arguments, race, write_report
from msa_sk import Clip, Mixture, Notes, Scene
from msa_sk.audio import write_audio
from msa_sk.datasets import CoherentMixing, Excerpts, IncoherentMixing, cache_resampled
from msa_sk.datasets.sampling import Draws

FILE_RATE, RATE = 44100, 16000
INSTRUMENTS = ("bass", "drums", "guitar", "piano")
SECONDS = 5.0
EDGE = 0.1  # s; there a resampled stretch differs from a stretch of what was resampled
N_JOBS = 2


class Size(NamedTuple):
    """How much there is to do."""

    n_songs: int
    song_seconds: float
    n_scenes: int
    n_fed: int
    n_records: int
    n_runs: int


SIZES = {
    "tiny": Size(4, 12.0, 8, 40, 2000, 2),
    "small": Size(16, 60.0, 50, 2000, 100_000, 5),
    "paper": Size(64, 180.0, 200, 20_000, 100_000, 9),
}


def main(argv: list[str] | None = None) -> None:
    """Measure, write the report, then fail if a claim does not hold."""
    arguments = parse_arguments(__doc__.splitlines()[0], argv)
    size, rng = SIZES[arguments.size], np.random.default_rng(arguments.seed)
    fast = arguments.size != "tiny"  # what takes no time is no race
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        songs = make_songs(Path(folder), size, rng)
        copies = cache_resampled(*songs, Path(folder) / "copies", RATE)
        rule = Excerpts(SECONDS, hop=1.0, min_notes=1)
        rows = [
            reading_speed(rule.apply(*songs), rule.apply(*copies), size, fast),
            feeding_speed(rule.apply(*copies), size, fast),
            memory_growth(rule.apply(*copies), size),
            records(copies, size, fast),
        ]
    path = write_report(
        "feeding",
        arguments,
        rows,
        time.perf_counter() - start,
        packages=("librosa", "soundfile", "soxr"),
        note="Median seconds over turns taken alternately; ratio: how many times faster ours is; "
        "difference: the largest between the samples of both, away from the edges.",
    )
    print(path.with_suffix(".md").read_text(encoding="utf-8"))
    broken = [f"{row['work']}: {row['claim']}" for row in rows if row["holds"] is False]
    if broken:
        raise AssertionError("These claims do not hold: " + "; ".join(broken))


def make_songs(
    folder: Path, size: Size, rng: np.random.Generator
) -> tuple[list[Mixture], list[Scene]]:
    """Write songs of four stems, one FLAC file each, and four notes a second for each."""
    X, y = [], []
    n_samples, n_notes = round(size.song_seconds * FILE_RATE), round(4 * size.song_seconds)
    time_axis = np.arange(n_samples) / FILE_RATE
    for song in range(size.n_songs):
        stems, notes = [], []
        for name in INSTRUMENTS:
            tone = np.sin(2 * np.pi * rng.uniform(100, 2000) * time_axis)
            audio = 0.1 * tone + rng.normal(0, 0.01, n_samples)
            path = write_audio(folder / f"{song}-{name}.flac", audio, FILE_RATE, "PCM_16")
            stems.append(Clip(path))
            onset = np.sort(rng.uniform(0, size.song_seconds - 0.3, n_notes))
            notes.append(Notes(onset, onset + 0.3, rng.integers(40, 80, n_notes)))
        X.append(Mixture(tuple(stems), FILE_RATE, group=str(song)))
        y.append(Scene(INSTRUMENTS, FILE_RATE, tuple(stems), tuple(notes)))
    return X, y


def reading_speed(original: tuple, cached: tuple, size: Size, fast: bool) -> dict[str, Any]:
    """Read and mix scenes from copies, and with librosa from the files."""
    some = np.linspace(0, len(cached[1]) - 1, size.n_scenes).astype(int)
    scenes, files = [cached[1][i] for i in some], [original[1][i].sources for i in some]

    def ours() -> list[np.ndarray]:
        return [mix([scene.source(name) for name in INSTRUMENTS]) for scene in scenes][-1]

    peer = None
    if importlib.util.find_spec("librosa"):
        import librosa

        def load(clip: Clip) -> np.ndarray:
            audio, _ = librosa.load(clip.path, sr=RATE, offset=clip.start, duration=clip.duration)
            return audio

        def peer() -> list[np.ndarray]:
            return [mix([load(clip) for (clip,) in sources]) for sources in files][-1]

    figures, result, peer_result = race(ours, peer, size.n_runs)
    row = {
        "work": f"{size.n_scenes} scenes of {len(INSTRUMENTS)} x {SECONDS:g} s at {RATE} Hz, "
        f"from copies; librosa.load from FLAC at {FILE_RATE} Hz",
        "against": "librosa",
        **figures,
    }
    if peer is None:
        return {**row, "difference": None, "claim": "librosa is absent", "holds": None}
    edge = round(EDGE * RATE)
    difference = float(np.abs(np.subtract(result, peer_result))[..., edge:-edge].max())
    claim = "difference < 0.001" + (", ratio >= 5" if fast else "")
    holds = difference < 1e-3 and (not fast or figures["ratio"] >= 5)
    return {**row, "difference": difference, "claim": claim, "holds": holds}


def feeding_speed(cached: tuple, size: Size, fast: bool) -> dict[str, Any]:
    """Draw, read and mix in two processes, as a training does that mixes on the fly."""
    draws = IncoherentMixing(size.n_fed).prepare(*cached)
    shares = np.array_split(np.arange(size.n_fed), N_JOBS)
    with Parallel(n_jobs=N_JOBS) as parallel:
        # The first turn starts the processes; then the slowest of both counts.
        for turn in range(2):
            seconds = max(parallel(delayed(feed)(draws, turn, share) for share in shares))
    rate = size.n_fed / seconds
    return {
        "work": f"{size.n_fed} incoherent mixtures of {len(INSTRUMENTS)} x {SECONDS:g} s in "
        f"{N_JOBS} processes: {rate:.0f} a second",
        "ours": seconds,
        "n_runs": 1,
        "claim": "at least 500 a second" if fast else "none at this size",
        "holds": rate >= 500 if fast else None,
    }


def memory_growth(cached: tuple, size: Size) -> dict[str, Any]:
    """Compare the peak of memory over some scenes with that over eight times as many."""
    n_scenes = max(4, size.n_scenes // 4)
    peaks = []
    for n in (n_scenes, 8 * n_scenes):
        draws = CoherentMixing(n).prepare(*cached)
        tracemalloc.start()
        feed(draws, 0, np.arange(n))
        peaks.append(tracemalloc.get_traced_memory()[1] / 1e6)
        tracemalloc.stop()
    return {
        "work": f"peak memory over {8 * n_scenes} scenes, {peaks[1]:.1f} MB, against that over "
        f"{n_scenes}, {peaks[0]:.1f} MB",
        "n_runs": 1,
        "claim": "under 10 % more",
        "holds": peaks[1] < 1.1 * peaks[0],
    }


def records(cached: tuple, size: Size, fast: bool) -> dict[str, Any]:
    """Cut many excerpts, and pickle their records as for another process."""
    seconds_in_all = sum(mixture.duration - SECONDS for mixture in cached[0])
    rule = Excerpts(SECONDS, hop=seconds_in_all / size.n_records, min_notes=1)
    start = time.perf_counter()
    X, y = rule.apply(*cached)
    seconds = time.perf_counter() - start
    weight = len(pickle.dumps((X, y), pickle.HIGHEST_PROTOCOL))
    return {
        "work": f"{len(X)} records of {len(INSTRUMENTS)} sources with notes cut, "
        f"{weight / 1e6:.1f} MB pickled",
        "ours": seconds,
        "n_runs": 1,
        "claim": "under 1 kB each" + (", under 60 s" if fast else ""),
        "holds": weight < 1000 * len(X) and (not fast or seconds < 60),
    }


def feed(draws: Draws, epoch: int, numbers: np.ndarray) -> float:
    """Draw, read and mix; return how many seconds it took."""
    start = time.perf_counter()
    for number in numbers:
        mixture, scene = draws.draw(epoch, int(number))
        mixture.read()
        for name in scene.instruments:
            scene.source(name)
    return time.perf_counter() - start


def mix(sources: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return the sum of sources, and the sources."""
    return [sum(sources), *sources]


if __name__ == "__main__":
    main()
