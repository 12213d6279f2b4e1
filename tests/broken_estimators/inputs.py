"""Faults in what is accepted, refused, and written into."""

import os
from dataclasses import replace

import numpy as np

from broken_estimators.crossover import Crossover, breaks, times
from msa_sk.exceptions import AudioError, InputError, InstrumentError
from msa_sk.records import Mixture, Scene


def each(X, change):
    """Change what is a Mixture in X."""
    return [change(one) if isinstance(one, Mixture) else one for one in X]


@breaks("check_arrays_and_paths_equal_mixtures", "an array of shape (n_mixes, n_samples)")
class HalvesArrays(Crossover):
    def predict(self, X):
        scenes = super().predict(X)
        return [times(s, 0.5) for s in scenes] if isinstance(X, np.ndarray) else scenes


@breaks("check_arrays_and_paths_equal_mixtures", "a list of paths")
class HalvesFiles(Crossover):
    def _predict_one(self, item):
        return times(super()._predict_one(item), 0.5 if isinstance(item.mixture.audio, str) else 1)


@breaks("check_fit_takes_arrays_and_files", "fitted to files")
class SwapsFiles(Crossover):
    def fit(self, X, y=None):
        if isinstance(y[0].sources, tuple):
            y = [replace(one, sources=one.sources[::-1]) for one in y]
        return super().fit(X, y)


@breaks("check_fit_takes_arrays_and_files", "fitted to files")
class SwapsDicts(Crossover):
    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transcribes = False  # a dict of sounds has no notes
        return tags

    def fit(self, X, y=None):
        if isinstance(y[0], dict):
            y = [dict(zip(one, reversed(one.values()), strict=True)) for one in y]
        return super().fit(X, y)


@breaks("check_batch_equals_single", "predicted together")
class LevelsTheBatch(Crossover):
    def predict(self, X):
        scenes = super().predict(X)
        loudest = max((np.abs(scene.sources).max() for scene in scenes), default=1)
        return [times(scene, loudest) for scene in scenes]


@breaks("check_read_only_inputs", "read-only")
class WritesInPlace(Crossover):
    def _predict_one(self, item):
        audio = item.mixture.audio
        audio *= 1
        return super()._predict_one(item)


@breaks("check_inputs_are_unmodified", "predict writes into the mixtures")
class NormalisesInPlace(Crossover):
    def _predict_one(self, item):
        audio = item.mixture.audio
        audio /= np.abs(audio).max()
        return super()._predict_one(item)


@breaks("check_inputs_are_unmodified", "fit writes into the sources in y")
class FadesTheTruth(Crossover):
    def _fit(self, items, scenes):
        super()._fit(items, scenes)
        scenes[0].sources[..., :100] = 0


@breaks("check_inputs_are_unmodified", "fit changes the list X")
class EmptiesTheList(Crossover):
    def fit(self, X, y=None):
        super().fit(X, y)
        X.pop()
        return self


@breaks("check_object_arrays", "with object arrays")
class ReversesObjectArrays(Crossover):
    def predict(self, X):
        scenes = super().predict(X)
        return scenes[::-1] if isinstance(X, np.ndarray) else scenes


@breaks("check_integers_equal_floats", "uint8 samples")
class TakesIntegersAsTheyAre(Crossover):
    def _accept(self, X):
        return super()._accept(
            each(X, lambda m: replace(m, audio=np.asarray(m.audio, np.float32)))
        )


@breaks("check_kinds_of_arrays", "float64")
class RoundsDoubles(Crossover):
    def _accept(self, X):
        def rounded(mixture):
            is_double = mixture.audio.dtype == np.float64
            return (
                replace(mixture, audio=mixture.audio.astype(np.float16)) if is_double else mixture
            )

        return super()._accept(each(X, rounded))


@breaks("check_one_instead_of_many_is_refused", "lone Mixture", "not refused")
class TakesOne(Crossover):
    def predict(self, X):
        return super().predict([X] if isinstance(X, Mixture) else X)


@breaks("check_lone_scene_is_refused", "not refused")
class TakesOneScene(Crossover):
    def fit(self, X, y=None):
        return super().fit(X, [y] if isinstance(y, Scene) else y)


@breaks("check_unequal_lengths_are_refused", "not refused")
class FitsTheShorter(Crossover):
    def fit(self, X, y=None):
        n = min(len(X), len(y))
        return super().fit(X[:n], y[:n])


@breaks("check_missing_truth_is_refused", "not refused")
class NeedsNoTruth(Crossover):
    def fit(self, X, y=None):
        return self if y is None else super().fit(X, y)


@breaks("check_wrong_number_of_sources_is_refused", "one source per mixture", "not refused")
class WrapsLoneSources(Crossover):
    def fit(self, X, y=None):
        return super().fit(X, [s[None] if np.ndim(s) == 1 else s for s in y])


@breaks("check_wrong_number_of_sources_is_refused", "three were asked for", "not refused")
class ForgetsWhatIsMissing(Crossover):
    def fit(self, X, y=None):
        wanted, self.instruments = self.instruments, None
        super().fit(X, y)
        self.instruments = wanted
        return self


@breaks("check_wrong_length_of_sources_is_refused", "not refused")
class PadsSources(Crossover):
    def fit(self, X, y=None):
        def padded(scene, mixture):
            missing = mixture.n_samples - scene.sources.shape[-1]
            return replace(scene, sources=np.pad(scene.sources, [(0, 0), (0, missing)]))

        return super().fit(X, list(map(padded, y, X)))


@breaks("check_wrong_rate_is_refused", "not refused")
class OverlooksRates(Crossover):
    def fit(self, X, y=None):
        return super().fit(X, [replace(scene, sample_rate=8000) for scene in y])


@breaks("check_missing_file_is_refused", "predict", "not refused")
class SkipsMissingFiles(Crossover):
    def _accept(self, X):
        return super()._accept([x for x in X if not isinstance(x, os.PathLike) or x.is_file()])


@breaks("check_text_file_is_refused_by_predict", "predict", "not refused")
class SkipsUnreadableFiles(Crossover):
    def predict(self, X):
        try:
            return super().predict(X)
        except AudioError:
            return []


@breaks("check_text_file_is_refused_by_fit", "fit", "not refused")
class FitsToWhatCanBeRead(Crossover):
    def fit(self, X, y=None):
        try:
            return super().fit(X, y)
        except AudioError:
            return self


@breaks("check_nonfinite_samples_are_refused", "predict with an array with nan", "not refused")
class RepairsSamples(Crossover):
    def _accept(self, X):
        return super()._accept([np.nan_to_num(x) if isinstance(x, np.ndarray) else x for x in X])


@breaks("check_nonfinite_samples_are_refused", "does not say", "777")
class DoesNotSayWhere(Crossover):
    def _accept(self, X):
        try:
            return super()._accept(X)
        except AudioError:
            raise AudioError("X[1]", "finite samples", "others") from None


@breaks("check_empty_audio_is_refused", "predict with a mixture without samples", "not refused")
class SkipsEmptyAudio(Crossover):
    def _accept(self, X):
        return super()._accept([x for x in X if not isinstance(x, Mixture) or x.n_samples])


@breaks("check_transposed_audio_is_refused", "not refused")
class Transposes(Crossover):
    def _accept(self, X):
        def turned(mixture):
            audio = np.asarray(mixture.audio)
            return replace(mixture, audio=audio.T) if len(audio) > 32 else mixture

        return super()._accept(each(X, turned))


@breaks("check_unknown_instrument_is_refused", "does not say", "did you mean")
class DoesNotHelp(Crossover):
    def fit(self, X, y=None):
        try:
            return super().fit(X, y)
        except InstrumentError:
            raise InputError("instruments", "known ones", repr(self.instruments)) from None


@breaks("check_unasked_instrument_stays_in_mixture", "tag says additive")
class AlwaysAdditive(Crossover):
    def _scene_tags(self):
        return {**super()._scene_tags(), "additive": True}
