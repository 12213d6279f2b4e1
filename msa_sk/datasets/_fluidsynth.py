"""Parts of a MIDI file, played by one fresh FluidSynth."""

import ctypes
import hashlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from msa_sk._arguments import check_path
from msa_sk._general_midi import DRUM_CHANNEL
from msa_sk.audio import fit_length
from msa_sk.exceptions import InputError, MissingDependencyError
from msa_sk.midi import Part, separate_overlaps

GAIN = 0.6  # mixtures of a whole band then rarely pass full scale
_DRUM_BANK = 128
_MAX_CHANNELS = 256
# Played below this rate, the samples of a SoundFont would alias.
_MIN_SYNTHESIS_RATE = 44_100
_SETTINGS = {
    "synth.reverb.active": 0,
    "synth.chorus.active": 0,
    "synth.polyphony": 1024,
    "synth.lock-memory": 0,
}


class SoundFont:
    """The path of a SoundFont and what it contains, as a hash."""

    def __init__(self, path: str | os.PathLike):
        self.path = str(check_path(path, "soundfont"))
        expected, remedy = "a SoundFont", "Pass the path of an .sf2 file."
        if not Path(path).is_file():
            raise InputError(self.path, expected, "nothing there", remedy)
        content = Path(path).read_bytes()
        if content[:4] != b"RIFF" or content[8:12] != b"sfbk":
            raise InputError(self.path, expected, "another kind of file", remedy)
        self.digest = hashlib.sha256(content).hexdigest()


class _Event(NamedTuple):
    """Something to tell the synthesizer; at one time, notes end before others begin."""

    time: float
    rank: int
    call: Callable[..., int]
    arguments: tuple[int, ...]


_OFFSET, _CONTROL, _ONSET, _END = range(4)


def _library() -> tuple[Any, Callable[..., int]]:
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


def play(
    parts: Sequence[Part], soundfont: SoundFont, sample_rate: int, duration: float
) -> np.ndarray:
    """Play parts with one fresh synthesizer.

    Returns
    -------
    audio : ndarray of float32, shape (n_samples,)
        With round(duration x sample_rate) samples.
    """
    import soxr

    fluidsynth, write_float = _library()
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


def _schedule(parts: Sequence[Part], synth: Any, soundfont: SoundFont) -> list[_Event]:
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


def _select_program(synth: Any, channel: int, font: int, part: Part, soundfont: SoundFont) -> None:
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
