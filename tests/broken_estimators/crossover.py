"""An estimator that keeps every promise; all broken ones derive from it."""

from dataclasses import replace

import numpy as np
from sklearn.utils import check_random_state

from msa_sk.base import SpectralEstimator, has_rest
from msa_sk.masking import ratio_masks
from msa_sk.persistence import register
from msa_sk.records import Scene, stack_sources
from msa_sk.rolls import LOWEST_PITCH, N_PITCHES, roll_to_notes
from msa_sk.spectral import STFT

#: (name of the check, class, words of the message) of every class that is broken on purpose.
FAULTS = []


def breaks(check, *words):
    """Say which check must catch a class, and what its message must say."""

    def enlist(cls):
        FAULTS.append((check, cls, words))
        return cls

    return enlist


@register
class Crossover(SpectralEstimator):
    """Share the mixture by how strong each instrument was in training, and how high."""

    _parameter_constraints = {
        "instruments": [None, list, tuple],
        "transformer": [None, STFT],
        "random_state": ["random_state"],
    }
    _tiny_parameters = [{"transformer": STFT(sample_rate=8000, n_fft=256, hop_length=64)}]

    def __init__(self, instruments=None, transformer=None, random_state=None):
        self.instruments = instruments
        self.transformer = transformer
        self.random_state = random_state

    def _scene_tags(self):
        additive = not getattr(self, "has_rest_", False)
        return {"separates": True, "transcribes": True, "blind": False, "additive": additive}

    def _fit(self, items, scenes):
        self.has_rest_ = has_rest(items, scenes, self.instruments_)
        energy = np.zeros(len(self.instruments_) + self.has_rest_)
        for item, scene in zip(items, scenes, strict=True):
            audio = item.mixture.read()
            sources = stack_sources(scene, self.instruments_, audio)
            rest = [audio - sources.sum(axis=0)] if self.has_rest_ else []
            energy += [np.sum(np.square(one, dtype=float)) for one in [*sources, *rest]]
        jitter = 1 + 0.1 * check_random_state(self.random_state).uniform(size=len(energy))
        self.shares_ = energy / energy.sum() * jitter

    def _predict_one(self, item):
        magnitude = item.magnitude
        height = np.linspace(0, 1, item.n_bins)
        shares = [share * (1 + i * height) for i, share in enumerate(self.shares_)]
        masks = np.repeat(ratio_masks(np.array(shares)[..., None]), magnitude.shape[1], axis=2)
        n_sources = len(self.instruments_)
        rolls = np.zeros((n_sources, N_PITCHES, magnitude.shape[1]), np.float32)
        rolls[:, 60 - LOWEST_PITCH] = magnitude.max(axis=0) / magnitude.max()
        notes = tuple(roll_to_notes(roll, item.frame_rate) for roll in rolls)
        sources, rate = item.invert(masks[:n_sources]), item.mixture.rate
        return Scene(self.instruments_, rate, sources, notes, rolls, item.frame_rate)

    def _get_state(self):
        values, arrays = super()._get_state()
        return {**values, "has_rest": self.has_rest_}, {**arrays, "shares": self.shares_}

    def _set_state(self, values, arrays):
        super()._set_state(values, arrays)
        self.has_rest_, self.shares_ = values["has_rest"], arrays["shares"]


def times(scene, gain):
    return replace(scene, sources=scene.sources * np.float32(gain))
