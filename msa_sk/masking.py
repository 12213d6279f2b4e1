"""Masks, and what they are made of."""

import numpy as np

from msa_sk.spectral import channel_rms


def ratio_masks(magnitudes: np.ndarray, power: float = 1.0) -> np.ndarray:
    """Return masks that share each bin among sources by their magnitudes.

    Parameters
    ----------
    magnitudes : ndarray of shape (n_sources, n_bins, n_frames)
        True ones give the ideal ratio mask (`power` 1) or the ideal Wiener-like mask
        (`power` 2); a model's, the model's mask.
    power : float, default=1.0

    Returns
    -------
    masks : ndarray of float32, same shape
        In [0, 1]; they sum to one, in equal shares where every source is silent.
    """
    peak = magnitudes.max(axis=0, initial=0)
    # Dividing by the loudest source keeps small numbers from underflowing when raised to a power.
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = np.where(peak > 0, magnitudes / peak, 1.0) ** power
    return (shares / shares.sum(axis=0)).astype(np.float32)


def binary_masks(magnitudes: np.ndarray) -> np.ndarray:
    """Return masks that give each bin to its loudest source, to the first of equals.

    Parameters
    ----------
    magnitudes : ndarray of shape (n_sources, n_bins, n_frames)

    Returns
    -------
    masks : ndarray of float32, same shape
        0 or 1; they sum to one.
    """
    sources = np.arange(len(magnitudes))[:, None, None]
    return (magnitudes.argmax(axis=0) == sources).astype(np.float32)


def phase_sensitive_masks(mixture: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Return the real masks in [0, 1] that bring the mixture closest to each source.

    ``clip(Re(S conj X) / |X|^2, 0, 1)``, and 0 where X is 0; they need not sum to one.

    Parameters
    ----------
    mixture, sources
        As in `phase_sensitive_target`.

    Returns
    -------
    masks : ndarray of float32, shape (n_sources, n_bins, n_frames)
    """
    magnitude = channel_rms(mixture)
    return phase_sensitive_target(mixture, sources) / np.where(magnitude > 0, magnitude, 1)


def phase_sensitive_target(mixture: np.ndarray, sources: np.ndarray) -> np.ndarray:
    """Return the truncated phase-sensitive magnitudes that masks should give (eq. 3.2).

    ``clip(Re(S conj X) / |X|, 0, |X|)``, and 0 where X is 0; of several channels the one
    magnitude that fits all best, with ``|X|`` their root mean square.

    Parameters
    ----------
    mixture : ndarray of shape (n_bins, n_frames) or (n_channels, n_bins, n_frames)
        X, complex.
    sources : ndarray of shape (n_sources, *mixture.shape)
        S, complex.

    Returns
    -------
    target : ndarray of float32, shape (n_sources, n_bins, n_frames)
    """
    magnitude = channel_rms(mixture)
    target = sources.real * mixture.real
    target += sources.imag * mixture.imag
    if mixture.ndim == 3:
        target = target.mean(axis=1)
    target /= np.where(magnitude > 0, magnitude, 1)
    np.maximum(target, 0, out=target)
    np.minimum(target, magnitude, out=target)
    return target.astype(np.float32, copy=False)
