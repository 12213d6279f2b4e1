"""What all measures of sources share: their inputs, their sums, their decibels."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from msa_sk.audio import as_audio
from msa_sk.exceptions import AudioError, InputError
from msa_sk.records import Mixture, Scene

#: No value in dB lies outside [-LIMIT_DB, LIMIT_DB].
LIMIT_DB = 100.0

# A block's dot product stays in the cache and below the length from which BLAS starts threads.
_BLOCK, _BLOCKS_AT_ONCE = 4096, 32


def over_lists(measure: Callable) -> Callable:
    """Let a measure of one item take lists of items, and give a list of results."""
    signature = inspect.signature(measure)
    keyword_only = inspect.Parameter.KEYWORD_ONLY
    names = [name for name, p in signature.parameters.items() if p.kind is not keyword_only]

    @functools.wraps(measure)
    def wrapper(*args, **kwargs):
        options = signature.bind(*args, **kwargs).arguments
        lists = [options.pop(name) for name in names]
        if not any(map(_is_list, lists)):
            return measure(*lists, **options)
        if not all(map(_is_list, lists)) or len({len(one) for one in lists}) > 1:
            got = [f"{len(one)} items" if _is_list(one) else type(one).__name__ for one in lists]
            remedy = "Pass one of each for every item."
            raise InputError(", ".join(names), "lists of one length", ", ".join(got), remedy)
        return [wrapper(*items, **options) for items in zip(*lists, strict=True)]

    return wrapper


def _is_list(values: Any) -> bool:
    """Tell a list of items from one signal that is written as a list of numbers."""
    return isinstance(values, list | tuple) and not (values and np.isscalar(values[0]))


def as_signals(
    reference: Any,
    estimate: Any,
    permutation: bool = False,
    multichannel: bool = False,
    gap: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return reference and estimate as arrays (..., n_samples), channels joined.

    Scenes are matched by name, or with `permutation` left in their own orders. `gap` zeros
    keep joined channels apart.
    """
    if isinstance(reference, Scene) != isinstance(estimate, Scene):
        raise InputError(
            "reference and estimate",
            "both Scenes, or both arrays",
            f"{type(reference).__name__} and {type(estimate).__name__}",
            "Pass scene.sources of both.",
        )
    if isinstance(reference, Scene):
        if reference.sample_rate != estimate.sample_rate:
            raise AudioError(
                "estimate",
                f"{reference.sample_rate} Hz, the reference's rate",
                f"{estimate.sample_rate} Hz",
                "Resample one of them.",
            )
        names = estimate.instruments if permutation else reference.instruments
        reference = _stack(reference, reference.instruments)
        estimate = _stack(estimate, names)
        multichannel = reference.ndim == 3
    n_axes = 1 + permutation + multichannel
    s, e = _as_array(reference, "reference", n_axes), _as_array(estimate, "estimate", n_axes)
    shapes = [s.shape, e.shape]
    if permutation:  # as many estimates as you like
        shapes = [shape[:-n_axes] + shape[1 - n_axes :] for shape in shapes]
    if shapes[0] != shapes[1]:
        raise AudioError(
            "estimate",
            f"shape {s.shape}, as the reference has",
            f"shape {e.shape}",
            "Cut or pad one of them.",
        )
    return (_join_channels(s, gap), _join_channels(e, gap)) if multichannel else (s, e)


def as_mixture(
    mixture: Any, reference: Any, multichannel: bool = False, gap: int = 0
) -> np.ndarray:
    """Return a mixture as an array that broadcasts against what `as_signals` returns."""
    if isinstance(reference, Scene):
        if isinstance(mixture, Mixture):
            mixture = mixture.read(reference.sample_rate)
        reference = _stack(reference, reference.instruments)
        multichannel = reference.ndim == 3
    reference = _as_array(reference, "reference", 1 + multichannel)
    mixture = _as_array(mixture, "mixture", 1 + multichannel)
    axis = reference.ndim - 2 - multichannel  # of the sources
    shape, wanted = mixture.shape, reference.shape
    if axis >= 0 and shape == wanted[:axis] + wanted[axis + 1 :]:
        mixture = np.expand_dims(mixture, axis)
    elif shape != wanted:
        raise AudioError(
            "mixture",
            f"shape {wanted}, with or without the sources' axis",
            f"shape {shape}",
            "Pass the mixture that the reference is part of.",
        )
    return _join_channels(mixture, gap) if multichannel else mixture


def _join_channels(array: np.ndarray, gap: int) -> np.ndarray:
    """Make one vector of the channels: (..., n_channels, n_samples) to (..., n)."""
    if gap:
        array = np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, gap)])
    return array.reshape(*array.shape[:-2], -1)


def _stack(scene: Scene, names: tuple[str, ...]) -> np.ndarray:
    sources = [scene.source(name) for name in names]
    if len({source.shape for source in sources}) > 1:
        shapes = {name: source.shape for name, source in zip(names, sources, strict=True)}
        raise AudioError(repr(scene), "sources of one shape", str(shapes), "Cut or pad them.")
    return np.stack(sources) if sources else np.zeros((0, 1))


def _as_array(values: Any, name: str, n_axes: int) -> np.ndarray:
    if hasattr(values, "detach"):  # a torch tensor, perhaps one that requires grad
        values = values.detach().cpu()
    array = np.asarray(values)
    if array.dtype.kind not in "fiu" or array.ndim < n_axes or array.shape[-1] == 0:
        axes = ("", "n_sources or n_channels, ", "n_sources, n_channels, ")[n_axes - 1]
        raise AudioError(
            name,
            f"real samples of shape (..., {axes}n_samples)",
            f"{array.dtype} of shape {array.shape}",
            "Pass an array, a Scene, or a list of either.",
        )
    if array.dtype.kind in "iu":  # by the door's rule, so that 16-bit and float samples compare
        array = as_audio(array.reshape(-1), name).reshape(array.shape)
    return array


def energy(signals: np.ndarray, name: str) -> np.ndarray:
    """Return the energy of each signal, as float64; `name` is theirs in errors."""
    return moments(signals, signals, (name, name))[0]


def moments(
    reference: np.ndarray,
    estimate: np.ndarray,
    names: tuple[str, str] = ("reference", "estimate"),
) -> np.ndarray:
    """Return ||s||^2, ||e||^2 and <s, e> of each pair of signals, as float64.

    Parameters
    ----------
    reference, estimate : ndarray of shapes that broadcast to (..., n_samples)
    names : tuple of str, default=("reference", "estimate")
        What messages call the two.

    Returns
    -------
    moments : ndarray of float64, shape (3, ...)
    """
    reference, estimate = np.broadcast_arrays(reference, estimate)
    n_samples = reference.shape[-1]
    n_blocks = min(_BLOCKS_AT_ONCE, -(-n_samples // _BLOCK))
    s, e = np.empty((2, n_blocks, _BLOCK))
    sums = np.zeros((3, *reference.shape[:-1]))
    with np.errstate(invalid="ignore", over="ignore"):
        for index in np.ndindex(sums.shape[1:]):
            for start in range(0, n_samples, s.size):
                used = _fill(s, reference[index][start : start + s.size])
                _fill(e, estimate[index][start : start + s.size])
                pairs = ((s, s), (e, e), (s, e))
                sums[(slice(None), *index)] += [_dot(x[:used], y[:used]) for x, y in pairs]
    for name, energies in zip(names, sums[:2], strict=True):
        if not np.isfinite(energies).all():
            where = list(map(int, np.argwhere(~np.isfinite(energies))[0]))
            raise AudioError(
                f"{name}{where or ''}",
                "finite samples",
                "NaN, infinity, or an energy beyond float64",
                "Repair or leave out this signal.",
            )
    return sums


def _fill(blocks: np.ndarray, samples: np.ndarray) -> int:
    """Write samples into a buffer as float64, and return how many blocks they take."""
    used = -(-len(samples) // _BLOCK)
    flat = blocks.reshape(-1)
    flat[: len(samples)] = samples
    flat[len(samples) : used * _BLOCK] = 0
    return used


def _dot(x: np.ndarray, y: np.ndarray) -> float:
    """Return <x, y> of (n_blocks, n) arrays as the sum of the blocks' products."""
    return (x[:, None, :] @ y[:, :, None]).sum()


def decibels(target: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Return 10 log10(target / noise), limited; energies of 0 have their limits too."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(noise > 0, target / noise, np.where(target > 0, np.inf, 0.0))
        return np.clip(10 * np.log10(ratio), -LIMIT_DB, LIMIT_DB)


def assign(scores: np.ndarray) -> np.ndarray:
    """Return the estimate of each reference that makes the sum of scores highest.

    Parameters
    ----------
    scores : ndarray of shape (..., n_references, n_estimates)
        A row of NaN is a silent reference: it takes no part.

    Returns
    -------
    permutation : ndarray of int, shape (..., n_references)
        Silent references take what is left, and -1 where nothing is.
    """
    from scipy.optimize import linear_sum_assignment

    n_estimates = scores.shape[-1]
    permutation = np.full(scores.shape[:-1], -1)
    for index in np.ndindex(scores.shape[:-2]):
        sounding = ~np.isnan(scores[index]).any(axis=-1)
        if sounding.sum() > n_estimates:
            raise InputError(
                "estimate",
                f"at least {sounding.sum()} sources, one for each reference that sounds",
                str(n_estimates),
                "Let the system look for more sources.",
            )
        _, taken = linear_sum_assignment(scores[index][sounding], maximize=True)
        left = np.setdiff1d(np.arange(n_estimates), taken)[: (~sounding).sum()]
        permutation[index][sounding] = taken
        permutation[index][np.flatnonzero(~sounding)[: len(left)]] = left
    return permutation


def pick(scores: np.ndarray, permutation: np.ndarray) -> np.ndarray:
    """Return each reference's score with the estimate that `assign` gave it."""
    chosen = np.take_along_axis(scores, permutation[..., None], axis=-1)[..., 0]
    return np.where(permutation < 0, np.nan, chosen)
