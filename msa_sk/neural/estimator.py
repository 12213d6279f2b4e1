"""The estimator that has a network: four hooks, and everything around them."""

import json
import os
from abc import abstractmethod
from collections.abc import Callable, Sequence
from numbers import Integral
from typing import Any

import numpy as np
import torch

from msa_sk._sklearn import StrOptions, real, whole
from msa_sk._validation import check_random
from msa_sk._version import __version__
from msa_sk.base import SpectralEstimator, has_rest, stack_sources
from msa_sk.exceptions import ParameterError
from msa_sk.neural.callbacks import KeepBest, Progress
from msa_sk.neural.checkpoint import Checkpoint, digest
from msa_sk.neural.data import Example, LevelledSTFT, SceneDataset, collate
from msa_sk.neural.net import SceneNet
from msa_sk.neural.randomness import isolated_seed
from msa_sk.neural.schedule import SCHEDULES, Schedule
from msa_sk.persistence import encode_parameters
from msa_sk.records import Scene
from msa_sk.spectral import STFT, Spectrogram


class NeuralEstimator(SpectralEstimator):
    """Base class of systems that learn by gradient.

    A subclass has four hooks:

    - ``_make_module(n_bins, n_sources)`` gives the network, a torch module that takes
      ``magnitude`` (n_batch, n_bins, n_frames) and ``lengths`` (n_batch,) and returns a dict
      of raw heads;
    - ``_make_loss()`` gives ``(terms, loss)``: the names of the loss terms and a callable
      ``loss(heads, target) -> dict of Tensor``;
    - ``_make_target(spectrogram, levelled, scene)`` gives the arrays that the loss reads;
    - ``_decode(heads, spectrogram)`` makes a Scene of one mixture's heads.

    The number of sources that the network knows is that of `instruments_`, and one more for
    the rest where the training mixtures hold more than the wanted instruments.
    """

    _parameter_constraints = {
        "sequence_length": [whole(1)],
        "max_epochs": [whole(1)],
        "batch_size": [whole(1)],
        "lr": [real(0, closed="neither")],
        "lr_schedule": [StrOptions({"constant", *SCHEDULES})],
        "max_grad_norm": [None, StrOptions({"autoclip"}), real(0, closed="neither")],
        "validation_fraction": [real(0, 1, closed="left")],
        "patience": [None, whole(1)],
        "instruments": [None, list, tuple],
        "transformer": [None, STFT],
        "checkpoint": [None, str, os.PathLike],
        "checkpoint_minutes": [real(0)],
        "device": [str],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    }

    # Of this machine and this run, and not of the model.
    _not_saved: tuple[str, ...] = ("checkpoint",)
    # What makes no difference to how training goes on; a subclass adds what `predict` reads.
    _not_trained_by: tuple[str, ...] = (
        *("checkpoint", "checkpoint_minutes", "device", "random_state", "verbose"),
    )

    @abstractmethod
    def _make_module(self, n_bins: int, n_sources: int) -> torch.nn.Module: ...

    @abstractmethod
    def _make_loss(self) -> tuple[Sequence[str], Callable]: ...

    @abstractmethod
    def _make_target(
        self, spectrogram: Spectrogram, levelled: LevelledSTFT, scene: Scene
    ) -> Example: ...

    @abstractmethod
    def _decode(self, heads: dict[str, np.ndarray], spectrogram: Spectrogram) -> Scene: ...

    def _fit(self, items: list[Spectrogram], scenes: list[Scene]) -> None:
        random = check_random(self.random_state)
        checkpoint = None
        if self.checkpoint is not None:
            fingerprint = self._fingerprint(items, scenes)
            checkpoint = Checkpoint(self.checkpoint, self.checkpoint_minutes, fingerprint, random)
        seed = int(random.randint(2**31 - 1))
        self.has_rest_ = has_rest(items, scenes, self.instruments_)
        train, valid = (
            self._dataset([items[i] for i in part], [scenes[i] for i in part])
            for part in split_by_group(items, self.validation_fraction, random)
        )
        with isolated_seed(seed):
            self.net_ = self._make_net(seed, n_batches=-(-len(train) // self.batch_size))
            self.net_.initialize()
            if checkpoint is None or checkpoint.state is None:
                self._before_training(self.net_.module_, train)
            self.net_.train(train, valid, self.max_epochs, checkpoint)
            self._after_training(train)
        self.history_ = self.net_.epochs()
        self.n_iter_ = len(self.history_)

    def _dataset(self, items: list[Spectrogram], scenes: list[Scene]) -> SceneDataset:
        return SceneDataset(items, scenes, self._make_target, self.sequence_length)

    def _fingerprint(self, items: list[Spectrogram], scenes: list[Scene]) -> dict:
        """Return by what a checkpoint knows this training: see `Checkpoint`."""
        name = type(self).__name__
        parameters = encode_parameters(self, without=self._not_trained_by)
        seed = self.random_state if isinstance(self.random_state, Integral) else None
        same = {f"{name}({key}=)": value for key, value in parameters.items()}
        same |= {f"{name}(random_state=)": seed, "X": digest(items), "y": digest(scenes)}
        alike = {
            "msa_sk": __version__,
            "torch": torch.__version__,
            "device": resolve_device(self.device),
            "the number of threads": torch.get_num_threads(),
        }
        return json.loads(json.dumps({"same": same, "alike": alike}, default=int))

    def _make_net(self, seed: int, n_batches: int = 0) -> SceneNet:
        """Return a new net; an epoch of its training has so many batches."""
        terms, loss = self._make_loss()
        callbacks: list[tuple[str, Any]] = [("keep_best", KeepBest(self.patience))]
        if self.lr_schedule != "constant":
            schedule = Schedule(self.lr_schedule, self.max_epochs * n_batches)
            callbacks.append(("schedule", schedule))
        if self.verbose:
            callbacks.append(("progress", Progress(self.max_epochs, n_batches)))
        n_sources = len(self.instruments_) + self.has_rest_
        return SceneNet(
            self._make_module(self.transformer_.n_bins, n_sources),
            loss,
            terms=terms,
            seed=seed,
            optimizer=torch.optim.Adam,
            lr=self.lr,
            max_grad_norm=self.max_grad_norm,
            batch_size=self.batch_size,
            train_split=None,
            callbacks=callbacks,
            device=resolve_device(self.device),
            verbose=0,
        )

    def _before_training(self, module: Any, dataset: SceneDataset) -> None:
        """Prepare a new network for its data; a subclass may want to."""

    def _after_training(self, dataset: SceneDataset) -> None:
        """Learn what is not learnt by gradient; a subclass may need to."""

    def _true_parts(self, audio: np.ndarray, scene: Scene) -> np.ndarray:
        """Return (n_sources, ...) samples of what the network tells apart, the rest included.

        Of a scene with unknown sources they are silent.
        """
        if scene.sources is None:
            return np.zeros((len(self.instruments_) + self.has_rest_, *audio.shape), np.float32)
        sources = stack_sources(scene, self.instruments_, audio)
        if self.has_rest_:
            sources = np.concatenate([sources, [audio - sources.sum(axis=0)]])
        return sources

    def _predict_one(self, item: Spectrogram) -> Scene:
        magnitude = LevelledSTFT.of(item).magnitude
        batch, _ = collate([({"magnitude": magnitude}, {})])
        heads = self.net_.heads(batch)
        return self._decode({name: value[0] for name, value in heads.items()}, item)

    def _get_state(self) -> tuple[dict, dict[str, np.ndarray]]:
        values, arrays = super()._get_state()
        weights = self.net_.module_.state_dict()
        arrays.update({f"module.{k}": v.cpu().numpy() for k, v in weights.items()})
        values.update(has_rest_=self.has_rest_, history_=self.history_, n_iter_=self.n_iter_)
        return values, arrays

    def _set_state(self, values: dict, arrays: dict[str, np.ndarray]) -> None:
        super()._set_state(values, arrays)
        self.has_rest_ = values["has_rest_"]
        self.history_, self.n_iter_ = values["history_"], values["n_iter_"]
        with isolated_seed(0):
            self.net_ = self._make_net(0).initialize()
        prefix = "module."
        weights = {
            k.removeprefix(prefix): torch.from_numpy(v.copy())
            for k, v in arrays.items()
            if k.startswith(prefix)
        }
        self.net_.module_.load_state_dict(weights)


def split_by_group(
    items: Sequence[Spectrogram], fraction: float, random: np.random.RandomState
) -> tuple[list[int], list[int]]:
    """Return indices for training and validation that share no song.

    Mixtures without a group are songs of their own. With fewer than two songs, or a fraction
    of 0, nothing is held out.
    """
    songs: dict[Any, list[int]] = {}
    for i, item in enumerate(items):
        group = item.mixture.group
        songs.setdefault(("mixture", i) if group is None else group, []).append(i)
    order = random.permutation(len(songs))
    n_held_out = round(fraction * len(songs)) if len(songs) > 1 else 0
    if fraction > 0 and len(songs) > 1:
        n_held_out = min(max(1, n_held_out), len(songs) - 1)
    members = list(songs.values())
    held_out = sorted(i for k in order[:n_held_out] for i in members[k])
    kept = sorted(i for k in order[n_held_out:] for i in members[k])
    return kept, held_out


def resolve_device(device: str) -> str:
    """Return the torch device for a name; "auto" takes cuda, then mps, then cpu.

    Raises
    ------
    ParameterError
        If torch does not know the device, or it is not there.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ParameterError(
            "device",
            "'auto' or a torch device that is there",
            repr(device),
            "Use 'cpu' or 'auto'.",
        ) from error
    return device
