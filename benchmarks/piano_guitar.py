"""Piano and guitar of different songs: Cerberus beside NMF, the mixture, and the ideal mask.

Songs are rendered from the MIDI files and the SoundFont of the folder MSA_SK_DATA and cut into
excerpts of 5 s in which piano or guitar plays at least 10 notes; mixtures are of two songs, at
levels up to 6 dB apart. Cross-validated by song: every song is tested on once, by systems that
have not heard it, and no song has more than a few excerpts. The songs' "pianos" are eight General
MIDI programs, from grand piano to clavinet, some of which one song alone has, so a single split
would say little. NMF and Cerberus learn from the same excerpts: half of them are of the training
songs as they are, half of the same songs in other keys and with other pianos; a second NMF learns
from the songs as they are alone. Cerberus has two heads, masks and rolls.

The bar, asserted from the size small upwards:

- Cerberus is at least 2 dB SI-SDRi above each NMF;
- the lower 95 % bounds of both over songs are above zero.

``python -m benchmarks.piano_guitar --size tiny|small [--seed 0]``
"""

import tempfile
import time
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone

from benchmarks._report import parse_arguments, write_report
from benchmarks._songs import Songs, folds, render, solos
from msa_sk import Cerberus, IdealMaskSeparator, MixtureBaseline, NMFSeparator, attach_truth
from msa_sk.base import SceneEstimator
from msa_sk.datasets import mix_incoherent
from msa_sk.metrics import Comparison, Evaluation, SceneScorer
from msa_sk.neural.allocator import keep_large_buffers

INSTRUMENTS = ("piano", "guitar")
METRICS = ("si_sdri", "sdr", "frame_f1", "note_onset_f1")
VARIATION = {"programs": {"piano": range(8)}, "transpose": 5}


class Size(NamedTuple):
    """How much there is to do, and with what."""

    n_songs: int | None  # MIDI files; None takes all
    n_folds: int
    n_versions: int  # of each training song, in other keys and with other pianos
    n_mixtures: int  # that Cerberus learns from in each fold
    n_nmf: int
    n_test: int  # in each fold
    hidden_size: int


SIZES = {
    "tiny": Size(24, 2, 1, 60, 20, 10, 16),
    "small": Size(None, 4, 4, 18_000, 300, 100, 128),
}
PER_SONG = 40  # excerpts to learn from
PER_TEST_SONG = 10


def main() -> None:
    arguments = parse_arguments(__doc__)
    if arguments.size not in SIZES:
        raise SystemExit(f"{arguments.size}: this benchmark has the sizes {', '.join(SIZES)}.")
    size, start = SIZES[arguments.size], time.monotonic()
    with tempfile.TemporaryDirectory() as stems:
        songs = render(INSTRUMENTS, stems, size.n_songs)
        versions = [
            render(INSTRUMENTS, stems, size.n_songs, **VARIATION, random_state=seed)
            for seed in range(size.n_versions)
        ]
        results = Parallel(n_jobs=2)(
            delayed(run)(fold, *parts, size, arguments.seed)
            for fold, parts in enumerate(folds(songs, versions, size.n_folds))
        )
    tested = [song for result in results for song in result.songs]
    scores = {name: [s for r in results for s in r.scores[name]] for name in results[0].scores}
    minutes = {name: [r.minutes[name] for r in results] for name in scores}
    evaluations = {name: Evaluation(tuple(values)) for name, values in scores.items()}
    comparison = Comparison(evaluations, tuple(tested))
    print(comparison.to_markdown())
    rows = [{**row, "minutes": np.mean(minutes[row["system"]])} for row in rows_of(comparison)]
    path = write_report(
        "piano_guitar",
        arguments,
        rows,
        time.monotonic() - start,
        packages=("skorch", "librosa", "pyfluidsynth"),
        note=__doc__.split("\n\n")[1].replace("\n", " ")
        + " Minutes are of one training on one core; intervals are bootstrapped over piano songs.",
    )
    print(f"Written: {path}")
    if arguments.size != "tiny":
        check(comparison)


class Result(NamedTuple):
    """What one fold gave."""

    scores: dict[str, tuple]  # by system, of each test mixture
    minutes: dict[str, float]  # of training
    songs: list[str]


def run(fold: int, train: list[Songs], test: Songs, size: Size, seed: int) -> Result:
    """Train on some songs and test on others; two of these run at a time, a core each."""
    keep_large_buffers()
    X_test, y_test = mix_incoherent(
        *solos(test, INSTRUMENTS, PER_TEST_SONG), size.n_test, random_state=seed
    )
    X_test = attach_truth(X_test, y_test)
    scores, minutes = {}, {}
    for name, (system, X, y) in systems_of(train, size, seed).items():
        before = time.monotonic()
        system.fit(X, y)
        minutes[name] = (time.monotonic() - before) / 60
        found = SceneScorer(METRICS).evaluate(system, X_test, y_test, skip_unknown=True)
        scores[name] = found.scores
        figures = f"{minutes[name]:.1f} min, {found.mean('si_sdri'):.2f} dB"
        print(f"fold {fold}, {name}: {figures}", flush=True)
    # Excerpts of one song depend on each other; there are fewer piano songs than others.
    return Result(scores, minutes, [str(one.group).split(" + ")[1] for one in X_test])


def systems_of(
    train: list[Songs], size: Size, seed: int
) -> dict[str, tuple[SceneEstimator, list, list]]:
    """Return the systems, new, each with what it learns from."""
    plain = solos(train[0], INSTRUMENTS, PER_SONG)
    varied = [solos(version, INSTRUMENTS, PER_SONG // size.n_versions) for version in train[1:]]
    everything = (sum(parts, []) for parts in zip(plain, *varied, strict=True))
    X, y = mix_incoherent(*everything, size.n_mixtures, random_state=seed)
    X_plain, y_plain = mix_incoherent(*plain, size.n_nmf, random_state=seed)
    nmf = NMFSeparator(60, random_state=seed)
    cerberus = Cerberus(
        dc_weight=0,
        hidden_size=size.hidden_size,
        max_epochs=1,
        validation_fraction=0,
        precision="auto",
        random_state=seed,
    )
    return {
        "unprocessed mixture": (MixtureBaseline(), X[:1], y[:1]),
        "NMF": (nmf, X[: size.n_nmf], y[: size.n_nmf]),
        "NMF, songs as they are": (clone(nmf), X_plain, y_plain),
        "Cerberus": (cerberus, X, y),
        "ideal ratio mask": (IdealMaskSeparator(), X[:1], y[:1]),
    }


def rows_of(comparison: Comparison) -> list[dict[str, Any]]:
    """Return the summary's rows with the columns that every benchmark has."""
    columns = ("system", "instrument", "metric", "mean", "low", "high", "n_songs", "n_excerpts")
    return [{name: row[name] for name in columns} for row in comparison.summary()]


def check(comparison: Comparison) -> None:
    """Assert what the benchmark claims."""
    si_sdri = {
        row["system"]: row
        for row in rows_of(comparison)
        if row["metric"] == "si_sdri" and row["instrument"] == "all"
    }
    cerberus = si_sdri["Cerberus"]
    for name in ("NMF", "NMF, songs as they are"):
        nmf = si_sdri[name]
        figures = f"Cerberus {cerberus['mean']:.2f} dB, {name} {nmf['mean']:.2f} dB"
        assert cerberus["mean"] >= nmf["mean"] + 2, figures
        assert nmf["low"] > 0, f"the lower bound of {name} is {nmf['low']:.2f} dB"


if __name__ == "__main__":
    main()
