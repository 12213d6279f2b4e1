"""Means, intervals and tests, in which the song is what is drawn."""

import numpy as np


def known_mean(values, weights=None, axis: int = 0):
    """Return the mean of what is not NaN, and NaN where nothing is left."""
    values = np.ma.masked_invalid(values)
    return np.ma.filled(np.ma.average(values, axis=axis, weights=weights), np.nan)
