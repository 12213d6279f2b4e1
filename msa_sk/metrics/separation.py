"""How close separated sources are to the true ones: SDR, SI-SDR and their improvements, in dB.

Every function takes (reference, estimate) and gives one value per source. Accepted are

- arrays of shape (..., n_samples): one value for each of the leading axes, so (n_samples,) gives
  a float, (n_sources, n_samples) an array, (n_mixes, n_sources, n_samples) a table;
- with ``multichannel=True``, arrays of shape (..., n_channels, n_samples): the channels of a
  source are joined to one vector;
- Scenes: one value per instrument of the reference, in its order, matched by name; the channels
  of a Scene are known, so `multichannel` is not needed;
- lists of any of these, of whatever lengths: a list with one result for each item.

Nothing is cut, padded, resampled or centred: shapes must agree, and a mean is part of a signal.
Integer samples are divided by their type's range, as everywhere in this package.

Silence has one meaning, here and in all of `msa_sk.metrics`:

1. A silent reference (all samples 0) has no score: its value is NaN. Means leave it out, and
   `SceneScorer.evaluate` and `compare` report how many values they left out.
2. A silent estimate of a reference that sounds is the worst there is: -100 dB in SI-SDR and in
   BSS Eval. Its plain SDR is 0 dB, by the formula.
3. The silence of one source never changes the score of another.

All values are limited to [-100, 100] dB; an improvement is the difference of two such values.
Energies and products are summed in float64 whatever the input's type: the error stays below
1e-3 dB up to 100 dB.

SDR (eq. 1.3), SI-SDR (1.4), SI-SDRi (1.5) and delta SI-SDRi (4.4) are those of the dissertation
on musical scene analysis that this package follows. It prints the scale in 1.4 once with the
estimate's norm and once with the reference's. Here it is alpha = <e, s> / ||s||^2: the projection
of the estimate on the reference, whose error does not depend on the estimate's scale. No mean is
removed, unlike in torchmetrics with ``zero_mean=True``.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from msa_sk.metrics._signals import (
    as_mixture,
    as_signals,
    assign,
    decibels,
    moments,
    over_lists,
    pick,
)


@over_lists
def sdr(
    reference: Any, estimate: Any, *, permutation: bool = False, multichannel: bool = False
) -> Any:
    """Source-to-distortion ratio (eq. 1.3): 10 log10(||s||^2 / ||s - e||^2).

    It depends on the estimate's scale. SI-SDR does not, and BSS Eval's SDR (`bss_eval`) forgives
    a short filter besides: the three can differ by many dB.

    Parameters
    ----------
    reference, estimate : array-like of shape (..., n_samples), Scene, or list of these
        See the module's description.
    permutation : bool, default=False
        For systems that do not name their sources: score the assignment of estimates to
        references, over the axis before the samples, that has the highest mean. There may be
        more estimates than references, and fewer if no reference that sounds goes without.
    multichannel : bool, default=False
        The last two axes are the (n_channels, n_samples) of one source.

    Returns
    -------
    value : float or ndarray of float64, in dB
        NaN where the reference is silent; a list if lists were given.

    Raises
    ------
    AudioError
        If shapes differ, or samples are no finite numbers.
    InstrumentError
        If the estimated Scene lacks an instrument of the reference.

    Examples
    --------
    >>> import numpy as np
    >>> from msa_sk.metrics import sdr
    >>> reference = np.array([3.0, 4.0])
    >>> float(sdr(reference, 0.9 * reference).round(6))  # a tenth of it is missing
    20.0
    """
    return _measure(_sdr, reference, estimate, permutation, multichannel)


@over_lists
def si_sdr(
    reference: Any, estimate: Any, *, permutation: bool = False, multichannel: bool = False
) -> Any:
    """Scale-invariant SDR (eq. 1.4): 10 log10(||a s||^2 / ||a s - e||^2), a = <e, s> / ||s||^2.

    Parameters, returns and errors as in `sdr`. It depends on nothing but the angle between
    the signals, so that only silence tells reference from estimate.

    Examples
    --------
    >>> import numpy as np
    >>> from msa_sk.metrics import si_sdr
    >>> reference, noise = np.array([3.0, 4.0]), np.array([-0.4, 0.3])  # orthogonal, a tenth
    >>> float(si_sdr(reference, 7 * (reference + noise)).round(6))
    20.0
    """
    return _measure(_si_sdr, reference, estimate, permutation, multichannel)


@over_lists
def sdr_improvement(
    reference: Any,
    estimate: Any,
    mixture: Any,
    *,
    permutation: bool = False,
    multichannel: bool = False,
) -> Any:
    """SDRi: SDR of the estimate minus SDR of the mixture, in dB.

    Parameters
    ----------
    reference, estimate : array-like of shape (..., n_samples), Scene, or list of these
    mixture : array-like, Mixture, or list of these
        One for all sources of an item (their shape without the axis of sources) or one for
        each (their shape). Beside Scenes, a Mixture is read at their rate.
    permutation, multichannel : bool, default=False
        As in `sdr`, with its returns and errors.
    """
    value = _measure(_sdr, reference, estimate, permutation, multichannel)
    return value - _measure_mixture(_sdr, reference, mixture, multichannel)


@over_lists
def si_sdr_improvement(
    reference: Any,
    estimate: Any,
    mixture: Any,
    *,
    permutation: bool = False,
    multichannel: bool = False,
) -> Any:
    """SI-SDRi (eq. 1.5): SI-SDR of the estimate minus SI-SDR of the mixture, in dB.

    Parameters, returns and errors as in `sdr_improvement`.

    Notes
    -----
    Of a solo the mixture is the source itself: its SI-SDR would be infinite and is the limit of
    100 dB, which no estimate can improve. So even a good estimate of 20 dB has -80 dB, and a
    few solos decide the mean: leave them out (``Excerpts(min_instruments=2)``), or measure
    them by `si_sdr`.

    Examples
    --------
    >>> import numpy as np
    >>> from msa_sk.metrics import si_sdr_improvement
    >>> solo, noise = np.array([3.0, 4.0]), np.array([-0.4, 0.3])  # orthogonal, a tenth
    >>> float(si_sdr_improvement(solo, solo + noise, mixture=solo).round(6))
    -80.0
    """
    value = _measure(_si_sdr, reference, estimate, permutation, multichannel)
    return value - _measure_mixture(_si_sdr, reference, mixture, multichannel)


@over_lists
def delta_si_sdr_improvement(
    reference: Any, estimate: Any, initial_estimate: Any, *, multichannel: bool = False
) -> Any:
    """Delta SI-SDRi (eq. 4.4): what an edit of the notes changed, in dB.

    The mixture cancels: it is SI-SDR of the estimate minus SI-SDR of the initial estimate. Where
    that is silence, as it may be where no notes were known (`msa_sk.metrics.interpolate_notes`),
    it has -100 dB, and the delta says nothing: leave such sources out of means, and count them.

    Parameters
    ----------
    reference, estimate, initial_estimate : array-like of shape (..., n_samples), Scene, or list
        As in `sdr`, with its returns and errors.
    multichannel : bool, default=False
    """
    value = _measure(_si_sdr, reference, estimate, False, multichannel)
    return value - _measure(_si_sdr, reference, initial_estimate, False, multichannel)


@over_lists
def best_permutation(reference: Any, estimate: Any, *, multichannel: bool = False) -> Any:
    """Return, for each reference, the index of the estimate that is its own by SI-SDR.

    Parameters
    ----------
    reference : array-like of shape (..., n_references, n_samples), Scene, or list of these
    estimate : array-like of shape (..., n_estimates, n_samples), Scene, or list of these
    multichannel : bool, default=False

    Returns
    -------
    permutation : ndarray of int, shape (..., n_references)
        Silent references take the estimates that are left, and -1 where none is.
    """
    return assign(_pairwise(_si_sdr, *as_signals(reference, estimate, True, multichannel)))


def _measure(
    formula: Callable, reference: Any, estimate: Any, permutation: bool, multichannel: bool
) -> Any:
    signals = as_signals(reference, estimate, permutation, multichannel)
    if permutation:
        scores = _pairwise(formula, *signals)
        return pick(scores, assign(scores))
    return formula(*moments(*signals))[()]


def _measure_mixture(formula: Callable, reference: Any, mixture: Any, multichannel: bool) -> Any:
    reference_signals, _ = as_signals(reference, reference, False, multichannel)
    return formula(*moments(reference_signals, as_mixture(mixture, reference, multichannel)))[()]


def _pairwise(formula: Callable, reference: np.ndarray, estimate: np.ndarray) -> np.ndarray:
    """Score every estimate against every reference: (..., n_references, n_estimates)."""
    return formula(*moments(reference[..., :, None, :], estimate[..., None, :, :]))


def _sdr(ss: np.ndarray, ee: np.ndarray, se: np.ndarray) -> np.ndarray:
    """SDR from the energies of reference and estimate and their product."""
    return np.where(ss > 0, decibels(ss, ss - 2 * se + ee), np.nan)


def _si_sdr(ss: np.ndarray, ee: np.ndarray, se: np.ndarray) -> np.ndarray:
    """SI-SDR from the same; by Pythagoras, ||a s - e||^2 = ||e||^2 - ||a s||^2."""
    with np.errstate(divide="ignore", invalid="ignore"):
        target = se / ss * se
    return np.where(ss > 0, decibels(target, ee - target), np.nan)
