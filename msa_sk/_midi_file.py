"""What is in a MIDI file, read event by event.

The usual parsers give up a whole file for one bad key signature or one track name that is not
Latin-1, and end all notes of a pitch at the first note-off. An event's length is known before
its content, so one that is damaged can be stepped over.
"""

import heapq
import os
import warnings
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from msa_sk._arguments import check_path
from msa_sk._general_midi import DRUM_CHANNEL, belongs_to, family_of
from msa_sk.exceptions import MidiFormatError, NotesWarning
from msa_sk.notes import Notes

MARK = "msa_sk"  # a text in the first track: the track names of this file are its instruments
DEFAULT_TEMPO = 500_000  # microseconds per beat: 120 beats per minute

MAX_BYTES = 64 * 2**20
MAX_SECONDS = 24 * 3600.0
MAX_TEMPO_CHANGES = 100_000


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
    controls : tuple of Control, default=()
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
        return "drums" if self.channel == DRUM_CHANNEL else family_of(self.program)

    def plays(self, instrument: str) -> bool:
        """Tell whether the part's program belongs to an instrument of the tables."""
        if self.channel == DRUM_CHANNEL:
            return instrument == "drums"
        return belongs_to(self.program, instrument)

    def __repr__(self) -> str:
        return (
            f"Part({self.name!r}; {self.family}, program {self.program}; "
            f"channel {self.channel + 1}; {repr(self.notes)[6:-1]})"
        )


class Song(NamedTuple):
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


def load(path: str | os.PathLike, stacklevel: int) -> Song:
    path = check_path(path)
    item = str(path)
    division, chunks = _read_chunks(path, item)
    tracks = [list(_events(chunk, item)) for chunk in chunks]
    repairs: dict[str, int] = defaultdict(int)
    seconds = _clock(tracks, division, item, repairs)
    names = [_track_name(track) for track in tracks]
    is_ours = bool(tracks) and any(
        event.data1 == 0x01 and event.body == MARK.encode() for event in _metas(tracks[0])
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
    return Song(parts, names[1:] if is_ours else names, is_ours)


def _refuse(item: str, got: str, expected: str = "a MIDI file") -> MidiFormatError:
    return MidiFormatError(item, expected, got, "Export it again, or leave it out.")


def _read_chunks(path: Path, item: str) -> tuple[int, list[bytes]]:
    """Return the file's time division and its tracks."""
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


class _DamageError(Exception):
    """What is wrong with a track."""


def _variable_length(chunk: bytes, position: int) -> tuple[int, int]:
    value = 0
    for place in range(position, position + 4):
        value = value << 7 | chunk[place] & 0x7F
        if chunk[place] < 0x80:
            return value, place + 1
    raise _DamageError("a number of more than four bytes")


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
                    raise _DamageError("an event that reaches past its track")
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
                    raise _DamageError("bytes that are no event")
                yield _Event(tick, status, data1, data2)
    except (IndexError, _DamageError) as error:
        reason = error if isinstance(error, _DamageError) else "a track that breaks off"
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
    tempos = [(0, DEFAULT_TEMPO)]
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
