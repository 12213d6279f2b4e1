"""Checks of what model selection leans on: seeds, workers, searches, pipelines."""

import pickle
import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    cross_val_predict,
    cross_val_score,
)
from sklearn.pipeline import Pipeline
from threadpoolctl import threadpool_limits

from msa_sk.base import SceneEstimator
from msa_sk.records import Mixture, Scene
from msa_sk.spectral import STFT
from msa_sk.testing.asserting import assert_same, recorded_warnings
from msa_sk.testing.subject import Subject


def check_same_seed_same_bytes(subject: Subject) -> None:
    """A second fit with the same seed predicts the same bytes, however often it predicts."""
    estimator = subject.fresh().fit(subject.mixes, subject.scenes)
    for time in ("once", "twice"):
        predicted = estimator.predict(subject.mixes)
        assert_same(predicted, subject.predicted, f"a second fit, predicting {time}")


def check_global_generators_are_untouched(subject: Subject) -> None:
    """`fit` and `predict` leave Python's, numpy's and torch's global generators alone."""
    estimator = subject.fresh()
    before = _generator_states()
    estimator.fit(subject.mixes, subject.scenes)
    after_fit = _generator_states()
    estimator.predict(subject.mixes[:2])
    after_predict = _generator_states()
    for name in before:
        assert before[name] == after_fit[name], f"fit draws from the global generator of {name}"
        assert after_fit[name] == after_predict[name], (
            f"predict draws from the global generator of {name}"
        )


def _generator_states() -> dict[str, bytes]:
    import torch

    states = {
        "Python": random.getstate(),
        "numpy": np.random.get_state(),  # noqa: NPY002
        "torch": torch.get_rng_state().numpy(),
    }
    return {name: pickle.dumps(state) for name, state in states.items()}


def check_workers_give_the_same(subject: Subject) -> None:
    """`cross_val_score` gives the same figures with one job and with two."""
    scores = [
        cross_val_score(
            subject.fresh(),
            subject.mixes,
            subject.scenes,
            cv=2,
            n_jobs=n_jobs,
            error_score="raise",
        )
        for n_jobs in (1, 2)
    ]
    assert np.isfinite(scores).all(), f"cross_val_score gives {scores[0]}"
    assert np.allclose(scores[0], scores[1], rtol=1e-5, atol=1e-5), (
        f"n_jobs=2 scores {scores[1]}, n_jobs=1 {scores[0]}"
    )


def check_threads_give_the_same(subject: Subject) -> None:
    """Eight threads may ask one fitted estimator at once; it stays as it is."""

    def predict(mixture: Mixture) -> Scene:
        with threadpool_limits(1):  # OpenMP counts its threads anew in each thread that asks
            return subject.fitted.predict([mixture])[0]

    before = _state_of(subject.fitted)
    # Warning filters are one for all threads: what one ignores, another may see.
    with recorded_warnings(), ThreadPoolExecutor(8) as threads:
        predicted = list(threads.map(predict, 2 * subject.mixes))
    assert_same(predicted, 2 * subject.predicted, "predicted in eight threads")
    assert _state_of(subject.fitted) == before, "predicting in threads changes the fitted state"


def _state_of(estimator: SceneEstimator) -> tuple[str, dict[str, bytes]]:
    values, arrays = estimator._get_state()
    return repr(values), {name: np.asarray(array).tobytes() for name, array in arrays.items()}


def check_grid_search(subject: Subject) -> None:
    """`GridSearchCV` with songs kept together finds a candidate that predicts as if alone."""
    X, y = subject.mixes, subject.scenes
    grid = _harmless_grid(subject)
    search = GridSearchCV(subject.fresh(), grid, cv=GroupKFold(2))
    try:
        with recorded_warnings() as caught:
            search.fit(X, y, groups=[mixture.group for mixture in X])
    except ValueError as error:
        raise AssertionError(f"GridSearchCV over {grid}: {error}") from error
    failures = [w.message for w in caught if issubclass(w.category, FitFailedWarning)]
    assert not failures, f"GridSearchCV over {grid}: {failures[0]}"
    scores = search.cv_results_["mean_test_score"]
    assert np.isfinite(scores).all(), f"GridSearchCV over {grid} scores {scores}"
    alone = subject.fresh(**search.best_params_).fit(X, y)
    assert_same(search.predict(X), alone.predict(X), "the best candidate of GridSearchCV")


def _harmless_grid(subject: Subject) -> dict[str, list]:
    """Return two values of one parameter; each lets every estimator work."""
    if "random_state" in subject.parameters:
        return {"random_state": [1, 2]}
    name, value = next(iter(subject.parameters.items()))
    return {name: [value, value]}


def check_cross_val_predict(subject: Subject) -> None:
    """`cross_val_predict` gives one scene per mixture, of a model that did not see it."""
    X, y = subject.mixes, subject.scenes
    together = cross_val_predict(subject.fresh(), X, y, cv=KFold(2))
    apart = subject.fresh().fit(X[2:], y[2:]).predict(X[:2])
    kinds = {type(one).__name__ for one in together}
    assert kinds == {"Scene"}, f"cross_val_predict unpacks scenes into {kinds}"
    assert len(together) == len(X), f"{len(together)} scenes of {len(X)} mixtures"
    assert_same(list(together[:2]), apart, "cross_val_predict")


def check_pipeline_equals_transformer(subject: Subject) -> None:
    """An STFT before it in a Pipeline gives the same bytes as the same STFT in it."""
    alone = subject.fresh(transformer=_stft(subject)).fit(subject.mixes, subject.scenes)
    pipeline = _pipeline(subject).fit(subject.mixes, subject.scenes)
    what = "in a Pipeline after an STFT"
    assert_same(pipeline.predict(subject.mixes), alone.predict(subject.mixes), what)
    score, expected = (one.score(subject.mixes, subject.scenes) for one in (pipeline, alone))
    assert score == expected, f"{what}: the score is {score}, alone it is {expected}"


def check_pipeline_is_searchable(subject: Subject) -> None:
    """A Pipeline is cloned, its STFT's parameters are set, and the estimator follows them."""
    n_fft = 2 * _stft(subject).n_fft
    pipeline = clone(_pipeline(subject)).set_params(stft__n_fft=n_fft)
    predicted = pipeline.fit(subject.mixes, subject.scenes).predict(subject.mixes)
    transformer = _stft(subject).set_params(n_fft=n_fft)
    alone = subject.fresh(transformer=transformer).fit(subject.mixes, subject.scenes)
    assert_same(predicted, alone.predict(subject.mixes), f"in a Pipeline with stft__n_fft={n_fft}")


def _stft(subject: Subject) -> STFT:
    return clone(subject.parameters["transformer"] or STFT(sample_rate=subject.rate))


def _pipeline(subject: Subject) -> Pipeline:
    return Pipeline([("stft", _stft(subject)), ("separate", subject.fresh(transformer=None))])
