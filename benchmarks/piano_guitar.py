"""Piano and guitar of different songs: Cerberus beside NMF, the mixture, and the ideal mask.

Songs are rendered from the MIDI files and the SoundFont of the folder MSA_SK_DATA, split into
songs to train on and songs to test on, and cut into excerpts of 5 s in which piano or guitar
plays at least 10 notes; mixtures are of two songs, at levels up to 6 dB apart. Cerberus is
trained twice, the second time on twice as many mixtures; NMF learns from the same songs.

Claimed and asserted, from the size small upwards:

- the best Cerberus is at least 2 dB SI-SDRi above NMF;
- NMF's lower 95 % bound over songs is above zero.

``python -m benchmarks.piano_guitar --size tiny|small [--seed 0]``
"""

import os
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks._report import parse_arguments, write_report
from msa_sk import Cerberus, IdealMaskSeparator, MixtureBaseline, NMFSeparator, attach_truth
from msa_sk.datasets import Excerpts, mix_incoherent, render_scenes
from msa_sk.exceptions import MsaWarning
from msa_sk.metrics import Comparison, compare
from msa_sk.neural.allocator import keep_large_buffers

INSTRUMENTS = ("piano", "guitar")
METRICS = ("si_sdri", "sdr", "frame_f1", "note_onset_f1")


class Size(NamedTuple):
    """How much there is to do."""

    n_songs: int | None  # MIDI files; None takes all
    n_mixtures: tuple[int, ...]  # each a training of Cerberus
    n_nmf: int
    n_test: int
    hidden_size: int


SIZES = {
    "tiny": Size(24, (60,), 20, 10, 16),
    "small": Size(None, (10000, 20000), 400, 200, 128),
}


def main() -> None:
    arguments = parse_arguments(__doc__)
    if arguments.size not in SIZES:
        raise SystemExit(f"{arguments.size}: this benchmark has the sizes {', '.join(SIZES)}.")
    size, start = SIZES[arguments.size], time.monotonic()
    keep_large_buffers()
    with tempfile.TemporaryDirectory() as stems:
        train, test = solo_excerpts(size, stems, arguments.seed)
        X_test, y_test = mix_incoherent(*test, size.n_test, random_state=arguments.seed)
        systems: dict[str, Any] = {
            "unprocessed mixture": (MixtureBaseline(), size.n_nmf),
            "NMF": (NMFSeparator(60, random_state=arguments.seed), size.n_nmf),
        }
        for n in size.n_mixtures:
            cerberus = Cerberus(
                hidden_size=size.hidden_size,
                max_epochs=1,
                validation_fraction=0,
                random_state=arguments.seed,
            )
            systems[f"Cerberus, {n} mixtures"] = (cerberus, n)
        fitted, minutes, cpu_minutes = {}, {}, {}
        for name, (system, n) in systems.items():
            X, y = mix_incoherent(*train, n, random_state=arguments.seed + 1)
            before, cpu_before = time.monotonic(), time.process_time()
            fitted[name] = system.fit(X, y)
            minutes[name] = (time.monotonic() - before) / 60
            cpu_minutes[name] = (time.process_time() - cpu_before) / 60
            print(f"{name}: fitted in {minutes[name]:.1f} minutes", flush=True)
        X_test = attach_truth(X_test, y_test)
        fitted["ideal ratio mask"] = IdealMaskSeparator().fit(X_test, y_test)
        # Excerpts of one song depend on each other; there are fewer piano songs than others.
        songs = [str(mixture.group).split(" + ")[0] for mixture in X_test]
        comparison = compare(fitted, X_test, y_test, metrics=METRICS, groups=songs)
    print(comparison.to_markdown())
    path = write_report(
        "piano_guitar",
        arguments,
        [
            {
                **row,
                "minutes": minutes.get(row["system"]),
                "cpu_minutes": cpu_minutes.get(row["system"]),
            }
            for row in rows_of(comparison)
        ],
        time.monotonic() - start,
        packages=("skorch", "librosa", "pyfluidsynth"),
        note=__doc__.split("\n\n")[1].replace("\n", " ")
        + " Intervals are bootstrapped over songs.",
    )
    print(f"Written: {path}")
    if arguments.size != "tiny":
        check(comparison)


def solo_excerpts(size: Size, stems: str, seed: int) -> tuple[tuple, tuple]:
    """Return excerpts of single instruments, of the songs to train on and of those to test on."""
    folder = os.environ.get("MSA_SK_DATA")
    if not folder:
        raise SystemExit("Set MSA_SK_DATA to the folder that holds midi/ and soundfonts/.")
    files = sorted(Path(folder).glob("midi/*/*.mid"))[: size.n_songs]
    soundfont = next(Path(folder).glob("soundfonts/*.sf2"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MsaWarning)  # songs without piano or guitar
        X, y = render_scenes(
            files, soundfont, INSTRUMENTS, require="any", cache_dir=stems, n_jobs=2
        )
    held_out = songs_to_test(X, y, seed)
    parts = []
    for wanted in (False, True):
        chosen = [i for i, mixture in enumerate(X) if (mixture.group in held_out) is wanted]
        excerpts = Excerpts.from_preset("chapter3", instruments=INSTRUMENTS, solo=True)
        parts.append(excerpts.apply([X[i] for i in chosen], [y[i] for i in chosen]))
    return parts[0], parts[1]


def songs_to_test(X: Sequence, y: Sequence, seed: int, share: float = 0.2) -> set:
    """Draw a share of the songs with piano and of those without."""
    random = np.random.default_rng(seed)
    with_piano = sorted({m.group for m, s in zip(X, y, strict=True) if "piano" in s.instruments})
    without = sorted({m.group for m in X} - set(with_piano))
    return {
        song
        for songs in (with_piano, without)
        for song in random.permutation(songs)[: max(2, round(share * len(songs)))]
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
    best = max(row["mean"] for name, row in si_sdri.items() if name.startswith("Cerberus"))
    nmf = si_sdri["NMF"]
    assert best >= nmf["mean"] + 2, f"Cerberus {best:.2f} dB, NMF {nmf['mean']:.2f} dB"
    assert nmf["low"] > 0, f"NMF's lower bound is {nmf['low']:.2f} dB"


if __name__ == "__main__":
    main()
