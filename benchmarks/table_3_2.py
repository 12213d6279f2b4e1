"""Table 3.2: the networks of table 3.1 on music of another origin, alone and mixed.

The paper's networks learn from Slakh and are tested on recordings: guitars of GuitarSet, pianos of
MAPS, and incoherent mixtures of both. These learn from songs rendered with a SoundFont, as in
table 3.1, and are tested on the composed songs and the numerical synthesizer of `make_scenes`, on
each instrument alone and on incoherent mixtures; with ``--maps`` and ``--guitarset``, on the
paper's own sets too. By such composed songs the thresholds and the rules from rolls to notes were
chosen, which all systems share. The networks of all folds are tested on all songs, and what counts
is the mean of their scores of each excerpt. Intervals draw the songs of the piano and those of the
guitar, not the networks. What clusters is scored by names and by the best permutation, as in table
3.1.

Nothing is claimed but that all runs; the table says which of the paper's directions are found.

``python -m benchmarks.table_3_2 --size tiny|small|paper [--seed 0] [--maps DIR --guitarset DIR]``;
what table 3.1 has trained is not trained again.
"""

import time
from collections.abc import Sequence

from benchmarks._chapter3 import (
    INSTRUMENTS,
    SIZES,
    Size,
    description,
    extent,
    make_folds,
    score_all,
    system_table,
)
from benchmarks._fits import Direction, compare_scores, overall, verdicts
from benchmarks._report import finish, parse_arguments, rows_table
from benchmarks._songs import Songs, solos, songs_in
from benchmarks.table_3_1 import CLUSTERS
from msa_sk.datasets import MAPS, GuitarSet, make_scenes, mix_incoherent
from msa_sk.metrics import Comparison

NAN = float("nan")
PER_COMPOSED_SONG = 2
SEPARATE = ("Deep clustering", "Mask inference", "Chimera")
ALONE = ("Transcription", "Cerberus")
PAPER = {  # SDR, and P, R, F1 of onsets and offsets
    "guitar": {"Transcription": (NAN, 0.08, 0.08, 0.08), "Cerberus": (NAN, 0.13, 0.11, 0.12)},
    "piano": {"Transcription": (NAN, 0.19, 0.08, 0.11), "Cerberus": (NAN, 0.19, 0.10, 0.12)},
    "mixed": {
        CLUSTERS: (4.3, NAN, NAN, NAN),
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
        *(
            Direction("Cerberus", name, "sdr", 5.0 - PAPER["mixed"][name][0])
            for name in (CLUSTERS, "Mask inference", "Chimera")
        ),
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
    rows, tables = [], [description(size)]
    for origin, songs in origins.items():
        test = make_tests(songs, size)
        jobs = [(name, arguments.seed, fold) for fold in folds for name in (*SEPARATE, *ALONE)]
        found = score_all(
            jobs, size, [test] * len(folds), lambda name, kind: kind == "mixed" or name in ALONE
        )
        for kind, paper in PAPER.items():
            comparison = gather(kind, found, test[kind])
            directions = verdicts(comparison, DIRECTIONS[kind])
            where = {"origin": origin, "test": kind}
            rows += [where | row for row in (*comparison.summary(), *directions)]
            tables += [
                f"## {origin}, {kind}{'' if kind == 'mixed' else ' alone'}: "
                f"{extent(comparison.songs)}\n",
                system_table(overall(comparison), paper, list(comparison.evaluations)),
                rows_table(directions),
            ]
    finish("table_3_2", __doc__, arguments, rows, start, tables)


def compose(n_songs: int) -> Songs:
    """Return songs of piano and guitar, of another composer and on other instruments."""
    return make_scenes(n_songs, INSTRUMENTS, duration=20.0, random_state=0)


def make_tests(songs: Songs, size: Size) -> dict[str, Songs]:
    """Return excerpts of each instrument alone, and mixed incoherently."""
    alone = {name: solos(songs, [name], PER_COMPOSED_SONG) for name in INSTRUMENTS}
    X, y = (sum(each, []) for each in zip(*alone.values(), strict=True))
    return alone | {"mixed": mix_incoherent(X, y, size.n_test, random_state=0)}


def gather(kind: str, found: Sequence[dict[tuple[str, str], tuple]], songs: Songs) -> Comparison:
    """Compare systems on one kind of test, each by the mean of its networks."""
    scores: dict[str, list[tuple]] = {}
    for by_test in found:
        for (system, test), of_network in by_test.items():
            if test == kind:
                scores.setdefault(system, []).append(of_network)
    return compare_scores(scores, *songs_in([songs]))


if __name__ == "__main__":
    main()
