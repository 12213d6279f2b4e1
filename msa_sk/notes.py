"""Notes: the note events of one instrument."""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from msa_sk._arguments import check_excerpt
from msa_sk.exceptions import NotesError

UNKNOWN_VELOCITY = 64


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

    def select(self, keep: np.ndarray) -> "Notes":
        """Return the notes that a boolean mask or an index array picks.

        Raises
        ------
        NotesError
            If `keep` is neither, or does not fit the number of notes.
        """
        try:
            return Notes(
                self.onset[keep], self.offset[keep], self.pitch[keep], self.velocity[keep]
            )
        except (IndexError, TypeError, ValueError) as error:
            raise NotesError(
                "select(keep)",
                f"a boolean mask of {len(self)} notes, or their indices",
                repr(keep)[:80],
                "Compare a column: notes.pitch > 60.",
            ) from error

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

    onset = property(lambda self: _pick(*self._stretch).onset)
    offset = property(lambda self: _pick(*self._stretch).offset)
    pitch = property(lambda self: _pick(*self._stretch).pitch)
    velocity = property(lambda self: _pick(*self._stretch).velocity)


def _column(values: object, name: str) -> np.ndarray:
    try:
        column = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
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
    onset, offset, pitch, velocity = (columns[n] for n in ("onset", "offset", "pitch", "velocity"))
    rules = [
        (
            "finite times, pitches and velocities",
            np.isfinite(onset) & np.isfinite(offset) & np.isfinite(pitch) & np.isfinite(velocity),
        ),
        ("an onset at 0 s or later", onset >= 0),
        ("an offset after its onset", offset > onset),
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
