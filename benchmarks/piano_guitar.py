"""Piano and guitar of different songs: Cerberus beside NMF, the mixture, and the ideal mask.

Songs are rendered from the MIDI files and the SoundFont of the folder MSA_SK_DATA and cut into
excerpts of 5 s in which piano or guitar plays at least 10 notes; mixtures are of two songs, at
levels up to 6 dB apart. Cross-validated by song: every song is tested on once, by systems that
have not heard it, and no song has more than a few excerpts. The songs' "pianos" are eight General
MIDI programs, from grand piano to clavinet, some of which one song alone has, so a single split
would say little. NMF and Cerberus learn from the same songs.

The bar, asserted from the size small upwards (not reached yet, so no figures stand here):

- Cerberus is at least 2 dB SI-SDRi above NMF;
- NMF's lower 95 % bound over songs is above zero.

``python -m benchmarks.piano_guitar --size tiny|small [--seed 0]``
"""

import os
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from sklearn.model_selection import StratifiedKFold

from benchmarks._report import parse_arguments, write_report
from msa_sk import Cerberus, IdealMaskSeparator, MixtureBaseline, NMFSeparator, attach_truth
from msa_sk.datasets import Excerpts, mix_incoherent, render_scenes
from msa_sk.exceptions import MsaWarning
from msa_sk.metrics import Comparison, Evaluation, SceneScorer
from msa_sk.neural.allocator import keep_large_buffers

INSTRUMENTS = ("piano", "guitar")
METRICS = ("si_sdri", "sdr", "frame_f1", "note_onset_f1")


class Size(NamedTuple):
    """How much there is to do, and with what."""

    n_songs: int | None  # MIDI files; None takes all
    n_folds: int
    n_mixtures: int  # that Cerberus learns from in each fold
    n_nmf: int
    n_test: int  # in each fold
    hidden_size: int


SIZES = {
    "tiny": Size(24, 2, 60, 20, 10, 16),
    "small": Size(None, 3, 7000, 300, 100, 128),
}
PER_SONG = {"train": 40, "test": 10}


def main() -> None:
    arguments = parse_arguments(__doc__)
    if arguments.size not in SIZES:
        raise SystemExit(f"{arguments.size}: this benchmark has the sizes {', '.join(SIZES)}.")
    size, start = SIZES[arguments.size], time.monotonic()
    with tempfile.TemporaryDirectory() as stems:
        songs_by_fold = folds(*render(size, stems), size.n_folds)
        results = Parallel(n_jobs=2)(
            delayed(run)(fold, train, test, size, arguments.seed)
            for fold, (train, test) in enumerate(songs_by_fold)
        )
    songs = [song for result in results for song in result.songs]
    scores = {name: [s for r in results for s in r.scores[name]] for name in results[0].scores}
    minutes = {name: [r.minutes[name] for r in results] for name in scores}
    evaluations = {name: Evaluation(tuple(values)) for name, values in scores.items()}
    comparison = Comparison(evaluations, tuple(songs))
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


def run(fold: int, train: tuple, test: tuple, size: Size, seed: int) -> Result:
    """Train on some songs and test on others; two of these run at a time, a core each."""
    keep_large_buffers()
    X, y = mix_incoherent(*excerpts(train, "train"), size.n_mixtures, random_state=seed)
    X_test, y_test = mix_incoherent(*excerpts(test, "test"), size.n_test, random_state=seed)
    X_test = attach_truth(X_test, y_test)
    scores, minutes = {}, {}
    for name, system in systems_of(size, seed).items():
        n = size.n_mixtures if name == "Cerberus" else size.n_nmf
        learn = (X_test, y_test) if name == "ideal ratio mask" else (X[:n], y[:n])
        before = time.monotonic()
        system.fit(*learn)
        minutes[name] = (time.monotonic() - before) / 60
        found = SceneScorer(METRICS).evaluate(system, X_test, y_test, skip_unknown=True)
        scores[name] = found.scores
        figures = f"{minutes[name]:.1f} min, {found.mean('si_sdri'):.2f} dB"
        print(f"fold {fold}, {name}: {figures}", flush=True)
    # Excerpts of one song depend on each other; there are fewer piano songs than others.
    return Result(scores, minutes, [str(one.group).split(" + ")[1] for one in X_test])


def systems_of(size: Size, seed: int) -> dict[str, Any]:
    """Return the systems, new."""
    return {
        "unprocessed mixture": MixtureBaseline(),
        "NMF": NMFSeparator(60, random_state=seed),
        "Cerberus": Cerberus(
            hidden_size=size.hidden_size,
            max_epochs=1,
            validation_fraction=0,
            precision="auto",
            random_state=seed,
        ),
        "ideal ratio mask": IdealMaskSeparator(),
    }


def render(size: Size, stems: str) -> tuple[list, list]:
    """Return all songs that hold piano or guitar."""
    folder = os.environ.get("MSA_SK_DATA")
    if not folder:
        raise SystemExit("Set MSA_SK_DATA to the folder that holds midi/ and soundfonts/.")
    files = sorted(Path(folder).glob("midi/*/*.mid"))[: size.n_songs]
    soundfont = next(Path(folder).glob("soundfonts/*.sf2"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MsaWarning)  # songs without piano or guitar
        return render_scenes(
            files, soundfont, INSTRUMENTS, require="any", cache_dir=stems, n_jobs=2
        )


def folds(X: Sequence, y: Sequence, n_folds: int) -> Iterator[tuple[tuple, tuple]]:
    """Give songs to train on and songs to test on, with as many piano songs in each fold."""
    has_piano = ["piano" in scene.instruments for scene in y]
    splitter = StratifiedKFold(n_folds, shuffle=True, random_state=0)  # one scene per song
    for parts in splitter.split(X, has_piano):
        train, test = (([X[i] for i in part], [y[i] for i in part]) for part in parts)
        yield train, test


def excerpts(songs: tuple, part: str) -> tuple[list, list]:
    """Return excerpts of single instruments, evenly from all songs."""
    rules = Excerpts.from_preset(
        "chapter3",
        instruments=INSTRUMENTS,
        solo=True,
        max_per_song=PER_SONG[part],
        random_state=0,
    )
    return rules.apply(*songs)


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
    cerberus, nmf = si_sdri["Cerberus"], si_sdri["NMF"]
    figures = f"Cerberus {cerberus['mean']:.2f} dB, NMF {nmf['mean']:.2f} dB"
    assert cerberus["mean"] >= nmf["mean"] + 2, figures
    assert nmf["low"] > 0, f"NMF's lower bound is {nmf['low']:.2f} dB"


if __name__ == "__main__":
    main()
