"""Notes to piano rolls, and piano rolls to notes.

Rolls have 88 pitches, MIDI 21 to 108, and time as the last axis.
"""

import warnings

import numpy as np

from msa_sk.exceptions import NotesError, NotesWarning
from msa_sk.notes import Notes

LOWEST_PITCH, HIGHEST_PITCH = 21, 108
_EPSILON = 1e-6  # of a frame: seconds times a rate are rarely whole to the last digit
N_PITCHES = HIGHEST_PITCH - LOWEST_PITCH + 1


def notes_to_roll(notes: Notes, n_frames: int, frame_rate: float, start: int = 0) -> np.ndarray:
    """Return the piano roll of one instrument.

    A note lights frames ``round(onset * frame_rate)`` up to, not including,
    ``max(first + 1, round(offset * frame_rate))``.

    Parameters
    ----------
    notes : Notes
        Pitches outside 21 to 108 leave the roll, with one NotesWarning.
    n_frames : int
    frame_rate : float
        In Hz.
    start : int, default=0
        The frame that the roll begins with, of the frames that notes are counted in.

    Returns
    -------
    roll : ndarray of float32, shape (88, n_frames)
        1 where a note is on, else 0.
    """
    roll = np.zeros((N_PITCHES, n_frames), np.float32)
    on_keys = in_rolls(notes)
    if not on_keys.all():
        warn_of_left_out(np.sum(~on_keys))
    first = np.round(notes.onset * frame_rate).astype(int)
    last = np.maximum(first + 1, np.round(notes.offset * frame_rate).astype(int))
    first, last = np.maximum(first - start, 0), last - start
    for i in np.flatnonzero(on_keys & (first < n_frames) & (last > 0)):
        roll[notes.pitch[i] - LOWEST_PITCH, first[i] : last[i]] = 1
    return roll


def in_rolls(notes: Notes) -> np.ndarray:
    """Return whether each note has a pitch of a roll, (n_notes,)."""
    return (notes.pitch >= LOWEST_PITCH) & (notes.pitch <= HIGHEST_PITCH)


def warn_of_left_out(n_notes: int, whose: str = "") -> None:
    """Warn, with a NotesWarning, of so many notes that rolls do not have; `whose` follows them."""
    warnings.warn(
        f"{n_notes} notes{whose} outside MIDI pitches {LOWEST_PITCH} to {HIGHEST_PITCH} left the "
        "piano roll; Notes keep them.",
        NotesWarning,
        stacklevel=3,
    )


def roll_to_notes(
    roll: np.ndarray,
    frame_rate: float,
    threshold: float = 0.5,
    min_duration: float = 0.05,
    max_gap: float = 0.03,
) -> Notes:
    """Return the notes of a roll of posteriors, frame by frame: it undoes `notes_to_roll`.

    What estimators find is decoded by `msa_sk.decoding`, which also listens.

    Frames at or above the threshold are on; gaps within a pitch that are shorter than or as
    long as `max_gap` are closed; what is then shorter than `min_duration` is left out.

    Parameters
    ----------
    roll : ndarray of shape (88, n_frames)
        Posteriors, 0 to 1.
    frame_rate : float
        In Hz.
    threshold : float, default=0.5
    min_duration, max_gap : float, default=0.05, 0.03
        In seconds.

    Returns
    -------
    notes : Notes
        Onsets and offsets on the grid of frames; velocity unknown (64).
    """
    roll = check_roll(roll)
    pitch, onset, offset = find_runs(roll >= threshold, max_gap * frame_rate + _EPSILON)
    long_enough = offset - onset >= min_duration * frame_rate - _EPSILON
    return Notes(
        onset[long_enough] / frame_rate,
        offset[long_enough] / frame_rate,
        pitch[long_enough] + LOWEST_PITCH,
    )


def check_roll(roll: np.ndarray) -> np.ndarray:
    """Return a roll of one instrument as an array; refuse what is none.

    Raises
    ------
    NotesError
    """
    if np.ndim(roll) != 2 or len(roll) != N_PITCHES or not np.isfinite(roll).all():
        raise NotesError(
            "roll",
            f"finite posteriors of shape ({N_PITCHES}, n_frames)",
            f"shape {np.shape(roll)}"
            + ("" if np.isfinite(roll).all() else " with NaN or infinity"),
            "Pass one instrument's roll.",
        )
    return np.asarray(roll)


def find_runs(sounds: np.ndarray, max_gap: float = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the stretches in which pitches sound, sorted by pitch, then time.

    Parameters
    ----------
    sounds : ndarray of bool, shape (n_pitches, n_frames)
    max_gap : float, default=0
        In frames: gaps within a pitch that are no longer are closed.

    Returns
    -------
    pitch, start, end : ndarray of int, shape (n_runs,)
        The row, the first frame, and the one after the last.
    """
    n_pitches, n_frames = sounds.shape
    width = n_frames + 1  # a pitch is silent before the next one's first frame
    line = np.zeros(n_pitches * width + 1, bool)
    line[1:].reshape(n_pitches, width)[:, :-1] = sounds
    changes = np.flatnonzero(line[1:] != line[:-1])
    pitch, start = np.divmod(changes[::2], width)
    end = changes[1::2] - pitch * width
    parted = (pitch[1:] != pitch[:-1]) | (start[1:] - end[:-1] > max_gap)
    begins, ends = (np.insert(parted, at, True)[: len(pitch)] for at in (0, len(parted)))
    return pitch[begins], start[begins], end[ends]
