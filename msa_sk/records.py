"""The words for everything that flows: Mixture, Scene, Anchor; Clip and Notes are next door.

Records are frozen, hold what they were given, and convert it when it is read: building
100,000 of them costs nothing, and a record of read-only memory maps works like any other.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from msa_sk._arguments import check_excerpt, check_names, check_song, check_value
from msa_sk._sklearn import real
from msa_sk.audio import check_rate, fit_length
from msa_sk.clips import check_audio_field, clips_of, excerpt_any, read_any
from msa_sk.exceptions import (
    AudioError,
    InputError,
    InstrumentError,
    NotesError,
    ParameterError,
)
from msa_sk.notes import Notes


@dataclass(frozen=True, eq=False, repr=False)
class Anchor:
    """What a network makes of a query: a point in its space of sounds.

    ``Mixture(audio, query=Anchor(values))`` asks for what lies there. What lies between two
    sounds, ``Anchor((a.values + b.values) / 2)``, may be asked for as well.

    Parameters
    ----------
    values : array of shape (n_dimensions,)
        A row of what `embed` of the system returned; other systems have other spaces.
    """

    values: Any

    def __post_init__(self):
        values = np.asarray(self.values)
        if values.ndim != 1 or values.dtype.kind not in "fiu" or not np.isfinite(values).all():
            raise InputError(
                "Anchor(values)",
                "finite numbers of shape (n_dimensions,)",
                f"{repr(self.values)[:60]} of shape {values.shape}",
                "Pass one row of what embed returns.",
            )
        object.__setattr__(self, "values", values.astype(np.float32))

    def __repr__(self) -> str:
        return f"Anchor({len(self.values)} dimensions)"


@dataclass(frozen=True, eq=False, repr=False)
class Mixture:
    """What a user has before analysis: one element of ``X``.

    Parameters
    ----------
    audio : array of shape (n_samples,) or (n_channels, n_samples), path, Clip, tuple of Clips
        A tuple is the sum of its clips. Integer samples are divided by their type's range.
    sample_rate : int, default=None
        In Hz. None means a file's own rate and, for an array, the rate of the estimator.
        A file is resampled to a rate that is given.
    query : audio, Mixture, Anchor, or list of these, default=None
        An example of the sound to look for, for systems that are asked by example: samples at
        the mixture's rate, a file or a stretch of one; a Mixture, as `excerpt` of another one
        gives it, whose sound it is; or an `Anchor`, what the system made of an example before.
        A list is several examples of one sound.
    notes : dict of str to Notes, default=None
        A score, for systems that are informed by one.
    sources : dict of str to audio, default=None
        Sources, for systems that are informed by them (or may cheat with them).
    group : hashable, default=None
        The song, so that ``GroupKFold`` can keep its excerpts together:
        ``groups=[m.group for m in X]``.
    """

    audio: Any
    sample_rate: int | None = None
    query: Any = None
    notes: Mapping[str, Notes] | None = None
    sources: Mapping[str, Any] | None = None
    group: Any = None

    def __post_init__(self):
        check_audio_field(self.audio, "Mixture(audio=)")
        if self.sample_rate is not None:
            rate = check_rate(self.sample_rate, "Mixture(sample_rate=)")
            object.__setattr__(self, "sample_rate", rate)
        check_song(self.group, "Mixture(group=)")
        if self.query is not None:
            examples_of(self.query, self.sample_rate, "Mixture(query=)")
        for name in ("notes", "sources"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, Mapping):
                raise InputError(
                    f"Mixture({name}=)",
                    "a dict keyed by instrument",
                    type(value).__name__,
                    "Name each instrument.",
                )
        for name, audio in (self.sources or {}).items():
            check_audio_field(audio, f"Mixture(sources=)[{name!r}]")
        for name, notes in (self.notes or {}).items():
            if not isinstance(notes, Notes):
                raise NotesError(
                    f"Mixture(notes=)[{name!r}]",
                    "Notes",
                    type(notes).__name__,
                    "Build Notes(onset, offset, pitch).",
                )

    def __repr__(self) -> str:
        clips = clips_of(self.audio)
        rate = "" if self.sample_rate is None else f" at {self.sample_rate / 1000:g} kHz"
        if clips is None:
            shape = np.shape(self.audio)
            what = f"{shape[-1] / self.sample_rate:.1f} s" if rate else f"{shape[-1]} samples"
            what += rate + (f"; {shape[0]} channels" if len(shape) == 2 else "")
        else:
            what = " + ".join(repr(clip) for clip in clips) + rate
        extras = [
            name for name in ("query", "notes", "sources") if getattr(self, name) is not None
        ]
        what += "".join(f"; {name}" for name in extras)
        what += "" if self.group is None else f"; group {self.group!r}"
        return f"Mixture({what})"

    @property
    def rate(self) -> int:
        """The sampling rate in Hz, from the file where it was not given."""
        if self.sample_rate is not None:
            return self.sample_rate
        clips = clips_of(self.audio)
        if clips is None:
            raise AudioError(
                repr(self), "a sampling rate", "None", "Pass Mixture(audio, sample_rate=...)."
            )
        return clips[0].sample_rate

    @property
    def n_samples(self) -> int:
        """The length at its own rate, from the header where the audio is in files."""
        clips = clips_of(self.audio)
        if clips is None:
            return np.shape(self.audio)[-1]
        return max(clip.n_samples(self.rate) for clip in clips)

    @property
    def n_channels(self) -> int:
        """The number of channels, from the header where the audio is in files."""
        clips = clips_of(self.audio)
        if clips is None:
            return 1 if np.ndim(self.audio) == 1 else np.shape(self.audio)[0]
        return max(clip.n_channels for clip in clips)

    @property
    def duration(self) -> float:
        """The length in seconds."""
        return self.n_samples / self.rate

    def read(self, sample_rate: int | None = None) -> np.ndarray:
        """Return the samples as float32, at the mixture's own rate or at another one.

        Returns
        -------
        audio : ndarray of shape (n_samples,) or (n_channels, n_samples)
        """
        return read_any(self.audio, repr(self), sample_rate, self.sample_rate)

    def read_source(self, name: str, sample_rate: int | None = None) -> np.ndarray:
        """Return one of `sources` as float32 samples, at the mixture's rate or another one."""
        sources = self.sources or {}
        if name not in sources:
            raise unknown_name(f"{self!r}.sources", name, list(sources))
        return read_any(sources[name], f"source {name!r}", sample_rate or self.rate, self.rate)

    def excerpt(self, start: float, duration: float) -> "Mixture":
        """Return a stretch of the mixture, with its notes and sources; seconds.

        Nothing is read; the group stays.

        Raises
        ------
        ParameterError
            If `start` is below 0 or `duration` not above 0.
        AudioError
            If the mixture has ended at `start`.
        """
        check_excerpt(start, duration)
        sources, notes = self.sources, self.notes
        if sources is not None:
            sources = {
                name: excerpt_any(audio, self.rate, start, duration)
                for name, audio in sources.items()
            }
        if notes is not None:
            notes = {name: one.excerpt(start, duration) for name, one in notes.items()}
        audio = excerpt_any(self.audio, self.sample_rate, start, duration)
        return replace(self, audio=audio, sources=sources, notes=notes)


@dataclass(frozen=True, eq=False, repr=False)
class Scene:
    """What is in a mixture: as truth one element of ``y``, as estimate one of ``predict``'s.

    Parameters
    ----------
    instruments : sequence of str
        Names, in the order of the sources.
    sample_rate : int
        Of the sources, in Hz.
    sources : array of shape (n_sources, n_samples) or (n_sources, n_channels, n_samples), \
or a tuple with one piece of audio (array, path, Clip, tuple of Clips) per instrument, default=None
        None means unknown: that term is left out of losses and scores.
    notes : sequence of Notes, one per instrument, default=None
        None means unknown; an instrument without notes has ``Notes()``.
    rolls : array of shape (n_sources, n_pitches, n_frames), default=None
        Posteriors of the notes, MIDI pitches 21 to 108.
    frame_rate : float, default=None
        Of the rolls, in Hz.

    Notes
    -----
    An instrument that is listed and silent is silence; one that is not listed is silence too.
    """

    instruments: tuple[str, ...]
    sample_rate: int
    sources: Any = None
    notes: tuple[Notes, ...] | None = None
    rolls: np.ndarray | None = None
    frame_rate: float | None = None

    def __post_init__(self):
        names = check_names(self.instruments, "Scene(instruments=)", at_least=0)
        object.__setattr__(self, "instruments", names)
        object.__setattr__(
            self, "sample_rate", check_rate(self.sample_rate, "Scene(sample_rate=)")
        )
        self._check_parts()

    def _check_parts(self) -> None:
        n_sources = len(self.instruments)
        if isinstance(self.sources, list):
            object.__setattr__(self, "sources", tuple(self.sources))
        if isinstance(self.sources, tuple):
            for name, audio in zip(self.instruments, self.sources, strict=False):
                check_audio_field(audio, f"Scene(sources=)[{name!r}]")
        elif self.sources is not None and np.ndim(self.sources) not in (2, 3):
            raise AudioError(
                "Scene(sources=)",
                "shape (n_sources, n_samples) or (n_sources, n_channels, n_samples)",
                f"shape {np.shape(self.sources)}",
            )
        for name in ("sources", "notes", "rolls"):
            part = getattr(self, name)
            if part is not None and len(part) != n_sources:
                raise InstrumentError(
                    f"Scene({name}=)",
                    f"{n_sources} of them, one for each of {list(self.instruments)}",
                    str(len(part)),
                    "List every instrument; a silent one has zeros or Notes().",
                )
        if self.notes is not None:
            object.__setattr__(self, "notes", tuple(self.notes))
            for name, notes in zip(self.instruments, self.notes, strict=True):
                if not isinstance(notes, Notes):
                    raise NotesError(
                        f"Scene(notes=)[{name!r}]",
                        "Notes",
                        type(notes).__name__,
                        "Build Notes(onset, offset, pitch).",
                    )
        if self.rolls is not None and (np.ndim(self.rolls) != 3 or not self.frame_rate):
            raise InputError(
                "Scene(rolls=)",
                "shape (n_sources, n_pitches, n_frames), with frame_rate",
                f"shape {np.shape(self.rolls)}, frame_rate={self.frame_rate}",
                "Pass both.",
            )

    def __repr__(self) -> str:
        what = [", ".join(self.instruments) or "nothing"]
        rate = f"at {self.sample_rate / 1000:g} kHz"
        if self.sources is None:
            what.append("no sources")
        elif any(clips_of(audio) is not None for audio in self.sources):
            what.append(f"sources in files {rate}")
        else:
            n_samples = max((np.shape(audio)[-1] for audio in self.sources), default=0)
            what.append(f"{n_samples / self.sample_rate:.1f} s {rate}")
        if self.notes is not None:
            n_notes = sum(len(notes) for notes in self.notes)
            what.append(f"{n_notes} note" + ("" if n_notes == 1 else "s"))
        return f"Scene({'; '.join(what)})"

    def _index(self, name: str) -> int:
        if name not in self.instruments:
            raise unknown_name(repr(self), name, list(self.instruments))
        return self.instruments.index(name)

    def source(self, name: str) -> np.ndarray:
        """Return one instrument's samples as float32, (n_samples,) or (n_channels, n_samples).

        Raises
        ------
        InstrumentError
            If the scene has no such instrument.
        InputError
            If its sources are unknown.
        """
        index = self._index(name)
        if self.sources is None:
            raise InputError(
                repr(self), "sources", "None: they are unknown", "Use an estimator that separates."
            )
        return read_any(
            self.sources[index], f"source {name!r}", self.sample_rate, self.sample_rate
        )

    def notes_of(self, name: str) -> Notes:
        """Return one instrument's notes; errors as in `source`."""
        index = self._index(name)
        if self.notes is None:
            raise InputError(
                repr(self), "notes", "None: they are unknown", "Use an estimator that transcribes."
            )
        return self.notes[index]

    def residual(self, mixture: Mixture) -> np.ndarray:
        """Return what remains of a mixture when all sources are taken out.

        Of the levels of a hierarchy the highest holds the others: it alone is taken out.

        Returns
        -------
        residual : ndarray of float32
            At the scene's rate, shaped like the mixture.

        Raises
        ------
        InputError
            If it is no Mixture, or the scene's sources are unknown.
        AudioError
            If a source has another shape than the mixture.
        """
        if not isinstance(mixture, Mixture):
            raise InputError(
                "mixture",
                "a Mixture",
                type(mixture).__name__,
                "Wrap it: Mixture(audio, sample_rate).",
            )
        audio = mixture.read(self.sample_rate)
        total = np.zeros_like(audio)
        names = self.instruments
        for name in sorted(names, key=level_of)[-1:] if are_levels(names) else names:
            source = self.source(name)
            if source.shape != audio.shape:
                raise AudioError(
                    "mixture",
                    f"shape {source.shape}, as source {name!r} has",
                    f"shape {audio.shape}",
                    "Pass the mixture that the scene is of.",
                )
            total += source
        return audio - total

    def blend(self, level: float) -> np.ndarray:
        """Return the sound between two levels of a hierarchy, as the slider of figure 2.17.

        Neighbours are crossfaded by gain: 1.4 is 0.6 of ``level_1`` and 0.4 of ``level_2``. Levels
        that the scene lacks are skipped: of 1 and 3, 2 is the mean.

        Parameters
        ----------
        level : float
            From the lowest level of the scene to the highest.

        Returns
        -------
        audio : ndarray of float32, shape (n_samples,) or (n_channels, n_samples)

        Raises
        ------
        InstrumentError
            If the scene's sources are no levels.
        ParameterError
            If it is not from the lowest level of the scene to the highest.
        """
        if not are_levels(self.instruments):
            raise InstrumentError(
                repr(self),
                "levels of a hierarchy: level_1, level_2, ...",
                ", ".join(self.instruments) or "no sources",
                "Use a system that separates by levels.",
            )
        names = sorted(self.instruments, key=level_of)
        numbers = [level_of(name) for name in names]
        if len(names) == 1 and level != numbers[0]:
            raise ParameterError(
                "blend(level)",
                f"{numbers[0]}, the scene's only level",
                repr(level),
                "Predict with a system that finds more levels.",
            )
        if len(names) > 1:
            check_value(level, "blend(level)", real(numbers[0], numbers[-1], closed="both"))
        place = float(np.interp(level, numbers, range(len(names))))
        low, share = int(place), np.float32(place % 1)
        audio = self.source(names[low])
        if share == 0:
            return audio
        return (1 - share) * audio + share * self.source(names[low + 1])

    def excerpt(self, start: float, duration: float) -> "Scene":
        """Return a stretch of the scene; seconds. Nothing is read, and rolls are left out.

        Errors as in `Mixture.excerpt`.
        """
        check_excerpt(start, duration)
        sources, notes = self.sources, self.notes
        if sources is not None:
            sources = tuple(excerpt_any(one, self.sample_rate, start, duration) for one in sources)
        if isinstance(self.sources, np.ndarray):
            sources = np.stack(sources) if sources else self.sources
        if notes is not None:
            notes = tuple(one.excerpt(start, duration) for one in notes)
        return replace(self, sources=sources, notes=notes, rolls=None, frame_rate=None)

    def write(self, directory: str | os.PathLike, subtype: str = "PCM_24") -> list[Path]:
        """Write one WAV per source, and the notes as a MIDI file, into a directory.

        ``<instrument>.wav``, ``scene.mid`` (type 1, one named track per instrument) and
        ``scene.json``, which names them and holds the common gain: 1 unless a source would
        have clipped; then all are scaled alike, so that they still add up. Files appear when
        all are complete; above 4 GB they are RF64.

        Parameters
        ----------
        directory : path-like
            Made if needed. What an earlier scene left there goes; other files stay.
        subtype : str, default="PCM_24"
            libsndfile's name of the sample format.

        Returns
        -------
        paths : list of Path
        """
        from msa_sk.stems import write_scenes

        return write_scenes(directory, [self], subtype)

    def plot(self, truth: "Scene | None" = None) -> Any:
        """Draw each source's spectrogram and notes, beside the truth where it is given.

        Returns
        -------
        display : SceneDisplay
            Its ``figure_`` can be saved.
        """
        from msa_sk.display import SceneDisplay

        return SceneDisplay.from_predictions(truth, self).plot()


def level_of(name: str) -> int:
    """Return the number in the name of a hierarchy's level, ``level_1``, ...; else 0."""
    match = re.fullmatch(r"level_([1-9]\d*)", name)
    return int(match[1]) if match else 0


def are_levels(names: Iterable[str]) -> bool:
    """Tell whether sources are levels of a hierarchy, of which each is part of the next."""
    numbers = [level_of(name) for name in names]
    return bool(numbers) and all(numbers)


def examples_of(query: Any, sample_rate: int | None, item: str) -> list[Mixture | Anchor]:
    """Return what a query holds: sounds as Mixtures, and anchors.

    Parameters
    ----------
    query : audio, Mixture, Anchor, or list of these
    sample_rate : int or None
        Of samples that come without a rate, in Hz.
    item : str
        What messages call it.

    Raises
    ------
    AudioError
        If it can be no query; samples and files are looked at when they are read.
    """
    examples = query if isinstance(query, list) else [query]
    if not examples:
        raise AudioError(item, "an example", "an empty list", "Pass a sound to look for.")
    return [_example(one, sample_rate, item) for one in examples]


def _example(query: Any, sample_rate: int | None, item: str) -> Mixture | Anchor:
    if isinstance(query, Anchor):
        return query
    if not isinstance(query, Mixture):
        check_audio_field(query, item)
        query = Mixture(query)
    if query.sample_rate is None and clips_of(query.audio) is None:
        return replace(query, sample_rate=sample_rate)
    return query


def stack_sources(
    scene: Scene, instruments: Sequence[str], audio: np.ndarray, owner: str = "its mixture"
) -> np.ndarray:
    """Return a scene's sources in the order of `instruments`; one it does not list is silence.

    Parameters
    ----------
    scene : Scene
    instruments : sequence of str
    audio : ndarray of shape (n_samples,) or (n_channels, n_samples)
        What is to have their shape, as the mixture at the scene's rate. A mono source of a stereo
        mixture is in every channel.
    owner : str, default="its mixture"
        Whose `audio` is, for messages.

    Returns
    -------
    sources : ndarray of float32, shape (n_sources, *audio.shape)

    Raises
    ------
    AudioError
        If a source's length is not that of `audio`; one sample is forgiven, for files that were
        resampled apart.
    """
    sources = np.zeros((len(instruments), *audio.shape), np.float32)
    for i, name in enumerate(instruments):
        if name not in scene.instruments:
            continue
        source = scene.source(name)
        if abs(source.shape[-1] - audio.shape[-1]) > 1 or source.ndim > audio.ndim:
            clips = clips_of(scene.sources[scene._index(name)])
            where = " + ".join(str(clip.path) for clip in clips) if clips else repr(scene)
            raise AudioError(
                f"source {name!r} of {where}",
                f"shape {audio.shape}, as {owner} has",
                f"shape {source.shape}",
                "Cut, pad or downmix it.",
            )
        sources[i] = fit_length(source, audio.shape[-1])
    return sources


def unknown_name(
    item: str, name: object, known: Sequence[str], error: type[InputError] = InstrumentError
) -> InputError:
    """Build the error for a name that is not there, with the closest one that is."""
    import difflib

    close = difflib.get_close_matches(str(name), known, n=1)
    remedy = f"Did you mean {close[0]!r}?" if close else "Check the spelling."
    return error(item, f"one of {list(known)}", repr(name), remedy)
