"""Multitrack scenes from MIDI files and a SoundFont.

Every stem is played by a synthesizer of its own, dry, and the mixture is the sum of its stems:
one synthesizer for all instruments would not give stems that add up.
"""

import ctypes
import hashlib
import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from msa_sk._general_midi import DRUM_CHANNEL, check_known
from msa_sk.audio import check_rate, fit_length
from msa_sk.clips import Clip
from msa_sk.datasets.cache import write_float
from msa_sk.exceptions import (
    InputError,
    InstrumentError,
    MissingDependencyError,
    MsaError,
    MsaWarning,
    NotesWarning,
    ParameterError,
)
from msa_sk.hierarchy import Hierarchy
from msa_sk.midi import Part, merge_notes, read_parts, separate_overlaps
from msa_sk.notes import Notes
from msa_sk.records import Mixture, Scene

TAIL = 1.0  # s, in which the last note dies away
MAX_SECONDS = 3600.0
GAIN = 0.6  # mixtures of a whole band then rarely pass full scale
_RENDERING = "1"  # is part of the cache's keys: count it up when the sound changes
_DRUM_BANK = 128
_MAX_CHANNELS = 256
_MAX_RATE = 96_000
# Played below this rate, the samples of a SoundFont would alias.
_MIN_SYNTHESIS_RATE = 44_100
_SETTINGS = {
    "synth.reverb.active": 0,
    "synth.chorus.active": 0,
    "synth.polyphony": 1024,
    "synth.lock-memory": 0,
}


@dataclass(frozen=True)
class _Plan:
    """What is the same for all songs of one call."""

    soundfont: "_SoundFont"
    instruments: tuple[str, ...]
    hierarchy: Hierarchy | None
    n_required: int
    min_notes: int
    doubles: str
    sample_rate: int
    cache_dir: Path
    on_error: str


@dataclass(frozen=True)
class _Voice:
    """One stem of a song: an instrument, its notes and the file they were rendered to."""

    instrument: str
    notes: Notes
    path: Path


@dataclass(frozen=True)
class _Song:
    digest: str
    voices: list[list[_Voice]]  # for each instrument, the stems to choose from; none if left out
    repairs: list[str]


def render_scenes(
    midi_files: Sequence[str | os.PathLike],
    soundfont: str | os.PathLike,
    instruments: Sequence[str] | Hierarchy = ("piano", "guitar"),
    *,
    cache_dir: str | os.PathLike,
    sample_rate: int = 16000,
    require: str = "all",
    min_notes: int = 1,
    doubles: str = "sum",
    n_jobs: int | None = 1,
    on_error: str = "warn",
    verbose: int = 0,
) -> tuple[list[Mixture], list[Scene]]:
    """Render whole songs, one mixture and scene each, to stems on disk.

    A stem holds all tracks of an instrument, each with its own program, as a hierarchy sorts
    them or General MIDI does (`msa_sk.midi.FAMILIES` and `INSTRUMENTS`; channel 10 is
    ``"drums"``), in mono, with velocities, volume, expression, pan, pitch bend and pedals as
    the file has them. Banks, reverb and chorus are left out. The notes are those of the file,
    at the times rendered; they end with their keys, also where a pedal lets them sound on.

    Parameters
    ----------
    midi_files : sequence of path-like
        One song each.
    soundfont : path-like
        A General MIDI SoundFont (.sf2 or .sf3).
    instruments : sequence of str or Hierarchy, default=("piano", "guitar")
        The instruments of the scenes; the rest of a song is left out. Of a hierarchy they are
        the leaves that have programs; few songs hold them all, so ask for ``require="any"``.
    cache_dir : path-like
        Stems are kept here as float32 WAV, named by song, instrument and a hash of all that
        went into them. What is there already is not rendered again, so an interrupted run
        goes on where it stopped.
    sample_rate : int, default=16000
        Of the stems, in Hz.
    require : {"all", "any"}, default="all"
        Keep songs in which all instruments play, or at least one: then a scene lists those
        that do.
    min_notes : int, default=1
        An instrument plays in a song if it has so many notes.
    doubles : {"sum", "split"}, default="sum"
        Whether several players of an instrument make one stem or, as in chapter 4 of the
        dissertation, one scene for each choice of a player per instrument.
    n_jobs : int or None, default=1
        How many songs are rendered at a time, as in joblib.
    on_error : {"warn", "raise"}, default="warn"
        Leave out a song that cannot be read or rendered, or stop at it.
    verbose : int, default=0
        Above 0, show progress if standard error is a terminal.

    Returns
    -------
    X : list of Mixture
        The audio is a tuple of Clips, whose sum the mixture is. Nothing is read until asked.
        The group is the song's file name without its suffix (the path, if two share a name).
    y : list of Scene

    Raises
    ------
    MissingDependencyError
        If something has to be rendered, and FluidSynth or pyfluidsynth is not installed.
    InstrumentError
        If an instrument is not in the tables.
    InputError
        If the SoundFont cannot be used, or no song is left.
    MidiFormatError
        With ``on_error="raise"``, if a song cannot be read.

    Warns
    -----
    MsaWarning
        With the number of songs left out, and why; copies of another file are left out too.
    NotesWarning
        With the songs whose notes had to be repaired.

    Examples
    --------
    Mixtures of one song each, in five-second excerpts::

        files = sorted(Path("midi").glob("*.mid"))
        X, y = render_scenes(files, "gm.sf2", ("piano", "guitar"), cache_dir="stems")
        X, y = Excerpts.from_preset("chapter3").apply(X, y)

    See `msa_sk.datasets.mix_incoherent` for mixtures of different songs.
    """
    from joblib import Parallel, delayed
    from tqdm import tqdm

    files = _check_files(midi_files)
    names = _check_options(instruments, require, doubles, on_error)
    rate = check_rate(sample_rate, "render_scenes(sample_rate=)")
    if rate > _MAX_RATE:
        raise InputError("sample_rate", f"at most {_MAX_RATE} Hz", f"{rate} Hz", "Lower it.")
    n_required = len(names) if require == "all" else 1
    plan = _Plan(
        _SoundFont(soundfont),
        names,
        instruments if isinstance(instruments, Hierarchy) else None,
        n_required,
        min_notes,
        doubles,
        rate,
        Path(cache_dir).absolute(),
        on_error,
    )
    songs = Parallel(n_jobs=n_jobs, return_as="generator")(
        delayed(_render_song)(path, plan) for path in files
    )
    progress = tqdm(songs, "rendering", len(files), unit="song", disable=None if verbose else True)
    groups = _group_names(files)
    X, y, seen = [], [], set()
    failures, repairs, n_copies, n_other = [], [], 0, 0
    for path, group, song in zip(files, groups, progress, strict=True):
        if isinstance(song, Exception):
            failures.append(f"{path.name} ({song})")
            continue
        if song.digest in seen:
            n_copies += 1
        elif not song.voices:
            n_other += 1
        else:
            repairs += song.repairs
            for voices in product(*song.voices):
                stems = tuple(Clip(voice.path) for voice in voices)
                played = tuple(voice.instrument for voice in voices)
                notes = tuple(voice.notes for voice in voices)
                X.append(Mixture(stems, rate, group=group))
                y.append(Scene(played, rate, stems, notes))
        seen.add(song.digest)
    _report(len(files), failures, n_copies, n_other, repairs, f"{require} of {', '.join(names)}")
    if not X:
        raise InputError(
            "midi_files",
            f"a song in which {require} of {list(names)} play",
            f"none among {len(files)}",
            "Ask for other instruments, or require='any'.",
        )
    return X, y


class _SoundFont:
    """The path of a SoundFont and what it contains, as a hash."""

    def __init__(self, path: str | os.PathLike):
        self.path = os.fspath(path)
        expected, remedy = "a SoundFont", "Pass the path of an .sf2 file."
        if not Path(path).is_file():
            raise InputError(self.path, expected, "nothing there", remedy)
        content = Path(path).read_bytes()
        if content[:4] != b"RIFF" or content[8:12] != b"sfbk":
            raise InputError(self.path, expected, "another kind of file", remedy)
        self.digest = hashlib.sha256(content).hexdigest()


def _check_files(midi_files: Any) -> list[Path]:
    if isinstance(midi_files, str | os.PathLike):
        raise InputError(
            "midi_files",
            "a sequence of paths",
            repr(midi_files),
            "List the files: sorted(Path(folder).glob('*.mid')).",
        )
    return [Path(path) for path in midi_files]


def _check_options(
    instruments: Sequence[str] | Hierarchy, require: str, doubles: str, on_error: str
) -> tuple[str, ...]:
    for name, value, allowed in (
        ("require", require, ("all", "any")),
        ("doubles", doubles, ("sum", "split")),
        ("on_error", on_error, ("warn", "raise")),
    ):
        if value not in allowed:
            raise ParameterError(name, f"one of {allowed}", repr(value), "Choose one of them.")
    if isinstance(instruments, Hierarchy):
        instruments = [leaf for leaf, programs in instruments.programs.items() if programs]
        for leaf in instruments:
            if Path(leaf).name != leaf:
                raise InstrumentError(
                    "hierarchy", "leaves that can name a file", repr(leaf), "Rename it."
                )
    else:
        check_known(instruments)
    if not instruments or len(set(instruments)) < len(instruments):
        raise InstrumentError(
            "instruments",
            "at least one name, each once",
            repr(instruments),
            "Name what to render.",
        )
    return tuple(instruments)


def _group_names(files: list[Path]) -> list[str]:
    stems = [path.stem for path in files]
    return stems if len(set(stems)) == len(stems) else [str(path) for path in files]


def _report(
    n_files: int,
    failures: list[str],
    n_copies: int,
    n_other: int,
    repairs: list[str],
    wanted: str,
) -> None:
    reasons = []
    if n_other:
        reasons.append(f"{n_other} do not hold {wanted}")
    if n_copies:
        reasons.append(f"{n_copies} are copies of another file")
    if failures:
        reasons.append(f"{len(failures)} failed: " + "; ".join(failures))
    if reasons:
        n_out = n_other + n_copies + len(failures)
        warnings.warn(
            f"{n_out} of {n_files} songs were left out: " + ", ".join(reasons) + ".",
            MsaWarning,
            stacklevel=3,
        )
    if repairs:
        warnings.warn(
            f"{len(repairs)} songs were repaired: " + " ".join(repairs),
            NotesWarning,
            stacklevel=3,
        )


# ------------------------------------------------------------------------------------ one song


def _render_song(path: Path, plan: _Plan) -> _Song | Exception:
    """Render the stems of a song that are not in the cache; return an error as a result."""
    try:
        with warnings.catch_warnings(record=True) as repairs:
            warnings.simplefilter("always", NotesWarning)
            parts = read_parts(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        cast = _cast(parts, plan)
        if len(cast) < plan.n_required:
            return _Song(digest, [], [])
        duration = max(part.notes.offset.max() for part in parts) + TAIL
        if duration > MAX_SECONDS:
            raise InputError(
                str(path), f"at most {MAX_SECONDS:.0f} s", f"{duration:.0f} s", "Cut it."
            )
        voices = [
            [
                _Voice(
                    instrument,
                    merge_notes([part.notes for part in own]),
                    _stem(path, digest, instrument, own, duration, plan),
                )
                for own in players
            ]
            for instrument, players in cast.items()
        ]
        return _Song(digest, voices, [str(repair.message) for repair in repairs])
    except MissingDependencyError:
        raise
    except (MsaError, OSError) as error:
        if plan.on_error == "raise":
            raise
        return error


def _stem(
    song: Path, digest: str, instrument: str, parts: Sequence[Part], duration: float, plan: _Plan
) -> Path:
    """Return the file of a stem, and render it unless it is there."""
    settings = (plan.soundfont.digest, plan.sample_rate, GAIN, TAIL, _RENDERING)
    played = [(part.track, part.channel, part.program) for part in parts]
    key = hashlib.sha256(repr((digest, settings, played)).encode()).hexdigest()[:16]
    stem = plan.cache_dir / f"{song.stem[:60]}-{instrument}-{key}.wav"
    if not stem.exists():
        audio = _render(parts, plan.soundfont, plan.sample_rate, duration)
        write_float(stem, audio, plan.sample_rate)
    return stem


def _cast(parts: Sequence[Part], plan: _Plan) -> dict[str, list[list[Part]]]:
    """Return, for every instrument that plays, its players, each with what he plays."""
    cast: dict[str, dict[Any, list[Part]]] = {name: {} for name in plan.instruments}
    for part in parts:
        instrument = _instrument_of(part, plan)
        if instrument is not None:
            player = (part.track, part.channel) if plan.doubles == "split" else None
            cast[instrument].setdefault(player, []).append(part)
    enough = {
        name: [own for own in players.values() if _n_notes(own) >= plan.min_notes]
        for name, players in cast.items()
    }
    return {name: players for name, players in enough.items() if players}


def _instrument_of(part: Part, plan: _Plan) -> str | None:
    if plan.hierarchy is not None:
        return plan.hierarchy.leaf_of("drums" if part.channel == DRUM_CHANNEL else part.program)
    return next((name for name in plan.instruments if part.plays(name)), None)


def _n_notes(parts: Sequence[Part]) -> int:
    return sum(len(part.notes) for part in parts)


# ------------------------------------------------------------------------------- one synthesizer


class _Event(NamedTuple):
    """Something to tell the synthesizer; at one time, notes end before others begin."""

    time: float
    rank: int
    call: Callable[..., int]
    arguments: tuple[int, ...]


_OFFSET, _CONTROL, _ONSET, _END = range(4)


def _fluidsynth() -> tuple[Any, Callable[..., int]]:
    """Import pyfluidsynth, silence it, and add what it leaves out: floating-point samples."""
    try:
        import fluidsynth
    except ImportError as error:
        raise MissingDependencyError(
            "render_scenes needs FluidSynth: pip install 'msa_sk[render]', and the system "
            "library (Debian, Ubuntu: apt install fluidsynth)."
        ) from error

    def function(name: str, **arguments: type) -> Callable[..., int]:
        signature = [(argument, kind, 1) for argument, kind in arguments.items()]
        return fluidsynth.cfunc(name, ctypes.c_int, *signature)

    integer, pointer = ctypes.c_int, ctypes.c_void_p
    set_log = function("fluid_set_log_function", level=integer, call=pointer, data=pointer)
    for level in range(5):
        set_log(level, None, None)
    write_float = function(
        "fluid_synth_write_float",
        synth=pointer,
        n_samples=integer,
        left=pointer,
        left_start=integer,
        left_step=integer,
        right=pointer,
        right_start=integer,
        right_step=integer,
    )
    return fluidsynth, write_float


def _render(
    parts: Sequence[Part], soundfont: _SoundFont, sample_rate: int, duration: float
) -> np.ndarray:
    """Play parts with one fresh synthesizer.

    Returns
    -------
    audio : ndarray of float32, shape (n_samples,)
        With round(duration x sample_rate) samples.
    """
    import soxr

    fluidsynth, write_float = _fluidsynth()
    rate = sample_rate * math.ceil(_MIN_SYNTHESIS_RATE / sample_rate)
    synth = fluidsynth.Synth(GAIN, rate, _MAX_CHANNELS, **_SETTINGS)
    resampler = soxr.ResampleStream(rate, sample_rate, 1, dtype="float32", quality="HQ")
    try:
        events = _schedule(parts, synth, soundfont)
        blocks = [
            resampler.resample_chunk(block)
            for block in _play(events, synth, write_float, round(duration * rate), rate)
        ]
    finally:
        synth.delete()
    blocks.append(resampler.resample_chunk(np.zeros(0, np.float32), last=True))
    return fit_length(np.concatenate(blocks), round(duration * sample_rate))


def _schedule(parts: Sequence[Part], synth: Any, soundfont: _SoundFont) -> list[_Event]:
    """Set up a synthesizer's channels and return what it has to play, in order.

    Notes of one pitch that overlap get channels of their own: FluidSynth would end both.
    """
    font = synth.sfload(soundfont.path)
    if font < 0:
        raise InputError(soundfont.path, "a SoundFont", "a damaged one", "Get it again.")
    lines = [(part, notes) for part in parts for notes in separate_overlaps(part.notes)]
    if len(lines) > _MAX_CHANNELS:
        raise InputError(
            "a stem", f"at most {_MAX_CHANNELS} lines", str(len(lines)), "Leave the song out."
        )
    events: list[_Event] = []
    for channel, (part, notes) in enumerate(lines):
        _select_program(synth, channel, font, part, soundfont)
        events += _controls(part, synth, channel)
        columns = (notes.onset, notes.offset, notes.pitch, notes.velocity)
        for onset, offset, pitch, velocity in zip(*(c.tolist() for c in columns), strict=True):
            events.append(_Event(onset, _ONSET, synth.noteon, (channel, pitch, velocity)))
            events.append(_Event(offset, _OFFSET, synth.noteoff, (channel, pitch)))
    return sorted(events, key=itemgetter(0, 1))


def _select_program(
    synth: Any, channel: int, font: int, part: Part, soundfont: _SoundFont
) -> None:
    bank = _DRUM_BANK if part.channel == DRUM_CHANNEL else 0
    kits = (part.program, 0) if bank else (part.program,)  # any kit stands in for another
    if not any(synth.program_select(channel, font, bank, program) == 0 for program in kits):
        raise InputError(
            soundfont.path,
            f"a sound for program {part.program} ({part.family})",
            "none",
            "Use a SoundFont with all General MIDI programs.",
        )


def _controls(part: Part, synth: Any, channel: int) -> Iterator[_Event]:
    for time, status, data1, data2 in part.controls:
        kind = status >> 4
        if kind == 0xB and data1 not in (0, 32) and (data1 < 120 or data1 == 121):
            yield _Event(time, _CONTROL, synth.cc, (channel, data1, data2))
        elif kind == 0xE:
            bend = data1 + 128 * data2 - 8192
            yield _Event(time, _CONTROL, synth.pitch_bend, (channel, bend))


def _play(
    events: list[_Event], synth: Any, write_float: Callable, n_samples: int, rate: int
) -> Iterator[np.ndarray]:
    """Yield what sounds, left and right averaged, some seconds at a time."""
    position = filled = 0
    left, right = np.zeros((2, 4 * rate), np.float32)
    end = _Event(n_samples / rate, _END, lambda: 0, ())
    for time, rank, call, arguments in [*events, end]:
        until = min(round(time * rate), n_samples)
        while position < until:
            length = min(until - position, len(left) - filled)
            write_float(
                synth.synth, length, left.ctypes.data, filled, 1, right.ctypes.data, filled, 1
            )
            position += length
            filled += length
            if filled == len(left) or position == n_samples:
                yield (left[:filled] + right[:filled]) / 2
                filled = 0
        if call(*arguments) != 0 and rank == _ONSET:
            raise InputError(
                f"the note at {time:.3f} s",
                "a synthesizer that can play it",
                f"more than {_SETTINGS['synth.polyphony']} voices at a time",
                "Leave the song out.",
            )
