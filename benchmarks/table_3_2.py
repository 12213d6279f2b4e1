"""Table 3.2: the networks of table 3.1 on music of another origin, alone and mixed.

The paper's networks learn from Slakh and are tested on recordings: guitars of GuitarSet, pianos of
MAPS, and incoherent mixtures of both. These learn from songs rendered with a SoundFont, as in
table 3.1, and are tested on the composed songs and the numerical synthesizer of `make_scenes`, on
each instrument alone and on incoherent mixtures; with ``--maps`` and ``--guitarset``, on the
paper's own sets too. Each fold's networks are tested on a share of the songs. Intervals are over
these.

Nothing is claimed but that all runs; the table says which of the paper's directions are found.

``python -m benchmarks.table_3_2 --size tiny|small|paper [--seed 0] [--maps DIR --guitarset DIR]``;
what table 3.1 has trained is not trained again.
"""

import time
from collections.abc import Sequence

from benchmarks._chapter3 import (
    INSTRUMENTS,
    PER_TEST_SONG,
    SIZES,
    Size,
    make_folds,
    score_all,
    system_table,
)
from benchmarks._fits import Direction, compare_scores, overall, verdicts
from benchmarks._report import finish, parse_arguments, rows_table
from benchmarks._songs import Songs, select, solos, songs_in
from msa_sk.datasets import MAPS, GuitarSet, make_scenes, mix_incoherent
from msa_sk.metrics import Comparison

NAN = float("nan")
SEPARATE = ("Deep clustering", "Mask inference", "Chimera")
ALONE = ("Transcription", "Cerberus")
PAPER = {  # SDR, and P, R, F1 of onsets and offsets
    "guitar": {"Transcription": (NAN, 0.08, 0.08, 0.08), "Cerberus": (NAN, 0.13, 0.11, 0.12)},
    "piano": {"Transcription": (NAN, 0.19, 0.08, 0.11), "Cerberus": (NAN, 0.19, 0.10, 0.12)},
    "mixed": {
        "Deep clustering": (4.3, NAN, NAN, NAN),
        "Mask inference": (4.1, NAN, NAN, NAN),
        "Chimera": (4.5, NAN, NAN, NAN),
        "Transcription": (NAN, 0.14, 0.08, 0.09),
        "Cerberus": (5.0, 0.16, 0.10, 0.12),
    },
}
_F1 = "note_onset_offset_f1"
DIRECTIONS = {
    "guitar": [Direction("Cerberus", "Transcription", _F1, 0.04)],
    "piano": [Direction("Cerberus", "Transcription", _F1, 0.01)],
    "mixed": [
        *(Direction("Cerberus", name, "sdr", 5.0 - PAPER["mixed"][name][0]) for name in SEPARATE),
        Direction("Cerberus", "Transcription", _F1, 0.03),
    ],
}


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parse_arguments(
        __doc__,
        argv,
        folders={"maps": "of the data set MAPS", "guitarset": "of the data set GuitarSet"},
    )
    size, start = SIZES[arguments.size], time.monotonic()
    folds = list(make_folds(size))
    origins = {"synthesizer": compose(size.n_test)}
    if arguments.maps and arguments.guitarset:
        pianos, guitars = MAPS(arguments.maps).load(), GuitarSet(arguments.guitarset).load()
        origins["MAPS and GuitarSet"] = pianos[0] + guitars[0], pianos[1] + guitars[1]
    rows, tables = [], []
    for origin, songs in origins.items():
        n_songs, n_folds = len(songs[0]), len(folds)
        tests = [
            make_tests(select(range(i, n_songs, n_folds), songs), size) for i in range(n_folds)
        ]
        jobs = [(name, arguments.seed, fold) for fold in folds for name in (*SEPARATE, *ALONE)]
        found = score_all(jobs, size, tests, lambda name, kind: name in PAPER[kind])
        for kind, paper in PAPER.items():
            comparison = gather(kind, found, tests)
            directions = verdicts(comparison, DIRECTIONS[kind])
            where = {"origin": origin, "test": kind}
            rows += [where | row for row in (*comparison.summary(), *directions)]
            tables += [
                f"## {origin}, {kind}{'' if kind == 'mixed' else ' alone'}\n",
                system_table(overall(comparison), paper),
                rows_table(directions),
            ]
    finish("table_3_2", __doc__, arguments, rows, start, tables)


def compose(n_songs: int) -> Songs:
    """Return songs of piano and guitar, of another composer and on other instruments."""
    return make_scenes(n_songs, INSTRUMENTS, duration=20.0, random_state=0)


def make_tests(songs: Songs, size: Size) -> dict[str, Songs]:
    """Return excerpts of each instrument alone, and mixed incoherently."""
    X, y = solos(songs, INSTRUMENTS, PER_TEST_SONG)
    alone = {
        name: select([i for i, scene in enumerate(y) if scene.instruments == (name,)], (X, y))
        for name in INSTRUMENTS
    }
    return alone | {"mixed": mix_incoherent(X, y, size.n_test, random_state=0)}


def gather(
    kind: str,
    found: Sequence[dict[tuple[str, str], tuple]],
    tests: Sequence[dict[str, Songs]],
) -> Comparison:
    """Compare systems on one kind of test; their folds follow each other."""
    scores: dict[str, tuple] = {}
    for by_test in found:
        for (system, test), of_fold in by_test.items():
            if test == kind:
                scores[system] = scores.get(system, ()) + of_fold
    songs = songs_in(test[kind] for test in tests)
    return compare_scores({name: [of_all] for name, of_all in scores.items()}, *songs)


if __name__ == "__main__":
    main()
