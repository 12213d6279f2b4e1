"""Posteriors to notes as musicians need them: when each is struck, how long it lasts, how loud.

A posterior says well that a pitch sounds, and badly since when: it crosses a threshold early or
late, crumbles, or does not fall where a note is repeated. The sound knows better: where a note
begins, its pitch gets louder. So both have a say, by these rules:

1. A pitch sounds from where its posterior reaches half the threshold to where it falls below it,
   if it reaches the threshold in between.
2. Its note begins where the pitch gets louder most steeply, between 48 ms before and 16 ms after
   that; to a fraction of a frame. If it gets louder by less than `min_rise` decibels, there is a
   note only if the posterior is sure: halfway between the threshold and 1.
3. It is struck again where it gets louder by `min_rise` once more and the posterior dips by 15 %.
4. Of one pitch no two notes begin within `min_note` seconds: they are one. No note is shorter:
   it is left out.
5. A note ends with the recording at the latest, and may be shorter for that.
6. A note's velocity says how loud it gets within 64 ms: 40 dB are a factor of 10, as in General
   MIDI, and the median of an instrument's notes has 80. How hard a key was hit nobody knows from
   that: it is a heuristic, and compares notes of one instrument in one recording.

Drums are struck, not held: a stroke lasts for `min_note` at least, rule 1 has the threshold for
its half, and a stroke may follow without a dip.

How loud a pitch is, is the energy of its first 8 harmonics, up to 4.2 kHz, in the source: that in
the mixture times the mask, or that in the mixture where nothing separates. Of a drum it is that of
the band in which it is told from others.

``benchmarks.decoding`` measures what it brings, also to posteriors that are right.
"""

from functools import lru_cache

import numpy as np
from scipy.sparse import csr_array

from msa_sk.exceptions import NotesError
from msa_sk.notes import UNKNOWN_VELOCITY, Notes
from msa_sk.rolls import LOWEST_PITCH, N_PITCHES, check_roll, find_runs
from msa_sk.spectral import STFT

_LOW = 0.5  # of the threshold: from there to there a pitch sounds
_DIP = 0.15  # of a posterior, where a note is struck again
_EARLY, _LATE = 0.048, 0.016  # s from where posteriors have an onset to where it may be
_ATTACK = 0.064  # s in which a pitch gets louder: an analysis window
_LAG = 0.008  # s: what dies away at once is steepest before it is in the middle of a window
_MIDDLE_VELOCITY, _DB_PER_DECADE = 80, 40
_N_HARMONICS, _HIGHEST = 8, 4200.0  # Hz: the fundamental of the highest pitch is below
_CHUNK = 256  # frames whose energy stays in the processor's cache
_EPSILON = 1e-6  # of a frame: seconds times a rate are rarely whole to the last digit

# General MIDI percussion: the band in which a drum is told from others, in Hz.
_KICKS, _SNARES, _TOMS = (35, 36), (37, 38, 39, 40), (41, 43, 45, 47, 48, 50)
_DRUM_BANDS = (
    dict.fromkeys(_KICKS, (0.0, 150.0))
    | dict.fromkeys(_SNARES, (150.0, 5000.0))
    | dict.fromkeys(_TOMS, (60.0, 400.0))
)
_METAL = (3000.0, np.inf)


def decode_notes(
    roll: np.ndarray,
    transformer: STFT,
    magnitude: np.ndarray | None = None,
    mask: np.ndarray | None = None,
    *,
    threshold: float = 0.5,
    min_note: float = 0.05,
    max_gap: float = 0.03,
    min_rise: float | None = 4.0,
    percussive: bool = False,
    duration: float | None = None,
) -> Notes:
    """Return the notes of an instrument's posteriors, by the rules of this module.

    Parameters
    ----------
    roll : ndarray of shape (88, n_frames)
        Posteriors, 0 to 1.
    transformer : STFT
        What has the roll's frames.
    magnitude : ndarray of shape (n_bins, n_frames), default=None
        Of the mixture, at any level. None lets posteriors alone decide, and velocities are
        unknown (64).
    mask : ndarray of shape (n_bins, n_frames), default=None
        The instrument's share of the mixture. None hears it in the mixture.
    threshold : float, default=0.5
    min_note, max_gap : float, default=0.05, 0.03
        In seconds: the shortest note, and the longest gap in a posterior that is closed.
    min_rise : float or None, default=4.0
        In dB; None lets posteriors alone decide when notes begin.
    percussive : bool, default=False
        Whether the pitches are General MIDI's drums.
    duration : float, default=None
        Of the recording, in seconds: the last frame lasts longer, and no note does. None takes
        the end of the last frame.

    Returns
    -------
    notes : Notes
        No two of a pitch overlap or begin within `min_note`.

    Raises
    ------
    NotesError
        If the roll is none, or magnitude or mask do not fit it.

    Examples
    --------
    >>> import numpy as np
    >>> from msa_sk import STFT
    >>> roll = np.zeros((88, 100))
    >>> roll[60 - 21, 10:50] = 0.9
    >>> decode_notes(roll, STFT())
    Notes(1 note; pitch 60 to 60; 0.16 to 0.80 s)
    """
    decoder = NoteDecoder(
        transformer,
        threshold=threshold,
        min_note=min_note,
        max_gap=max_gap,
        min_rise=min_rise,
        percussive=percussive,
    )
    decoder.push(roll, magnitude, mask)
    return decoder.notes(duration)


class NoteDecoder:
    """Decode posteriors that come stretch by stretch, as `decode_notes` does those of a whole.

    It holds what notes that still sound reach back to, and finds the same notes wherever the
    whole is cut.

    Parameters
    ----------
    transformer : STFT
    threshold, min_note, max_gap, min_rise, percussive
        As in `decode_notes`.
    """

    def __init__(
        self,
        transformer: STFT,
        *,
        threshold: float = 0.5,
        min_note: float = 0.05,
        max_gap: float = 0.03,
        min_rise: float | None = 4.0,
        percussive: bool = False,
    ):
        self.transformer, self.rate = transformer, transformer.frame_rate
        self.threshold, self.percussive = threshold, percussive
        self.low, self.sure = threshold * (1 if percussive else _LOW), (1 + threshold) / 2
        self.growth = None if min_rise is None else 10 ** (min_rise / 20)
        self.min_note, self.max_gap = min_note * self.rate, max_gap * self.rate + _EPSILON
        self.early, self.late = round(_EARLY * self.rate), max(1, round(_LATE * self.rate))
        self.half = max(1, round(_ATTACK / 2 * self.rate))
        # What is found in a frame depends on so many around it.
        self.margin = self.early + 4 * self.half + int(self.max_gap) + 2
        # What is held: of each pitch its posteriors, and how loud it is. At first, nothing.
        self._roll = np.full((N_PITCHES, self.margin), -1.0, np.float32)
        self._power = np.zeros((N_PITCHES, self.margin), np.float32)
        self._first = -self.margin  # the number of its first frame
        self._n_done = 0  # of its frames
        self._is_heard = True
        self._found = [np.zeros((4, 0))]

    def push(
        self,
        roll: np.ndarray,
        magnitude: np.ndarray | None = None,
        mask: np.ndarray | None = None,
    ) -> None:
        """Take the next stretch; as `decode_notes`."""
        roll = check_roll(roll)
        shape = (self.transformer.n_bins, roll.shape[1])
        for name, heard in (("magnitude", magnitude), ("mask", mask)):
            if heard is not None and np.shape(heard) != shape:
                raise NotesError(
                    name,
                    f"shape {shape}, as the roll's frames have it",
                    f"shape {np.shape(heard)}",
                    "Take it from the STFT that the roll is of.",
                )
        self._is_heard &= magnitude is not None
        self._take(roll, self._power_of(roll.shape[1], magnitude, mask))

    def _power_of(
        self, n_frames: int, magnitude: np.ndarray | None, mask: np.ndarray | None
    ) -> np.ndarray:
        """Return the energy of each pitch."""
        power = np.zeros((N_PITCHES, n_frames), np.float32)
        if magnitude is None:
            return power
        weights = pitch_weights(
            self.transformer.sample_rate, self.transformer.n_fft, self.percussive
        )
        n_bins = weights.shape[1]
        for first in range(0, n_frames, _CHUNK):
            chunk = slice(first, first + _CHUNK)
            energy = np.square(magnitude[:n_bins, chunk])
            if mask is not None:
                energy *= mask[:n_bins, chunk]
            power[:, chunk] = weights @ energy
        return power

    def notes(self, duration: float | None = None) -> Notes:
        """Return the notes of all stretches, in seconds from the first; none come after them.

        With the recording's `duration`, in seconds, none goes on after that.
        """
        nothing = np.full((N_PITCHES, self.margin), -1.0, np.float32)
        self._take(nothing, np.zeros_like(nothing))
        found = np.concatenate(self._found, axis=1)
        pitch, onset, offset, level = found[:, np.lexsort((found[1], found[0]))]
        first = _apart(pitch, onset, self.min_note)
        offset = np.maximum.reduceat(offset, first) if len(first) else offset
        pitch, onset, level = pitch[first], onset[first], level[first]
        if self.percussive:
            n_frames = self._first + self._n_done  # of the whole
            offset = np.minimum(np.maximum(offset, onset + self.min_note), n_frames)
        offset = np.where(_is_last(pitch), offset, np.minimum(offset, np.roll(onset, -1)))
        lasts = offset - onset >= max(self.min_note - _EPSILON, _EPSILON)
        onset, offset = onset[lasts] / self.rate, offset[lasts] / self.rate
        pitch, level = pitch[lasts] + LOWEST_PITCH, level[lasts]
        if duration is not None:
            offset, begins = np.minimum(offset, duration), onset < duration
            onset, offset, pitch, level = (a[begins] for a in (onset, offset, pitch, level))
        velocity = _velocities(level) if self._is_heard else np.full(len(level), UNKNOWN_VELOCITY)
        return Notes(onset, offset, pitch, velocity)

    def _take(self, roll: np.ndarray, power: np.ndarray) -> None:
        """Find the notes that have ended, and hold what the others reach back to."""
        self._roll = np.concatenate([self._roll, roll], axis=1)
        self._power = np.concatenate([self._power, power], axis=1)
        n_known = self._roll.shape[1] - self.margin
        pitch, start, end = find_runs(self._roll >= self.low, self.max_gap)
        has_ended = end <= n_known
        new = has_ended & (end > self._n_done)
        if new.any():
            self._found.append(self._find(pitch[new], start[new], end[new]))
        first = max(0, start[~has_ended].min(initial=n_known) - self.margin)
        self._roll, self._power = self._roll[:, first:], self._power[:, first:]
        self._first, self._n_done = self._first + first, n_known - first

    def _find(self, pitch: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Return pitch, onset, offset and level of the notes in runs; in frames, and in dB."""
        sound = _Sound(self._roll, self._power, self.half)
        row = pitch * self._roll.shape[1]
        start, end = row + start, row + end  # places in one line of all pitches
        if self.growth is None or not self._is_heard:
            run, place, struck = np.arange(len(start)), start, np.zeros(len(start), bool)
            enough = np.full(len(start), self.threshold)
        else:
            run, place, struck = self._strokes(sound, start, end, self.growth)
            enough = np.where(struck, self.threshold, self.sure)
        stop = np.where(_is_last(run), end[run], np.roll(place, -1))
        kept = sound.peak(np.maximum(place, start[run]), stop) >= enough
        run, place, stop, struck = run[kept], place[kept], stop[kept], struck[kept]
        zero = row[run] - self._first
        lag = _LAG * self.rate if self.percussive else 0.0
        onset = place - zero + struck * (sound.summit(place) + lag)
        return np.stack([pitch[run], np.maximum(onset, 0), stop - zero, sound.level(place)])

    def _strokes(
        self, sound: "_Sound", start: np.ndarray, end: np.ndarray, growth: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return in which run, where, and whether audibly notes begin."""
        near = start[:, None] + np.arange(-self.early, self.late + 1)
        steepest = near[:, 0] + sound.slope[near].argmax(axis=1)
        struck = sound.grows(steepest, growth)
        place = np.where(struck, np.minimum(steepest, end - 1), start)

        again = sound.summits()
        again = again[sound.grows(again, growth)]
        run = np.searchsorted(start, again, "right") - 1
        inside = (run >= 0) & (again > start[run] + self.late) & (again < end[run])
        again, run = again[inside], run[inside]
        near = again[:, None] + np.arange(-self.early, self.early + 1)
        strikes = sound.slope[again] >= sound.slope[near].max(axis=1)
        if not self.percussive:
            strikes &= sound.dips(again)

        run = np.concatenate([np.arange(len(start)), run[strikes]])
        place = np.concatenate([place, again[strikes]])
        struck = np.concatenate([struck, np.ones(strikes.sum(), bool)])
        order = np.lexsort((place, run))
        order = order[_apart(run[order], place[order], self.min_note)]
        return run[order], place[order], struck[order]


class _Sound:
    """The posteriors and the loudness of all pitches, in one line; places are indices of it."""

    def __init__(self, roll: np.ndarray, power: np.ndarray, half: int):
        self.roll, self.amplitude, self.half = roll.ravel(), np.sqrt(power).ravel(), half
        self.slope = np.zeros_like(self.amplitude)
        self.slope[1:-1] = self.amplitude[2:] - self.amplitude[:-2]

    def peak(self, first: np.ndarray, last: np.ndarray) -> np.ndarray:
        """Return the highest posterior from each place up to, not including, another."""
        if not len(first):
            return np.zeros(0, self.roll.dtype)
        return np.maximum.reduceat(self.roll, np.stack([first, last], axis=1).ravel())[::2]

    def summits(self) -> np.ndarray:
        """Return the places of which no neighbour's slope is steeper."""
        n = len(self.slope) - 2 * self.half
        before, here, after = (self.slope[self.half + i :][:n] for i in (-1, 0, 1))
        return np.flatnonzero((here > 0) & (here >= before) & (here >= after)) + self.half

    def grows(self, place: np.ndarray, factor: float) -> np.ndarray:
        """Tell where amplitudes grow by that factor within an attack."""
        before, after = self.amplitude[place - self.half], self.amplitude[place + self.half]
        return (after > 0) & (before * factor <= after)

    def dips(self, place: np.ndarray) -> np.ndarray:
        """Tell where posteriors are lower than both before and afterwards."""
        near = self.roll[place[:, None] + np.arange(-3 * self.half, 3 * self.half)]
        before, lowest, after = (
            near[:, : 3 * self.half].max(axis=1),
            near[:, 2 * self.half : 4 * self.half].min(axis=1),
            near[:, 3 * self.half :].max(axis=1),
        )
        return lowest <= (1 - _DIP) * np.minimum(before, after)

    def summit(self, place: np.ndarray) -> np.ndarray:
        """Return where, within half a frame, the slope is steepest: that of a parabola."""
        before, here, after = (self.slope[place + i] for i in (-1, 0, 1))
        bend = 2 * here - before - after
        shift = (after - before) / np.where(bend > 0, 2 * bend, np.inf)
        return np.clip(shift, -0.5, 0.5)

    def level(self, place: np.ndarray) -> np.ndarray:
        """Return how loud it gets within an attack, in dB."""
        near = self.amplitude[place[:, None] + np.arange(1, 2 * self.half + 1)]
        return 20 * np.log10(np.maximum(near.max(axis=1), np.finfo(np.float32).tiny))


def _is_last(keys: np.ndarray) -> np.ndarray:
    """Tell which of sorted keys are followed by another one, or by none."""
    return np.append(np.diff(keys) != 0, True)[: len(keys)]


def _apart(keys: np.ndarray, times: np.ndarray, least: float) -> np.ndarray:
    """Return the indices of times that are as far as that from the one kept before, if of its key.

    Both are sorted by key, then time.
    """
    kept = np.arange(len(keys))
    while True:
        close = (np.diff(keys[kept]) == 0) & (np.diff(times[kept]) < least - _EPSILON)
        if not close.any():
            return kept
        # After one that goes, the next is compared anew.
        goes = close & ~np.append(False, close[:-1])
        kept = kept[np.append(True, ~goes)]


def _velocities(level: np.ndarray) -> np.ndarray:
    """Return velocities of levels in dB."""
    if not len(level):
        return level
    louder = (level - np.median(level)) / _DB_PER_DECADE
    return np.clip(np.round(_MIDDLE_VELOCITY * 10**louder), 1, 127)


@lru_cache(maxsize=16)
def pitch_weights(sample_rate: int, n_fft: int, percussive: bool = False) -> csr_array:
    """Return how much the energy of each bin says of each pitch.

    Parameters
    ----------
    sample_rate, n_fft : int
        Of an STFT.
    percussive : bool, default=False
        Whether pitches are General MIDI's drums: the bins of the band in which each is told
        from others have weight 1. Else harmonic h of a pitch, up to the 8th and to 4.2 kHz, has
        weight ``h ** -0.5``, shared by the two bins that are nearest.

    Returns
    -------
    weights : sparse array of float32, shape (88, n_bins)
        Up to the last bin that counts. Not to be written into.
    """
    hertz = np.arange(1 + n_fft // 2) * sample_rate / n_fft
    pitches = range(LOWEST_PITCH, LOWEST_PITCH + N_PITCHES)
    if percussive:
        low, high = np.array([_DRUM_BANDS.get(pitch, _METAL) for pitch in pitches]).T[..., None]
        weights = ((hertz >= low) & (hertz < high)).astype(np.float32)
    else:
        hertz = hertz[hertz <= _HIGHEST]
        fundamental = 440 * 2 ** ((np.array(pitches)[:, None] - 69) / 12)
        weights = np.zeros((N_PITCHES, len(hertz)), np.float32)
        for harmonic in range(1, _N_HARMONICS + 1):
            distance = np.abs(hertz - harmonic * fundamental) * n_fft / sample_rate
            shared = np.maximum(0, 1 - distance) * harmonic**-0.5
            weights = np.maximum(weights, shared, dtype=np.float32)
    weights[~weights.any(axis=1)] = 1  # a band above what the STFT sees
    return csr_array(weights)
