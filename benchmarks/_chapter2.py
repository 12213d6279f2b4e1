"""The networks of chapter 2, what they learn from, and what they are scored by.

Songs are rendered from the shared MIDI files, each leaf of figure 2.13 as a stem; the hierarchy
is that figure's without the leaves that too few songs hold, which stay in the mixtures. Excerpts
are those in which some leaf and a relative of it are above -30 dB (section 2.4.1), and leaves
under two top nodes or more, so that no level is all of the mixture. Networks learn from songs as
they are, and from the same songs recast, in other keys (`benchmarks._songs.recast`): few songs of
a fold hold most of the leaves, and each of them the same relatives.

Of the 18 leaves 14 are left, and 12 of these are asked for: electric basses and brass have lost
all their relatives, and would be the same sound at all levels. Percussion has one node at level 2,
in the figure too: of its two leaves, levels 2 and 3 are the same.

Plan of the size small: two folds, and in each of them nine fits of SSS and nine of QBE. Table 2.3
needs four of them, table 2.4 two of these and six more, table 2.5 two and eight more.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import BaseEstimator

from benchmarks._fits import RUNS, Training, compare_scores, score_once
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
from msa_sk.midi import FAMILIES
from msa_sk.persistence import register
from msa_sk.records import Scene

METRIC = "si_sdri"
LEVELS = {"level_3": "Level 3", "level_2": "Level 2", "level_1": "Level 1"}
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
    # Sections 2.4.1 and 2.4.2, but for validation: songs that are held out have no queries, and
    # the rate is halved by the training loss.
    "paper": Size(
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
    return [leaf for leaf in tree.leaves if len(songs_beside_relative(tree, pool, leaf)) > 1]


def songs_beside_relative(tree: Hierarchy, pool: Pool, leaf: str) -> set[str]:
    """Return the songs in which a leaf is heard at once with a sibling or cousin."""
    relatives = set(tree.relatives(leaf))
    return {
        str(mixture.group)
        for mixture, heard in zip(pool.mixtures, pool.heard, strict=True)
        if leaf in heard and heard & relatives
    }


class Test(NamedTuple):
    """Mixtures with queries, their levels, and the leaf that each is asked for."""

    X: list
    y: list
    leaves: list[str]
    examples_of: list[str]  # the songs that the examples are of
    with_sibling: list[bool]  # whether a sibling of the leaf is heard, so that levels 1, 2 differ


def make_test(fold: Fold, strategy: str, size: Size) -> Test:
    """Draw a fold's test mixtures: of the path of SSS, or of each leaf as many as of another."""
    leaves = [LEAF] if strategy == "SSS" else fold.asked
    sampler = QueryMixing(fold.tree, n_mixes=size.n_test, leaves=leaves)
    draws = sampler.prepare(fold.test.mixtures, fold.test.scenes)
    picks = [draws.picks(0, i) for i in range(len(draws))]
    asked = [leaf for (_, leaf), _ in picks]
    examples_of = [str(fold.test.mixtures[i].group) for _, (i, _) in picks]
    families = {leaf: set(fold.tree.leaves_of(fold.tree.path(leaf)[1])) for leaf in leaves}
    with_sibling = [len(fold.test.heard[i] & families[leaf]) > 1 for (i, leaf), _ in picks]
    return Test(*draws.epoch(0), asked, examples_of, with_sibling)


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
    folds: list[int]
    leaves: list[str]  # that the mixtures were asked for
    examples_of: list[str]  # the songs of the examples; none for one path
    with_sibling: list[bool]

    def compare(self) -> Comparison:
        """Compare systems by level."""
        return compare_scores(self.scores, self.songs, self.examples_of)

    def where(self, chosen: Sequence[bool]) -> "Scored":
        """Return what systems scored on some of the mixtures."""

        def kept(values: Sequence) -> list:
            return [value for value, wanted in zip(values, chosen, strict=True) if wanted]

        scores = {
            name: [tuple(kept(scenes)) for scenes in seeds] for name, seeds in self.scores.items()
        }
        rest = (kept(values) if values else [] for values in self[1:])
        return Scored(scores, *rest)

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
        return compare_scores(scores, self.songs, self.examples_of)


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
        test = tests[SYSTEMS[name].strategy][fold.number]
        scores = score(plan(name, fold, size, seed), test.X, test.y)
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
            [fold.number for fold, test in zip(folds, of_folds, strict=True) for _ in test.X],
            [leaf for test in of_folds for leaf in test.leaves],
            [song for test in of_folds for song in test.examples_of if strategy == "QBE"],
            [one for test in of_folds for one in test.with_sibling],
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
