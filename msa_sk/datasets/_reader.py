"""What all readers of data sets share: the loop over songs, what to do with broken ones, checks.

A reader lists the songs of a split and says of each which files it is made of. The rest is here.
"""

import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from msa_sk._arguments import check_names, check_path
from msa_sk._general_midi import belongs_to
from msa_sk._jobs import share_out
from msa_sk.clips import Clip
from msa_sk.exceptions import (
    InputError,
    MsaError,
    MsaWarning,
    NotesWarning,
    ParameterError,
)
from msa_sk.midi import merge_notes, read_midi
from msa_sk.notes import Notes
from msa_sk.records import Mixture, Scene, unknown_name

TOLERANCE = 0.1  # s, by which the files of a song may differ in length
_MAX_NAMED = 10  # songs that a warning names
_REMEDY = "Fetch it again, or leave the song out."


class Stem(NamedTuple):
    """What one player of a song plays.

    `program` is its General MIDI program where that is known: the stem then answers to all
    names that the tables have for it.
    """

    instrument: str
    audio: Clip | None = None
    notes: Path | None = None
    program: int | None = None

    def plays(self, name: str) -> bool:
        return name == self.instrument or (
            self.program is not None and belongs_to(self.program, name)
        )


class Song(NamedTuple):
    """The files of a song; its mixture is the sum of its stems where there is no recording."""

    title: str
    stems: list[Stem]
    mixture: Clip | None = None
    group: str | None = None  # None takes the title


class Problem(NamedTuple):
    """A file that is missing or damaged: the song that needs it, the file, and what is wrong."""

    song: str
    path: str
    reason: str


class Reader(ABC):
    """A data set on disk, read song by song.

    Parameters
    ----------
    root : path-like
        The data set's folder.

    Attributes
    ----------
    licence, source : str
        Under which terms the data set may be used, and where to get it.
    splits : tuple of str
        The official parts, for `load`.
    instruments : tuple of str or None
        What can be asked for; None if that depends on the files.
    """

    licence: ClassVar[str]
    source: ClassVar[str]
    splits: ClassVar[tuple[str, ...]] = ()
    instruments: ClassVar[tuple[str, ...] | None] = None
    _layout: ClassVar[str]  # what the root must hold, in words

    def __init__(self, root: str | os.PathLike):
        check_path(root, f"{type(self).__name__}(root=)")
        self.root = root

    def __repr__(self) -> str:
        return f"{type(self).__name__}({os.fspath(self.root)!r})"

    @abstractmethod
    def _songs(self, split: str | None) -> list[Any]:
        """List the songs of a split as whatever `_song` takes; none if the layout is another."""

    @abstractmethod
    def _song(self, place: Any) -> Song:
        """Say which files a song is made of. Nothing but metadata is read."""

    def _notes(self, path: Path, instrument: str) -> Notes:
        """Read a stem's notes; of a MIDI file, all that is in it."""
        return merge_notes(list(read_midi(path).values()))

    def load(
        self,
        split: str | None = None,
        instruments: Sequence[str] | None = None,
        *,
        remix: bool = False,
        on_error: str = "warn",
        n_jobs: int | None = 1,
        verbose: int = 0,
    ) -> tuple[list[Mixture], list[Scene]]:
        """Return whole songs. Notes are read, audio is not: of that, headers are looked at.

        Parameters
        ----------
        split : str, default=None
            One of `splits`; None takes the whole data set.
        instruments : sequence of str, default=None
            The instruments of the scenes; several players of one are summed. None takes all.
            A scene lists those that play; songs in which none does are left out.
        remix : bool, default=False
            Whether a mixture is made anew, as the sum of the instruments of its scene. By
            default it is the whole recording, in which other instruments play along.
        on_error : {"warn", "raise"}, default="warn"
            Leave out a song with a missing or damaged file, or stop at it.
        n_jobs : int or None, default=1
            How many songs are read at a time, as in joblib.
        verbose : int, default=0
            Above 0, show progress if standard error is a terminal.

        Returns
        -------
        X : list of Mixture
            Each with its song as group.
        y : list of Scene
            Sources or notes that are not known of every instrument of a scene are None.
            Files that differ in length by at most 0.1 s are cut to the shortest, and notes end
            with the recording.

        Raises
        ------
        InputError
            If the folder has another layout, no song is left or, with ``on_error="raise"``, a
            song is broken.
        InstrumentError
            If an instrument plays in no song.
        ParameterError
            If there is no such split, or a parameter is out of range.

        Warns
        -----
        MsaWarning
            With the songs left out because they are broken, and their number; with the songs
            of which only some instruments have notes, or audio of their own.
        NotesWarning
            With the songs whose notes had to be repaired.
        """
        if on_error not in ("warn", "raise"):
            raise ParameterError("on_error", "'warn' or 'raise'", repr(on_error), "Choose one.")
        wanted = self._check_instruments(instruments)
        places = self._find(split)
        outcomes = share_out(
            *(self._try, places, wanted, remix, on_error),
            label="reading",
            unit="song",
            n_jobs=n_jobs,
            verbose=verbose,
        )
        return self._gather(list(outcomes), wanted)

    def validate(self, split: str | None = None, *, decode: bool = False) -> list[Problem]:
        """List the missing and damaged files.

        Parameters
        ----------
        split : str, default=None
            As in `load`.
        decode : bool, default=False
            Whether audio is decoded from beginning to end. By default its header and its end
            are, which finds files that are missing, not audio, or cut off.

        Returns
        -------
        problems : list of Problem
            Each with its `song`, `path` and `reason`; none if all is well.
        """
        problems = (
            problem for place in self._find(split) for problem in self._check(place, decode)
        )
        return list(dict.fromkeys(problems))  # stems may share a file

    # ------------------------------------------------------------------------- what is asked for

    def _find(self, split: str | None) -> list[Any]:
        name = type(self).__name__
        if split is not None and split not in self.splits:
            expected = f"one of {list(self.splits)}, or None" if self.splits else "None"
            remedy = "Choose one." if self.splits else f"{name} has no official splits."
            raise ParameterError(f"{name}: split", expected, repr(split), remedy)
        root = Path(self.root)
        places = self._songs(split) if root.is_dir() else []
        if not places:
            part = "" if split is None else f", with a part {split!r}"
            raise InputError(
                str(root),
                f"a folder as {name} reads it{part}: {self._layout}",
                _content(root),
                f"Pass that folder (source: {self.source}).",
            )
        return places

    def _check_instruments(self, instruments: Sequence[str] | None) -> tuple[str, ...] | None:
        if instruments is None:
            return None
        names = check_names(instruments, "instruments")
        for name in names:
            if self.instruments is not None and name not in self.instruments:
                raise unknown_name("instruments", name, self.instruments)
        return names

    # ------------------------------------------------------------------------------ song by song

    def _try(
        self, place: Any, wanted: tuple[str, ...] | None, remix: bool, on_error: str
    ) -> "_Outcome":
        outcome = _Outcome(_name(place))
        try:
            with warnings.catch_warnings(record=True) as repairs:
                warnings.simplefilter("always", NotesWarning)
                song = self._song_with_stems(place)
                outcome.title = song.title
                outcome.played = {stem.instrument for stem in song.stems}
                cast = _cast(song, wanted)
                if cast:
                    outcome.pair = self._assemble(song, cast, remix)
            outcome.repairs = [str(repair.message) for repair in repairs]
            outcome.is_partial = bool(cast) and _is_partial(cast)
        except (MsaError, OSError) as error:
            if on_error == "raise":
                raise
            outcome.error = str(error)
        return outcome

    def _song_with_stems(self, place: Any) -> Song:
        song = self._song(place)
        if not song.stems:
            raise InputError(str(place), "at least one instrument", "none", _REMEDY)
        return song

    def _assemble(
        self, song: Song, cast: dict[str, list[Stem]], remix: bool
    ) -> tuple[Mixture, Scene]:
        """Put a song's files together as records."""
        chosen = [stem for stems in cast.values() for stem in stems]
        if song.mixture is not None and not remix:
            whole = [song.mixture]
        else:
            whole = _clips(chosen if remix else song.stems, song.title)
        has_sources = all(stem.audio is not None for stem in chosen)
        has_notes = all(stem.notes is not None for stem in chosen)
        if not has_sources and not has_notes:
            raise InputError(
                song.title,
                "the audio, or the notes, of every instrument",
                f"only some of {list(cast)}",
                "Complete the files, or ask for other instruments.",
            )
        duration = _common_duration([*whole, *(s.audio for s in chosen if s.audio is not None)])
        sources = notes = None
        if has_sources:
            sources = tuple(_sum(_clips(own, song.title), duration) for own in cast.values())
        if has_notes:
            notes = tuple(self._merged_notes(own, duration) for own in cast.values())
        rate = whole[0].sample_rate
        group = song.title if song.group is None else song.group
        mixture = Mixture(_sum(whole, duration), rate, group=group)
        return mixture, Scene(tuple(cast), rate, sources, notes)

    def _merged_notes(self, stems: Sequence[Stem], duration: float) -> Notes:
        read = [self._notes(stem.notes, stem.instrument) for stem in stems if stem.notes]
        return merge_notes(read).excerpt(0.0, duration)

    def _gather(
        self, outcomes: "list[_Outcome]", wanted: tuple[str, ...] | None
    ) -> tuple[list[Mixture], list[Scene]]:
        """Report what went wrong, and return the rest."""
        pairs = [outcome.pair for outcome in outcomes if outcome.pair is not None]
        broken = [f"{one.title} ({one.error})" for one in outcomes if one.error]
        if len(broken) == len(outcomes):
            raise InputError(
                str(self.root),
                "songs that can be read",
                "none: " + some_of(broken),
                "Repair them.",
            )
        n_songs = len(outcomes)
        partial = [one.title for one in outcomes if one.is_partial]
        repaired = [" ".join(one.repairs) for one in outcomes if one.repairs]
        for titles, category, what in (
            (broken, MsaWarning, "were left out"),
            (partial, MsaWarning, "have only the audio, or the notes, of some instruments"),
            (repaired, NotesWarning, "had their notes repaired"),
        ):
            if titles:
                message = f"{len(titles)} of {n_songs} songs {what}: {some_of(titles)}."
                warnings.warn(message, category, stacklevel=3)
        found = {name for _, scene in pairs for name in scene.instruments}
        played = set().union(*(one.played for one in outcomes if not one.error))
        for name in wanted or ():
            if name not in found:
                raise unknown_name("instruments", name, sorted(played))
        return [mixture for mixture, _ in pairs], [scene for _, scene in pairs]

    def _check(self, place: Any, decode: bool) -> list[Problem]:
        problems: list[Problem] = []
        with _noting(problems, _name(place), place):
            song = self._song_with_stems(place)
            audio = [song.mixture, *(stem.audio for stem in song.stems)]
            clips = {clip.path: clip for clip in audio if clip is not None}
            whole = []
            for path, clip in clips.items():
                with _noting(problems, song.title, path):
                    _read_end(clip, decode)
                    whole.append(clip)
            with _noting(problems, song.title, place):
                _common_duration(whole)
            for stem in song.stems:
                with _noting(problems, song.title, stem.notes), warnings.catch_warnings():
                    warnings.simplefilter("ignore", NotesWarning)
                    if stem.notes is not None:
                        self._notes(stem.notes, stem.instrument)
        return problems


class PianoReader(Reader):
    """Recordings of a piano whose pedal was recorded too; parameters as in its subclasses."""

    instruments = ("piano",)

    def __init__(self, root: str | os.PathLike, sustain: bool = True):
        super().__init__(root)
        self.sustain = sustain

    def _notes(self, path: Path, instrument: str) -> Notes:
        return merge_notes(list(read_midi(path, sustain=self.sustain).values()))


@dataclass
class _Outcome:
    """What became of a song."""

    title: str
    pair: tuple[Mixture, Scene] | None = None
    error: str = ""
    played: set[str] = field(default_factory=set)
    repairs: list[str] = field(default_factory=list)
    is_partial: bool = False


@contextmanager
def taking_apart(path: Path, expected: str, error: type[Exception] = ValueError) -> Iterator[None]:
    """Report whatever goes wrong in the block as damage of a file; `error` is its parser's."""
    try:
        yield
    except MsaError:
        raise
    except FileNotFoundError as cause:
        raise InputError(str(path), expected, "nothing there", _REMEDY) from cause
    except (ValueError, LookupError, TypeError, AttributeError, error) as cause:
        got = f"another content ({type(cause).__name__}: {cause})"
        raise InputError(str(path), expected, got, _REMEDY) from cause


def _cast(song: Song, wanted: tuple[str, ...] | None) -> dict[str, list[Stem]]:
    """Return the stems of each instrument, in the order asked for or, else, of the song."""
    names = dict.fromkeys(wanted or (stem.instrument for stem in song.stems))
    cast: dict[str, list[Stem]] = {name: [] for name in names}
    for stem in song.stems:
        name = next((name for name in names if stem.plays(name)), None)
        if name is not None:
            cast[name].append(stem)
    return {name: stems for name, stems in cast.items() if stems}


def _is_partial(cast: dict[str, list[Stem]]) -> bool:
    """Tell whether audio, or notes, are known of some of the stems and not of others."""
    stems = [stem for own in cast.values() for stem in own]
    return any(
        len({x is None for x in known}) == 2
        for known in ([s.audio for s in stems], [s.notes for s in stems])
    )


def _clips(stems: Iterable[Stem], title: str) -> list[Clip]:
    clips = [stem.audio for stem in stems if stem.audio is not None]
    missing = [stem.instrument for stem in stems if stem.audio is None]
    if missing:
        raise InputError(
            title,
            "audio of every instrument, to sum them",
            f"none of {missing}",
            "Add it, or a recording of the mixture.",
        )
    return clips


def _common_duration(clips: Sequence[Clip]) -> float:
    """Return the seconds that all clips last, unless they differ by more than is careless."""
    seconds = {clip.path: clip.seconds for clip in clips}
    if not seconds:
        return 0.0
    shortest, longest = min(seconds, key=seconds.__getitem__), max(seconds.values())
    if longest - seconds[shortest] > TOLERANCE:
        raise InputError(
            str(shortest),
            f"{longest:.2f} s, as the song's longest file has",
            f"{seconds[shortest]:.2f} s",
            "Pad it, or leave the song out.",
        )
    return seconds[shortest]


def _sum(clips: Sequence[Clip], duration: float) -> Clip | tuple[Clip, ...]:
    cut = tuple(replace(clip, duration=duration) for clip in clips)
    return cut[0] if len(cut) == 1 else cut


def _read_end(clip: Clip, decode: bool) -> None:
    start = 0.0 if decode else max(0.0, clip.seconds - TOLERANCE)
    stretch = replace(clip, start=start)
    n_read, n_samples = stretch.read().shape[-1], stretch.n_samples()
    if n_read < n_samples:
        expected = f"{n_samples} samples, as its header says"
        raise InputError(str(clip.path), expected, f"{n_read}: it was cut off", _REMEDY)


def _name(place: Any) -> str:
    return place.name if isinstance(place, Path) else str(place)


@contextmanager
def _noting(problems: list[Problem], song: str, path: Any) -> Iterator[None]:
    """Write down what goes wrong in the block, and go on behind it."""
    try:
        yield
    except InputError as error:
        reason = f"expected {error.expected}, got {error.got}"
        problems.append(Problem(song, error.item, reason))
    except (MsaError, OSError) as error:
        problems.append(Problem(song, str(path), str(error)))


def some_of(titles: Sequence[str]) -> str:
    """Return the first of them as one text, without a full stop, and how many more there are."""
    rest = len(titles) - _MAX_NAMED
    more = f"; and {rest} more" if rest > 0 else ""
    return "; ".join(title.removesuffix(".") for title in titles[:_MAX_NAMED]) + more


def _content(root: Path) -> str:
    """Say in a few words what is at a place where something else was expected."""
    if not root.is_dir():
        return "a file" if root.is_file() else "nothing there"
    names = sorted(path.name for path in root.iterdir())
    return (
        f"a folder with {', '.join(names[:5])}{', ...' * (len(names) > 5)}"
        if names
        else "an empty folder"
    )
