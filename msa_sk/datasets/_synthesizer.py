"""Synthesising: numpy instruments that turn notes into audio.

A struck or plucked sound is a sum of damped sinusoids, a bowed or blown one a periodic wave
whose pitch moves, a drum a few modes and noise. What an instrument is lies in one function
that draws one specimen of it (its body, strings, brightness) and returns how that one plays.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.fft import irfft, next_fast_len, rfftfreq

from msa_sk.notes import Notes

HIGHEST = 0.45  # of the sampling rate: partials above it are left out
LONGEST_RELEASE = 0.15  # seconds


class Note(NamedTuple):
    """One note to play: MIDI pitch, loudness from 0 to 1, seconds."""

    pitch: int
    force: float
    duration: float

    @property
    def frequency(self) -> float:
        return 440 * 2 ** ((self.pitch - 69) / 12)


Voice = Callable[[Note, int, np.random.Generator], np.ndarray]
Body = Callable[[np.ndarray], np.ndarray]


def synthesize(
    instrument: str,
    notes: Notes,
    start: float,
    n_samples: int,
    sample_rate: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Play notes on one specimen of an instrument, drawn from the generator.

    Parameters
    ----------
    instrument : str
        A key of `INSTRUMENTS`.
    notes : Notes
    start : float
        Where the audio begins on the notes' clock, in seconds. Earlier notes ring on.
    n_samples, sample_rate : int
        The audio's length, and its rate in Hz.
    rng : numpy.random.Generator

    Returns
    -------
    audio : ndarray of shape (n_samples,)
    """
    play = INSTRUMENTS[instrument](rng)
    audio = np.zeros(n_samples)
    heard = (notes.offset + LONGEST_RELEASE > start) & (
        notes.onset < start + n_samples / sample_rate
    )
    for i in np.flatnonzero(heard):
        note = Note(int(notes.pitch[i]), notes.velocity[i] / 127, notes.offset[i] - notes.onset[i])
        sound = note.force**1.3 * play(note, sample_rate, rng)
        first = round((notes.onset[i] - start) * sample_rate)
        sound = sound[max(0, -first) : n_samples - first]
        first = max(0, first)
        audio[first : first + len(sound)] += sound
    return audio


# The means: envelopes, bodies, ringing partials, periodic waves, noise.


def _times(note: Note, release: float, rate: int) -> np.ndarray:
    return np.arange(max(1, round((note.duration + release) * rate))) / rate


def _gate(time: np.ndarray, note: Note, attack: float, release: float) -> np.ndarray:
    """Rise towards 1 with a time constant, fall to 0 within the release; seconds."""
    fall = np.clip((time - note.duration) / release, 0, 1)
    return (1 - np.exp(-time / attack)) * np.cos(np.pi / 2 * fall) ** 2


def _draw_body(rng: np.random.Generator, n_modes: int, low: float, high: float) -> Body:
    """Draw the resonances of a wooden body, which hardly radiates what lies below them.

    Returns
    -------
    body : callable
        From frequencies in Hz to gains.
    """
    centre = np.exp(rng.uniform(np.log(low), np.log(high), n_modes))
    width = centre * rng.uniform(0.08, 0.3, n_modes)
    height_db = rng.uniform(-6, 10, n_modes)

    def body(frequency: np.ndarray) -> np.ndarray:
        distance = (frequency[:, None] - centre) / width
        gain = 10 ** ((height_db / (1 + distance**2)).sum(axis=-1) / 20)
        return gain / (1 + (low / frequency) ** 2)

    return body


def _ring(
    frequency: np.ndarray,
    amplitude: np.ndarray,
    decay: np.ndarray,
    phase: np.ndarray,
    n_samples: int,
    rate: int,
) -> np.ndarray:
    """Sum damped sinusoids; frequency in Hz, decay in 1/s, phase in radians.

    exp((a + b) z) = exp(a z) exp(b z): coarse and fine steps are computed once each, and the
    sum over all partials at all times is one matrix product.
    """
    exponent = (2j * np.pi * frequency - decay) / rate
    step = int(np.sqrt(n_samples)) + 1
    coarse = np.exp(np.outer(np.arange(step) * step, exponent) + 1j * phase) * amplitude
    fine = np.exp(np.outer(exponent, np.arange(step)))
    product = coarse.real @ fine.imag + coarse.imag @ fine.real
    return product.ravel()[:n_samples]


def _table(amplitude: np.ndarray, phase: np.ndarray) -> np.ndarray:
    """Build one period of a wave from its harmonics."""
    size = 2 ** int(np.ceil(np.log2(max(32 * len(amplitude), 1024))))
    spectrum = np.zeros(size // 2 + 1, complex)
    spectrum[1 : len(amplitude) + 1] = amplitude * np.exp(1j * phase)
    return irfft(spectrum, size) * (size / 2)


def _read(table: np.ndarray, cycles: np.ndarray) -> np.ndarray:
    """Read a periodic wave at a phase that counts cycles."""
    size = len(table)  # a power of two: the mask wraps
    position = cycles * size
    left = np.floor(position).astype(np.int64)
    here, after = table[left & (size - 1)], table[(left + 1) & (size - 1)]
    return here + (position - left) * (after - here)


def _noise(
    n_samples: int, rate: int, low: float, high: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw noise of unit RMS that lies between two frequencies in Hz, with soft edges."""
    low, high = min(low, 0.25 * rate), min(high, HIGHEST * rate)
    size = next_fast_len(n_samples, real=True)
    frequency = np.maximum(rfftfreq(size, 1 / rate), 1e-3)
    shape = 1 / np.sqrt((1 + (low / frequency) ** 4) * (1 + (frequency / high) ** 8))
    bins = rng.standard_normal(len(shape)) + 1j * rng.standard_normal(len(shape))
    noise = irfft(bins * shape, size)[:n_samples]
    return noise / np.sqrt(np.mean(noise**2))


def _burst(
    sound: np.ndarray,
    rate: int,
    level: float,
    time_constant: float,
    low: float,
    high: float,
    rng: np.random.Generator,
) -> None:
    """Add noise that dies away to the beginning of a sound, in place."""
    n = min(len(sound), round(8 * time_constant * rate))
    fade = np.exp(-np.arange(n) / (time_constant * rate))
    sound[:n] += level * fade * _noise(n, rate, low, high, rng)


def _stiff_partials(
    note: Note, rate: int, tuning: float, stiffness: float
) -> tuple[np.ndarray, np.ndarray]:
    """Number a stiff string's partials, and give their frequencies in Hz."""
    n = np.arange(1, 81)
    frequency = note.frequency * tuning * n * np.sqrt(1 + stiffness * n**2)
    below = frequency < HIGHEST * rate
    return n[below], frequency[below]


def _audible(frequency: np.ndarray, amplitude: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Leave out partials 60 dB below the strongest, and scale the others to unit power."""
    loud = amplitude > 1e-3 * amplitude.max()
    return frequency[loud], amplitude[loud] / np.sqrt((amplitude[loud] ** 2).sum())


# The instruments.


def _piano(rng: np.random.Generator) -> Voice:
    """Two decays, stiff strings, a hammer that is brighter the harder it strikes."""
    stiffness = rng.uniform(2e-4, 6e-4)
    strike = rng.uniform(0.1, 0.14)
    brightness = rng.uniform(800, 2400)
    damping = rng.uniform(0.6, 1.3)
    thump = rng.uniform(0.1, 0.4)
    release = rng.uniform(0.07, 0.14)
    tuning = 2 ** (rng.uniform(-8, 8) / 1200)
    body = _draw_body(rng, 8, 120, 3000)

    def play(note: Note, rate: int, rng: np.random.Generator) -> np.ndarray:
        time = _times(note, release, rate)
        stretch = stiffness * 2 ** ((note.pitch - 60) / 8)
        n, frequency = _stiff_partials(note, rate, tuning, stretch)
        amplitude = np.abs(np.sin(np.pi * n * strike)) / n**0.6 * body(frequency)
        amplitude *= np.exp(-frequency / (brightness * (0.4 + 1.4 * note.force)))
        frequency, amplitude = _audible(frequency, amplitude)
        decay = damping * (note.frequency / 260) ** 0.6 * (1 + frequency / 1500)
        # the strings of a key soon move against each other: what is left decays slowly
        detune = 1 + rng.uniform(1e-4, 5e-4, len(frequency))
        sound = _ring(
            np.concatenate([frequency, frequency * detune]),
            np.concatenate([0.75 * amplitude, 0.25 * amplitude]),
            np.concatenate([3 * decay, 0.6 * decay]),
            rng.uniform(0, 2 * np.pi, 2 * len(frequency)),
            len(time),
            rate,
        )
        _burst(sound, rate, thump * (0.5 + note.force), 0.012, 100, 2500, rng)
        return sound * _gate(time, note, 0.0015, release)

    return play


def _plucked(
    rng: np.random.Generator,
    pluck: tuple[float, float],
    brightness: tuple[float, float],
    damping: tuple[float, float],
    body: Body,
) -> Voice:
    """A plucked string: the place of the pluck silences partials, the body colours them."""
    place = rng.uniform(*pluck)
    cutoff = rng.uniform(*brightness)
    loss = rng.uniform(*damping)
    stiffness = rng.uniform(1e-5, 8e-5)
    click = rng.uniform(0.1, 0.5)
    release = rng.uniform(0.04, 0.09)
    tuning = 2 ** (rng.uniform(-10, 10) / 1200)

    def play(note: Note, rate: int, rng: np.random.Generator) -> np.ndarray:
        time = _times(note, release, rate)
        n, frequency = _stiff_partials(note, rate, tuning, stiffness)
        amplitude = np.abs(np.sin(np.pi * n * (place + rng.uniform(-0.01, 0.01)))) / n
        amplitude *= body(frequency) / (1 + (frequency / (cutoff * (0.4 + 1.2 * note.force))) ** 2)
        frequency, amplitude = _audible(frequency, amplitude)
        decay = loss * (1 + (frequency / 700)) * (note.frequency / 200) ** 0.3
        phase = rng.uniform(-0.5, 0.5, len(frequency))
        sound = _ring(frequency, amplitude, decay, phase, len(time), rate)
        _burst(sound, rate, click, 0.004, 800, 5000, rng)
        return sound * _gate(time, note, 0.0005, release)

    return play


def _guitar(rng: np.random.Generator) -> Voice:
    return _plucked(rng, (0.08, 0.3), (1500, 5000), (1.2, 3.0), _draw_body(rng, 10, 110, 4000))


def _bass(rng: np.random.Generator) -> Voice:
    return _plucked(rng, (0.1, 0.25), (350, 1200), (0.5, 1.5), _draw_body(rng, 3, 60, 800))


def _ensemble(
    rng: np.random.Generator,
    n_players: int,
    tilt: float,
    attack: tuple[float, float],
    vibrato_cents: tuple[float, float],
    breath: float,
    body: Body,
) -> Voice:
    """Players of a bowed or blown wave, out of tune and out of step with each other.

    Harmonic n has amplitude n ** -tilt times the body's gain; a loud tone falls less steeply.
    """
    rise = rng.uniform(*attack)
    depth = rng.uniform(*vibrato_cents)
    speed = rng.uniform(4.8, 6.5)
    spread = rng.uniform(3, 8) if n_players > 1 else 0.0
    release = rng.uniform(0.08, 0.14)
    tuning = rng.uniform(-10, 10)
    air = breath * rng.uniform(0.5, 1.5)

    def play(note: Note, rate: int, rng: np.random.Generator) -> np.ndarray:
        time = _times(note, release, rate)
        n = np.arange(1, min(200, int(HIGHEST * rate / (1.03 * note.frequency))) + 1)
        frequency = note.frequency * n
        amplitude = body(frequency) * n ** -(tilt * (1.3 - 0.5 * note.force))
        amplitude /= np.sqrt((amplitude**2).sum())
        phase = rng.uniform(0, 2 * np.pi, len(n))
        # the tone opens up: dull while it rises, bright when it stands
        dull, bright = _table(amplitude / n, phase), _table(amplitude, phase)
        opening = 1 - np.exp(-time / (2 * rise))
        sound = np.zeros(len(time))
        settled = np.clip(time / 0.4, 0, 1)  # vibrato sets in after the note does
        for _ in range(n_players):
            sway = speed * rng.uniform(0.93, 1.07) * time + rng.random()
            vibrato = depth * settled * np.sin(2 * np.pi * sway)
            cents = tuning + rng.normal(0, spread) + vibrato
            cycles = np.cumsum(note.frequency * 2 ** (cents / 1200)) / rate + rng.random()
            closed = _read(dull, cycles)
            sound += closed + opening * (_read(bright, cycles) - closed)
        sound /= np.sqrt(n_players)
        sound += air * _noise(len(time), rate, 1.5 * note.frequency, 6000, rng)
        return sound * _gate(time, note, rise, release)

    return play


def _strings(rng: np.random.Generator) -> Voice:
    body = _draw_body(rng, 10, 250, 4500)
    return _ensemble(rng, 3, 1.0, (0.02, 0.05), (8, 20), 0.01, body)


def _brass(rng: np.random.Generator) -> Voice:
    formant, width = rng.uniform(700, 1600), rng.uniform(500, 900)

    def horn(frequency: np.ndarray) -> np.ndarray:
        return 0.25 + np.exp(-(((frequency - formant) / width) ** 2))

    return _ensemble(rng, 2, 0.7, (0.015, 0.03), (2, 8), 0.005, horn)


def _flute(rng: np.random.Generator) -> Voice:
    strength = np.append(1, rng.uniform(0.15, 0.6, 199))  # a tube favours no frequency

    def bore(frequency: np.ndarray) -> np.ndarray:
        return strength[: len(frequency)]

    return _ensemble(rng, 1, 2.2, (0.02, 0.05), (6, 18), 0.04, bore)


def _organ(rng: np.random.Generator) -> Voice:
    """Drawbars: sines at fixed multiples, a key click, a slow rotor."""
    ratio = np.array([0.5, 1.5, 1, 2, 3, 4, 5, 6, 8])
    drawbar = rng.integers(0, 9, len(ratio)) * np.array([1, 0.6, 1, 1, 0.8, 0.7, 0.4, 0.4, 0.4])
    drawbar[2] = max(drawbar[2], 6)
    rotor, depth = rng.uniform(0.7, 6.5), rng.uniform(0.02, 0.2)
    click = rng.uniform(0.02, 0.1)
    release = rng.uniform(0.02, 0.06)
    tuning = 2 ** (rng.uniform(-5, 5) / 1200)

    def play(note: Note, rate: int, rng: np.random.Generator) -> np.ndarray:
        time = _times(note, release, rate)
        frequency = note.frequency * tuning * ratio
        heard = frequency < HIGHEST * rate
        amplitude = drawbar[heard] / np.sqrt((drawbar**2).sum())
        phase = rng.uniform(0, 2 * np.pi, heard.sum())
        still = np.zeros(heard.sum())
        sound = _ring(frequency[heard], amplitude, still, phase, len(time), rate)
        sound *= 1 + depth * np.sin(2 * np.pi * (rotor * time + rng.random()))
        _burst(sound, rate, click, 0.005, 500, 4000, rng)
        return 0.7 * sound * _gate(time, note, 0.002, release)

    return play


def _drums(rng: np.random.Generator) -> Voice:
    """A kit by General MIDI pitch: swept skins, noisy snares, metal."""
    kick, snare = rng.uniform(42, 60), rng.uniform(160, 220)
    sweep, wires = rng.uniform(2, 5), rng.uniform(0.4, 0.9)
    tom_scale = rng.uniform(0.85, 1.2)
    damping = rng.uniform(0.7, 1.3)
    metal = np.sort(rng.uniform(2000, 12000, 24))
    release = 0.08

    def skin(time, low, high, fall, decay):
        """A membrane: its pitch falls from high to low, its sound dies away."""
        cycles = low * time + (high - low) * fall * (1 - np.exp(-time / fall))
        return np.sin(2 * np.pi * cycles) * np.exp(-time * damping * decay)

    def plate(time, rate, low, decay, rng):
        """Metal: noise and a dense set of partials above a frequency."""
        frequency = metal[(metal > low / 2) & (metal < HIGHEST * rate)]
        n = len(frequency)
        phase = rng.uniform(0, 2 * np.pi, n)
        ring = _ring(frequency, np.ones(n), np.zeros(n), phase, len(time), rate) / np.sqrt(n + 1)
        noise = _noise(len(time), rate, low, 14000, rng)
        return (0.4 * ring + 0.3 * noise) * np.exp(-time * damping * decay)

    def play(note: Note, rate: int, rng: np.random.Generator) -> np.ndarray:
        time = _times(note, release, rate)
        if note.pitch <= 36:
            sound = 1.4 * skin(time, kick, kick * sweep, 0.025, 14)
            _burst(sound, rate, 0.3, 0.004, 500, 4000, rng)
        elif note.pitch <= 40:
            sound = 0.5 * skin(time, snare, 1.3 * snare, 0.01, 22)
            sound += 0.3 * skin(time, 1.8 * snare, 1.9 * snare, 0.01, 30)
            _burst(sound, rate, wires, 0.055, 1200, 9000, rng)
        elif note.pitch in (41, 43, 45, 47, 48, 50):
            low = tom_scale * 80 * 2 ** ((note.pitch - 41) / 9)
            sound = skin(time, low, 1.5 * low, 0.04, 10)
            _burst(sound, rate, 0.25, 0.006, 300, 3000, rng)
        elif note.pitch <= 46:
            sound = 0.7 * plate(time, rate, 6000, 60 if note.pitch < 46 else 9, rng)
        else:
            sound = plate(time, rate, 3500, 4 if note.pitch == 49 else 9, rng)
            _burst(sound, rate, 0.3, 0.01, 2000, 9000, rng)
        return sound * _gate(time, note, 0.0003, release)

    return play


INSTRUMENTS: dict[str, Callable[[np.random.Generator], Voice]] = {
    "piano": _piano,
    "guitar": _guitar,
    "bass": _bass,
    "drums": _drums,
    "strings": _strings,
    "organ": _organ,
    "flute": _flute,
    "brass": _brass,
}
