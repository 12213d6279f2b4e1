"""MIDI in and out: one named track per instrument."""

import os
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from msa_sk._files import atomic_path
from msa_sk._general_midi import DRUM_CHANNEL, FAMILIES, INSTRUMENTS, check_known, program_of
from msa_sk._midi_file import DEFAULT_TEMPO, MARK, MAX_SECONDS, Part, load
from msa_sk.exceptions import InstrumentError, MsaWarning, NotesError, NotesWarning
from msa_sk.notes import Notes

__all__ = [
    "FAMILIES",
    "INSTRUMENTS",
    "Part",
    "merge_notes",
    "program_of",
    "read_midi",
    "read_parts",
    "separate_overlaps",
    "write_midi",
]

TICKS_PER_BEAT = 1000
_TICK = DEFAULT_TEMPO * 1e-6 / TICKS_PER_BEAT  # half a millisecond
_MELODIC_CHANNELS = tuple(channel for channel in range(16) if channel != DRUM_CHANNEL)


def write_midi(path: str | os.PathLike, notes: Mapping[str, Notes]) -> Path:
    """Write a type-1 MIDI file with one named track per instrument, whole or not at all.

    The tempo is 120 beats per minute throughout and a tick is half a millisecond. Names are
    written as UTF-8. An instrument gets the program that `program_of` names, ``"drums"`` the
    drum channel; notes of one pitch that overlap go to further channels of the same track.

    Parameters
    ----------
    path : path-like
    notes : dict of str to Notes
        In the order of the tracks. An instrument without notes keeps its track.

    Returns
    -------
    path : Path

    Raises
    ------
    NotesError
        If a value is not Notes, or a note ends after 24 hours.
    InputError
        If the path is a folder, or its folder is not there.
    InstrumentError
        If a name is no string or cannot be written.

    Warns
    -----
    NotesWarning
        If overlapping notes of one pitch had to exchange their ends (drums have one channel).
    MsaWarning
        If more than 15 channels are needed: they repeat, and only tools that keep the tracks
        apart (as `read_midi` does) play every track with its own program.

    Examples
    --------
    >>> import tempfile
    >>> from msa_sk import Notes
    >>> from msa_sk.midi import read_midi, write_midi
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_midi(f"{folder}/song.mid", {"bass": Notes([0.5], [1.0], [40])})
    ...     read_midi(path)
    {'bass': Notes(1 note; pitch 40 to 40; 0.50 to 1.00 s)}
    """
    import mido

    _check_writable(notes)
    ticks = {name: _to_ticks(value) for name, value in notes.items()}
    lanes = {name: _lanes(*ticks[name]) for name in notes}
    channels = _assign_channels({name: int(lanes[name].max(initial=0)) + 1 for name in notes})

    file = mido.MidiFile(type=1, ticks_per_beat=TICKS_PER_BEAT, charset="utf-8")
    conductor = [
        mido.MetaMessage("text", text=MARK),
        mido.MetaMessage("set_tempo", tempo=DEFAULT_TEMPO),
    ]
    file.tracks.append(mido.MidiTrack(conductor))
    n_changed = 0
    for name, value in notes.items():
        onset, offset, pitch = ticks[name]
        channel = np.array(channels[name])[np.minimum(lanes[name], len(channels[name]) - 1)]
        paired = _first_in_first_out(onset, offset, pitch, channel)
        n_changed += int(np.sum(paired != offset))
        program = program_of(name) or 0
        track = [mido.MetaMessage("track_name", name=name)]
        track += [
            mido.Message("program_change", channel=c, program=program) for c in channels[name]
        ]
        track += _messages(onset, paired, pitch, value.velocity, channel)
        file.tracks.append(mido.MidiTrack(track))
    if n_changed:
        warnings.warn(
            f"{path}: {n_changed} overlapping notes of one pitch exchanged their ends; one MIDI "
            "channel cannot tell them apart.",
            NotesWarning,
            stacklevel=2,
        )
    with atomic_path(path) as temporary:
        file.save(temporary)
    return Path(path)


def read_midi(
    path: str | os.PathLike, instruments: Sequence[str] | None = None, *, sustain: bool = False
) -> dict[str, Notes]:
    """Read the notes of a MIDI file, instrument by instrument.

    In a file of `write_midi` the track names are the instruments. In any other file a track
    belongs to the instrument that was asked for by the track's exact name, else to the first
    that its General MIDI program belongs to (see `FAMILIES` and `INSTRUMENTS`); channel 10
    holds the ``"drums"``.

    Parameters
    ----------
    path : path-like
    instruments : sequence of str, default=None
        What to read; None reads everything, by family in a file of other origin.
    sustain : bool, default=False
        Lengthen notes to the release of the sustain pedal, or to the next note of their
        pitch. By default the notes end when their keys are released.

    Returns
    -------
    notes : dict of str to Notes
        With the keys `instruments`, in that order, where they are given: one that does not
        play has ``Notes()``. Otherwise in the order of the file.

    Raises
    ------
    MidiFormatError
        If the file is missing, damaged, not MIDI, or longer than 24 hours.
    InstrumentError
        If an instrument is neither in the tables nor the name of a track.

    Warns
    -----
    NotesWarning
        With the number of notes and events that were repaired or ignored.
    """
    song = load(path, stacklevel=3)
    names = song.names if song.is_ours else []
    if instruments is not None:
        names = list(check_known(instruments, song.names, at_least=0))
    found: dict[str, list[Notes]] = {name: [] for name in names}
    for part in song.parts:
        notes = _sustained(part) if sustain else part.notes
        if part.name in names:
            found[part.name].append(notes)
        elif instruments is None:
            found.setdefault(part.family, []).append(notes)
        elif not song.is_ours:
            name = next((name for name in names if part.plays(name)), None)
            if name is not None:
                found[name].append(notes)
    return {name: merge_notes(notes) for name, notes in found.items()}


def read_parts(path: str | os.PathLike) -> list[Part]:
    """List what a MIDI file holds: one Part per track, channel and program that has notes.

    A track that sets no program of its own follows the other tracks of its channel. Errors and
    warnings as in `read_midi`.
    """
    return load(path, stacklevel=3).parts


def merge_notes(notes: Sequence[Notes]) -> Notes:
    """Put the notes of several players into one record."""
    if not notes:
        return Notes()
    columns = ("onset", "offset", "pitch", "velocity")
    return Notes(*(np.concatenate([getattr(one, column) for one in notes]) for column in columns))


def separate_overlaps(notes: Notes) -> list[Notes]:
    """Split notes so that within each part no two of one pitch overlap; most stay in the first."""
    lanes = _lanes(notes.onset, notes.offset, notes.pitch)
    return [notes.select(lanes == lane) for lane in range(lanes.max(initial=-1) + 1)]


def _sustained(part: Part) -> Notes:
    """Return a part's notes, lengthened by its sustain pedal."""
    pedal = [
        (c.time, c.data2 >= 64) for c in part.controls if c.status >> 4 == 0xB and c.data1 == 64
    ]
    notes = part.notes
    if not pedal:
        return notes
    times, down = (np.array(column) for column in zip(*pedal, strict=True))
    lifts = np.append(times[~down], max(notes.offset.max(), times[-1]))
    before = np.searchsorted(times, notes.offset, side="right") - 1
    is_held = (before >= 0) & down[before]
    lifted = lifts[np.minimum(np.searchsorted(lifts, notes.offset), len(lifts) - 1)]
    offset = np.where(is_held, np.maximum(lifted, notes.offset), notes.offset)
    for pitch in np.unique(notes.pitch):  # a key that is struck again ends its last note
        mine = np.flatnonzero(notes.pitch == pitch)
        following = np.append(notes.onset[mine][1:], np.inf)
        offset[mine] = np.maximum(notes.offset[mine], np.minimum(offset[mine], following))
    return Notes(notes.onset, offset, notes.pitch, notes.velocity)


def _check_writable(notes: Mapping[str, Notes]) -> None:
    if not isinstance(notes, Mapping):
        raise NotesError(
            "write_midi(notes=)",
            "a dict of instrument to Notes",
            type(notes).__name__,
            "Name the instrument: {'piano': notes}.",
        )
    for name, value in notes.items():
        item = f"write_midi(notes=)[{name!r}]"
        try:
            name.encode("utf-8")
        except (AttributeError, UnicodeEncodeError):
            raise InstrumentError(
                item, "a name of Unicode characters", repr(name), "Rename it."
            ) from None
        if not isinstance(value, Notes):
            raise NotesError(
                item, "Notes", type(value).__name__, "Build Notes(onset, offset, pitch)."
            )
        if len(value) and value.offset.max() > MAX_SECONDS:
            raise NotesError(
                item,
                f"notes that end within {MAX_SECONDS:.0f} s",
                f"an offset at {value.offset.max():g} s",
                "Are the times in seconds?",
            )


def _to_ticks(notes: Notes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return onsets and offsets in ticks, at least one tick apart, and the pitches."""
    onset = np.round(notes.onset / _TICK).astype(int)
    offset = np.round(notes.offset / _TICK).astype(int)
    return onset, np.maximum(offset, onset + 1), notes.pitch


def _messages(
    onset: np.ndarray,
    offset: np.ndarray,
    pitch: np.ndarray,
    velocity: np.ndarray,
    channel: np.ndarray,
) -> Iterator[Any]:
    """Yield the messages of a track's notes, each with its distance to the last in ticks."""
    import mido

    # Ends come first, so that a repeated note is not ended by the one before it.
    events = [(int(tick), 0, i) for i, tick in enumerate(offset)]
    events += [(int(tick), 1, i) for i, tick in enumerate(onset)]
    last = 0
    for tick, starts, i in sorted(events):
        yield mido.Message(
            "note_on" if starts else "note_off",
            channel=int(channel[i]),
            note=int(pitch[i]),
            velocity=int(velocity[i]) if starts else 0,
            time=tick - last,
        )
        last = tick


def _lanes(onset: np.ndarray, offset: np.ndarray, pitch: np.ndarray) -> np.ndarray:
    """Number the notes so that those with one number and one pitch never overlap.

    The notes come in the order of their onsets; most have number 0.
    """
    ends: dict[int, list] = defaultdict(list)
    lanes = np.zeros(len(onset), int)
    for i, (start, end, key) in enumerate(zip(onset, offset, pitch, strict=True)):
        free = (lane for lane, busy_until in enumerate(ends[key]) if busy_until <= start)
        lanes[i] = lane = next(free, len(ends[key]))
        ends[key][lane : lane + 1] = [end]
    return lanes


def _assign_channels(n_lanes: Mapping[str, int]) -> dict[str, list[int]]:
    """Give every instrument a channel for each lane, as far as there are channels."""
    supply = cycle(_MELODIC_CHANNELS)
    melodic = {name: n for name, n in n_lanes.items() if program_of(name) is not None}
    channels = {name: [next(supply) if name in melodic else DRUM_CHANNEL] for name in n_lanes}
    for name, n in melodic.items():
        for _ in range(min(n, len(_MELODIC_CHANNELS)) - 1):
            channels[name].append(next(c for c in supply if c not in channels[name]))
    n_needed = sum(melodic.values())
    if n_needed > len(_MELODIC_CHANNELS):
        warnings.warn(
            f"{n_needed} channels are needed and MIDI has {len(_MELODIC_CHANNELS)} besides the "
            "drums': they repeat, and tracks must be played apart.",
            MsaWarning,
            stacklevel=3,
        )
    return channels


def _first_in_first_out(
    onset: np.ndarray, offset: np.ndarray, pitch: np.ndarray, channel: np.ndarray
) -> np.ndarray:
    """Return the offsets that a reader finds who ends the oldest note of a pitch first."""
    paired = offset.copy()
    place = channel * 128 + pitch
    by_onset = np.lexsort((onset, place))
    by_offset = np.lexsort((offset, place))
    paired[by_onset] = offset[by_offset]
    return paired
