"""The networks of chapter 2, what they learn from, and what they are scored by.

Songs are rendered from the shared MIDI files, each leaf of figure 2.13 as a stem; the hierarchy
is that figure's without the leaves that too few songs hold, which stay in the mixtures. Excerpts
are those in which some leaf and a relative of it are above -30 dB (section 2.4.1), and leaves
under two top nodes or more, so that no level is all of the mixture. Networks learn from songs as
they are, and from the same songs recast, in other keys (`benchmarks._songs.recast`): most leaves
are in three to six songs of a fold alone.

Of the 18 leaves 14 are left, and 12 of these are asked for: electric basses and brass have lost
all their relatives, and would be the same sound at all levels. Percussion has one node at level 2,
in the figure too: of its two leaves, levels 2 and 3 are the same.

Plan of the size small: two folds, and in each of them nine fits of SSS and nine of QBE. Table 2.3
needs four of them, table 2.4 two of these and six more, table 2.5 two and eight more.
"""

import argparse
import hashlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator

from benchmarks._fits import RUNS, Direction, Training, compare_scores, score_once, verdicts
from benchmarks._report import parse_arguments, rows_table, write_report
from benchmarks._songs import Songs, casts, render
from benchmarks._songs import folds as split
from msa_sk import (
    HierarchicalQBE,
    Hierarchy,
    QueryByExample,
    QueryMixing,
    SourceSpecificSeparator,
)
from msa_sk.audio import rms
from msa_sk.base import SceneEstimator, only
from msa_sk.datasets import Excerpts, rare_leaves
from msa_sk.datasets.sampling import Draws
from msa_sk.metrics import Comparison, SceneScorer
from msa_sk.metrics.statistics import draw_songs
from msa_sk.metrics.tables import markdown_table
from msa_sk.midi import FAMILIES
from msa_sk.persistence import register
from msa_sk.records import Scene

METRIC = "si_sdri"
LEVELS = {"level_3": "Level 3", "level_2": "Level 2", "level_1": "Level 1"}
COLUMNS = {"all": "All", **LEVELS}  # of the paper's tables
SALIENT_DB = -30.0
LEAF = "effected_guitars"  # SSS has its path: most songs hold it of all leaves but drums and bass
EVENLY = "organs"  # of the leaves that are asked for fewest songs hold it: each fold has its share
SONGS_PER_FOLD = 3  # hold a leaf, or it is left out
GAIN_DB = 6.0  # how far apart leaves are moved in training mixtures


class Size(NamedTuple):
    """How much there is to do, and with what."""

    n_songs: int | None  # MIDI files; None takes all
    n_folds: int
    seconds: float  # of an excerpt
    per_song: int | None  # excerpts; None takes all
    n_versions: int  # of each training song, in another key and with other programs
    per_version: int | None  # excerpts
    n_mixtures: int  # that networks learn from in each epoch
    n_test: int  # mixtures in each fold
    n_seeds: int
    parameters: dict[str, Any]
    of_queries: dict[str, Any]  # parameters of the systems that are asked, besides


SIZES = {
    "tiny": Size(
        *(16, 2, 2.0, 4, 0, None, 8, 8, 1),
        {"hidden_size": 16, "n_layers": 1, "max_epochs": 8, "lr": 0.01},
        {"query_size": 8, "query_length": 16, "embedding_size": 4},
    ),
    "small": Size(
        *(None, 2, 4.0, 40, 3, 20, 1_000, 216, 1),
        {"sequence_length": 32, "max_epochs": 12, "precision": "auto"},
        {"query_length": 32, "lr": 0.001},
    ),
    "paper": Size(  # sections 2.4.1 and 2.4.2
        *(None, 2, 10.0, None, 0, None, 20_000, 1_500, 1),
        {
            **{"hidden_size": 600, "n_layers": 4, "dropout": 0.3, "sequence_length": 626},
            **{"batch_size": 25, "max_epochs": 100, "lr": 1e-4, "lr_schedule": "halve"},
            **{"max_grad_norm": "autoclip", "precision": "auto", "num_workers": 8},
        },
        {"query_size": 600, "query_layers": 2, "query_length": 626},
    ),
}


class System(NamedTuple):
    """One of the systems of the tables."""

    strategy: str  # "SSS" or "QBE"
    constraint: bool = False
    single: bool = False  # one network for each level
    removed: float = 0.0  # the share of training excerpts that lack ...
    part: str = ""  # ... "all" or the "leaf"


#: As in the paper, the constraint is on for queries and off for one path, unless it is tested.
SYSTEMS = {
    "SSS": System("SSS"),
    "SSS + HC": System("SSS", constraint=True),
    "SSS, single-level": System("SSS", single=True),
    "QBE": System("QBE"),
    "QBE + HC": System("QBE", constraint=True),
    "QBE, single-level": System("QBE", single=True),
}
WHOLE = {"SSS": "SSS", "QBE": "QBE + HC"}  # by strategy, the system with all data
SHARES = (0.5, 0.9)


def reduced_name(strategy: str, removed: float, part: str) -> str:
    """Return the name of a system that learnt from less; with none removed, of the whole one."""
    return f"{strategy}, {removed:.0%} {part} removed" if removed else WHOLE[strategy]


SYSTEMS |= {
    reduced_name(strategy, removed, part): SYSTEMS[whole]._replace(removed=removed, part=part)
    for strategy, whole in WHOLE.items()
    for removed in SHARES
    for part in ("all", "leaf")
}


# ------------------------------------------------------------------------------------ the songs


class Pool(NamedTuple):
    """Excerpts to draw from."""

    mixtures: list
    scenes: list
    heard: list[set[str]]  # the leaves above -30 dB

    def select(self, chosen: Sequence[int]) -> "Pool":
        """Return those at some places."""
        return Pool(*([values[i] for i in chosen] for values in self))


class Fold(NamedTuple):
    """Excerpts of songs to learn from, and of others to test on."""

    number: int
    tree: Hierarchy
    train: Pool
    test: Pool

    @property
    def asked(self) -> list[str]:
        """The leaves that are asked for in training and can be in tests."""
        trained = askable(self.tree, self.train)
        return [leaf for leaf in askable(self.tree, self.test) if leaf in trained]


def make_folds(size: Size) -> list[Fold]:
    """Render all songs, or find them rendered; split them, and cut them."""
    everything, stems = Hierarchy.slakh(), RUNS / "stems"
    songs = render(everything, stems, size.n_songs)
    rare = rare_leaves(everything, *songs, SONGS_PER_FOLD * size.n_folds)
    tree = everything.without(rare)
    families = [
        tree.programs[leaf] for leaf in tree.leaves if leaf != "drums" and tree.relatives(leaf)
    ]
    versions = casts(everything, stems, size.n_songs, families, FAMILIES["bass"], size.n_versions)
    held = len(everything.leaves) - len(rare_leaves(everything, *songs, 1))
    print(f"{len(songs[0])} songs hold {held} leaves; {len(tree.leaves)} have songs enough")
    return [
        Fold(number, tree, lessons(tree, train, size), cut(tree, test, size, size.per_song))
        for number, (train, test) in enumerate(split(songs, versions, size.n_folds, (EVENLY,)))
    ]


def lessons(tree: Hierarchy, songs: Sequence[Songs], size: Size) -> Pool:
    """Return the excerpts to learn from: of songs as they are, and of their versions."""
    plain, *versions = songs
    pools = [cut(tree, plain, size, size.per_song)]
    pools += [cut(tree, version, size, size.per_version) for version in versions]
    return Pool(*(sum(parts, []) for parts in zip(*pools, strict=True)))


def cut(tree: Hierarchy, songs: Songs, size: Size, per_song: int | None) -> Pool:
    """Return the excerpts of some songs."""
    rule = Excerpts.from_preset(
        *("chapter2",),
        hierarchy=tree,
        duration=size.seconds,
        max_per_song=per_song,
        random_state=0,
    )
    X, y = rule.apply(*songs)
    heard = [
        {
            leaf
            for leaf in set(scene.instruments).intersection(tree.leaves)
            if rms(scene.source(leaf)) > 10 ** (SALIENT_DB / 20)
        }
        for scene in y
    ]
    tops = [{tree.path(leaf)[-1] for leaf in leaves} for leaves in heard]
    return Pool(X, y, heard).select([i for i in range(len(X)) if len(tops[i]) > 1])


def askable(tree: Hierarchy, pool: Pool) -> list[str]:
    """Return the leaves that are heard in two songs or more, each time beside a relative.

    The example that is asked with is of another song than the mixture; and of a leaf without
    relatives all levels are the same sound.
    """
    songs = defaultdict(set)
    for mixture, heard in zip(pool.mixtures, pool.heard, strict=True):
        for leaf in heard:
            if heard.intersection(tree.relatives(leaf)):
                songs[leaf].add(mixture.group)
    return [leaf for leaf in tree.leaves if len(songs[leaf]) > 1]


class Test(NamedTuple):
    """Mixtures with queries, their levels, and the leaf that each is asked for."""

    X: list
    y: list
    leaves: list[str]


def make_test(fold: Fold, strategy: str, size: Size) -> Test:
    """Draw a fold's test mixtures: of the path of SSS, or of each leaf as many as of another."""
    leaves = [LEAF] if strategy == "SSS" else fold.asked
    sampler = QueryMixing(fold.tree, n_mixes=size.n_test, leaves=leaves)
    draws = sampler.prepare(fold.test.mixtures, fold.test.scenes)
    asked = [draws.picks(0, i)[0][1] for i in range(len(draws))]
    return Test(*draws.epoch(0), asked)


# --------------------------------------------------------------------------------- the networks


@register
class OneLevel(BaseEstimator):
    """What a sampler draws, with the truth of one level alone, for a network of its own."""

    def __init__(self, sampler: QueryMixing, level: str):
        self.sampler, self.level = sampler, level

    def instruments_of(self, y: Sequence[Scene]) -> tuple[str]:
        """Return the name of the level."""
        return (self.level,)

    def prepare(self, X: list, y: list, seed: int = 0) -> "LevelDraws":
        """Take the training scenes."""
        return LevelDraws(self.sampler.prepare(X, y, seed), self.level)


class LevelDraws(NamedTuple):
    """Draws, and the level that is kept of them."""

    draws: Draws
    level: str

    def epoch(self, epoch: int) -> tuple[list, list]:
        """Return all mixtures of an epoch, and their scenes."""
        mixtures, scenes = self.draws.epoch(epoch)
        return mixtures, [only(scene, (self.level,)) for scene in scenes]


def plan(name: str, fold: Fold, size: Size, seed: int) -> list[Training]:
    """Return the training of a system, or one for each level, on a fold's songs."""
    system = SYSTEMS[name]
    pool = fold.train
    if system.part == "all":
        n_kept = round((1 - system.removed) * len(pool.mixtures))
        kept = np.random.default_rng(seed).permutation(len(pool.mixtures))[:n_kept]
        pool = pool.select(sorted(kept))
    sampler = QueryMixing(
        fold.tree,
        n_mixes=size.n_mixtures,
        gain_db=GAIN_DB,
        leaves=[LEAF] if system.strategy == "SSS" else askable(fold.tree, pool),
    )
    learnt_from = sorted({str(mixture.group) for mixture in pool.mixtures})
    songs = hashlib.sha256("\n".join(learnt_from).encode()).hexdigest()[:8]
    what = (
        f"chapter2-{size.n_songs or 'all'}songs-{size.seconds:g}s-{size.per_song or 'all'}each-"
        f"{size.n_versions}x{size.per_version or 'all'}-fold{fold.number}of{size.n_folds}-{songs}-"
        f"seed{seed}-{''.join(filter(str.isalnum, name))}"
    )
    return [
        Training(f"{what}{k or ''}", network, lambda: (pool.mixtures, pool.scenes))
        for k, network in enumerate(_networks(system, size, sampler, seed))
    ]


def _networks(system: System, size: Size, sampler: QueryMixing, seed: int) -> list[SceneEstimator]:
    shared: dict[str, Any] = {
        **{"sampler": sampler, "validation_fraction": 0, "random_state": seed, "verbose": 0},
        **size.parameters,
    }
    leaf_dropout = system.removed if system.part == "leaf" else 0.0
    several = {"constraint": system.constraint, "leaf_dropout": leaf_dropout}
    if system.strategy == "SSS":
        samplers = [OneLevel(sampler, level) for level in LEVELS] if system.single else [sampler]
        return [SourceSpecificSeparator(**several, **(shared | {"sampler": s})) for s in samplers]
    shared |= size.of_queries
    if system.single:
        return [QueryByExample(level=k, **shared) for k in range(1, len(LEVELS) + 1)]
    return [HierarchicalQBE(**several, **shared)]


# ----------------------------------------------------------------------------------- the scores


class Scored(NamedTuple):
    """What systems scored on the tests of all folds."""

    scores: dict[str, list[tuple]]  # by system, each seed's scores of all mixtures
    songs: list[str]
    leaves: list[str]  # that the mixtures were asked for

    def compare(self) -> Comparison:
        """Compare systems by level."""
        return compare_scores(self.scores, self.songs)

    def compare_leaves(self, level: str = "level_1") -> Comparison:
        """Compare systems by leaf, at one level."""
        scores = {
            name: [
                tuple(
                    {METRIC: {leaf: scene[METRIC][level]}}
                    for leaf, scene in zip(self.leaves, of_seed, strict=True)
                )
                for of_seed in seeds
            ]
            for name, seeds in self.scores.items()
        }
        return compare_scores(scores, self.songs)


def score_systems(
    names: Iterable[str], folds: Sequence[Fold], size: Size, seeds: Sequence[int]
) -> dict[str, Scored]:
    """Fit, or find fitted, and score systems; two are worked on at a time, a core each.

    Parameters
    ----------
    names : iterable of str
        Keys of `SYSTEMS`.
    folds : sequence of Fold
    size : Size
    seeds : sequence of int

    Returns
    -------
    scored : dict of str to Scored
        By strategy, as each has tests of its own.
    """
    tests = {
        strategy: [make_test(fold, strategy, size) for fold in folds]
        for strategy in dict.fromkeys(SYSTEMS[name].strategy for name in names)
    }

    def run(name: str, seed: int, fold: Fold) -> tuple:
        X, y, _ = tests[SYSTEMS[name].strategy][fold.number]
        scores = score(plan(name, fold, size, seed), X, y)
        print(f"fold {fold.number}, seed {seed}: {name}", flush=True)
        return scores

    jobs = [(name, seed, fold) for name in names for seed in seeds for fold in folds]
    found = Parallel(n_jobs=2)(delayed(run)(*job) for job in jobs)
    by_system: dict[str, dict[int, tuple]] = defaultdict(dict)
    for (name, seed, _), of_fold in zip(jobs, found, strict=True):  # folds follow each other
        by_system[name][seed] = by_system[name].get(seed, ()) + of_fold
    return {
        strategy: Scored(
            {
                name: list(of_seeds.values())
                for name, of_seeds in by_system.items()
                if SYSTEMS[name].strategy == strategy
            },
            [str(mixture.group) for test in of_folds for mixture in test.X],
            [leaf for test in of_folds for leaf in test.leaves],
        )
        for strategy, of_folds in tests.items()
    }


def score(trainings: Sequence[Training], X: list, y: list) -> tuple:
    """Return each scene's scores by level, of one network for all or of one for each."""

    def evaluate(training: Training) -> tuple[dict, ...]:
        return SceneScorer(METRIC).evaluate(training.fit(), X, y).scores

    parts = [
        score_once(training.title, (X, y), (METRIC,), partial(evaluate, training))
        for training in trainings
    ]
    return tuple(
        {METRIC: {level: value for one in scenes for level, value in one[METRIC].items()}}
        for scenes in zip(*parts, strict=True)
    )


def bootstrap(
    statistic: Callable[[np.ndarray], float],
    songs: Sequence[str],
    mixed_with: Sequence[str] = (),
    n_resamples: int = 1000,
) -> tuple[float, float]:
    """Return the interval of 95 % of a statistic of any kind, drawing songs.

    Parameters
    ----------
    statistic : callable
        Of the numbers of excerpts, of which some may come more than once.
    songs, mixed_with : sequence of str
        Of all excerpts, as in `Comparison`.
    n_resamples : int, default=1000
    """
    kinds = [np.unique(kind, return_inverse=True)[1] for kind in (songs, mixed_with) if len(kind)]
    values = [
        statistic(np.repeat(np.arange(len(songs)), times.astype(int)))
        for batch in draw_songs(np.stack(kinds, axis=1), n_resamples, seed=0)
        for times in batch
        if times.any()
    ]
    low, high = np.quantile(values, (0.025, 0.975))
    return float(low), float(high)


# ---------------------------------------------------------------------------------- the reports

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
    rows, found, lines = [], [], []
    for scored in score_systems(paper, folds, size, seeds).values():
        comparison = scored.compare()
        summary = comparison.summary()
        rows += summary
        lines += _lines(summary, {name: paper[name] for name in scored.scores})
        own = [pair for pair in pairs if pair[0] in scored.scores]
        found += verdicts(comparison, _directions(paper, own))
    header = [*COLUMNS.values(), *(f"paper: {title}" for title in COLUMNS.values())]
    tables = [
        about(folds),
        markdown_table(["SI-SDRi (dB)", *header], lines),
        "What the paper found, and what the intervals of the difference over songs say:\n",
        rows_table(found),
    ]
    more_rows, more_tables = more(folds, size, seeds) if more else ([], [])
    rows += [*found, *more_rows]
    finish(name, doc, arguments, rows, start, seeds, [*tables, *more_tables])
    return arguments.size, rows


def about(folds: Sequence[Fold]) -> str:
    """Return a sentence about the data."""
    tests = [fold.test for fold in folds]
    songs = {mixture.group for test in tests for mixture in test.mixtures}
    numbers = [len(nodes) for nodes in folds[0].tree.levels.values()]
    found = {leaf for fold in folds for leaf in fold.asked}
    asked = [leaf for leaf in folds[0].tree.leaves if leaf in found]
    return (
        f"{len(songs)} songs, tested on in {len(folds)} parts; nodes by level, the leaves first: "
        f"{numbers}; asked for are {', '.join(asked)}.\n"
    )


def finish(
    name: str,
    doc: str,
    arguments: argparse.Namespace,
    rows: Sequence[Mapping[str, Any]],
    start: float,
    seeds: Sequence[int],
    tables: Sequence[str],
) -> Path:
    """Write and print the report of a benchmark that began at some time; return its path."""
    path = write_report(
        name,
        arguments,
        rows,
        time.monotonic() - start,
        packages=("skorch", "librosa", "pyfluidsynth"),
        note=" ".join(doc.split("\n\n")[1].split()),
        seeds=seeds,
        tables="\n".join(tables),
    )
    print(path.with_suffix(".md").read_text())
    return path


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
