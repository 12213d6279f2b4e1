"""Checks of the estimator contract: parameters, fit, what is fitted, what comes back."""

import pickle
import tempfile
from dataclasses import fields
from pathlib import Path

import numpy as np

from msa_sk._sklearn import get_tags
from msa_sk.base import SceneTags
from msa_sk.exceptions import NotFittedError
from msa_sk.persistence import load
from msa_sk.records import Mixture, Scene
from msa_sk.testing.asserting import assert_same, refuses
from msa_sk.testing.scenes import toy_scenes
from msa_sk.testing.subject import Subject

_LONGEST_REPR = 99


class _Nonsense:
    """No parameter can be this."""


def check_init_only_stores(subject: Subject) -> None:
    """What goes into ``__init__`` is stored, the very object, under its own name."""
    values = {name: _Nonsense() for name in subject.parameters}
    estimator = type(subject.estimator)(**values)
    for name, value in values.items():
        stored = getattr(estimator, name, None)
        assert stored is value, f"__init__ stores another object as {name}: {stored!r}"


def check_parameters_are_checked_by_fit(subject: Subject) -> None:
    """Every parameter is checked when `fit` is called, and the error names it."""
    for name in subject.parameters:
        estimator = subject.fresh().set_params(**{name: _Nonsense()})
        with refuses(f"fit with {name} set to nonsense", name):
            estimator.fit(subject.mixes, subject.scenes)


def check_repr_is_one_line(subject: Subject) -> None:
    """With its default parameters, and as a predicted scene, it is shown on one line."""
    for thing in (type(subject.estimator)(), subject.predicted[0]):
        shown, name = repr(thing), type(thing).__name__
        assert shown.startswith(f"{name}("), f"the repr does not start with {name}(: {shown!r}"
        assert "\n" not in shown, f"the repr is no single line: {shown!r}"
        assert len(shown) <= _LONGEST_REPR, f"the repr has {len(shown)} characters: {shown!r}"


def check_tags_are_scene_tags(subject: Subject) -> None:
    """Tags are SceneTags that claim no 2-D array and no kind of scikit-learn estimator."""
    tags = subject.tags
    assert isinstance(tags, SceneTags), f"tags are {type(tags).__name__}, not SceneTags"
    for field in fields(SceneTags)[len(fields(SceneTags.__base__)) :]:
        value = getattr(tags, field.name)
        assert isinstance(value, bool), f"the tag {field.name} is {value!r}, not True or False"
    assert tags.separates or tags.transcribes, "the tags say that it does nothing at all"
    assert not tags.input_tags.two_d_array, "the tags claim that X may be a feature matrix"
    assert tags.estimator_type is None, f"the tags call it a {tags.estimator_type}"
    required = tags.target_tags.required
    assert required != tags.blind, f"blind is {tags.blind}, but y required is {required}"


def check_tags_tell_what_is_predicted(subject: Subject) -> None:
    """It gives sources, notes and unnamed sources exactly where its tags say so."""
    tags = get_tags(subject.fitted)
    for scene in subject.predicted:
        has_sources, has_notes = scene.sources is not None, scene.notes is not None
        assert has_sources == tags.separates, (
            f"separates is {tags.separates}, sources are {'there' if has_sources else 'missing'}"
        )
        assert has_notes == (tags.transcribes or tags.score_informed), (
            f"transcribes is {tags.transcribes}, notes are {'there' if has_notes else 'missing'}"
        )
        unnamed = all(name.startswith("source_") for name in scene.instruments)
        assert unnamed == tags.blind, (
            f"blind is {tags.blind}, the instruments are {scene.instruments}"
        )


def check_unfitted_is_refused(subject: Subject) -> None:
    """Whatever needs a fitted estimator says that `fit` comes first."""
    X, y = subject.mixes, subject.scenes
    with tempfile.TemporaryDirectory() as directory:
        calls = {
            "predict": (X,),
            "iter_predict": (X,),
            "predict_to_files": (X, Path(directory) / "scenes"),
            "transform": (X,),
            "score": (X, y),
            "save": (Path(directory) / "model",),
        }
        for method, arguments in calls.items():
            estimator = subject.fresh()
            words = (type(estimator).__name__, "fit(")
            with refuses(f"{method} before fit", *words, error=NotFittedError):
                getattr(estimator, method)(*arguments)


def check_fit_returns_self(subject: Subject) -> None:
    """`fit` returns the estimator itself."""
    returned = subject.returned_by_fit
    assert returned is subject.fitted, f"fit returns {returned!r}, not the estimator itself"


def check_fitted_attributes(subject: Subject) -> None:
    """`instruments_` and `sample_rate_` are set by fit, and not before."""
    unfitted, fitted = subject.fresh(), subject.fitted
    for name in ("instruments_", "sample_rate_"):
        assert not hasattr(unfitted, name), f"{name} is there before fit"
        assert hasattr(fitted, name), f"{name} is missing after fit"
    names = fitted.instruments_
    assert isinstance(names, tuple), f"instruments_ is a {type(names).__name__}, not a tuple"
    if not subject.tags.blind:
        expected = subject.instruments
        assert names == expected, f"instruments_ is {names}, not the sorted names {expected}"
    rate = fitted.sample_rate_
    assert rate == subject.rate, f"sample_rate_ is {rate}, the model's rate is {subject.rate}"
    assert not hasattr(fitted, "n_features_in_"), "n_features_in_: scenes have no features"


def check_fit_keeps_parameters(subject: Subject) -> None:
    """`fit` changes no parameter, neither its own nor those of a transformer that it holds."""
    before, after = subject.parameters_around_fit
    assert before.keys() == after.keys(), f"fit changed the parameters: {sorted(after)}"
    for name, value in before.items():
        same = after[name] is value or after[name] == value
        assert same, f"fit changed {name} from {value!r} to {after[name]!r}"


def check_predict_changes_nothing(subject: Subject) -> None:
    """`predict` leaves parameters, attributes and what `save` would write as they were."""
    estimator = subject.fitted
    names, parameters = set(vars(estimator)), repr(estimator.get_params())
    values, arrays = estimator._get_state()
    arrays = {name: np.array(array) for name, array in arrays.items()}
    estimator.predict(subject.mixes[:2])
    assert set(vars(estimator)) == names, (
        f"predict sets attributes: {sorted(set(vars(estimator)) ^ names)}"
    )
    assert repr(estimator.get_params()) == parameters, "predict changes parameters"
    values_after, arrays_after = estimator._get_state()
    assert repr(values_after) == repr(values), "predict changes the fitted state"
    for name, array in arrays.items():
        assert np.array_equal(array, arrays_after[name]), f"predict changes {name}"


def check_refit_forgets(subject: Subject) -> None:
    """A second `fit` gives what a first one gives: nothing of an earlier one remains."""
    estimator = subject.fresh()
    others = toy_scenes(subject.rate, subject.needs, n_scenes=3, seed=100)
    estimator.fit(*others).fit(subject.mixes, subject.scenes)
    assert_same(estimator.predict(subject.mixes), subject.predicted, "after a second fit")


def check_pickle(subject: Subject) -> None:
    """A pickled and unpickled estimator predicts the same bytes."""
    copy = pickle.loads(pickle.dumps(subject.fitted))
    assert_same(copy.predict(subject.mixes), subject.predicted, "after pickling")


def check_save_and_load(subject: Subject) -> None:
    """A saved and loaded estimator has the same parameters and predicts the same bytes."""
    with tempfile.TemporaryDirectory() as directory:
        copy = load(subject.fitted.save(Path(directory) / "model.msa"))
    assert type(copy) is type(subject.fitted), f"load gives a {type(copy).__name__}"
    shown, expected = (repr(one.get_params()) for one in (copy, subject.fitted))
    assert shown == expected, f"load gives the parameters {shown}, saved were {expected}"
    assert_same(copy.predict(subject.mixes), subject.predicted, "after save and load")


def check_predict_returns_scenes(subject: Subject) -> None:
    """`predict` returns a list with one Scene per mixture, `iter_predict` the same lazily."""
    scenes, names = subject.predicted, subject.fitted.instruments_
    assert isinstance(scenes, list), f"predict returns a {type(scenes).__name__}, not a list"
    assert len(scenes) == len(subject.mixes), (
        f"predict returns {len(scenes)} scenes of {len(subject.mixes)} mixtures"
    )
    for scene in scenes:
        assert isinstance(scene, Scene), f"predict returns {type(scene).__name__}s, not Scenes"
        assert scene.instruments == names, f"a scene has {scene.instruments}, not {names}"
    assert subject.fitted.predict([]) == [], "predict of no mixtures is not an empty list"
    first = next(iter(subject.fitted.iter_predict(subject.mixes)))
    assert_same([first], scenes[:1], "iter_predict")


def check_transform_fills_in(subject: Subject) -> None:
    """`transform` returns the mixtures with the estimated sources and notes in them."""
    filled = subject.fitted.transform(subject.mixes)
    for mixture, given, scene in zip(filled, subject.mixes, subject.predicted, strict=True):
        assert isinstance(mixture, Mixture), f"transform returns {type(mixture).__name__}s"
        assert np.array_equal(mixture.read(), given.read()), "transform changes the audio"
        assert mixture.group == given.group, "transform loses the group"
        for name in scene.instruments:
            if scene.sources is not None:
                assert name in (mixture.sources or {}), f"transform fills in no source {name!r}"
                same = np.array_equal(mixture.read_source(name), scene.source(name))
                assert same, f"transform fills in another source {name!r} than predict gives"
            if scene.notes is not None:
                assert name in (mixture.notes or {}), f"transform fills in no notes of {name!r}"


def check_score_is_a_weighted_mean(subject: Subject) -> None:
    """`score` is a finite number, the mean over mixtures with `sample_weight`."""
    X, y = subject.mixes[:2], subject.scenes[:2]
    score = subject.fitted.score
    both, first = score(X, y), score(X[:1], y[:1])
    assert isinstance(both, float), f"score returns a {type(both).__name__}"
    assert np.isfinite(both), f"score is {both}"
    weighted = score(X, y, sample_weight=[1, 0])
    assert np.isclose(weighted, first), (
        f"with all weight on the first mixture, score is {weighted}; of it alone, {first}"
    )
