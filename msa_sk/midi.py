"""MIDI in and out: one named track per instrument.

Reading is done here, because the usual parsers give up a whole file for one bad key signature
or one track name that is not Latin-1, and end a note at the first note-off of its pitch. An
event's length is known before its content, so one that is damaged can be stepped over.
"""

import heapq
import os
import re
import warnings
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, cycle
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from msa_sk._files import atomic_path
from msa_sk.exceptions import (
    InstrumentError,
    MidiFormatError,
    MsaWarning,
    NotesError,
    NotesWarning,
)
from msa_sk.records import Notes, unknown_name

#: Every General MIDI program belongs to one of these families. "strings" are the bowed strings
#: and the string ensembles; harp, timpani and voices are on their own.
FAMILIES: dict[str, tuple[int, ...]] = {
    "piano": tuple(range(8)),
    "chromatic_percussion": tuple(range(8, 16)),
    "organ": tuple(range(16, 24)),
    "guitar": tuple(range(24, 32)),
    "bass": tuple(range(32, 40)),
    "strings": (*range(40, 46), *range(48, 52)),
    "harp": (46,),
    "timpani": (47,),
    "voice": (52, 53, 54),
    "orchestra_hit": (55,),
    "brass": tuple(range(56, 64)),
    "reed": tuple(range(64, 72)),
    "pipe": tuple(range(72, 80)),
    "synth_lead": tuple(range(80, 88)),
    "synth_pad": tuple(range(88, 96)),
    "synth_effects": tuple(range(96, 104)),
    "ethnic": tuple(range(104, 112)),
    "percussive": tuple(range(112, 120)),
    "sound_effects": tuple(range(120, 128)),
}

#: Single instruments: a name to ask for, and the programs that answer to it. The first program
#: is the one that is written.
INSTRUMENTS: dict[str, tuple[int, ...]] = {
    "electric_piano": (4, 5),
    "harpsichord": (6,),
    "celesta": (8,),
    "glockenspiel": (9,),
    "vibraphone": (11,),
    "marimba": (12,),
    "xylophone": (13,),
    "accordion": (21, 23),
    "harmonica": (22,),
    "acoustic_guitar": (24, 25),
    "electric_guitar": (27, 26, 28, 29, 30, 31),
    "acoustic_bass": (32,),
    "electric_bass": (33, 34, 35, 36, 37),
    "synth_bass": (38, 39),
    "violin": (40,),
    "viola": (41,),
    "cello": (42,),
    "contrabass": (43,),
    "choir": (52,),
    "vocals": (53, 52, 54),
    "trumpet": (56, 59),
    "trombone": (57,),
    "tuba": (58,),
    "horn": (60,),
    "saxophone": (65, 64, 66, 67),
    "sax": (65, 64, 66, 67),
    "oboe": (68,),
    "bassoon": (70,),
    "clarinet": (71,),
    "piccolo": (72,),
    "flute": (73,),
    "recorder": (74,),
    "banjo": (105,),
}
_PROGRAMS = FAMILIES | INSTRUMENTS
_FAMILY_OF = {program: name for name, programs in FAMILIES.items() for program in programs}
_FIRST_CHOICE = {"bass": 33, "strings": 48, "voice": 53, "brass": 61, "reed": 65, "pipe": 73}

DRUM_CHANNEL = 9  # that musicians count as 10
_MELODIC_CHANNELS = tuple(channel for channel in range(16) if channel != DRUM_CHANNEL)

TICKS_PER_BEAT = 1000
_TEMPO = 500_000  # microseconds per beat: 120 beats per minute
_TICK = _TEMPO * 1e-6 / TICKS_PER_BEAT  # half a millisecond
_MARK = "msa_sk"  # says that the track names of a file are its instruments

MAX_BYTES = 64 * 2**20
MAX_SECONDS = 24 * 3600.0
MAX_TEMPO_CHANGES = 100_000


def program_of(name: str) -> int | None:
    """Return the General MIDI program that an instrument is written with.

    A name that is not in the tables is looked up by its words, the last first
    (``"lead_guitar"`` is a guitar, ``"Violin 2"`` a violin); what remains unknown is a piano.

    Returns
    -------
    program : int from 0 to 127, or None for drums
    """
    words = re.sub(r"[\W\d_]+", " ", name.casefold()).split()
    for candidate in ["_".join(words), *reversed(words)]:
        if candidate == "drums":
            return None
        if candidate in _PROGRAMS:
            return _FIRST_CHOICE.get(candidate, _PROGRAMS[candidate][0])
    return 0


class Control(NamedTuple):
    """A controller, pitch bend or pressure event: its time in s and its three MIDI bytes."""

    time: float
    status: int
    data1: int
    data2: int


@dataclass(frozen=True, eq=False, repr=False)
class Part:
    """What one track of a MIDI file plays on one channel with one program.

    Parameters
    ----------
    track : int
        Its place in the file, from 0.
    name : str
        The track's name; empty where it has none.
    channel : int
        From 0 to 15; 9 holds the drums.
    program : int
        General MIDI program from 0 to 127; on the drum channel, the drum kit.
    notes : Notes
        As the keys were held; the sustain pedal is among the controls.
    controls : tuple of Control
        What else happens on the channel, in order.
    """

    track: int
    name: str
    channel: int
    program: int
    notes: Notes
    controls: tuple[Control, ...] = ()

    @property
    def family(self) -> str:
        """The General MIDI family (a key of `FAMILIES`), or ``"drums"``."""
        return "drums" if self.channel == DRUM_CHANNEL else _FAMILY_OF[self.program]

    def plays(self, instrument: str) -> bool:
        """Tell whether the part's program belongs to an instrument of the tables."""
        if self.channel == DRUM_CHANNEL:
            return instrument == "drums"
        return self.program in _PROGRAMS.get(instrument, ())

    def __repr__(self) -> str:
        return (
            f"Part({self.name!r}; {self.family}, program {self.program}; "
            f"channel {self.channel + 1}; {repr(self.notes)[6:-1]})"
        )


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
    conductor = [mido.MetaMessage("text", text=_MARK), mido.MetaMessage("set_tempo", tempo=_TEMPO)]
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
    song = _load(path, stacklevel=3)
    names = song.names if song.is_ours else []
    if instruments is not None:
        check_known(instruments, song.names)
        names = list(instruments)
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
    return _load(path, stacklevel=3).parts


def check_known(instruments: Sequence[str], also: Sequence[str] = ()) -> None:
    """Refuse instruments that are neither in the tables, nor drums, nor in `also`.

    Raises
    ------
    InstrumentError
        Naming the closest instrument that is known.
    """
    if isinstance(instruments, str):
        raise InstrumentError(
            "instruments", "a sequence of names", repr(instruments), f"Pass [{instruments!r}]."
        )
    known = [*filter(None, also), *_PROGRAMS, "drums"]
    for name in instruments:
        if name not in known:
            raise unknown_name("instruments", name, known)


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


# ------------------------------------------------------------------------------------- writing


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


# ------------------------------------------------------------------------------------- reading


class _Song(NamedTuple):
    parts: list[Part]
    names: list[str]  # of all tracks but the conductor's in a file of ours
    is_ours: bool


class _Event(NamedTuple):
    tick: int
    status: int
    data1: int
    data2: int
    body: bytes = b""


#: (tick, velocity, program): velocity 0 ends a note, _END_ALL all of them.
_Stroke = tuple[int, int, int]
_END_ALL = -1
_Row = tuple[int, int, int, int, int]  # program, onset and offset in ticks, pitch, velocity
_Clock = Callable[[Sequence[int] | np.ndarray], np.ndarray]  # from ticks to seconds


def _load(path: str | os.PathLike, stacklevel: int) -> _Song:
    item = os.fsdecode(path)
    division, chunks = _read_chunks(path, item)
    tracks = [list(_events(chunk, item)) for chunk in chunks]
    repairs: dict[str, int] = defaultdict(int)
    seconds = _clock(tracks, division, item, repairs)
    names = [_track_name(track) for track in tracks]
    is_ours = bool(tracks) and any(
        event.data1 == 0x01 and event.body == _MARK.encode() for event in _metas(tracks[0])
    )
    parts = _parts(tracks, names, seconds, repairs)
    last = max((part.notes.offset.max() for part in parts), default=0.0)
    if last > MAX_SECONDS:
        raise MidiFormatError(
            item,
            f"notes that end within {MAX_SECONDS:.0f} s",
            f"a note that ends at {last:.3g} s",
            "The times or the tempo are damaged; leave the file out.",
        )
    what = "; ".join(f"{n} {text}" for text, n in repairs.items() if n)
    if what:
        warnings.warn(f"{item}: {what}.", NotesWarning, stacklevel=stacklevel)
    return _Song(parts, names[1:] if is_ours else names, is_ours)


def _refuse(item: str, got: str, expected: str = "a MIDI file") -> MidiFormatError:
    return MidiFormatError(item, expected, got, "Export it again, or leave it out.")


def _read_chunks(path: str | os.PathLike, item: str) -> tuple[int, list[bytes]]:
    """Return the file's time division and its tracks."""
    path = Path(path)
    if not path.is_file():
        raise MidiFormatError(
            item,
            "a MIDI file",
            "a directory" if path.is_dir() else "nothing there",
            "Check the path.",
        )
    if path.stat().st_size > MAX_BYTES:
        raise _refuse(item, f"{path.stat().st_size} bytes", f"at most {MAX_BYTES} bytes")
    data = path.read_bytes()
    if not data:
        raise _refuse(item, "an empty file")
    if data[:4] != b"MThd" or len(data) < 14:
        raise _refuse(item, f"a file that begins with {data[:4]!r}")
    start = 8 + int.from_bytes(data[4:8])
    format_, n_tracks, division = (int.from_bytes(data[i : i + 2]) for i in (8, 10, 12))
    if format_ > 1:
        raise _refuse(item, f"type {format_}", "a MIDI file of type 0 or 1")
    if n_tracks == 0:
        raise _refuse(item, "no tracks")
    chunks: list[bytes] = []
    while len(chunks) < n_tracks:
        kind, size = data[start : start + 4], int.from_bytes(data[start + 4 : start + 8])
        chunk = data[start + 8 : start + 8 + size]
        if len(data) < start + 8 or len(chunk) < size:
            raise _refuse(item, f"a file that breaks off in track {len(chunks)} of {n_tracks}")
        start += 8 + size
        if kind == b"MTrk":  # others are to be stepped over
            chunks.append(chunk)
    return division, chunks


def _variable_length(chunk: bytes, position: int) -> tuple[int, int]:
    value = 0
    for place in range(position, position + 4):
        value = value << 7 | chunk[place] & 0x7F
        if chunk[place] < 0x80:
            return value, place + 1
    raise IndexError("a number of more than four bytes")


def _events(chunk: bytes, item: str) -> Iterator[_Event]:
    """Yield the channel events and the meta events of a track."""
    position = tick = running = 0
    try:
        while position < len(chunk):
            delta, position = _variable_length(chunk, position)
            tick += delta
            status = chunk[position]
            if status >= 0x80:
                position += 1
            else:
                status = running
            if status in (0xF0, 0xF7, 0xFF):
                kind = chunk[position] if status == 0xFF else 0
                length, position = _variable_length(chunk, position + (status == 0xFF))
                body = chunk[position : position + length]
                position += length
                if len(body) < length:
                    raise IndexError("an event that reaches past its track")
                if status == 0xFF:
                    yield _Event(tick, status, kind, 0, body)
                    if kind == 0x2F:
                        return
            elif status >= 0xF0:  # never stored in files that keep to the rules
                position += {0xF1: 1, 0xF2: 2, 0xF3: 1}.get(status, 0)
            else:
                running = status
                data1 = chunk[position]
                position += 1
                data2 = 0
                if status & 0xE0 != 0xC0:  # all but program changes and channel pressure
                    data2 = chunk[position]
                    position += 1
                if status < 0x80 or data1 | data2 > 0x7F:
                    raise IndexError("bytes that are no event")
                yield _Event(tick, status, data1, data2)
    except IndexError as error:
        reason = str(error) if "index" not in str(error) else "a track that breaks off"
        raise _refuse(item, f"{reason}, at byte {position} of a track") from None


def _metas(track: list[_Event]) -> Iterator[_Event]:
    return (event for event in track if event.status == 0xFF)


def _track_name(track: list[_Event]) -> str:
    body = next((event.body for event in _metas(track) if event.data1 == 0x03), b"")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return body.decode("latin-1")


def _clock(
    tracks: list[list[_Event]], division: int, item: str, repairs: dict[str, int]
) -> _Clock:
    """Return the function from ticks to seconds."""
    if division & 0x8000:  # film time: frames per second, ticks per frame
        rate = (256 - (division >> 8)) * (division & 0xFF)
        if not rate:
            raise _refuse(item, "0 ticks per second", "a time division above 0")
        return lambda ticks: np.asarray(ticks) / rate
    if not division:
        raise _refuse(item, "0 ticks per beat", "a time division above 0")
    tempos = [(0, _TEMPO)]
    changes = [e for track in tracks for e in _metas(track) if e.data1 == 0x51]
    if len(changes) > MAX_TEMPO_CHANGES:
        raise _refuse(
            item, f"{len(changes)} tempo changes", f"at most {MAX_TEMPO_CHANGES} tempo changes"
        )
    for event in sorted(changes, key=itemgetter(0)):
        tempo = int.from_bytes(event.body)
        if len(event.body) == 3 and tempo:
            tempos.append((event.tick, tempo))
        else:
            repairs["damaged tempo changes were ignored"] += 1
    change_ticks, micros = np.array(tempos).T
    seconds_per_tick = micros * 1e-6 / division
    change_times = np.concatenate([[0], np.cumsum(np.diff(change_ticks) * seconds_per_tick[:-1])])

    def seconds(ticks: Sequence[int] | np.ndarray) -> np.ndarray:
        ticks = np.asarray(ticks, int)
        last = np.searchsorted(change_ticks, ticks, side="right") - 1
        return change_times[last] + (ticks - change_ticks[last]) * seconds_per_tick[last]

    return seconds


def _parts(
    tracks: list[list[_Event]], names: list[str], seconds: _Clock, repairs: dict[str, int]
) -> list[Part]:
    """Follow every channel of every track, and sort its notes by program."""
    own: dict[tuple[int, int], list[_Event]] = defaultdict(list)
    for i, track in enumerate(tracks):
        for event in track:
            if event.status < 0xF0:
                own[i, event.status & 0x0F].append(event)
    playing = {place for place, events in own.items() if any(map(_is_onset, events))}
    parts = []
    for i, channel in sorted(playing):
        events = own[i, channel]
        # Tracks may share a channel. What a track without notes sets there holds for all; what
        # another player sets, only if this one would have no program otherwise.
        others = {
            j: [event for event in states if event.status >> 4 >= 0xB]
            for (j, c), states in own.items()
            if c == channel and j != i
        }
        quiet = [states for j, states in others.items() if (j, channel) not in playing]
        has_program = any(event.status >> 4 == 0xC for event in chain(events, *quiet))
        shared = quiet if has_program else others.values()
        merged = list(heapq.merge(*shared, events, key=itemgetter(0)))
        rows, controls = _follow(merged, tracks[i][-1].tick, repairs)
        control_times = seconds([event.tick for event in controls]).tolist()
        kept = tuple(
            Control(time, *event[1:4]) for time, event in zip(control_times, controls, strict=True)
        )
        for program in dict.fromkeys(row[0] for row in rows):
            onset, offset, pitch, velocity = np.array([r[1:] for r in rows if r[0] == program]).T
            start = seconds(onset)
            end = np.maximum(seconds(offset), np.nextafter(start, np.inf))
            notes = Notes(start, end, pitch, velocity)
            parts.append(Part(i, names[i], channel, program, notes, kept))
    return parts


def _is_onset(event: _Event) -> bool:
    return event.status >> 4 == 0x9 and event.data2 > 0


def _follow(
    events: list[_Event], end: int, repairs: dict[str, int]
) -> tuple[list[_Row], list[_Event]]:
    """Return the notes of one channel, as they began, and its controls."""
    strokes: dict[int, list[_Stroke]] = defaultdict(list)
    controls, program = [], 0
    for event in events:
        kind = event.status >> 4
        if kind in (0x8, 0x9):
            velocity = event.data2 if kind == 0x9 else 0
            strokes[event.data1].append((event.tick, velocity, program))
        elif kind == 0xC:
            program = event.data1
        elif kind == 0xB and event.data1 in (120, 123):  # all sound off, all notes off
            for of_one_key in strokes.values():
                of_one_key.append((event.tick, _END_ALL, program))
        else:
            controls.append(event)
    rows: list[_Row] = []
    for pitch, of_one_key in strokes.items():
        notes, n_left, _ = _pair(of_one_key, end)
        if n_left:
            of_one_key = _unswapped(of_one_key)
            notes, n_left, _ = _pair(of_one_key, end)
        if n_left:  # some writers end doubled notes once: then an end is the end of all
            notes, n_left, n_ended = _pair(of_one_key, end, end_all=True)
            repairs["notes ended with another one of their pitch"] += n_ended
            repairs["notes without an end were ended with their track"] += n_left
        for onset, offset, velocity, its_program in notes:
            repairs["notes of no length were made one tick long"] += offset <= onset
            rows.append((its_program, onset, max(offset, onset + 1), pitch, velocity))
    return sorted(rows, key=itemgetter(1)), controls


def _pair(
    strokes: list[_Stroke], end: int, end_all: bool = False
) -> tuple[list[tuple[int, int, int, int]], int, int]:
    """Pair the beginnings and ends of one key, first in, first out.

    Returns
    -------
    notes : list of (onset, offset, velocity, program)
    n_left, n_together : int
        How many notes found no end, and how many shared one with another note.
    """
    notes: list[tuple[int, int, int, int]] = []
    held: deque[_Stroke] = deque()
    n_together = 0
    for tick, velocity, program in strokes:
        if velocity > 0:
            held.append((tick, velocity, program))
        elif held:
            n_ended = len(held) if end_all or velocity == _END_ALL else 1
            n_together += n_ended - 1 if velocity == 0 else 0
            for _ in range(n_ended):
                onset, its_velocity, its_program = held.popleft()
                notes.append((onset, tick, its_velocity, its_program))
    notes += [(onset, max(end, onset + 1), *rest) for onset, *rest in held]  # type: ignore[misc]
    return notes, len(held), n_together


def _unswapped(strokes: list[_Stroke]) -> list[_Stroke]:
    """Put the end of a note of no length behind its beginning: some writers sort ends first."""
    result: list[_Stroke] = []
    n_held = n_early = last = 0
    for tick, velocity, program in strokes:
        n_early = n_early if tick == last else 0
        last = tick
        if velocity <= 0 and not n_held:
            n_early += 1
            continue
        result.append((tick, velocity, program))
        if velocity > 0 and n_early:
            result.append((tick, 0, program))
            n_early -= 1
        elif velocity == _END_ALL:
            n_held = 0
        else:
            n_held += 1 if velocity > 0 else -1
    return result


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
