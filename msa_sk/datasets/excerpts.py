"""Excerpts of songs in which the wanted instruments really play."""

import warnings
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from msa_sk._sklearn import real, whole
from msa_sk._validation import (
    check_instruments,
    check_mixtures,
    check_parameters,
    check_scenes,
    from_preset,
    names_in,
)
from msa_sk.audio import fit_length, rms
from msa_sk.datasets.mixing import mix_of
from msa_sk.exceptions import InputError, MsaWarning, ParameterError
from msa_sk.hierarchy import Hierarchy
from msa_sk.notes import Notes
from msa_sk.records import Mixture, Scene, unknown_name

#: The rules of the dissertation's chapters 2 to 4 (sections 2.4.1, 3.3.4 and 4.3.4), except that
#: chapter 3 draws stretches at any time and these lie on a grid.
PRESETS: dict[str, dict[str, Any]] = {
    "chapter2": {
        "duration": 10.0,
        "hop": 2.5,
        "min_notes": 0,
        "min_velocity": 0,
        "min_level_db": -30.0,
        "hierarchy": Hierarchy.slakh(),
        "min_instruments": 1,
    },
    "chapter3": {"duration": 5.0, "hop": 2.5, "min_notes": 10, "min_velocity": 30},
    "chapter4": {
        "duration": 5.0,
        "hop": 2.5,
        "min_notes": 5,
        "min_velocity": 30,
        "min_instruments": 2,
    },
}


class Excerpts(BaseEstimator):
    """Cut scenes into stretches in which the wanted instruments really play.

    An instrument plays in a stretch if it begins enough notes there that are loud enough, if
    its sound there is loud enough, and in a hierarchy if others of its family play as well.
    Nothing is copied that lies in files, and nothing is read unless `min_level_db` asks for
    it. It is no transformer of scikit-learn, because it changes ``X`` and ``y`` together:
    apply it before ``fit``.

    Parameters
    ----------
    duration : float, default=5.0
        Of an excerpt, in seconds.
    hop : float, default=2.5
        From the beginning of one excerpt to the next, in seconds; None takes `duration`.
    min_notes : int, default=10
        So many onsets must lie within an excerpt for an instrument to play in it. With 0,
        scenes need no notes.
    min_velocity : int, default=30
        Only notes with a velocity above it count, and only they stay in the scenes' notes.
    min_level_db : float, default=None
        For an instrument to play, the RMS of its source in the excerpt must be above it, in dB
        relative to full scale. None asks for no level.
    hierarchy : Hierarchy, default=None
        The instruments are its leaves, and one plays only where one of its siblings or
        cousins (another leaf under the same top node) has the notes and the level too, so
        that not all levels of its path are the same. Scenes and mixtures then stay whole, for
        `msa_sk.datasets.scenes_along` to make submixes of.
    instruments : sequence of str, default=None
        The wanted ones; None takes the sorted union of the names in `y`, in a hierarchy of
        those that are leaves. Without a hierarchy, a scene that has others besides is cut
        down to these, and its mixture made anew as their sum.
    min_instruments : int, default=None
        So many of the wanted instruments must play; None means all of them. Those that do
        not play stay in the scene, as far as the song has them.
    solo : bool, default=False
        Make one excerpt for each instrument that plays, with nothing but that instrument;
        `min_instruments` is then without effect. This is what
        `msa_sk.datasets.mix_incoherent` mixes.
    max_per_song : int, default=None
        Keep at most so many excerpts of a song (a group), drawn at random.
    random_state : int, RandomState or None, default=None
        Seeds that draw.

    Examples
    --------
    >>> from msa_sk.datasets import Excerpts, make_scenes
    >>> X, y = make_scenes(n_scenes=2, duration=10.0, random_state=0)
    >>> X_cut, y_cut = Excerpts(duration=4.0, hop=2.0, min_notes=3).apply(X, y)
    >>> X_cut[0].duration
    4.0
    """

    _parameter_constraints: dict = {
        "duration": [real(0, closed="neither")],
        "hop": [real(0, closed="neither"), None],
        "min_notes": [whole(0)],
        "min_velocity": [whole(0, 127)],
        "min_level_db": [real(None, closed="neither"), None],
        "hierarchy": [Hierarchy, None],
        "instruments": ["array-like", None],
        "min_instruments": [whole(1), None],
        "solo": ["boolean"],
        "max_per_song": [whole(1), None],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        duration: float = 5.0,
        hop: float | None = 2.5,
        *,
        min_notes: int = 10,
        min_velocity: int = 30,
        min_level_db: float | None = None,
        hierarchy: Hierarchy | None = None,
        instruments: Sequence[str] | None = None,
        min_instruments: int | None = None,
        solo: bool = False,
        max_per_song: int | None = None,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.duration = duration
        self.hop = hop
        self.min_notes = min_notes
        self.min_velocity = min_velocity
        self.min_level_db = min_level_db
        self.hierarchy = hierarchy
        self.instruments = instruments
        self.min_instruments = min_instruments
        self.solo = solo
        self.max_per_song = max_per_song
        self.random_state = random_state

    @classmethod
    def from_preset(cls, name: str, **changes: Any) -> "Excerpts":
        """Return the rules of a paper, with changes.

        Parameters
        ----------
        name : {"chapter2", "chapter3", "chapter4"}
            Of the dissertation: 10 s in which one of the wanted leaves, and a sibling or cousin
            of it, are above -30 dB (``instruments=[leaf]`` for one path); all wanted
            instruments with 10 onsets in 5 s; at least two of them with 5 onsets (there, songs
            are rendered with ``doubles="split"``).
        **changes
            Parameters that shall differ.

        Raises
        ------
        ParameterError
            If there is no such preset or parameter.
        """
        return from_preset(cls, PRESETS, name, changes)

    def apply(self, X: Any, y: Any) -> tuple[list[Mixture], list[Scene]]:
        """Return the excerpts of mixtures and scenes, in the order of the songs.

        Parameters
        ----------
        X : list of Mixture
        y : list of Scene
            With notes, if `min_notes` is above 0; with sources, if `min_level_db` is set.

        Returns
        -------
        X_cut : list of Mixture
            Each with its song's group; a song without one gets its number in `X`.
        y_cut : list of Scene

        Raises
        ------
        ParameterError
            If a parameter is out of range, `duration` or `hop` is less than a sample, or more
            instruments must play than are wanted.
        InputError
            If a scene lacks the notes that are counted, or the sources that are measured or
            mixed anew.
        InstrumentError
            If a wanted instrument is in no scene or is no leaf, or no instrument of `y` is
            one; names those that are.

        Warns
        -----
        MsaWarning
            If no excerpt fits; the lists are then empty.
        """
        check_parameters(self)
        mixtures = check_mixtures(X)
        scenes = check_scenes(y, mixtures)
        names = self._wanted(scenes)
        n_wanted = self._n_wanted(names)
        needed = ["notes"] * (self.min_notes > 0) + ["sources"] * (self.min_level_db is not None)
        songs = []
        for i, (mixture, scene) in enumerate(zip(mixtures, scenes, strict=True)):
            for field in needed:
                if getattr(scene, field) is None:
                    raise InputError(f"y[{i}]", f"a scene with {field}", "None", "Leave it out.")
            self._check_samples(mixture.rate)
            group = i if mixture.group is None else mixture.group
            songs.append((replace(mixture, group=group), self._without_quiet_notes(scene)))
        found = [cut for song in songs for cut in self._find(*song, names, n_wanted)]
        found = self._thin_out(found)
        if not found:
            rule = f"{self.min_notes} onsets"
            if self.min_level_db is not None:
                rule += f" and more than {self.min_level_db:g} dB"
            who = "each" if n_wanted == len(names) else f"at least {n_wanted}"
            warnings.warn(
                f"No stretch of {self.duration:g} s has {rule} of {who} of {names}.",
                MsaWarning,
                stacklevel=2,
            )
        cuts = [
            (mixture.excerpt(start, self.duration), scene.excerpt(start, self.duration))
            for mixture, scene, start in found
        ]
        return [mixture for mixture, _ in cuts], [scene for _, scene in cuts]

    def _check_samples(self, rate: int) -> None:
        """Refuse what is shorter than a sample: no excerpts, or as many as there is memory."""
        for name, seconds in (("duration", self.duration), ("hop", self.hop)):
            if seconds is not None and seconds * rate < 1:
                raise ParameterError(
                    f"Excerpts({name}=)",
                    f"at least a sample: {1 / rate:g} s at {rate} Hz",
                    f"{seconds:g} s",
                    "It is in seconds.",
                )

    def _wanted(self, scenes: Sequence[Scene]) -> tuple[str, ...]:
        names = check_instruments(self.instruments, names_in(scenes))
        if self.hierarchy is None:
            return names
        for name in self.instruments or ():
            if name not in self.hierarchy.leaves:
                raise unknown_name("instruments", name, self.hierarchy.leaves)
        return self.hierarchy.leaves_among(names)

    def _n_wanted(self, names: Sequence[str]) -> int:
        """Return how many of the wanted instruments must play."""
        if self.solo:
            return 1
        if self.min_instruments is None:
            return len(names)
        if self.min_instruments > len(names):
            raise ParameterError(
                "Excerpts(min_instruments=)",
                f"at most {len(names)}, the number of wanted instruments: {', '.join(names)}",
                str(self.min_instruments),
                "Lower it, or ask for more instruments.",
            )
        return self.min_instruments

    def _without_quiet_notes(self, scene: Scene) -> Scene:
        if scene.notes is None:
            return scene
        notes = [scene.notes_of(name) for name in scene.instruments]
        notes = [one.select(one.velocity > self.min_velocity) for one in notes]
        return replace(scene, notes=tuple(notes))

    def _find(
        self, mixture: Mixture, scene: Scene, names: Sequence[str], n_wanted: int
    ) -> list[tuple[Mixture, Scene, float]]:
        """Return (mixture, scene, start in s) for every excerpt of a song."""
        hop = self.hop or self.duration
        n_starts = int(np.floor((mixture.duration - self.duration) / hop + 1e-9)) + 1
        starts = np.arange(n_starts) * hop
        present = [name for name in scene.instruments if name in names]
        if not present:
            return []  # and there is nothing to mix
        sounds = cache(lambda name: self._sounds(scene, name, starts))
        plays = {name: sounds(name) for name in present}
        if self.hierarchy is not None:
            for name, own in plays.items():
                relatives = set(self.hierarchy.relatives(name)).intersection(scene.instruments)
                plays[name] = own & np.any([sounds(one) for one in relatives], axis=0)
        if self.solo:
            alone = {name: _only(mixture, scene, [name]) for name in present}
            return [(*alone[name], t) for name in present for t in starts[plays[name]].tolist()]
        n_playing = sum(plays.values(), start=np.zeros(len(starts), int))
        if self.hierarchy is None:
            mixture, scene = _only(mixture, scene, present)
        return [(mixture, scene, t) for t in starts[n_playing >= n_wanted].tolist()]

    def _sounds(self, scene: Scene, name: str, starts: np.ndarray) -> np.ndarray:
        """Tell for each stretch whether an instrument has enough notes and level in it."""
        enough = np.full(len(starts), True)
        if self.min_notes > 0:
            onsets = _count_onsets(scene.notes_of(name), starts, self.duration)
            enough &= onsets >= self.min_notes
        if self.min_level_db is not None:
            levels = _measure_levels(scene, name, starts, self.duration)
            enough &= levels > self.min_level_db
        return enough

    def _thin_out(
        self, found: list[tuple[Mixture, Scene, float]]
    ) -> list[tuple[Mixture, Scene, float]]:
        if self.max_per_song is None:
            return found
        rng = check_random_state(self.random_state)
        songs = defaultdict(list)
        for i, (mixture, _, _) in enumerate(found):
            songs[mixture.group].append(i)
        kept = [
            rng.choice(own, self.max_per_song, replace=False)
            if len(own) > self.max_per_song
            else own
            for own in songs.values()
        ]
        return [found[i] for i in sorted(np.concatenate(kept).astype(int))] if kept else []


def _count_onsets(notes: Notes, starts: np.ndarray, duration: float) -> np.ndarray:
    """Return how many notes begin in each stretch."""
    return np.searchsorted(notes.onset, starts + duration) - np.searchsorted(notes.onset, starts)


def _measure_levels(scene: Scene, name: str, starts: np.ndarray, duration: float) -> np.ndarray:
    """Return the RMS of a source in each stretch, in dB relative to full scale."""
    audio, length = scene.source(name), round(duration * scene.sample_rate)
    firsts = np.round(starts * scene.sample_rate).astype(int)
    audio = fit_length(audio, max(firsts, default=0) + length)
    with np.errstate(divide="ignore"):  # silence has -inf dB
        return 20 * np.log10([rms(audio[..., first : first + length]) for first in firsts])


def _only(mixture: Mixture, scene: Scene, names: Sequence[str]) -> tuple[Mixture, Scene]:
    """Return a scene of some of its instruments, and the mixture that these make."""
    if list(scene.instruments) == list(names):
        return mixture, scene
    if scene.sources is None:
        raise InputError(
            repr(scene), "sources, to mix some of them anew", "None", "Ask for all instruments."
        )
    places = [scene.instruments.index(name) for name in names]
    as_array = isinstance(scene.sources, np.ndarray)
    part = replace(
        scene,
        instruments=tuple(names),
        sources=scene.sources[places] if as_array else tuple(scene.sources[i] for i in places),
        notes=None if scene.notes is None else tuple(scene.notes_of(name) for name in names),
        rolls=None,
    )
    hints = {
        field: {name: hint[name] for name in names if name in hint}
        for field, hint in (("notes", mixture.notes), ("sources", mixture.sources))
        if hint is not None
    }
    mixed = mix_of(part)
    return replace(mixture, audio=mixed.audio, sample_rate=mixed.sample_rate, **hints), part
