"""BSS Eval: SDR, SIR and SAR with a forgiven filter, and NSDR and GNSDR, which rest on it.

An estimate is split into e = target + interference + artifacts: what a filter of 512 taps makes
of its own reference, what such filters make of the other references, and the rest. In dB,

- SDR = ||target||^2 / ||interference + artifacts||^2,
- SIR = ||target||^2 / ||interference||^2,
- SAR = ||target + interference||^2 / ||artifacts||^2.

The lecture that this package follows names a fourth part, noise. Like all tools since BSS Eval 3,
this module counts it as artifacts. fast_bss_eval does the work, in float64; the results equal
those of mir_eval.separation, which is deprecated, to 4 decimals. Silence is treated as
`msa_sk.metrics.separation` says; a silent reference interferes with nothing.
"""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from msa_sk.exceptions import AudioError, InputError, MsaWarning
from msa_sk.metrics._signals import (
    LIMIT_DB,
    as_mixture,
    as_signals,
    assign,
    decibels,
    energy,
    over_lists,
    pick,
)
from msa_sk.metrics.statistics import known_mean
from msa_sk.records import Scene

# Added to the energies, 1, of references that depend on each other; seen only above LIMIT_DB.
_DIAGONAL = 1e-11


class BssEval(NamedTuple):
    """What `bss_eval` measures, in dB, one value for each reference."""

    sdr: np.ndarray
    sir: np.ndarray
    sar: np.ndarray


@over_lists
def bss_eval(
    reference: Any,
    estimate: Any,
    *,
    permutation: bool = False,
    multichannel: bool = False,
    filter_length: int = 512,
) -> Any:
    """BSS Eval's SDR, SIR and SAR.

    Parameters
    ----------
    reference, estimate : array-like of shape (..., n_sources, n_samples), Scene, or list of these
        The references of a mixture belong together: they are each other's interference.
    permutation : bool, default=False
        Score the assignment of estimates to references that has the highest mean SIR.
    multichannel : bool, default=False
        The last three axes are (n_sources, n_channels, n_samples); the channels of a source
        share one filter.
    filter_length : int, default=512
        How many taps are forgiven.

    Returns
    -------
    scores : BssEval of ndarrays of float64, shape (..., n_references)
        ``sdr``, ``sir`` and ``sar`` in dB: NaN where the reference is silent, -100 where the
        estimate is; a list if lists were given.

    Raises
    ------
    AudioError
        If shapes differ, samples are no finite numbers, or are too few for the filters.

    Warns
    -----
    MsaWarning
        If filters can make one reference of the others, so that target and interference
        cannot be told apart: SIR is then 100 dB.
    """
    signals = as_signals(reference, estimate, permutation, multichannel, filter_length)
    scores = _pairwise(*signals, filter_length)
    if permutation:
        best = assign(scores[1])
        return BssEval(*(pick(one, best) for one in scores))
    return BssEval(*np.diagonal(scores, axis1=-2, axis2=-1))


@over_lists
def nsdr(
    reference: Any,
    estimate: Any,
    mixture: Any,
    *,
    multichannel: bool = False,
    filter_length: int = 512,
) -> Any:
    """Normalised SDR: BSS Eval's SDR of the estimate minus that of the mixture, in dB.

    Parameters
    ----------
    reference, estimate : array-like of shape (..., n_sources, n_samples), Scene, or list of these
    mixture : array-like of shape (..., n_samples), Mixture, or list of these
    multichannel, filter_length
        As in `bss_eval`, with its errors and warnings.

    Returns
    -------
    nsdr : ndarray of float64, shape (..., n_sources), or list
        NaN where the reference is silent.
    """
    references, estimates = as_signals(reference, estimate, False, multichannel, filter_length)
    one_mixture = as_mixture(mixture, reference, multichannel, filter_length)
    mixtures = np.broadcast_to(one_mixture, references.shape)
    before, after = (
        np.diagonal(_pairwise(references, one, filter_length)[0], axis1=-2, axis2=-1)
        for one in (mixtures, estimates)
    )
    return after - before


def gnsdr(
    references: Sequence, estimates: Sequence, mixtures: Sequence, **options: Any
) -> np.ndarray:
    """Global NSDR: each source's mean NSDR over songs, weighted by their lengths, in dB.

    Parameters
    ----------
    references, estimates : sequences of arrays of shape (n_sources, n_samples), or of Scenes
        One for each song, with the same sources in the same order.
    mixtures : sequence of arrays of shape (n_samples,), or of Mixtures
    **options
        As in `nsdr`.

    Returns
    -------
    gnsdr : ndarray of float64, shape (n_sources,)
        Songs in which a source is silent are left out of its mean; NaN where that is all.
    """
    values = nsdr(list(references), list(estimates), list(mixtures), **options)
    if len({value.shape for value in values}) != 1:
        raise InputError(
            "references",
            "the same sources in every song",
            f"{[len(value) for value in values]} of them",
            "Score the songs apart, or list silent sources too.",
        )
    lengths = [_length(reference) for reference in references]
    return known_mean(np.transpose(values), lengths)


def _length(reference: Any) -> float:
    """Return a song's length; arrays do not know their rate, but only proportions count."""
    if isinstance(reference, Scene):
        return reference.source(reference.instruments[0]).shape[-1] / reference.sample_rate
    return np.shape(reference)[-1]


def _pairwise(reference: np.ndarray, estimate: np.ndarray, filter_length: int) -> np.ndarray:
    """Return SDR, SIR and SAR of every estimate by every reference: (3, ..., n_ref, n_est)."""
    if reference.ndim < 2:
        raise AudioError(
            "reference",
            "shape (..., n_sources, n_samples)",
            f"shape {reference.shape}",
            "Pass all sources of a mixture together.",
        )
    energies = energy(reference, "reference"), energy(estimate, "estimate")
    scores = np.empty((3, *reference.shape[:-1], estimate.shape[-2]))
    for i in np.ndindex(reference.shape[:-2]):
        signals = reference[i], estimate[i]
        scores[(slice(None), *i)] = _score_mixture(
            *signals, energies[0][i], energies[1][i], filter_length
        )
    return scores


def _score_mixture(
    references: np.ndarray,
    estimates: np.ndarray,
    reference_energy: np.ndarray,
    estimate_energy: np.ndarray,
    filter_length: int,
) -> np.ndarray:
    """Return SDR, SIR and SAR of one mixture: (3, n_references, n_estimates)."""
    scores = np.full((3, len(references), len(estimates)), -LIMIT_DB)
    scores[:, reference_energy == 0] = np.nan
    sounding, live = np.flatnonzero(reference_energy), np.flatnonzero(estimate_energy)
    if len(sounding) and len(live):
        target, explained = _projections(
            references[sounding] / np.sqrt(reference_energy[sounding, None]),
            estimates[live] / np.sqrt(estimate_energy[live, None]),
            filter_length,
        )
        scores[np.ix_(np.arange(3), sounding, live)] = (
            decibels(target, 1 - target),
            decibels(target, explained - target),
            decibels(explained, 1 - explained),
        )
    return scores


def _projections(
    references: np.ndarray, estimates: np.ndarray, filter_length: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return which part of each estimate's energy its reference explains, and all of them.

    Parameters
    ----------
    references, estimates : ndarray of shapes (n_references, n_samples), (n_estimates, n_samples)
        Of energy 1.
    filter_length : int

    Returns
    -------
    target, explained : ndarray of shape (n_references, n_estimates)
        From 0 to 1; the rows of the second are alike.
    """
    import torch
    from fast_bss_eval.torch.metrics import square_cosine_metrics

    n_sources, n_samples = references.shape
    if n_samples <= (n_sources - 1) * filter_length:
        raise AudioError(
            "reference",
            f"more than {(n_sources - 1) * filter_length} samples for {n_sources} filters",
            str(n_samples),
            "Pass more audio, or a smaller filter_length.",
        )
    signals = [torch.from_numpy(signal) for signal in (references, estimates)]
    try:
        parts = square_cosine_metrics(*signals, filter_length=filter_length)
    except torch.linalg.LinAlgError:
        warnings.warn(
            "Filters can make one reference of the others: SIR means nothing here.",
            MsaWarning,
            stacklevel=2,
        )
        parts = square_cosine_metrics(*signals, filter_length=filter_length, load_diag=_DIAGONAL)
    target, explained = (np.clip(part.numpy(), 0, 1) for part in parts)
    return target, explained
