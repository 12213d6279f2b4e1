"""Whether a score lies where its recording has it: what begins in one gets louder in the other."""

import warnings
from collections.abc import Iterable, Mapping

import numpy as np

from msa_sk.decoding import pitch_weights
from msa_sk.exceptions import ScoreWarning
from msa_sk.notes import Notes
from msa_sk.records import Mixture
from msa_sk.rolls import HIGHEST_PITCH, LOWEST_PITCH
from msa_sk.spectral import STFT

_FURTHEST, _CLOSE = 2.0, 0.1  # seconds: shifts that are tried, and those that do not matter
_LEAST_ONSETS = 8  # at different times; fewer tell nothing
_FLOOR = 1e-3  # of the largest amplitude: what is quieter does not get louder
_CLEARLY = 5.0  # standard deviations of how shifts fit by chance


def warn_of_lag(
    mixture: Mixture,
    score: Mapping[str, Notes],
    windows: Iterable[tuple[int, np.ndarray]],
    transformer: STFT,
) -> None:
    """Warn of a score that is shifted in time, by the first window in which enough notes begin.

    Parameters
    ----------
    mixture : Mixture
    score : mapping of str to Notes
    windows : iterable of (first, magnitude)
        Stretches of the mixture, and the frame that each begins with.
    transformer : STFT
        What the magnitudes are of.

    Warns
    -----
    ScoreWarning
        Saying by how many seconds.
    """
    for first, magnitude in windows:
        if _n_onsets(score, transformer, first, magnitude.shape[1]) < _LEAST_ONSETS:
            continue
        lag = score_lag(magnitude, score, transformer, first)
        if lag:
            warnings.warn(
                f"The notes of {mixture!r} seem to come {abs(lag):.2f} s too "
                f"{'early' if lag > 0 else 'late'}: moved by {lag:+.2f} s they fit the sound.",
                ScoreWarning,
                stacklevel=2,
            )
        return


def score_lag(
    magnitude: np.ndarray, score: Mapping[str, Notes], transformer: STFT, first: int = 0
) -> float:
    """Return by how many seconds the notes of a score come too early; below 0, too late.

    A shift of up to 2 s fits as well as pitches get louder, on average, where their notes would
    then begin. It has to fit clearly better than none.

    Parameters
    ----------
    magnitude : ndarray of shape (n_bins, n_frames)
        Of the mixture, or of a stretch of it.
    score : mapping of str to Notes
        The pitches of "drums" are General MIDI's.
    transformer : STFT
        What the magnitude is of.
    first : int, default=0
        The frame that it begins with.

    Returns
    -------
    lag : float
        0 where the score may be right, where fewer than 8 notes begin, and where nothing fits.
    """
    rate = transformer.frame_rate
    furthest, close = round(_FURTHEST * rate), round(_CLOSE * rate)
    shifts = np.arange(-furthest, furthest + 1)
    n_frames = magnitude.shape[1]
    if _n_onsets(score, transformer, first, n_frames) < _LEAST_ONSETS:
        return 0.0
    total, count = np.zeros((2, len(shifts)))
    for name, notes in score.items():
        notes = notes.select((notes.pitch >= LOWEST_PITCH) & (notes.pitch <= HIGHEST_PITCH))
        rise = _rises(magnitude, transformer, name == "drums")
        frame = np.round(notes.onset * rate).astype(int)[:, None] + (shifts - first)
        inside = (frame >= 0) & (frame < n_frames)
        total += (rise[notes.pitch - LOWEST_PITCH, frame.clip(0, n_frames - 1).T].T * inside).sum(
            0
        )
        count += inside.sum(0)
    usable = count >= count[furthest] / 2
    fit = np.divide(total, count, out=np.full(len(shifts), -np.inf), where=usable)
    best = fit.argmax()
    gain = fit[best] - fit[furthest - close : furthest + close + 1].max()
    chance = 1.5 * np.median(np.abs(fit[usable] - np.median(fit[usable])))
    return float(shifts[best] / rate) if gain > _CLEARLY * chance else 0.0


def _n_onsets(score: Mapping[str, Notes], transformer: STFT, first: int, n_frames: int) -> int:
    """Return in how many of some frames notes begin."""
    onsets = np.concatenate([[], *(notes.onset for notes in score.values())])
    frames = np.unique(np.round(onsets * transformer.frame_rate)) - first
    return int(np.sum((frames >= 0) & (frames < n_frames)))


def _rises(magnitude: np.ndarray, transformer: STFT, percussive: bool) -> np.ndarray:
    """Return how much louder each pitch gets in each frame than it does on average, (88, ...)."""
    weights = pitch_weights(transformer.sample_rate, transformer.n_fft, percussive)
    amplitude = np.sqrt(weights @ np.square(magnitude[: weights.shape[1]]))
    level = np.log(np.maximum(amplitude, _FLOOR * amplitude.max(initial=0) or 1.0))
    rise = np.zeros_like(level)
    rise[:, 1:-1] = np.maximum(level[:, 2:] - level[:, :-2], 0)
    return rise - rise.mean(axis=1, keepdims=True)
