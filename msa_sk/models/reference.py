"""Floor and ceiling: what doing nothing scores, and what perfect masks score."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from msa_sk._sklearn import StrOptions, whole
from msa_sk._validation import check_mixtures, check_scenes
from msa_sk.audio import MAX_RATE, MIN_RATE
from msa_sk.base import SceneEstimator, SpectralEstimator, has_rest
from msa_sk.exceptions import InputError
from msa_sk.masking import binary_masks, phase_sensitive_masks, ratio_masks
from msa_sk.records import Mixture, Scene, are_levels, stack_sources
from msa_sk.spectral import STFT, Spectrogram, channel_rms


def attach_truth(X: Any, y: Any, sample_rate: int = 16000) -> list[Mixture]:
    """Return the mixtures with the true sources and notes filled in.

    For systems that are informed by them, or may cheat with them (`IdealMaskSeparator`).

    Parameters
    ----------
    X, y : list or ndarray of length n_mixes
        Mixtures and their true Scenes, in any form that `fit` takes.
    sample_rate : int, default=16000
        In Hz, for arrays that come without one.

    Returns
    -------
    mixtures : list of Mixture
        What is unknown in a scene stays as the mixture has it.
    """
    mixtures = check_mixtures(X, sample_rate)
    informed = []
    for mixture, scene in zip(mixtures, check_scenes(y, mixtures), strict=True):
        parts: dict[str, Any] = {}
        if scene.sources is not None:
            parts["sources"] = dict(zip(scene.instruments, scene.sources, strict=True))
        if scene.notes is not None:
            parts["notes"] = dict(zip(scene.instruments, scene.notes, strict=True))
        informed.append(replace(mixture, **parts))
    return informed


class MixtureBaseline(SceneEstimator):
    """The floor: every source is estimated as the mixture itself.

    Its SI-SDR improvement is 0 dB by definition; what scores below it does harm.

    Parameters
    ----------
    instruments : sequence of str, default=None
        What to look for; None takes all names in y, sorted.
    sample_rate : int, default=16000
        In Hz, of arrays that come without a rate.

    Examples
    --------
    >>> from msa_sk import MixtureBaseline
    >>> from msa_sk.datasets import make_scenes
    >>> mixes, scenes = make_scenes(2, random_state=0)
    >>> print(f"{MixtureBaseline().fit(mixes, scenes).score(mixes, scenes):.1f} dB")
    0.0 dB
    """

    _parameter_constraints = {
        "instruments": [None, list, tuple],
        "sample_rate": [whole(MIN_RATE, MAX_RATE)],
    }

    _takes_levels = True

    def __init__(self, instruments: Sequence[str] | None = None, sample_rate: int = 16000):
        self.instruments = instruments
        self.sample_rate = sample_rate

    def _fit(self, items: list, scenes: list[Scene]) -> None:
        pass

    def _predict_one(self, item: Mixture) -> Scene:
        audio = item.read()
        sources = np.stack([audio] * len(self.instruments_))
        return Scene(self.instruments_, item.rate, sources)


class IdealMaskSeparator(SpectralEstimator):
    """The ceiling: masks made from the true sources, which the mixtures must hold.

    Fill them in with `attach_truth`. Sources that the mixture holds besides the wanted
    instruments take part in the masks and stay in the mixture. Levels of a hierarchy are parts of
    each other: each one's mask is that of it and what it leaves of the mixture.

    Parameters
    ----------
    mask : {"ratio", "binary", "wiener", "phase_sensitive"}, default="ratio"
        ``"ratio"`` shares each bin by the sources' magnitudes (eq. 1.2 of the dissertation
        with the mask known), ``"wiener"`` by their powers; ``"binary"`` gives it to the
        loudest; ``"phase_sensitive"`` brings each source as close as a mask in [0, 1] can
        (eq. 3.2), and is the only one whose sources need not add up to the mixture.
    instruments : sequence of str, default=None
        What to look for; None takes all names in y, sorted.
    transformer : STFT, default=None
        None is ``STFT()``; behind an STFT in a Pipeline, it is that one.

    Examples
    --------
    >>> from msa_sk import IdealMaskSeparator, attach_truth
    >>> from msa_sk.datasets import make_scenes
    >>> mixes, scenes = make_scenes(2, random_state=0)
    >>> informed = attach_truth(mixes, scenes)
    >>> IdealMaskSeparator().fit(informed, scenes).score(informed, scenes) > 5
    True
    """

    _parameter_constraints = {
        "mask": [StrOptions({"ratio", "binary", "wiener", "phase_sensitive"})],
        "instruments": [None, list, tuple],
        "transformer": [None, STFT],
    }
    _takes_levels = True

    def __init__(
        self,
        mask: str = "ratio",
        instruments: Sequence[str] | None = None,
        transformer: STFT | None = None,
    ):
        self.mask = mask
        self.instruments = instruments
        self.transformer = transformer

    def _scene_tags(self) -> dict[str, bool]:
        whole = self.mask != "phase_sensitive" and not getattr(self, "has_rest_", False)
        return {**super()._scene_tags(), "additive": whole}

    def _fit(self, items: list, scenes: list[Scene]) -> None:
        levels = are_levels(self.instruments_)
        self.has_rest_ = levels or has_rest(items, scenes, self.instruments_)

    def _predict_one(self, item: Spectrogram) -> Scene:
        mixture = item.mixture
        if mixture.sources is None:
            raise InputError(
                repr(mixture),
                "a mixture with its true sources",
                "none",
                "Fill them in: attach_truth(X, y).",
            )
        names = [*self.instruments_, *sorted(set(mixture.sources) - set(self.instruments_))]
        truth = Scene(tuple(mixture.sources), mixture.rate, tuple(mixture.sources.values()))
        spectra = item.analyse(stack_sources(truth, names, mixture.read()))
        if are_levels(self.instruments_):
            pairs = (np.stack([one, item.stft - one]) for one in spectra)
            masks = np.stack([self._masks(item, pair)[0] for pair in pairs])
        else:
            masks = self._masks(item, spectra)
        sources = item.invert(masks[: len(self.instruments_)])
        return Scene(self.instruments_, mixture.rate, sources)

    def _masks(self, item: Spectrogram, spectra: np.ndarray) -> np.ndarray:
        if self.mask == "phase_sensitive":
            return phase_sensitive_masks(item.stft, spectra)
        magnitudes = np.stack([channel_rms(spectrum) for spectrum in spectra])
        if self.mask == "binary":
            return binary_masks(magnitudes)
        return ratio_masks(magnitudes, power=2 if self.mask == "wiener" else 1)

    def _get_state(self) -> tuple[dict, dict[str, np.ndarray]]:
        values, arrays = super()._get_state()
        return {**values, "has_rest_": self.has_rest_}, arrays

    def _set_state(self, values: dict, arrays: dict[str, np.ndarray]) -> None:
        super()._set_state(values, arrays)
        self.has_rest_ = values["has_rest_"]
