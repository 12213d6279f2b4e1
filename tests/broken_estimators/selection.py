"""Faults that show under seeds, workers, threads, searches and pipelines."""

import multiprocessing
import random
import threading
import time
from dataclasses import replace

import numpy as np
import torch

from broken_estimators.crossover import Crossover, breaks, times
from msa_sk.records import Scene


@breaks("check_same_seed_same_bytes", "a second fit, predicting once")
class IgnoresItsSeed(Crossover):
    def _fit(self, items, scenes):
        super()._fit(items, scenes)
        self.shares_ = self.shares_ + np.random.default_rng().uniform(size=len(self.shares_))


@breaks("check_same_seed_same_bytes", "a second fit, predicting twice")
class DrawsAtPredict(Crossover):
    def _fit(self, items, scenes):
        super()._fit(items, scenes)
        self._random = np.random.default_rng(0)

    def _predict_one(self, item):
        return times(super()._predict_one(item), self._random.uniform())


@breaks("check_global_generators_are_untouched", "fit", "numpy")
class DrawsFromNumpy(Crossover):
    def _fit(self, items, scenes):
        np.random.rand()  # noqa: NPY002
        super()._fit(items, scenes)


@breaks("check_global_generators_are_untouched", "predict", "torch")
class DrawsFromTorch(Crossover):
    def _predict_one(self, item):
        torch.rand(1)
        return super()._predict_one(item)


@breaks("check_global_generators_are_untouched", "predict", "Python")
class DrawsFromPython(Crossover):
    def _predict_one(self, item):
        random.random()
        return super()._predict_one(item)


@breaks("check_workers_give_the_same", "n_jobs=2 scores")
class DiffersInWorkers(Crossover):
    def _predict_one(self, item):
        in_worker = multiprocessing.current_process().name != "MainProcess"
        scene = super()._predict_one(item)
        return replace(scene, sources=scene.sources[::-1].copy()) if in_worker else scene


@breaks("check_threads_give_the_same", "predicted in eight threads")
class SharesOneDesk(Crossover):
    def _predict_one(self, item):
        self._desk = item
        if threading.current_thread() is not threading.main_thread():
            time.sleep(0.05)
        return super()._predict_one(self._desk)


@breaks("check_grid_search", "scores", "nan")
class ScoresNaN(Crossover):
    def score(self, X, y, sample_weight=None):
        return float("nan")


@breaks("check_grid_search", "fits failed", "another seed, please")
class WorksWithOneSeed(Crossover):
    def _fit(self, items, scenes):
        super()._fit(items, scenes)
        if self.random_state == 2:
            raise RuntimeError("another seed, please")


class SceneOfParts(Scene):
    def __len__(self):
        return len(self.instruments)

    def __getitem__(self, index):
        return self.instruments[index]


@breaks("check_cross_val_predict", "unpacks scenes into {'ndarray'}")
class ReturnsSequences(Crossover):
    def _predict_one(self, item):
        return SceneOfParts(**vars(super()._predict_one(item)))


@breaks("check_pipeline_equals_transformer", "in a Pipeline after an STFT")
class QuieterInPipelines(Crossover):
    def _predict_one(self, item):
        return times(super()._predict_one(item), 1 if self.transformer else 0.5)


@breaks("check_pipeline_is_searchable", "stft__n_fft=512")
class QuieterWithOtherWindows(Crossover):
    def _predict_one(self, item):
        usual = self.transformer or item.n_fft == 256
        return times(super()._predict_one(item), 1 if usual else 0.5)
