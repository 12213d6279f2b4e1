"""The estimator under test, and all that checks of it share."""

from functools import cached_property
from typing import Any

import numpy as np
from sklearn.base import clone

from msa_sk._sklearn import get_tags
from msa_sk.base import SceneEstimator
from msa_sk.records import Mixture, Scene
from msa_sk.testing.discovery import label_of, needs_of
from msa_sk.testing.scenes import as_mixture, toy_scenes


class Subject:
    """An estimator under test, with scenes to learn from and one fit for all that only read.

    Parameters
    ----------
    estimator : SceneEstimator
        Not fitted, and small: a check may fit it several times.

    Attributes
    ----------
    needs : tuple of str
        What mixtures and scenes must hold; see `needs_of`.
    mixes, scenes : list of Mixture, list of Scene
        Four of different lengths, of two songs, at the model's rate.
    fitted : SceneEstimator
        Fitted once to these; checks must leave it as it is.
    predicted : list of Scene
        What it predicts for `mixes`.
    """

    def __init__(self, estimator: SceneEstimator):
        self.estimator = estimator
        self.needs = needs_of(estimator)

    def __repr__(self) -> str:
        return label_of(self.estimator)

    @property
    def tags(self) -> Any:
        """The estimator's tags before it is fitted."""
        return get_tags(self.estimator)

    @property
    def parameters(self) -> dict[str, Any]:
        """The estimator's own parameters, not those of what it holds."""
        return self.estimator.get_params(deep=False)

    def fresh(self, **parameters: Any) -> Any:
        """Return an unfitted copy with a fixed seed."""
        if "random_state" in self.parameters:
            parameters = {"random_state": 0, **parameters}
        return clone(self.estimator).set_params(**parameters)

    @cached_property
    def rate(self) -> int:
        """The rate in Hz at which the model works."""
        transformer = self.parameters.get("transformer")
        declared = {**(transformer.get_params() if transformer else {}), **self.parameters}
        if "sample_rate" in declared:
            return declared["sample_rate"]
        return self.fresh().fit(*toy_scenes(16000, self.needs)).sample_rate_

    @cached_property
    def _data(self) -> tuple[list[Mixture], list[Scene]]:
        return toy_scenes(self.rate, self.needs)

    @property
    def instruments(self) -> tuple[str, ...]:
        """What the shared fit is to find: all in the scenes, or the one level asked for."""
        names = self._data[1][0].instruments
        level = self.parameters.get("level")
        return names if level is None else (names[level - 1],)

    @property
    def mixes(self) -> list[Mixture]:
        return list(self._data[0])

    @property
    def scenes(self) -> list[Scene]:
        return list(self._data[1])

    @cached_property
    def _fit(self) -> tuple[Any, Any, dict, dict]:
        estimator = self.fresh()
        before = estimator.get_params()
        returned = estimator.fit(self.mixes, self.scenes)
        return estimator, returned, before, estimator.get_params()

    @property
    def fitted(self) -> Any:
        return self._fit[0]

    @property
    def returned_by_fit(self) -> Any:
        """What the shared fit returned."""
        return self._fit[1]

    @property
    def parameters_around_fit(self) -> tuple[dict, dict]:
        """All parameters, deep ones included, before and after the shared fit."""
        return self._fit[2:]

    @cached_property
    def predicted(self) -> list[Scene]:
        return self.fitted.predict(self.mixes)

    def mixture(self, sources: np.ndarray, rate: int | None = None) -> Mixture:
        """Return the sum of sources (2, ..., n_samples) as a mixture; default: model's rate."""
        return as_mixture(sources, rate or self.rate, needs=self.needs)

    def predict(self, sources: np.ndarray, rate: int | None = None) -> Scene:
        """Return what the shared fit predicts for the sum of sources."""
        return self.fitted.predict([self.mixture(sources, rate)])[0]
