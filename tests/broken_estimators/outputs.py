"""Faults in the sources and notes that come out."""

from dataclasses import replace

import numpy as np

from broken_estimators.crossover import Crossover, breaks, times
from msa_sk.records import Mixture, Notes


@breaks("check_output_is_like_input", "44100 Hz", "the sources are at 8000 Hz")
class KeepsItsOwnRate(Crossover):
    def _predict_one(self, item):
        return super()._predict_one(replace(item, mixture=Mixture(item.audio, self.sample_rate_)))


@breaks("check_output_is_like_input", "instead of (2, 8001)")
class CutsToWholeFrames(Crossover):
    def _predict_one(self, item):
        scene = super()._predict_one(item)
        n_samples = scene.sources.shape[-1] // 64 * 64
        return replace(scene, sources=scene.sources[..., :n_samples])


@breaks("check_few_samples", "1 samples", "instead of (2, 1)")
class PadsToOneWindow(Crossover):
    def _predict_one(self, item):
        scene = super()._predict_one(item)
        missing = max(0, item.n_fft - scene.sources.shape[-1])
        padding = [(0, 0)] * (scene.sources.ndim - 1) + [(0, missing)]
        return replace(scene, sources=np.pad(scene.sources, padding))


@breaks("check_silence", "one SilenceWarning")
class SilentAboutSilence(Crossover):
    def _predict_item(self, item):
        return (
            super()._predict_item(item)
            if item.audio.any()
            else self._silent_scene(item.mixture, item.audio)
        )


@breaks("check_silence", "1 notes")
class HearsThings(Crossover):
    def _silent_scene(self, mixture, audio):
        notes = (Notes([0], [1], [60]), Notes())
        return replace(super()._silent_scene(mixture, audio), notes=notes)


@breaks("check_scale_equivariance", "a mixture times 100")
class Clips(Crossover):
    def _predict_one(self, item):
        scene = super()._predict_one(item)
        return replace(scene, sources=np.clip(scene.sources, -1, 1))


@breaks("check_sources_add_up", "miss the mixture by")
class LosesAThousandth(Crossover):
    def _predict_one(self, item):
        return times(super()._predict_one(item), 0.999)


@breaks("check_antiphase_stereo", "in-phase stereo", "sources")
class Downmixes(Crossover):
    def _predict_one(self, item):
        scene = super()._predict_one(item)
        if scene.sources.ndim == 3:
            mono = np.broadcast_to(scene.sources.mean(1, keepdims=True), scene.sources.shape)
            return replace(scene, sources=mono)
        return scene


@breaks("check_extreme_audio_is_finite", "1e-30", "not finite")
class DividesByEnergy(Crossover):
    def _predict_item(self, item):
        scene = self._predict_one(item)
        energy = np.square(item.audio).mean()
        with np.errstate(all="ignore"):
            return replace(scene, sources=scene.sources / energy * energy)


@breaks("check_rolls_fit_mixture", "rolls have shape")
class OneFrameMore(Crossover):
    def _predict_one(self, item):
        scene = super()._predict_one(item)
        return replace(scene, rolls=np.pad(scene.rolls, [(0, 0), (0, 0), (0, 1)]))


@breaks("check_rolls_fit_mixture", "no posteriors")
class GivesLogits(Crossover):
    def _predict_one(self, item):
        scene = super()._predict_one(item)
        return replace(scene, rolls=2 * scene.rolls - 1)


@breaks("check_notes_fit_mixture", "a note of guitar ends at 60.000 s")
class HoldsNotes(Crossover):
    def _predict_one(self, item):
        return replace(super()._predict_one(item), notes=(Notes([0], [60], [60]), Notes()))
