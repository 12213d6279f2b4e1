"""Factorisation that is told the notes: each sounds by spectra of its own, where the score has it.

A pitch of an instrument is two spectra: of its tone, with energy around the harmonics alone, and
of its onset, of any shape. Multiplicative updates leave zeros at zero, so that what a spectrum
may hold, and when it may sound, is settled by where one begins (Ewert and Müller, "Using
score-informed constraints for NMF-based source separation", ICASSP 2012).
"""

from collections.abc import Sequence

import numpy as np

from msa_sk.notes import Notes

_LOBE = 1.5  # bins either side of a partial that its window smears it over
_DETUNED = 2 ** (1 / 24) - 1  # by half a semitone, as a share of the frequency
_ONSET = 0.1  # seconds after its onset in which a note may sound by the spectrum of its onset
_STRIKE = 0.1  # seconds that a percussive note sounds at least
_SHARE_OF_ONSETS = 1e-3  # to begin with: what tones can explain is theirs
_TINY = 1e-9


def harmonic_templates(
    pitches: np.ndarray, n_bins: int, sample_rate: int, n_fft: int
) -> np.ndarray:
    """Return a spectrum for each pitch that is 0 but around its harmonics, which fall by 1 / h.

    Around a harmonic means up to a half semitone either side, yet no less than a window smears,
    and no more than a quarter of the way to the next.

    Parameters
    ----------
    pitches : ndarray of shape (n_pitches,)
        MIDI numbers.
    n_bins : int
    sample_rate : int
        In Hz.
    n_fft : int

    Returns
    -------
    templates : ndarray of shape (n_pitches, n_bins)
        Each adds up to 1, or is 0 where the pitch is above half the sampling rate.
    """
    width = sample_rate / n_fft
    frequency = np.arange(n_bins) * width
    templates = np.zeros((len(pitches), n_bins))
    fundamentals = 440 * 2 ** ((np.asarray(pitches, float) - 69) / 12)
    for template, fundamental in zip(templates, fundamentals, strict=True):
        for h in range(1, int(sample_rate / 2 / fundamental) + 1):
            reach = max(_LOBE * width, min(_DETUNED * h * fundamental, fundamental / 4))
            away = np.clip(np.abs(frequency - h * fundamental) / reach, 0, 1)
            np.maximum(template, np.cos(np.pi / 2 * away) ** 2 / h, out=template, where=away < 1)
    return _normalised(templates)


def note_supports(
    notes: Notes,
    first: int,
    last: int,
    frame_rate: float,
    tolerance: float,
    percussive: bool = False,
) -> np.ndarray:
    """Return where each pitch may sound, and where it may begin.

    Parameters
    ----------
    notes : Notes
    first, last : int
        The frames to look at: up to, not including, `last`.
    frame_rate : float
        In Hz.
    tolerance : float
        In seconds: by so much a note may begin earlier and end later.
    percussive : bool, default=False
        Whether notes sound for a while whatever their offsets say.

    Returns
    -------
    supports : ndarray of bool, shape (2, 128, last - first)
    """
    supports = np.zeros((2, 128, last - first), bool)
    offset = np.maximum(notes.offset, notes.onset + _STRIKE) if percussive else notes.offset
    start = np.floor((notes.onset - tolerance) * frame_rate).astype(int) - first
    ends = np.stack([offset + tolerance, notes.onset + _ONSET])
    stops = np.ceil(ends * frame_rate).astype(int) + 1 - first
    for support, stop in zip(supports, stops, strict=True):
        for i in np.flatnonzero((start < last - first) & (stop > 0)):
            support[notes.pitch[i], max(start[i], 0) : stop[i]] = True
    return supports


def model_parts(
    magnitude: np.ndarray,
    supports: np.ndarray,
    percussive: Sequence[bool],
    sample_rate: int,
    n_fft: int,
    beta_loss: str = "kullback-leibler",
    n_iter: int = 20,
) -> np.ndarray:
    """Return what each instrument of a score is in a magnitude spectrogram.

    Parameters
    ----------
    magnitude : ndarray of shape (n_bins, n_frames)
    supports : ndarray of bool, shape (n_parts, 2, 128, n_frames)
        Of each instrument, from `note_supports`.
    percussive : sequence of bool, of length n_parts
        Whose pitches are one spectrum each, of any shape.
    sample_rate : int
        In Hz.
    n_fft : int
    beta_loss : {"frobenius", "kullback-leibler"}, default="kullback-leibler"
    n_iter : int, default=20

    Returns
    -------
    models : ndarray of float32, shape (n_parts, n_bins, n_frames)
        0 where no note of the instrument may have energy.
    """
    begun = [
        _begin(support, strikes, len(magnitude), sample_rate, n_fft)
        for support, strikes in zip(supports, percussive, strict=True)
    ]
    templates, activations = map(np.concatenate, zip(*begun, strict=True))
    ends = np.cumsum([len(templates) for templates, _ in begun])[:-1]
    factors = factorise(magnitude, templates, activations, beta_loss, n_iter)
    parts = (np.split(factor, ends) for factor in factors)
    return np.stack([spectra.T @ gains for spectra, gains in zip(*parts, strict=True)])


def _begin(
    supports: np.ndarray, percussive: bool, n_bins: int, sample_rate: int, n_fft: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return an instrument's templates and activations to begin with."""
    pitches = np.flatnonzero(supports[0].any(axis=1))
    sounds, begins = supports[:, pitches].astype(float)
    flat = np.full((len(pitches), n_bins), 1 / n_bins)
    if percussive:
        return flat, sounds
    tones = harmonic_templates(pitches, n_bins, sample_rate, n_fft)
    return np.concatenate([tones, flat]), np.concatenate([sounds, _SHARE_OF_ONSETS * begins])


def factorise(
    magnitude: np.ndarray,
    templates: np.ndarray,
    activations: np.ndarray,
    beta_loss: str,
    n_iter: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Fit spectra and activations to a spectrogram; what is 0 stays 0.

    Multiplicative updates of both in turns (Lee and Seung, NIPS 2000).

    Parameters
    ----------
    magnitude : ndarray of shape (n_bins, n_frames)
    templates : ndarray of shape (n_components, n_bins)
    activations : ndarray of shape (n_components, n_frames)
    beta_loss : {"frobenius", "kullback-leibler"}
    n_iter : int

    Returns
    -------
    templates, activations : ndarray of float32
        Each template adds up to 1, or is 0.
    """
    spectra = templates.astype(np.float32)
    gains = (activations * (magnitude.sum() / (activations.sum() or 1))).astype(np.float32)
    for _ in range(n_iter):
        more, less = _pulls(magnitude, spectra.T @ gains, beta_loss)
        gains *= (spectra @ more) / (spectra @ less + _TINY)
        more, less = _pulls(magnitude, spectra.T @ gains, beta_loss)
        spectra *= (gains @ more.T) / (gains @ less.T + _TINY)
        size = spectra.sum(axis=1, keepdims=True)
        spectra, gains = _normalised(spectra), gains * size
    return spectra, gains


def _pulls(
    magnitude: np.ndarray, model: np.ndarray, beta_loss: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return what pulls a model up, and what pulls it down, bin by bin."""
    if beta_loss == "frobenius":
        return magnitude, model
    return magnitude / (model + _TINY), np.ones_like(model)


def _normalised(templates: np.ndarray) -> np.ndarray:
    size = templates.sum(axis=1, keepdims=True)
    return templates / np.where(size > 0, size, 1)
