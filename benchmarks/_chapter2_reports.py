"""The reports on the networks of chapter 2: tables of systems by levels, beside the paper's."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks._chapter2 import (
    LEVELS,
    METRIC,
    SIZES,
    Fold,
    Scored,
    Size,
    make_folds,
    score_systems,
    songs_beside_relative,
)
from benchmarks._fits import Direction, verdicts
from benchmarks._report import finish, parse_arguments, rows_table
from msa_sk.metrics.tables import markdown_table

COLUMNS = {"all": "All", **LEVELS}  # of the paper's tables

Paper = Mapping[str, Sequence[float]]  # by system, the means of `COLUMNS`; NaN where there is none

#: Gives rows and Markdown from the folds, the size and the seeds.
More = Callable[[Sequence[Fold], Size, Sequence[int]], tuple[list[dict[str, Any]], list[str]]]


def make_table(
    name: str,
    doc: str,
    argv: Sequence[str] | None,
    paper: Paper,
    pairs: Sequence[tuple[str, str]],
    more: More | None = None,
) -> tuple[str, list[dict[str, Any]]]:
    """Score the systems of a table, write its report, and print it.

    Parameters
    ----------
    name, doc : str
        Of the benchmark; the second paragraph of `doc` is the report's note.
    argv : sequence of str or None
        Arguments.
    paper : dict of str to sequence of float
        Whose systems are scored.
    pairs : sequence of (str, str)
        Systems that the paper compares, each pair of one strategy: in which columns ours differ
        in the same direction is told.
    more : callable, default=None
        What the report has besides.

    Returns
    -------
    size : str
    rows : list of dict
        Of the report.
    """
    arguments = parse_arguments(doc, argv)
    size, start = SIZES[arguments.size], time.monotonic()
    seeds = range(arguments.seed, arguments.seed + size.n_seeds)
    folds = make_folds(size)
    rows, found, lines, beside_sibling, tests = [], [], [], [], []
    for strategy, scored in score_systems(paper, folds, size, seeds).items():
        comparison = scored.compare()
        summary = comparison.summary()
        rows += summary
        lines += _lines(summary, {name: paper[name] for name in scored.scores})
        own = [pair for pair in pairs if pair[0] in scored.scores]
        found += verdicts(comparison, _directions(paper, own))
        if any(scored.with_sibling):
            of_apart = scored.where(scored.with_sibling).compare().summary()
            rows += [row | {"tests": "with a sibling"} for row in of_apart]
            beside_sibling += _lines(of_apart, {name: () for name in scored.scores})
        tests.append(_about_tests(strategy, scored))
    header = [*COLUMNS.values(), *(f"paper: {title}" for title in COLUMNS.values())]
    tables = [
        about(folds) + " ".join(tests) + "\n",
        markdown_table(["SI-SDRi (dB)", *header], lines),
        "Where a sibling of the leaf is heard too, so that levels 1 and 2 differ:\n",
        markdown_table(["With a sibling", *COLUMNS.values()], beside_sibling),
        "What the paper found, and what the intervals of the difference over songs say (p is of "
        "another test, of ranks, and corrected for all pairs of systems and levels):\n",
        rows_table(found),
    ]
    more_rows, more_tables = more(folds, size, seeds) if more else ([], [])
    rows += [*found, *more_rows]
    finish(name, doc, arguments, rows, start, [*tables, *more_tables], seeds)
    return arguments.size, rows


def about(folds: Sequence[Fold]) -> str:
    """Return sentences about the data."""
    tree = folds[0].tree
    numbers = [len(nodes) for nodes in tree.levels.values()]
    found = {leaf for fold in folds for leaf in fold.asked}
    asked = [
        f"{leaf} ({sum(len(songs_beside_relative(tree, fold.test, leaf)) for fold in folds)})"
        for leaf in tree.leaves
        if leaf in found
    ]
    return (
        f"Nodes by level, the leaves first: {numbers}. Asked for are, with the number of songs "
        f"that hold an excerpt in which they are heard beside a relative: {', '.join(asked)}; of "
        f"{len(folds)} folds each trains on the others' songs.\n"
    )


def _about_tests(strategy: str, scored: Scored) -> str:
    share = np.mean(scored.with_sibling)
    return (
        f"Tests of {strategy}: {len(scored.songs)} mixtures of {len(set(scored.songs))} songs, "
        f"{share:.0%} of them with a sibling of the leaf; in the others its parent is the same "
        f"sound."
    )


def _directions(paper: Paper, pairs: Sequence[tuple[str, str]]) -> Iterable[Direction]:
    for system, other in pairs:
        for level, mine, theirs in zip(COLUMNS, paper[system], paper[other], strict=True):
            if abs(mine - theirs) > 0.05:  # neither equal nor unknown
                yield Direction(system, other, METRIC, mine - theirs, level)


def _lines(summary: Sequence[Mapping[str, Any]], paper: Paper) -> list[list[str]]:
    cells = {(row["system"], row["instrument"]): text_of(row) for row in summary}
    return [
        [
            name,
            *(cells[name, level] for level in COLUMNS),
            *(f"{value:g}" if value == value else "–" for value in theirs),
        ]
        for name, theirs in paper.items()
    ]


def text_of(row: Mapping[str, Any]) -> str:
    """Return a summary's row as mean and interval."""
    return "{mean:.1f} [{low:.1f}, {high:.1f}]".format(**row)
