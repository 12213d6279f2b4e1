"""Separation that is told the score (dissertation, chapter 4)."""

from typing import Any

import numpy as np
import torch

from msa_sk._sklearn import StrOptions, whole
from msa_sk.exceptions import InputError
from msa_sk.models.family import MaskInference
from msa_sk.neural.data import Example, LevelledSTFT, SceneDataset, some_examples
from msa_sk.neural.parameters import extending
from msa_sk.nn.heads import MaskHead
from msa_sk.nn.informed import ScoreInformedModule
from msa_sk.notes import Notes
from msa_sk.records import Mixture, Scene
from msa_sk.rolls import N_PITCHES, notes_to_roll
from msa_sk.score import score_of
from msa_sk.spectral import Spectrogram

_VARIANTS = ("vanilla", "processed", "residual")
_OF_HINTS = {"variant": "residual", "hint_size": 128, "hint_layers": 1, "hint_features": 128}
_CONSTRAINTS_OF_HINTS: dict[str, list] = {
    "variant": [StrOptions(set(_VARIANTS))],
    **{name: [whole(1)] for name in ("hint_size", "hint_layers", "hint_features")},
}


@extending(MaskInference, without=["body"])
class ScoreInformedSeparator(MaskInference):
    """Separate a mixture whose score is known (section 4.2.1).

    A network sees the mixture and, beside each of its frames, a piano roll for each instrument,
    and finds masks. Whoever changes the score changes what it separates. A mixture brings its
    score along as `Mixture.notes`, and the predicted scene has these very notes. An instrument
    that the score does not list is silent by the score.

    Parameters
    ----------
    variant : {"vanilla", "processed", "residual"}, default="residual"
        What becomes of the rolls (figure 4.3): they go to the body as they are; through
        recurrent layers of their own before; or through these with a skip around them.
    hint_size, hint_layers : int, default=128, 1
        Units per direction, and layers, that the rolls go through; the paper has 600 and 2.
    hint_features : int, default=128
        Numbers that these make of the rolls in each frame; the paper has 512.
    mask_activation : {"softmax", "sigmoid", "leaky_relu"}, default="softmax"
        How masks come to lie between 0 and 1. "softmax" lets those of all sources, the rest
        included, add up to 1: sources and rest are the mixture, whatever the score. "sigmoid"
        leaves each to itself, and so does "leaky_relu", which the paper names; it is cut to
        [0, 1] in `predict`.
    batch_norm : bool, default=True
        Whether inputs are normalized in each batch, and then scaled as is learnt (section
        4.3.5): each bin of the mixture, and all rolls by one scale. What `predict` normalizes by
        are running means of that, which begin at the mean and variance of training data.

    Attributes
    ----------
    instruments_ : tuple of str
    sample_rate_ : int
    net_ : skorch.NeuralNet
    history_ : list of dict
        Per epoch the loss, in training and validation.
    n_iter_ : int
        Epochs run.

    Notes
    -----
    `fit` takes the score from `Mixture.notes` where that is given, and else the true notes from
    the Scene in ``y``: that is teacher forcing, as in the paper. After a transcriber in a
    Pipeline it learns from notes as that finds them.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from msa_sk import ScoreInformedSeparator
    >>> from msa_sk.datasets import make_scenes
    >>> X, y = make_scenes(4, duration=1.0, random_state=0)
    >>> separator = ScoreInformedSeparator(hidden_size=16, max_epochs=2, random_state=0)
    >>> score = dict(zip(y[0].instruments, y[0].notes))
    >>> scene = separator.fit(X, y).predict([replace(X[0], notes=score)])[0]
    >>> scene.notes_of("piano") is score["piano"]
    True
    """

    _own = {**_OF_HINTS, "mask_activation": "softmax", "batch_norm": True}
    _parameter_constraints = {
        **{k: v for k, v in MaskInference._parameter_constraints.items() if k != "body"},
        **_CONSTRAINTS_OF_HINTS,
        "mask_activation": [StrOptions({"softmax", "sigmoid", "leaky_relu"})],
    }
    _settled_by_fit = (*MaskInference._settled_by_fit, *_OF_HINTS, "mask_activation")

    body = "blstm"
    variant: str
    hint_size: int
    hint_layers: int
    hint_features: int
    mask_activation: str

    def _scene_tags(self) -> dict[str, bool]:
        tags = super()._scene_tags()
        adds_up = tags["additive"] and self.mask_activation == "softmax"
        return {**tags, "additive": adds_up, "score_informed": True}

    def _select(
        self, items: list[Spectrogram], scenes: list[Scene], name: str = "y"
    ) -> tuple[list[Spectrogram], list[Scene]]:
        for i, (item, scene) in enumerate(zip(items, scenes, strict=True)):
            place = f"{name.replace('y', 'X')}[{i}]"
            if item.mixture.notes is not None:
                try:
                    score_of(item.mixture, [*self.instruments_, *scene.instruments])
                except InputError as error:
                    raise error.within(place) from error
            elif scene.notes is None:
                raise InputError(
                    place,
                    "a mixture with notes, or a true scene that knows them",
                    "neither",
                    "Pass Mixture(audio, notes=...), or transcribe first.",
                )
        return super()._select(items, scenes, name)

    def _make_module(self, n_bins: int, n_sources: int) -> ScoreInformedModule:
        return ScoreInformedModule(
            n_bins,
            len(self.instruments_),
            N_PITCHES,
            lambda n_features: MaskHead(n_features, n_bins, n_sources, self.mask_activation),
            hidden_size=self.hidden_size,
            n_layers=self.n_layers,
            dropout=self.dropout,
            batch_norm=self.batch_norm,
            input_scale=self.input_scale,
            variant=self.variant,
            hint_size=self.hint_size,
            hint_layers=self.hint_layers,
            hint_features=self.hint_features,
        )

    def _make_inputs(
        self, spectrogram: Spectrogram, levelled: LevelledSTFT, scene: Scene
    ) -> Example:
        mixture = spectrogram.mixture
        if mixture.notes is None:
            known = zip(scene.instruments, scene.notes or (), strict=True)
            mixture = Mixture(mixture.audio, mixture.sample_rate, notes=dict(known))
        score = score_of(mixture, self.instruments_, others=True)
        return {"score": _rolls(score, spectrogram, 0, levelled.magnitude.shape[-1])}

    def _told(self, item: Spectrogram, first: int, last: int) -> Example:
        score = score_of(item.mixture, self.instruments_, others=self.has_rest_)
        return {"score": _rolls(score, item, first, last)}

    def _before_training(self, module: Any, dataset: SceneDataset) -> None:
        inputs = [one for one, _ in some_examples(dataset)]
        module.standardise([torch.from_numpy(one["magnitude"]) for one in inputs])
        module.hint_norm.standardise([torch.from_numpy(one["score"]) for one in inputs])


def _rolls(
    score: tuple[Notes, ...], spectrogram: Spectrogram, first: int, last: int
) -> np.ndarray:
    """Return (n_instruments, n_pitches, n_frames) of some frames."""
    rate = spectrogram.frame_rate
    return np.stack([notes_to_roll(notes, last - first, rate, first) for notes in score])
