"""Whether a score lies where its recording has it: what begins in one gets louder in the other."""

import warnings
from collections.abc import Iterable, Mapping

import numpy as np
from scipy.ndimage import maximum_filter1d

from msa_sk.decoding import pitch_weights
from msa_sk.exceptions import ScoreWarning
from msa_sk.notes import Notes
from msa_sk.records import Mixture
from msa_sk.rolls import HIGHEST_PITCH, LOWEST_PITCH
from msa_sk.spectral import STFT

_FURTHEST, _CLOSE = 2.0, 0.1  # seconds: shifts that are tried, and those that do not matter
_SLACK = 0.03  # seconds by which a pitch may get louder before its note begins, or after
_LEAST_ONSETS = 8  # at different times; fewer tell nothing
# By how much a shift has to fit better: in standard errors of the mean over notes, and as a share.
_SURE, _BY = 4.0, 0.2


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
        lag = score_lag(magnitude, score, transformer, first)
        if lag is None:
            continue
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
) -> float | None:
    """Return by how many seconds the notes of a score come too early; below 0, too late.

    A shift fits as well as pitches get louder, on average, about where their notes would then
    begin. It has to fit clearly better than none, for the same notes. Shifts of up to 2 s are
    tried, or of a quarter of the stretch.

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
    lag : float or None
        0 where the score may be right, or nothing fits; None where fewer than 8 notes begin.
    """
    rate, n_frames = transformer.frame_rate, magnitude.shape[1]
    furthest = min(round(_FURTHEST * rate), n_frames // 4)
    close = min(round(_CLOSE * rate), furthest)
    shifts = np.arange(-furthest, furthest + 1)
    rises, insides = [], []  # of each note, by each shift
    begun: set[int] = set()
    for name, notes in score.items():
        frame = np.round(notes.onset * rate).astype(int) - first
        kept = (notes.pitch >= LOWEST_PITCH) & (notes.pitch <= HIGHEST_PITCH)
        kept &= (frame >= -furthest) & (frame < n_frames + furthest)
        row, frame = notes.pitch[kept] - LOWEST_PITCH, frame[kept]
        begun.update(frame[(frame >= 0) & (frame < n_frames)].tolist())
        place = frame + shifts[:, None]
        rise = _rises(magnitude, transformer, name == "drums")
        rises.append(rise[row, place.clip(0, n_frames - 1)])
        insides.append((place >= 0) & (place < n_frames))
    if len(begun) < _LEAST_ONSETS:
        return None
    rise, inside = np.concatenate(rises, axis=1), np.concatenate(insides, axis=1)
    count = inside.sum(axis=1)
    fit = np.divide(
        (rise * inside).sum(axis=1),
        count,
        out=np.full(len(shifts), -np.inf),
        where=count >= count[furthest] / 2,
    )
    best = fit.argmax()
    unmoved = furthest - close + fit[furthest - close : furthest + close + 1].argmax()
    both = inside[best] & inside[unmoved]
    if both.sum() < _LEAST_ONSETS:
        return 0.0
    lead = rise[best, both] - rise[unmoved, both]
    enough = max(_SURE * lead.std() / np.sqrt(len(lead)), _BY * fit[best])
    return float(shifts[best] / rate) if lead.mean() > enough else 0.0


def _rises(magnitude: np.ndarray, transformer: STFT, percussive: bool) -> np.ndarray:
    """Return how much louder each pitch gets about each frame than on average, (88, ...)."""
    weights = pitch_weights(transformer.sample_rate, transformer.n_fft, percussive)
    loudness = (weights @ np.square(magnitude[: weights.shape[1]])) ** 0.25  # roots of amplitudes
    rise = np.zeros_like(loudness)
    # A root, so that few loud notes do not speak for all.
    rise[:, 1:-1] = np.sqrt(np.maximum(loudness[:, 2:] - loudness[:, :-2], 0))
    reach = round(_SLACK * transformer.frame_rate)
    rise = maximum_filter1d(rise, 2 * reach + 1, axis=1, mode="constant")
    return rise - rise.mean(axis=1, keepdims=True)
