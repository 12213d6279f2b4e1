"""Mixtures drawn on the fly, anew in each epoch: coherent, incoherent, and with queries.

Every draw is a function of the seed, the epoch and the mixture's number alone, so a training
that is resumed, or spread over processes, meets the same mixtures as one that is not.
"""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching
from sklearn.base import BaseEstimator, clone

from msa_sk._arguments import check_value
from msa_sk._sklearn import StrOptions, real, whole
from msa_sk._validation import (
    check_instruments,
    check_mixtures,
    check_parameters,
    check_random,
    check_scenes,
    names_in,
)
from msa_sk.audio import rms
from msa_sk.datasets.levels import scenes_along
from msa_sk.datasets.mixing import Change, Part, mix_parts, remix
from msa_sk.exceptions import InputError, MsaWarning, SilenceWarning
from msa_sk.hierarchy import Hierarchy
from msa_sk.records import Mixture, Scene, are_levels

LEVEL_DB = -25.0  # RMS of a source, relative to full scale, before its random offset

_COUNTED = whole(0)
_CHANGES, _ORDER = range(2)  # what a generator is for: streams of one seed must not meet


def mix_incoherent(
    X: Sequence[Mixture],
    y: Sequence[Scene],
    n_mixes: int,
    *,
    instruments: Sequence[str] | None = None,
    gain_db: float = 6.0,
    balance: str = "song",
    random_state: int | np.random.RandomState | None = None,
) -> tuple[list[Mixture], list[Scene]]:
    """Mix sources that come from different songs, once and for all.

    Each mixture has one source per instrument, drawn from all scenes that list it, never two
    of one song: see `IncoherentMixing`, which draws anew in each epoch of a training.

    Parameters
    ----------
    X : list of Mixture
        Their groups say which song they are of; one without a group is a song of its own.
    y : list of Scene
        With sources; with one or several instruments each. Excerpts of one duration are
        best: sources are cut to the shortest one in their mixture.
    n_mixes : int
        How many mixtures to make.
    instruments : sequence of str, default=None
        What to mix; None takes the sorted union of the names in `y`.
    gain_db : float, default=6.0
        How far apart the levels may be, in dB, around -25 dB relative to full scale.
    balance : {"song", "excerpt"}, default="song"
        What is drawn as often as another: songs, or scenes.
    random_state : int, RandomState or None, default=None
        Seeds the draw.

    Returns
    -------
    X_mixed : list of Mixture
        Sources in files stay there: a mixture is then a tuple of Clips with gains. A group is
        the names of all its songs, joined: it cannot keep each of them out of another group,
        so split the songs into training and test first, and mix within each part.
    y_mixed : list of Scene
        With the notes of the sources, where all are known.

    Raises
    ------
    InputError
        If a scene has no sources, or sampling rates differ.
    ParameterError
        If `n_mixes` is below 1, `gain_db` below 0, or `balance` neither.

    Warns
    -----
    MsaWarning
        If there are too few songs; then two sources may be of one song.
    SilenceWarning
        With the number of silent sources, whose level cannot be set.

    Examples
    --------
    Piano and guitar of different songs, from all songs that hold one of them::

        X, y = render_scenes(
            files, "gm.sf2", ("piano", "guitar"), require="any", cache_dir="stems"
        )
        X, y = Excerpts.from_preset("chapter3", solo=True).apply(X, y)
        X, y = mix_incoherent(X, y, n_mixes=1000, random_state=0)
    """
    check_value(n_mixes, "n_mixes", whole(1))
    check_value(gain_db, "gain_db", real(0), remedy="0 keeps levels equal.")
    check_value(balance, "balance", StrOptions({"song", "excerpt"}))
    mixing = IncoherentMixing(n_mixes, gain_db=gain_db, balance=balance, instruments=instruments)
    seed = int(check_random(random_state).randint(2**31 - 1))
    draws = mixing.prepare(X, y, seed)
    X_mixed, y_mixed = draws.epoch(0)
    picks = [pick for index in range(n_mixes) for pick in draws.picks(0, index)]
    n_silent = sum(draws.level(i, name) == 0 for i, name in picks)
    if n_silent:
        warnings.warn(
            f"{n_silent} sources in {n_mixes} mixtures are silent.", SilenceWarning, stacklevel=2
        )
    return X_mixed, y_mixed


# ------------------------------------------------------------------------------- who is drawn


def turn_of(n_items: int, place: int, *key: int) -> int:
    """Return whose turn it is in an endless queue in which each comes once per lap.

    Parameters
    ----------
    n_items : int
    place : int
        In the queue, from 0.
    *key : int
        Two numbers that seed the order, which is another one in each lap.
    """
    lap, place = divmod(place, n_items)
    return int(_order(n_items, (*key, lap))[place])


@lru_cache(maxsize=16)
def _order(n_items: int, key: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng((_ORDER, *key)).permutation(n_items)


class Songs:
    """Scenes by song, to draw from.

    Parameters
    ----------
    scenes : ndarray of int
        Which ones.
    songs : ndarray of int
        The song of every scene there is.
    balance : {"song", "excerpt"}
        What is as likely as another.
    """

    def __init__(self, scenes: np.ndarray, songs: np.ndarray, balance: str):
        self.scenes = scenes[np.argsort(songs[scenes], kind="stable")]
        self.songs, self.first, self.count = np.unique(
            songs[self.scenes], return_index=True, return_counts=True
        )
        self.balance = balance

    def draw(self, rng: np.random.Generator, without: Collection[int] = ()) -> int | None:
        """Return a scene of a song that is not among some; None if there is none."""
        weights = self.count.copy() if self.balance == "excerpt" else np.ones_like(self.count)
        for song in without:
            weights[self.songs == song] = 0
        edges = np.cumsum(weights)
        if edges[-1] == 0:
            return None
        k = np.searchsorted(edges, rng.integers(edges[-1]), side="right")
        return int(self.scenes[self.first[k] + rng.integers(self.count[k])])

    def shuffled(self, rng: np.random.Generator, without: Collection[int] = ()) -> Iterator[int]:
        """Give the scenes of all songs but some: the first one is as likely as another.

        Where songs are balanced, one song's scenes come after another's.
        """
        allowed = np.flatnonzero(~np.isin(self.songs, list(without)))
        scenes = [self.scenes[self.first[k] : self.first[k] + self.count[k]] for k in allowed]
        if self.balance == "excerpt":
            scenes = [np.concatenate([np.zeros(0, int), *scenes])]
        for k in rng.permutation(len(scenes)):
            yield from map(int, rng.permutation(scenes[k]))

    def turn(self, place: int, seed: int) -> int:
        """Return the scene at a place of a queue; songs, or scenes, come in turn."""
        if self.balance == "excerpt":
            return int(self.scenes[turn_of(len(self.scenes), place, seed, 0)])
        song = turn_of(len(self.songs), place, seed, 0)
        lap = place // len(self.songs)
        return int(self.scenes[self.first[song] + turn_of(self.count[song], lap, seed, 1 + song)])


def _can_differ(songs: Sequence[np.ndarray]) -> bool:
    """Tell whether every instrument can come from another song, given those that hold it."""
    holds = np.zeros((len(songs), max(map(max, songs)) + 1), bool)
    for row, own in zip(holds, songs, strict=True):
        row[own] = True
    return bool((maximum_bipartite_matching(csr_array(holds), perm_type="column") >= 0).all())


# ------------------------------------------------------------------------------- the samplers


class Draws:
    """Training scenes in the hands of a sampler: what `SceneSampler.prepare` returns.

    ``len(draws)`` is the number of mixtures in an epoch. It can be sent to other processes.

    Parameters
    ----------
    sampler : SceneSampler
    mixtures : list of Mixture
    scenes : list of Scene
    seed : int

    Attributes
    ----------
    titles : list of str
        The song of each scene.
    songs : ndarray of int
        The same as numbers.
    """

    def __init__(
        self,
        sampler: "SceneSampler",
        mixtures: Sequence[Mixture],
        scenes: Sequence[Scene],
        seed: int,
    ):
        self.sampler, self.mixtures, self.scenes, self.seed = sampler, mixtures, scenes, seed
        self.titles = [
            f"X[{i}]" if mixture.group is None else str(mixture.group)
            for i, mixture in enumerate(mixtures)
        ]
        self.songs = np.unique(self.titles, return_inverse=True)[1]
        self._levels: dict[str, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.mixtures) if self.sampler.n_mixes is None else self.sampler.n_mixes

    def draw(self, epoch: int, index: int) -> tuple[Mixture, Scene]:
        """Return a mixture of an epoch, and its scene.

        It depends on the seed, `epoch` and `index` alone, not on what was drawn before.

        Parameters
        ----------
        epoch, index : int
            From 0; ``index < len(draws)``.

        Raises
        ------
        InputError
            If one of them is not.
        """
        place, rng = self._at(epoch, index)
        return self.sampler._mix(self, self.sampler._pick(self, place, rng), rng)

    def picks(self, epoch: int, index: int) -> list[tuple[int, str]]:
        """Return what `draw` takes: the number of a scene, and the instrument, per source."""
        return self.sampler._pick(self, *self._at(epoch, index))

    def epoch(self, epoch: int) -> tuple[list[Mixture], list[Scene]]:
        """Return all mixtures of an epoch, and their scenes."""
        drawn = [self.draw(epoch, index) for index in range(len(self))]
        return [mixture for mixture, _ in drawn], [scene for _, scene in drawn]

    def holding(self, name: str) -> Songs:
        """Return the scenes that list an instrument, by song."""
        listed = [i for i, scene in enumerate(self.scenes) if name in scene.instruments]
        return Songs(np.array(listed, int), self.songs, self.sampler.balance)

    def level(self, i: int, name: str) -> float:
        """Return the RMS of a source, which is read once."""
        levels = self._levels.setdefault(name, np.full(len(self.scenes), np.nan))
        if np.isnan(levels[i]):
            levels[i] = rms(self.scenes[i].source(name))
        return float(levels[i])

    def _at(self, epoch: int, index: int) -> tuple[int, np.random.Generator]:
        if not (all(map(_COUNTED.is_satisfied_by, (epoch, index))) and index < len(self)):
            raise InputError(
                "draw(epoch, index)",
                f"an epoch from 0 and an index from 0 to {len(self) - 1}",
                f"{epoch!r}, {index!r}",
            )
        rng = np.random.default_rng((_CHANGES, self.seed, epoch, index))
        return epoch * len(self) + index, rng


class SceneSampler(BaseEstimator, ABC):
    """Base class of what draws training mixtures from scenes.

    Its parameters are those of `CoherentMixing`. A subclass has three hooks: ``_begin(draws)``
    checks the scenes and sets up what it draws from, ``_pick(draws, place, rng)`` gives the
    number of a scene and an instrument for each source, ``_mix(draws, picks, rng)`` the Mixture
    and the Scene that they make.
    """

    _parameter_constraints: dict = {
        "n_mixes": [whole(1), None],
        "gain_db": [real(0)],
        "silence": [real(0, 1, closed="both")],
        "polarity": ["boolean"],
        "channel_swap": ["boolean"],
        "balance": [StrOptions({"song", "excerpt"})],
    }

    def __init__(
        self,
        n_mixes: int | None = None,
        *,
        gain_db: float = 6.0,
        silence: float = 0.0,
        polarity: bool = False,
        channel_swap: bool = False,
        balance: str = "excerpt",
    ):
        self.n_mixes = n_mixes
        self.gain_db = gain_db
        self.silence = silence
        self.polarity = polarity
        self.channel_swap = channel_swap
        self.balance = balance

    def prepare(self, X: Any, y: Any, seed: int = 0) -> Draws:
        """Take the training scenes; nothing is read.

        Parameters
        ----------
        X : list of Mixture
            Their groups say which song they are of; one without a group is a song of its own.
        y : list of Scene
            With sources.
        seed : int, default=0
            From 0. The same seed draws the same mixtures.

        Returns
        -------
        draws : Draws
            ``draws.draw(epoch, index)`` gives one mixture and its scene, ``draws.epoch(epoch)``
            all of an epoch. Later changes of the sampler's parameters leave it as it is.

        Raises
        ------
        ParameterError
            If a parameter or the seed is out of range.
        InputError
            If there is no mixture, a scene has no sources, or sampling rates differ.
        InstrumentError
            If no scene holds what is to be mixed.
        """
        check_parameters(self)
        check_value(seed, "seed", whole(0))
        mixtures = check_mixtures(X, at_least=1)
        scenes = check_scenes(y, mixtures)
        _check_mixable(scenes)
        draws = Draws(clone(self), mixtures, scenes, seed)
        draws.sampler._begin(draws)
        return draws

    def apply(
        self, X: Any, y: Any, epoch: int = 0, seed: int = 0
    ) -> tuple[list[Mixture], list[Scene]]:
        """Return the mixtures of one epoch, and their scenes.

        Parameters
        ----------
        X, y : list
            As `prepare` takes them.
        epoch, seed : int, default=0
        """
        return self.prepare(X, y, seed).epoch(epoch)

    def instruments_of(self, y: Sequence[Scene]) -> tuple[str, ...]:
        """Return the instruments of the scenes that are made of some.

        Parameters
        ----------
        y : list of Scene
        """
        return names_in(y)

    @abstractmethod
    def _begin(self, draws: Draws) -> None: ...

    @abstractmethod
    def _pick(
        self, draws: Draws, place: int, rng: np.random.Generator
    ) -> list[tuple[int, str]]: ...

    @abstractmethod
    def _mix(
        self, draws: Draws, picks: list[tuple[int, str]], rng: np.random.Generator
    ) -> tuple[Mixture, Scene]: ...

    def _changes(self, n_sources: int, rng: np.random.Generator) -> list[Change]:
        """Draw what is done to the sources of a mixture."""
        gains = 10 ** (rng.uniform(-self.gain_db / 2, self.gain_db / 2, n_sources) / 20)
        signs = rng.choice((-1.0, 1.0), n_sources)
        swaps = rng.random(n_sources) < 0.5
        if self.polarity:
            gains *= signs
        if rng.random() < self.silence and n_sources > 1:
            gains[rng.integers(n_sources)] = 0
        return [
            Change(float(gain), bool(swap and self.channel_swap))
            for gain, swap in zip(gains, swaps, strict=True)
        ]


class CoherentMixing(SceneSampler):
    """Mix the sources of a scene anew, each with a gain of its own.

    What a mixture holds besides its scene's sources stays in it. With the defaults of all but
    `gain_db` this is gain augmentation; with ``gain_db=0`` scenes are drawn as they are.

    Parameters
    ----------
    n_mixes : int, default=None
        Mixtures per epoch; None takes as many as there are scenes.
    gain_db : float, default=6.0
        Each source is moved by up to half of it up or down, in dB.
    silence : float, default=0.0
        The probability that one of a mixture's sources is silent. A lone source never is.
    polarity : bool, default=False
        Turn the polarity of every other source, at random.
    channel_swap : bool, default=False
        Swap the channels of every other stereo source, at random.
    balance : {"excerpt", "song"}, default="excerpt"
        What comes up as often as another: scenes, or songs (groups) whatever the number of
        their scenes. Each comes once before any comes twice.

    Examples
    --------
    >>> from msa_sk.datasets import CoherentMixing, make_scenes
    >>> X, y = make_scenes(n_scenes=4, duration=1.0, random_state=0)
    >>> draws = CoherentMixing(gain_db=12, polarity=True).prepare(X, y, seed=0)
    >>> mixture, scene = draws.draw(epoch=3, index=1)
    """

    def _begin(self, draws: Draws) -> None:
        self._all = Songs(np.arange(len(draws.scenes)), draws.songs, self.balance)

    def _pick(self, draws: Draws, place: int, rng: np.random.Generator) -> list[tuple[int, str]]:
        i = self._all.turn(place, draws.seed)
        return [(i, name) for name in draws.scenes[i].instruments]

    def _mix(
        self, draws: Draws, picks: list[tuple[int, str]], rng: np.random.Generator
    ) -> tuple[Mixture, Scene]:
        i = picks[0][0]
        return remix(draws.mixtures[i], draws.scenes[i], self._changes(len(picks), rng))


class IncoherentMixing(SceneSampler):
    """Mix sources that come from different songs.

    Each mixture has one source per instrument, drawn from all scenes that list it, never two
    of one song. Sources are cut to the shortest one in their mixture.

    Parameters
    ----------
    n_mixes : int, default=None
        Mixtures per epoch; None takes as many as there are scenes.
    gain_db : float, default=6.0
        How far apart the levels may be: each source is moved by up to half of it up or down,
        in dB.
    silence : float, default=0.0
        The probability that one of a mixture's sources is silent. A lone source never is.
    polarity : bool, default=False
        Turn the polarity of every other source, at random.
    channel_swap : bool, default=False
        Swap the channels of every other stereo source, at random.
    balance : {"song", "excerpt"}, default="song"
        What is drawn as often as another: songs (groups), whatever the number of their
        scenes, or scenes.
    instruments : sequence of str, default=None
        What to mix; None takes the sorted union of the names in `y`.
    level_db : float, default=-25.0
        The RMS to which every source is brought before that, in dB relative to full scale;
        each source is then read once more to measure it. None keeps levels as they are.

    Examples
    --------
    >>> from msa_sk.datasets import IncoherentMixing, make_scenes
    >>> X, y = make_scenes(n_scenes=4, duration=1.0, random_state=0)
    >>> X_mixed, y_mixed = IncoherentMixing(n_mixes=8).apply(X, y, epoch=0, seed=0)
    >>> len(X_mixed)
    8
    """

    _parameter_constraints = SceneSampler._parameter_constraints | {
        "instruments": ["array-like", None],
        "level_db": [real(None, closed="neither"), None],
    }

    def __init__(
        self,
        n_mixes: int | None = None,
        *,
        gain_db: float = 6.0,
        silence: float = 0.0,
        polarity: bool = False,
        channel_swap: bool = False,
        balance: str = "song",
        instruments: Sequence[str] | None = None,
        level_db: float | None = LEVEL_DB,
    ):
        super().__init__(
            n_mixes,
            gain_db=gain_db,
            silence=silence,
            polarity=polarity,
            channel_swap=channel_swap,
            balance=balance,
        )
        self.instruments = instruments
        self.level_db = level_db

    def instruments_of(self, y: Sequence[Scene]) -> tuple[str, ...]:
        """Return `instruments`, or all of some scenes.

        Parameters
        ----------
        y : list of Scene

        Raises
        ------
        InstrumentError
            If one of them is in no scene.
        """
        return check_instruments(self.instruments, names_in(y))

    def _begin(self, draws: Draws) -> None:
        names = self.instruments_of(draws.scenes)
        self._pools = {name: draws.holding(name) for name in names}
        self._may_repeat = not _can_differ([pool.songs for pool in self._pools.values()])
        if self._may_repeat:
            warnings.warn(
                f"{len(set(draws.titles))} songs are too few to take {', '.join(names)} from "
                "different ones: some mixtures have two sources of one song.",
                MsaWarning,
                stacklevel=3,
            )

    def _pick(self, draws: Draws, place: int, rng: np.random.Generator) -> list[tuple[int, str]]:
        names = list(self._pools)
        while True:
            picks: dict[str, int] = {}
            for k in rng.permutation(len(names)):
                used = () if self._may_repeat else draws.songs[list(picks.values())]
                i = self._pools[names[k]].draw(rng, used)
                if i is None:
                    break  # the songs left hold no such instrument: draw anew
                picks[names[k]] = i
            else:
                return [(picks[name], name) for name in names]

    def _mix(
        self, draws: Draws, picks: list[tuple[int, str]], rng: np.random.Generator
    ) -> tuple[Mixture, Scene]:
        parts = []
        for (i, name), change in zip(picks, self._changes(len(picks), rng), strict=True):
            if self.level_db is not None:
                gain = 10 ** (self.level_db / 20) / (draws.level(i, name) or 1.0)
                change = change._replace(gain=change.gain * gain)
            parts.append(Part(draws.mixtures[i], draws.scenes[i], name, change))
        return mix_parts(parts, " + ".join(draws.titles[i] for i, _ in picks))


class QueryMixing(SceneSampler):
    """Draw a scene and a leaf of a hierarchy in it, and a query of that leaf from another song.

    The sources are the levels of the leaf's path (see `scenes_along`), `Mixture.query` is the
    same leaf of a scene that belongs to another song, as in section 2.4.1 of the dissertation.
    Each leaf comes up as often as another; those that fewer than two songs hold never do.
    Systems for one path learn from it too: they do not look at queries, and `leaves` has one.

    Parameters
    ----------
    hierarchy : Hierarchy
        Of the scenes' instruments; what is no leaf of it stays in the mixture.
    n_mixes : int, default=None
        Mixtures per epoch; None takes as many as there are scenes.
    gain_db : float, default=0.0
        Each leaf is moved by up to half of it up or down, in dB.
    silence : float, default=0.0
        The probability that one of a mixture's leaves is silent, be it the one asked for.
    polarity : bool, default=False
        Turn the polarity of every other leaf, at random.
    channel_swap : bool, default=False
        Swap the channels of every other stereo leaf, at random.
    balance : {"song", "excerpt"}, default="song"
        What is drawn as often as another among those that hold a leaf.
    min_level_db : float, default=-30.0
        The RMS above which a leaf is salient, in dB relative to full scale: the target, the
        query, and one of the target's siblings and cousins where it has any. None takes all.
    leaves : sequence of str, default=None
        Those that are asked for; None asks for all that two songs hold.
    query_level : int, default=1
        The level of the path that queries are of: all of the other scene's leaves under its
        node there. What is looked for must not be below it (section 2.3.5).

    Examples
    --------
    >>> from msa_sk import Hierarchy
    >>> from msa_sk.datasets import QueryMixing, make_scenes
    >>> X, y = make_scenes(n_scenes=4, duration=1.0, random_state=0)
    >>> tree = Hierarchy.from_dict({"strings": {"piano": 0, "guitar": 24}})
    >>> X_asked, y_asked = QueryMixing(tree).apply(X, y)
    >>> y_asked[0].instruments
    ('level_1', 'level_2')
    """

    _parameter_constraints = SceneSampler._parameter_constraints | {
        "hierarchy": [Hierarchy],
        "min_level_db": [real(None, closed="neither"), None],
        "leaves": ["array-like", None],
        "query_level": [whole(1)],
    }

    def __init__(
        self,
        hierarchy: Hierarchy,
        n_mixes: int | None = None,
        *,
        gain_db: float = 0.0,
        silence: float = 0.0,
        polarity: bool = False,
        channel_swap: bool = False,
        balance: str = "song",
        min_level_db: float | None = -30.0,
        leaves: Sequence[str] | None = None,
        query_level: int = 1,
    ):
        self.hierarchy = hierarchy
        super().__init__(
            n_mixes,
            gain_db=gain_db,
            silence=silence,
            polarity=polarity,
            channel_swap=channel_swap,
            balance=balance,
        )
        self.min_level_db = min_level_db
        self.leaves = leaves
        self.query_level = query_level

    def instruments_of(self, y: Sequence[Scene]) -> tuple[str, ...]:
        """Return the names of the hierarchy's levels, whatever the scenes.

        Parameters
        ----------
        y : list of Scene
        """
        check_parameters(self)
        return tuple(self.hierarchy.levels)

    def _begin(self, draws: Draws) -> None:
        n_levels = len(self.hierarchy.levels)
        check_value(self.query_level, "QueryMixing(query_level=)", whole(1, n_levels))
        present = self.hierarchy.leaves_among(names_in(draws.scenes))
        if self.leaves is not None:
            present = check_instruments(self.leaves, present, "QueryMixing(leaves=)")
        pools = {leaf: draws.holding(leaf) for leaf in self.hierarchy.leaves if leaf in present}
        self._pools = {leaf: pool for leaf, pool in pools.items() if len(pool.songs) > 1}
        if not self._pools:
            raise InputError(
                "y",
                "a leaf that two songs hold",
                f"{', '.join(present)}, each in one song",
                "A query is of another song: add songs.",
            )

    def _pick(self, draws: Draws, place: int, rng: np.random.Generator) -> list[tuple[int, str]]:
        """Return the target first, and then the query."""
        leaf = list(self._pools)[turn_of(len(self._pools), place, draws.seed, 0)]
        target = self._draw_salient(draws, leaf, rng, with_relative=True)
        song = int(draws.songs[target])
        return [(target, leaf), (self._draw_salient(draws, leaf, rng, without=song), leaf)]

    def _mix(
        self, draws: Draws, picks: list[tuple[int, str]], rng: np.random.Generator
    ) -> tuple[Mixture, Scene]:
        (i, leaf), (other, _) = picks
        changes = self._changes(len(draws.scenes[i].instruments), rng)
        mixture, scene = remix(draws.mixtures[i], draws.scenes[i], changes)
        (mixture,), (scene,) = scenes_along(self.hierarchy, leaf, [mixture], [scene])
        asked = draws.mixtures[other], draws.scenes[other]
        _, (levels,) = scenes_along(self.hierarchy, leaf, *([one] for one in asked))
        return replace(mixture, query=levels.sources[self.query_level - 1]), scene

    def _draw_salient(
        self,
        draws: Draws,
        leaf: str,
        rng: np.random.Generator,
        without: int | None = None,
        with_relative: bool = False,
    ) -> int:
        relatives = self.hierarchy.relatives(leaf) if with_relative else ()
        wanted = [[leaf], relatives] if relatives else [[leaf]]
        for i in self._pools[leaf].shuffled(rng, () if without is None else (without,)):
            if all(self._is_salient(draws, i, names) for names in wanted):
                return i
        raise InputError(
            "y",
            f"scenes in which {leaf!r} is above {self.min_level_db:g} dB"
            + (" and so is one of its siblings and cousins" if relatives else ""),
            "none" if without is None else "none but in the song that it is asked for in",
            "Cut them with Excerpts.from_preset('chapter2'), or leave out the leaf, or relatives "
            "that no scene holds: hierarchy.without(...).",
        )

    def _is_salient(self, draws: Draws, i: int, names: Sequence[str]) -> bool:
        """Tell whether one of some leaves is, in a scene."""
        least = self.min_level_db
        present = [name for name in names if name in draws.scenes[i].instruments]
        return any(least is None or draws.level(i, name) > 10 ** (least / 20) for name in present)


def _check_mixable(scenes: Sequence[Scene]) -> None:
    rate = scenes[0].sample_rate
    for i, scene in enumerate(scenes):
        if scene.sources is None:
            raise InputError(f"y[{i}]", "a scene with sources", "None", "Leave it out.")
        if are_levels(scene.instruments):
            raise InputError(
                f"y[{i}]",
                "sources of which none is part of another",
                f"the levels {', '.join(scene.instruments)}",
                "Mix the scenes of leaves, with QueryMixing.",
            )
        if scene.sample_rate != rate:
            raise InputError(
                f"y[{i}]", f"{rate} Hz, as y[0]", f"{scene.sample_rate} Hz", "Use one rate."
            )
