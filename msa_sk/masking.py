"""Masks, and what they are made of."""

import numpy as np


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
