"""Whether a score is that of a recording: what begins in one gets louder in the other."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy.ndimage import maximum_filter1d
from scipy.stats import siegelslopes

from msa_sk.decoding import pitch_weights
from msa_sk.exceptions import ScoreWarning
from msa_sk.notes import Notes
from msa_sk.records import Mixture
from msa_sk.rolls import LOWEST_PITCH, in_rolls
from msa_sk.spectral import STFT

_FURTHEST, _CLOSE = 2.0, 0.1  # seconds: shifts that are tried, and those that do not matter
_SLACK = 0.03  # seconds by which a pitch may get louder before its note begins, or after
_LEAST_ONSETS = 8  # at different times; fewer tell nothing
_LEAST_NOTES = 16  # fewer may be at odds with the sound by chance
# By how much a shift has to fit better: in standard errors of the mean over notes, and as a share.
_SURE, _BY = 4.0, 0.2
_NEARLY = 0.9  # of the best fit: as good
_LEAST_RISE = 3.0  # in standard errors: how much louder pitches get where notes begin
_DECAY = 2.0  # seconds that a note may go on sounding after its end
_STRETCH = 10.0  # seconds that are compared at a time: at another tempo, lags grow
_LEAST_LAGS = 3  # fewer tell no tempo
_DRIFT = 0.15  # seconds by which lags have to grow or shrink
_MISFITS = 0.25  # of the stretches that tell: so many may be at odds with a score that is right


class Fit(NamedTuple):
    """How the notes of a score lie in a sound."""

    lag: float  # seconds by which they come too early; below 0, too late; 0 if they may be right
    clear: bool | None  # whether pitches get louder where they begin; None if too few do to tell

    @property
    def tells(self) -> bool:
        """Whether something is known."""
        return self.lag != 0 or self.clear is not None


def warn_of_misfit(
    mixture: Mixture,
    score: Mapping[str, Notes],
    windows: Iterable[tuple[int, np.ndarray]],
    transformer: STFT,
    complete: bool = True,
) -> None:
    """Warn of a score that is not that of its mixture, moved or stretched in time, or too short.

    Whether notes begin where their pitches get louder is asked of stretches of some 10 s. A score
    is too short if more than half of the sound's energy comes before its first note or 2 s and
    more after its last one; one without notes is not looked at.

    Parameters
    ----------
    mixture : Mixture
    score : mapping of str to Notes
    windows : iterable of (first, magnitude)
        Stretches of the mixture, and the frame that each begins with.
    transformer : STFT
        What the magnitudes are of.
    complete : bool, default=True
        Whether the score is meant to have all that is heard. Else it is not too short.

    Warns
    -----
    ScoreWarning
        Of a shift, by how many seconds; of another tempo, by what factor; of a score that fits
        nowhere; of one that is too short, from when to when it is.
    """
    played = [notes for notes in score.values() if len(notes)]
    if not played:
        return
    begin = min(float(notes.onset.min()) for notes in played)
    end = max(float(notes.offset.max()) for notes in played)
    rate = transformer.frame_rate
    parts = (begin - _CLOSE) * rate, (end + _DECAY) * rate
    energy = np.zeros(3)  # before, during and after the score
    found, n_heard = [], 0
    for first, magnitude in windows:
        for start, stretch in _stretches(first, magnitude, rate):
            fit = score_fit(stretch, score, transformer, start)
            if fit is not None and fit.tells:
                found.append(((start + stretch.shape[1] / 2) / rate, fit))
        fresh = magnitude[:, max(n_heard - first, 0) :]  # windows overlap
        n_heard = first + magnitude.shape[1]
        place = np.searchsorted(parts, n_heard - np.arange(fresh.shape[1], 0, -1))
        energy += np.bincount(place, np.square(fresh, dtype=float).sum(axis=0), 3)
    said = _misfit(found)
    if complete and energy[1] < energy.sum() / 2:
        said.append(
            f"are from {begin:.2f} to {end:.2f} s, and more than half of the sound's energy lies "
            "outside. Check that the score is all of this recording's."
        )
    for message in said:
        warnings.warn(f"The notes of {mixture!r} {message}", ScoreWarning, stacklevel=2)


def _stretches(first: int, magnitude: np.ndarray, rate: float) -> Iterator[tuple[int, np.ndarray]]:
    """Give stretches of about 10 s, each of which begins in the middle of the one before."""
    n_frames = magnitude.shape[1]
    edges = np.linspace(0, n_frames, max(2, round(2 * n_frames / rate / _STRETCH)) + 1).astype(int)
    for start, end in zip(edges, edges[2:], strict=False):
        yield first + start, magnitude[:, start:end]


def _misfit(found: Sequence[tuple[float, Fit]]) -> list[str]:
    """Say what is wrong with a score, of which it is known how it fits about some times.

    A lag of 0 is none that is sure, so the others alone say whether they grow.
    """
    moved = np.array([(time, fit.lag) for time, fit in found if fit.lag]).reshape(-1, 2)
    times, lags = moved.T
    if len(moved) >= _LEAST_LAGS:
        slope, begin = siegelslopes(lags, times)
        on_line = np.abs(lags - begin - slope * times) < _CLOSE / 2
        drifts = abs(slope) * (found[-1][0] - found[0][0]) > _DRIFT
        if drifts and on_line.sum() >= max(_LEAST_LAGS, len(moved) / 2):
            return [
                f"seem to be at another tempo: they come {_early(lags[on_line][0])} at "
                f"{times[on_line][0]:.0f} s and {_early(lags[on_line][-1])} at "
                f"{times[on_line][-1]:.0f} s; stretched by a factor of {1 / (1 - slope):.3f} "
                "they fit the sound."
            ]
    if len(moved):
        lag = float(np.median(lags))
        n_agree = int(np.sum(np.abs(lags - lag) < _CLOSE))
        if n_agree > len(moved) / 2 and n_agree >= min(_LEAST_LAGS, (len(found) + 1) / 2):
            return [f"seem to come {_early(lag)}: moved by {lag:+.2f} s they fit the sound."]
    if len(moved) + sum(fit.clear is False for _, fit in found) > _MISFITS * len(found):
        return [
            "do not seem to be those of this sound: their pitches get no louder where they begin. "
            "Check that the score is of this recording, at its tempo."
        ]
    return []


def _early(lag: float) -> str:
    return f"{abs(lag):.2f} s too {'early' if lag > 0 else 'late'}"


def score_fit(
    magnitude: np.ndarray, score: Mapping[str, Notes], transformer: STFT, first: int = 0
) -> Fit | None:
    """Return how the notes of a score lie in a sound.

    A shift fits as well as pitches get louder, on average, about where their notes would then
    begin. It has to fit clearly better than none, for the same notes. Shifts of up to 2 s are
    tried, or of a quarter of the stretch. Whether the notes fit at all is clear by how much louder
    pitches get, on average: by 3 standard errors of that mean, or more.

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
    fit : Fit or None
        None where fewer than 8 notes begin.
    """
    rate, n_frames = transformer.frame_rate, magnitude.shape[1]
    furthest = min(round(_FURTHEST * rate), n_frames // 4)
    close = min(round(_CLOSE * rate), furthest)
    shifts = np.arange(-furthest, furthest + 1)
    rises, insides = [], []  # of each note, by each shift
    begun: set[int] = set()
    for name, notes in score.items():
        frame = np.round(notes.onset * rate).astype(int) - first
        kept = in_rolls(notes) & (frame >= -furthest) & (frame < n_frames + furthest)
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
    best = _nearest(fit, furthest, close)
    unmoved = furthest - close + fit[furthest - close : furthest + close + 1].argmax()
    both = inside[best] & inside[unmoved]
    if both.sum() < _LEAST_ONSETS:
        return Fit(0.0, clear=None)
    lead = rise[best, both] - rise[unmoved, both]
    enough = max(_SURE * lead.std() / np.sqrt(len(lead)), _BY * fit[best])
    if lead.mean() > enough:
        return Fit(float(shifts[best] / rate), clear=True)
    rise = rise[unmoved, inside[unmoved]]
    if len(rise) < _LEAST_NOTES:
        return Fit(0.0, clear=None)
    error = rise.std() / np.sqrt(len(rise))
    return Fit(0.0, clear=bool(rise.mean() > _LEAST_RISE * error))


def _nearest(fit: np.ndarray, unmoved: int, close: int) -> int:
    """Return the shift that fits best; music that repeats itself has several, and one is least."""
    highest = fit.max()
    good = np.flatnonzero(fit >= highest - (1 - _NEARLY) * abs(highest))
    least = good[np.abs(good - unmoved).argmin()]
    first = max(least - close, 0)
    return int(first + fit[first : least + close + 1].argmax())


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
