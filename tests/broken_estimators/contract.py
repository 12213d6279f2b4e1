"""Faults against scikit-learn's conventions and the estimator contract."""

from dataclasses import replace

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from broken_estimators.crossover import Crossover, breaks
from msa_sk.persistence import register
from msa_sk.spectral import STFT


@breaks("check_sklearn_clone", "cloning")
class StoresAnotherTransformer(Crossover):
    def __init__(self, instruments=None, transformer=None, random_state=None):
        super().__init__(instruments, STFT(8000), random_state)


@breaks("check_sklearn_default_parameters", "not allowed")
class MutableDefault(Crossover):
    def __init__(self, instruments=None, transformer=None, random_state=None, gains=[1]):  # noqa: B006
        super().__init__(instruments, transformer, random_state)
        self.gains = gains


@breaks("check_sklearn_get_params", "get_params")
class HidesAParameter(Crossover):
    def get_params(self, deep=True):
        parameters = super().get_params(deep)
        if deep:
            del parameters["random_state"]
        return parameters


@breaks("check_sklearn_init_sets_nothing_else", "should not set any attribute")
class CountsFromTheStart(Crossover):
    def __init__(self, instruments=None, transformer=None, random_state=None):
        super().__init__(instruments, transformer, random_state)
        self.n_fits = 0


@breaks("check_sklearn_init_takes_anything", "random_state")
class ChecksInInit(Crossover):
    def __init__(self, instruments=None, transformer=None, random_state=None):
        super().__init__(instruments, transformer, random_state)
        if random_state not in (None, 0):
            raise ValueError("random_state must be 0")


@breaks("check_sklearn_mixin_order", "wrong order")
class MixinLast(Crossover, ClassifierMixin):
    pass


@breaks("check_sklearn_repr", "repr", "no words")
class CannotBeShown(Crossover):
    def __repr__(self):
        raise ValueError("no words")


@breaks("check_sklearn_set_params", "set_params")
class IgnoresSetParams(Crossover):
    def set_params(self, random_state=None, **others):
        return super().set_params(**others)


@breaks("check_sklearn_tag_types", "tag values")
class TagOfWrongType(Crossover):
    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = "yes"
        return tags


@breaks("check_sklearn_tags_method", "_more_tags")
class OldTags(Crossover):
    def _more_tags(self):
        return {"requires_y": True}


@breaks("check_init_only_stores", "transformer")
class ReplacesInInit(Crossover):
    def __init__(self, instruments=None, transformer=None, random_state=None):
        transformer = transformer if isinstance(transformer, STFT) else STFT()
        super().__init__(instruments, transformer, random_state)


@breaks("check_parameters_are_checked_by_fit", "gain", "not refused")
class UndeclaredParameter(Crossover):
    def __init__(self, instruments=None, transformer=None, random_state=None, gain=1.0):
        super().__init__(instruments, transformer, random_state)
        self.gain = gain


@breaks("check_parameters_are_checked_by_fit", "expected InputError, got TypeError")
class TakesAnyTransformer(Crossover):
    _parameter_constraints = {**Crossover._parameter_constraints, "transformer": [object]}


@breaks("check_repr_is_one_line", "no single line")
class LongRepr(Crossover):
    def __repr__(self):
        return "LongRepr(\n)"


@breaks("check_tags_are_scene_tags", "not SceneTags")
class PlainTags(Crossover):
    def __sklearn_tags__(self):
        return BaseEstimator.__sklearn_tags__(self)


@breaks("check_tags_are_scene_tags", "feature matrix")
class ClaimsFeatures(Crossover):
    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        return tags


@breaks("check_tags_tell_what_is_predicted", "transcribes is False, notes are there")
class DeniesItsNotes(Crossover):
    def _scene_tags(self):
        return {**super()._scene_tags(), "transcribes": False}


@breaks("check_unfitted_is_refused", "expected NotFittedError, got AttributeError")
class AlwaysReady(Crossover):
    def _check_fitted(self):
        pass


@breaks("check_fit_returns_self", "fit returns None")
class ReturnsNothing(Crossover):
    def fit(self, X, y=None):
        super().fit(X, y)


@breaks("check_fitted_attributes", "n_features_in_")
class HasFeatures(Crossover):
    def _fit(self, items, scenes):
        super()._fit(items, scenes)
        self.n_features_in_ = items[0].n_bins


@breaks("check_fitted_attributes", "not the sorted names")
class UnsortedInstruments(Crossover):
    def _fit(self, items, scenes):
        self.instruments_ = self.instruments_[::-1]
        super()._fit(items, scenes)


@breaks("check_fit_keeps_parameters", "fit changed instruments")
class LearnsIntoAParameter(Crossover):
    def _fit(self, items, scenes):
        self.instruments = self.instruments_
        super()._fit(items, scenes)


@breaks("check_fit_keeps_parameters", "fit changed transformer__hop_length")
class RetunesItsTransformer(Crossover):
    def _begin_fit(self, X):
        self.transformer.hop_length //= 2
        return super()._begin_fit(X)


@breaks("check_predict_changes_nothing", "predict sets attributes", "last_")
class RemembersTheLast(Crossover):
    def _predict_one(self, item):
        self.last_ = item
        return super()._predict_one(item)


@breaks("check_predict_changes_nothing", "predict changes shares")
class AdaptsAtPredict(Crossover):
    def _predict_one(self, item):
        self.shares_ = self.shares_ * [1, 1.01]
        return super()._predict_one(item)


@breaks("check_refit_forgets", "after a second fit")
class NeverForgets(Crossover):
    def _fit(self, items, scenes):
        before = getattr(self, "shares_", 0)
        super()._fit(items, scenes)
        self.shares_ = self.shares_ + before


@breaks("check_pickle", "after pickling", "sources")
class PicklesRoughly(Crossover):
    def __getstate__(self):
        state = super().__getstate__().copy()
        state["shares_"] = state["shares_"].astype(np.float16)
        return state


@register
@breaks("check_save_and_load", "after save and load", "sources")
class SavesRoughly(Crossover):
    def _get_state(self):
        values, arrays = super()._get_state()
        return values, {"shares": arrays["shares"].astype(np.float16)}


@breaks("check_predict_returns_scenes", "not a list")
class ReturnsATuple(Crossover):
    def predict(self, X):
        return tuple(super().predict(X))


@breaks("check_transform_fills_in", "loses the group")
class LosesGroups(Crossover):
    def transform(self, X):
        return [replace(mixture, group=None) for mixture in super().transform(X)]


@breaks("check_transform_fills_in", "no notes")
class TransformsSourcesOnly(Crossover):
    def transform(self, X):
        return [replace(mixture, notes=None) for mixture in super().transform(X)]


@breaks("check_score_is_a_weighted_mean", "all weight on the first")
class IgnoresWeights(Crossover):
    def score(self, X, y, sample_weight=None):
        return super().score(X, y)
