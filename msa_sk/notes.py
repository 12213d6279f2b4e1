"""Notes: the note events of one instrument."""

from dataclasses import dataclass, field
from functools import lru_cache
from numbers import Integral
from typing import Any

import numpy as np

from msa_sk._arguments import check_excerpt, check_value
from msa_sk._sklearn import real, whole
from msa_sk.exceptions import NotesError, ParameterError

UNKNOWN_VELOCITY = 64
LATE = 0.1  # seconds by which notes may go on where a recording has ended, for it may be cut
_MAX_SECONDS = 1e9  # what lies later has no frame number
_TIMES = ("onset", "offset")
_COLUMNS = (*_TIMES, "pitch", "velocity")


@dataclass(frozen=True, eq=False, repr=False)
class Notes:
    """The note events of one instrument, sorted by onset, then pitch.

    Parameters
    ----------
    onset, offset : array-like of shape (n_notes,)
        In seconds; ``0 <= onset < offset``.
    pitch : array-like of shape (n_notes,)
        MIDI note numbers, 0 to 127.
    velocity : array-like of shape (n_notes,), default=None
        1 to 127; None means unknown and stores 64.

    Raises
    ------
    NotesError
        Naming the first note that is out of range.

    Examples
    --------
    >>> from msa_sk import Notes
    >>> Notes(onset=[0.5, 0.0], offset=[1.0, 0.4], pitch=[64, 60])
    Notes(2 notes; pitch 60 to 64; 0.00 to 1.00 s)
    """

    onset: np.ndarray = field(default_factory=lambda: np.zeros(0))
    offset: np.ndarray = field(default_factory=lambda: np.zeros(0))
    pitch: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    velocity: np.ndarray = None  # type: ignore[assignment]

    def __post_init__(self):
        columns = {
            name: _column(getattr(self, name), name) for name in ("onset", "offset", "pitch")
        }
        unknown = np.full(len(columns["onset"]), float(UNKNOWN_VELOCITY))
        columns["velocity"] = (
            unknown if self.velocity is None else _column(self.velocity, "velocity")
        )
        lengths = {name: len(values) for name, values in columns.items()}
        if len(set(lengths.values())) > 1:
            raise NotesError(
                "Notes",
                "columns of one length",
                str(lengths),
                "Give every note an onset, an offset and a pitch.",
            )
        _check_notes(columns)
        order = np.lexsort((columns["offset"], columns["pitch"], columns["onset"]))
        for name, values in columns.items():
            whole = name in ("pitch", "velocity")
            stored = values[order].astype(np.int64 if whole else np.float64)
            stored.flags.writeable = False
            object.__setattr__(self, name, stored)

    def __len__(self) -> int:
        return len(self.onset)

    def __repr__(self) -> str:
        if not len(self):
            return "Notes(none)"
        s = "" if len(self) == 1 else "s"
        return (
            f"Notes({len(self)} note{s}; pitch {self.pitch.min()} to {self.pitch.max()}; "
            f"{self.onset.min():.2f} to {self.offset.max():.2f} s)"
        )

    def find(
        self,
        times: tuple[float | None, float | None] | None = None,
        pitches: int | tuple[int | None, int | None] | None = None,
        indices: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return which notes begin within a stretch of time and lie within a range of pitches.

        Parameters
        ----------
        times : (float, float), default=None
            In seconds: onsets from the first and before the second. None, also as an end, is no
            limit.
        pitches : int or (int, int), default=None
            One MIDI number, or the lowest and the highest; None as for times.
        indices : array-like, default=None
            Of those that may be found, or a boolean mask; None is all.

        Returns
        -------
        found : ndarray of bool, shape (n_notes,)
            For `select` and `without`.

        Raises
        ------
        ParameterError
            If a range is none.
        NotesError
            If indices do not fit the number of notes.
        """
        low, high = _check_range(times, "times", real(None, closed="neither"))
        if isinstance(pitches, Integral):
            pitches = (pitches, pitches)
        lowest, highest = _check_range(pitches, "pitches", whole(0, 127))
        found = (self.onset >= low) & (self.onset < high)
        found &= (self.pitch >= lowest) & (self.pitch <= highest)
        if indices is not None:
            found &= np.isin(np.arange(len(self)), self._places(indices, "find(indices)"))
        return found

    def select(self, keep: np.ndarray) -> "Notes":
        """Return the notes that a boolean mask or an index array picks.

        Raises
        ------
        NotesError
            If `keep` is neither, or does not fit the number of notes.
        """
        places = self._places(keep, "select(keep)")
        return Notes(**{name: getattr(self, name)[places] for name in _COLUMNS})

    def without(self, drop: np.ndarray) -> "Notes":
        """Return the notes that a boolean mask or an index array does not pick.

        Raises
        ------
        NotesError
            As `select` does.
        """
        places = self._places(drop, "without(drop)")
        return self.select(np.delete(np.arange(len(self)), places))

    def _places(self, picked: np.ndarray, item: str) -> np.ndarray:
        try:
            places = np.arange(len(self))[picked]
        except (IndexError, TypeError, ValueError, OverflowError):
            places = np.zeros(())
        if places.ndim != 1:
            raise NotesError(
                item,
                f"a boolean mask of {len(self)} notes, or their indices",
                repr(picked)[:80],
                "Compare a column: notes.pitch > 60.",
            )
        return places

    def n_after(self, duration: float) -> int:
        """Return how many notes begin after so many seconds, by more than those of `LATE`."""
        return int(np.sum(self.onset > duration + LATE))

    def joined(self, other: "Notes") -> "Notes":
        """Return these notes and those of another."""
        pairs = ((name, getattr(self, name), getattr(other, name)) for name in _COLUMNS)
        return Notes(**{name: np.append(ours, theirs) for name, ours, theirs in pairs})

    def shifted(self, seconds: float) -> "Notes":
        """Return the notes so many seconds later; earlier where that is below 0.

        Raises
        ------
        NotesError
            If a note would begin before 0 s.
        """
        check_value(seconds, "shifted(seconds)", real(None))
        return self._with(onset=self.onset + seconds, offset=self.offset + seconds)

    def stretched(self, factor: float, start: float | None = None) -> "Notes":
        """Return the notes with all times scaled: a factor of 2 takes twice as long.

        Parameters
        ----------
        factor : float
            Above 0.
        start : float, default=None
            The instant that stays where it is, in seconds; None is the first onset.

        Raises
        ------
        NotesError
            If a note would begin before 0 s.
        """
        check_value(factor, "stretched(factor)", real(0, closed="neither"))
        check_value(start, "stretched(start)", None, real(None))
        at = self.onset.min(initial=np.inf) if start is None else start
        onset, offset = (at + (times - at) * factor for times in (self.onset, self.offset))
        return self._with(onset=onset, offset=offset)

    def transposed(self, semitones: int) -> "Notes":
        """Return the notes so many semitones higher, -127 to 127; lower where that is below 0.

        Raises
        ------
        NotesError
            If a pitch would leave 0 to 127.
        """
        check_value(semitones, "transposed(semitones)", whole(-127, 127))
        return self._with(pitch=self.pitch + semitones)

    def _with(self, **columns: np.ndarray) -> "Notes":
        """Return the notes with other columns; `replace` would not do for an excerpt."""
        return Notes(**{name: columns.get(name, getattr(self, name)) for name in _COLUMNS})

    def excerpt(self, start: float, duration: float) -> "Notes":
        """Return what sounds within a stretch of time, counted from its start.

        A note that is held over an edge is cut there, so that it still lights the roll. The
        notes are picked when they are asked for.

        Parameters
        ----------
        start, duration : float
            In seconds.

        Raises
        ------
        ParameterError
            If `start` is below 0 or `duration` not above 0.
        """
        check_excerpt(start, duration)
        return _NotesExcerpt(self, start, duration)


@lru_cache(maxsize=256)
def _pick(whole: Notes, start: float, duration: float) -> Notes:
    """Return the notes of a stretch; the last few are kept, since each column asks for them."""
    end = start + duration
    inside = whole.select((whole.onset < end) & (whole.offset > start))
    onset = np.clip(inside.onset - start, 0, None)
    offset = np.clip(inside.offset - start, None, duration)
    audible = offset > onset
    return Notes(onset[audible], offset[audible], inside.pitch[audible], inside.velocity[audible])


class _NotesExcerpt(Notes):
    """What sounds within a stretch of other notes.

    100,000 excerpts would take a minute to pick and hundreds of megabytes to send to workers;
    these share the notes of their song.
    """

    _stretch: tuple[Notes, float, float]

    def __init__(self, whole: Notes, start: float, duration: float):
        vars(self)["_stretch"] = (whole, start, duration)

    def n_after(self, duration: float) -> int:
        """Return as Notes do; what was cut to no more need not be picked for it."""
        return super().n_after(duration) if self._stretch[2] > duration + LATE else 0

    onset = property(lambda self: _pick(*self._stretch).onset)
    offset = property(lambda self: _pick(*self._stretch).offset)
    pitch = property(lambda self: _pick(*self._stretch).pitch)
    velocity = property(lambda self: _pick(*self._stretch).velocity)


def _check_range(values: Any, item: str, limit: Any) -> tuple[float, float]:
    """Return a range's two ends, which may be infinite."""
    is_pair = isinstance(values, tuple | list) and len(values) == 2
    low, high = values if is_pair else (None, None)
    for value in (low, high):
        check_value(value, f"find({item})", None, limit)
    ends = -np.inf if low is None else low, np.inf if high is None else high
    if ends[0] > ends[1] or not (is_pair or values is None):
        raise ParameterError(
            f"find({item})", "two numbers, the lower one first", repr(values)[:80], "Pass a pair."
        )
    return ends


def _column(values: object, name: str) -> np.ndarray:
    try:
        column = np.asarray(values, dtype=float)
    except (TypeError, ValueError, OverflowError):
        column = None
    if column is None or column.ndim != 1:
        raise NotesError(
            f"Notes({name}=)",
            "numbers of shape (n_notes,)",
            repr(values)[:80],
            "Give every note one number.",
        )
    return column


def _check_notes(columns: dict[str, np.ndarray]) -> None:
    onset, offset, pitch, velocity = (columns[name] for name in _COLUMNS)
    rules = [
        (
            "finite times, pitches and velocities",
            np.isfinite(onset) & np.isfinite(offset) & np.isfinite(pitch) & np.isfinite(velocity),
        ),
        ("an onset at 0 s or later", onset >= 0),
        ("an offset after its onset", offset > onset),
        (f"an offset within {_MAX_SECONDS:g} s", offset <= _MAX_SECONDS),
        (
            "a whole pitch from 0 to 127",
            (pitch >= 0) & (pitch <= 127) & (pitch == np.round(pitch)),
        ),
        (
            "a whole velocity from 1 to 127",
            (velocity >= 1) & (velocity <= 127) & (velocity == np.round(velocity)),
        ),
    ]
    for expected, holds in rules:
        if not np.all(holds):
            i = int(np.flatnonzero(~holds)[0])
            raise NotesError(
                f"note {i}",
                expected,
                f"onset {onset[i]:g} s, offset {offset[i]:g} s, "
                f"pitch {pitch[i]:g}, velocity {velocity[i]:g}",
                "Correct it or leave it out.",
            )
