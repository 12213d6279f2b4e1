"""Separation that is told the score, and transcription that is told the sources (chapter 4)."""

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from msa_sk._sklearn import StrOptions, whole
from msa_sk._validation import from_preset
from msa_sk.audio import fit_length
from msa_sk.decoding import pitch_weights
from msa_sk.exceptions import AudioError, InputError, ParameterError
from msa_sk.models.family import MaskInference, Transcriber
from msa_sk.neural.data import (
    Example,
    LevelledSTFT,
    SceneDataset,
    some_examples,
    window_norm,
)
from msa_sk.neural.estimator import NeuralEstimator
from msa_sk.neural.parameters import extending
from msa_sk.nn.informed import ScoreInformedModule, SourceInformedModule
from msa_sk.notes import Notes
from msa_sk.records import Mixture, Scene, stack_sources, unknown_name
from msa_sk.rolls import LOWEST_PITCH, N_PITCHES, in_rolls, notes_to_roll
from msa_sk.score import score_of
from msa_sk.spectral import Spectrogram, channel_rms
from msa_sk.templates import harmonic_templates
from msa_sk.windows import Heads, Windows

_OF_HINTS = {"variant": "vanilla", "hint_size": 128, "hint_layers": 1, "hint_features": 128}
# Section 4.3.5; the rest is in the preset of the class below it.
_CHAPTER_4 = {"hint_size": 600, "hint_layers": 2, "hint_features": 512}


class _Informed(NeuralEstimator):
    """What systems have in common that are told of each source: its score, or its sound.

    A subclass says in ``_hint`` which field of a Mixture that is, and of a Scene, and in
    ``_input`` by which name the network takes it.
    """

    _hint: str
    _input: str
    _constraints_of_hints: dict[str, list] = {
        "variant": [StrOptions({"vanilla", "processed", "residual"})],
        **{name: [whole(1)] for name in ("hint_size", "hint_layers", "hint_features")},
        "batch_norm": ["boolean"],
    }

    body = "blstm"
    hidden_size: int
    n_layers: int
    dropout: float
    batch_norm: bool
    input_scale: str
    variant: str
    hint_size: int
    hint_layers: int
    hint_features: int

    @classmethod
    def from_preset(cls, name: str, **changes: Any) -> "_Informed":
        """Return a network of the dissertation's size that is trained as there, with changes.

        Parameters
        ----------
        name : {"chapter4"}
            Section 4.3.5: 4 layers of 600 units after a batch normalization; hints go through 2
            layers of 600 units and become 512 numbers; leaky ReLUs at the output; batches of 64
            excerpts of 5 s, 31 epochs of 206,000 of which are the 100,000 steps, the learning
            rate decaying. The data are ``Excerpts.from_preset("chapter4")``.
        **changes
            Parameters that shall differ.

        Raises
        ------
        ParameterError
            If there is no such preset or parameter.
        """
        return from_preset(cls, cls._presets, name, changes)

    def _sizes(self) -> dict[str, Any]:
        """Return the parameters of the network that both systems have."""
        names = ("hidden_size", "n_layers", "dropout", "batch_norm", "input_scale", *_OF_HINTS)
        return {name: getattr(self, name) for name in names}

    @abstractmethod
    def _check_hint(self, mixture: Mixture, known: Sequence[str], others: bool) -> None:
        """Refuse a hint that is missing, or not of these instruments, or does not last as long."""

    def _select(
        self, items: list[Spectrogram], scenes: list[Scene], name: str = "y"
    ) -> tuple[list[Spectrogram], list[Scene]]:
        for i, (item, scene) in enumerate(zip(items, scenes, strict=True)):
            place = f"{name.replace('y', 'X')}[{i}]"
            if getattr(item.mixture, self._hint) is not None:
                try:
                    known = dict.fromkeys((*self.instruments_, *scene.instruments))
                    self._check_hint(item.mixture, list(known), False)
                except InputError as error:
                    raise error.within(place) from error
            elif getattr(scene, self._hint) is None:
                raise InputError(
                    place,
                    f"a mixture with {self._hint}, or a true scene that knows them",
                    "neither",
                    f"Pass Mixture(audio, {self._hint}={{...}}).",
                )
        return super()._select(items, scenes, name)

    def _before_training(self, module: Any, dataset: SceneDataset) -> None:
        inputs = [one for one, _ in some_examples(dataset)]
        module.standardise([torch.from_numpy(one["magnitude"]) for one in inputs])
        module.standardise_hints([torch.from_numpy(one[self._input]) for one in inputs])

    def _start_from(self, start: dict[str, Any]) -> None:
        if list(self.instruments_) != start["instruments"]:
            raise ParameterError(
                f"{type(self).__name__}(warm_start=)",
                f"the instruments of the fit before, {', '.join(start['instruments'])}",
                ", ".join(self.instruments_),
                "Fit a clone: what the network is told is in their order.",
            )
        super()._start_from(start)

    def _told_in_training(self, mixture: Mixture, scene: Scene) -> Scene:
        """Return a Scene of what a mixture brings along, or else of the truth."""
        own = getattr(mixture, self._hint)
        if own is None:
            return scene
        hint: dict[str, Any] = {self._hint: tuple(own.values())}
        return Scene(tuple(own), mixture.rate, **hint)


@extending(MaskInference, without=["body"])
class ScoreInformedSeparator(_Informed, MaskInference):
    """Separate a mixture whose score is known (section 4.2.1).

    A network sees the mixture and, beside each of its frames, a piano roll for each instrument,
    and finds masks. Whoever changes the score changes what it separates. A mixture brings its
    score along as `Mixture.notes`, and the predicted scene has these very notes. An instrument
    that the score does not list is silent by the score.

    Parameters
    ----------
    variant : {"vanilla", "processed", "residual"}, default="vanilla"
        What becomes of the rolls (figure 4.3): they go to the body as they are; through
        recurrent layers of their own before; or through these with a skip around them.
    hint_size, hint_layers : int, default=128, 1
        Units per direction, and layers, that the rolls go through; the paper has 600 and 2.
    hint_features : int, default=128
        Numbers that these make of the rolls in each frame; the paper has 512.
    roll_input : {"pitches", "harmonics"}, default="harmonics"
        "harmonics" tells of notes a second time, where masks are made: bins near a note's
        harmonics, or in a drum's band, are its instrument's by so much more, by gains that are
        learnt. After equal training it is 0.3 dB better. The paper has "pitches" alone.
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
    Pipeline it learns from notes as that finds them. `warm_start` wants the same instruments.

    `predict` refuses a score with notes of an instrument that training did not have, or that begin
    after the mixture has ended. Of one that seems to be shifted in time, of another recording or
    tempo, or far too short, it warns with a ScoreWarning.

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

    _hint = "notes"
    _input = "score"
    _own = {
        **_OF_HINTS,
        "roll_input": "harmonics",
        "mask_activation": "softmax",
        "batch_norm": True,
    }
    _presets = {
        "chapter4": {
            **MaskInference._presets["chapter4"],
            **_CHAPTER_4,
            "roll_input": "pitches",
            "mask_activation": "leaky_relu",
        }
    }
    _parameter_constraints = {
        **MaskInference._parameter_constraints,
        **_Informed._constraints_of_hints,
        "roll_input": [StrOptions({"pitches", "harmonics"})],
        "mask_activation": [StrOptions({"softmax", "sigmoid", "leaky_relu"})],
    }
    _settled_by_fit = (
        *MaskInference._settled_by_fit,
        *(*_OF_HINTS, "roll_input", "mask_activation"),
    )

    roll_input: str
    mask_activation: str

    def _scene_tags(self) -> dict[str, bool]:
        tags = super()._scene_tags()
        adds_up = tags["additive"] and self.mask_activation == "softmax"
        return {**tags, "additive": adds_up, "score_informed": True}

    def _check_hint(self, mixture: Mixture, known: Sequence[str], others: bool) -> None:
        score_of(mixture, known, others)

    def _make_module(self, n_bins: int, n_sources: int) -> ScoreInformedModule:
        return ScoreInformedModule(
            n_bins,
            len(self.instruments_),
            n_sources,
            N_PITCHES,
            harmonics=self._harmonics() if self.roll_input == "harmonics" else None,
            mask_activation=self.mask_activation,
            **self._sizes(),
        )

    def _harmonics(self) -> torch.Tensor:
        """Return how much bins belong to pitches, (n_instruments, n_pitches, n_bins)."""
        seen = self.transformer_
        pitches = np.arange(LOWEST_PITCH, LOWEST_PITCH + N_PITCHES)
        tones = harmonic_templates(pitches, seen.n_bins, seen.sample_rate, seen.n_fft)
        tones /= np.maximum(tones.max(axis=1, keepdims=True), np.finfo(float).tiny)
        drums = pitch_weights(seen.sample_rate, seen.n_fft, percussive=True).toarray()
        parts = [drums if name == "drums" else tones for name in self.instruments_]
        return torch.from_numpy(np.stack(parts).astype(np.float32))

    def _make_inputs(
        self, spectrogram: Spectrogram, levelled: LevelledSTFT, scene: Scene
    ) -> Example:
        told = self._told_in_training(spectrogram.mixture, scene)
        score = [
            told.notes_of(name) if name in told.instruments else Notes()
            for name in self.instruments_
        ]
        return {"score": _rolls(score, spectrogram, 0, levelled.magnitude.shape[-1])}

    def _n_left_out(self, mixture: Mixture) -> int:
        score = score_of(mixture, self.instruments_, self.has_rest_)
        return sum(int(np.sum(~in_rolls(notes))) for notes in score)

    def _told(self, item: Spectrogram, first: int, last: int) -> Example:
        score = score_of(item.mixture, self.instruments_, self.has_rest_)
        on_keys = [notes.select(in_rolls(notes)) for notes in score]  # others were warned of
        return {"score": _rolls(on_keys, item, first, last)}


@extending(Transcriber, without=["body"])
class SourceInformedTranscriber(_Informed, Transcriber):
    """Find the notes of each instrument in a mixture whose sources are known (section 4.2.2).

    A network sees the mixture and, beside each of its frames, that of each source, and finds
    piano rolls. A mixture brings its sources along as `Mixture.sources`: those that a separator's
    `transform` fills in, for example. An instrument that is not among them is silent.

    Parameters
    ----------
    variant : {"vanilla", "processed", "residual"}, default="processed"
        What becomes of the sources' spectra: they go to the body as they are; through recurrent
        layers of their own before, which is best in the paper and here; or through these with a
        skip around them.
    hint_size, hint_layers : int, default=128, 1
        Units per direction, and layers, that the spectra go through; the paper has 600 and 2.
    hint_features : int, default=128
        Numbers that these make of the spectra in each frame; the paper has 512.
    batch_norm : bool, default=True
        Whether inputs are normalized in each batch, and then scaled as is learnt (section
        4.3.5): each bin of the mixture, and all bins of all sources by one scale. What `predict`
        normalizes by are running means of that, which begin at the mean and variance of training
        data.

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
    `fit` takes the sources from `Mixture.sources` where these are given, and else the true ones
    from the Scene in ``y``: that is teacher forcing, as in the paper. After a separator in a
    Pipeline it learns from sources as that finds them. `warm_start` wants the same instruments.

    Sources are divided by the level of their mixture: louder or softer together, they have the
    same notes.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from msa_sk import SourceInformedTranscriber
    >>> from msa_sk.datasets import make_scenes
    >>> X, y = make_scenes(4, duration=1.0, random_state=0)
    >>> transcriber = SourceInformedTranscriber(hidden_size=16, max_epochs=2, random_state=0)
    >>> sources = dict(zip(y[0].instruments, y[0].sources))
    >>> scene = transcriber.fit(X, y).predict([replace(X[0], sources=sources)])[0]
    >>> scene.instruments
    ('guitar', 'piano')
    """

    _hint = "sources"
    _input = "sources"
    _own = {**_OF_HINTS, "variant": "processed", "batch_norm": True}
    _presets = {"chapter4": {**Transcriber._presets["chapter4"], **_CHAPTER_4}}
    _parameter_constraints = {
        **Transcriber._parameter_constraints,
        **_Informed._constraints_of_hints,
    }
    _settled_by_fit = (*Transcriber._settled_by_fit, *_OF_HINTS)

    def _accept(self, X: Any) -> list[Spectrogram]:
        items = super()._accept(X)
        for i, item in enumerate(items):
            try:
                self._check_hint(item.mixture, self.instruments_, self.has_rest_)
            except InputError as error:
                raise error.within(f"X[{i}]") from error
        return items

    def _check_hint(self, mixture: Mixture, known: Sequence[str], others: bool) -> None:
        if mixture.sources is None:
            raise InputError(
                "Mixture(sources=)",
                "its sources: a dict of instrument to audio",
                "None",
                "Pass them, or let a Pipeline separate before.",
            )
        for name in mixture.sources:
            if name not in known and not others:
                raise unknown_name("Mixture(sources=)", name, known)
            source = _source_of(mixture, name)
            if abs(source.n_samples - mixture.n_samples) > 1:
                raise AudioError(
                    f"Mixture(sources=)[{name!r}]",
                    f"{mixture.n_samples} samples, as its mixture has",
                    str(source.n_samples),
                    "Cut or pad it.",
                )

    def _make_module(self, n_bins: int, n_sources: int) -> SourceInformedModule:
        return SourceInformedModule(
            n_bins,
            len(self.instruments_),
            N_PITCHES,
            leaky_rolls=self._leaky,
            **self._sizes(),
        )

    def _make_inputs(
        self, spectrogram: Spectrogram, levelled: LevelledSTFT, scene: Scene
    ) -> Example:
        told = self._told_in_training(spectrogram.mixture, scene)
        sources = stack_sources(told, self.instruments_, levelled.audio)
        spectra = spectrogram.analyse(sources) * np.float32(levelled.scale)
        return {"sources": np.stack([channel_rms(spectrum) for spectrum in spectra])}

    def _told(self, item: Spectrogram, first: int, last: int) -> Example:
        """Return magnitudes at the level that sources come with."""
        found = np.zeros((len(self.instruments_), item.n_bins, last - first), np.float32)
        sources = item.mixture.sources or {}
        around = math.ceil(item.n_fft / item.hop_length)
        start = max(0, first - around)
        stretch = np.array([start, last + around - start]) / item.frame_rate
        for row, name in zip(found, self.instruments_, strict=True):
            if name in sources:
                source = _source_of(item.mixture, name).excerpt(*stretch)
                try:
                    magnitude = replace(item, mixture=source).magnitude[:, first - start :]
                except AudioError as error:
                    raise error.within(f"Mixture(sources=)[{name!r}]") from error
                row[:] = fit_length(magnitude, last - first)
        return {"sources": found}

    def _predict_one(self, item: Spectrogram) -> Scene:
        levelled = LevelledSTFT.of(item)
        return self._scene_of(levelled.magnitude, item, levelled.scale)

    def _survey(
        self, item: Spectrogram, magnitudes: Iterator[np.ndarray], n_windows: int
    ) -> float:
        """Return what sources are multiplied by."""
        level = Windows(item, self.window_seconds or math.inf).level()
        return 1 / (level * window_norm(item))

    def _look_at(
        self, magnitudes: Sequence[np.ndarray], survey: Any, told: Sequence[Any]
    ) -> list[Heads]:
        scaled = [
            {"sources": (one["sources"] * np.float64(survey)).astype(np.float32)} for one in told
        ]
        found = super()._look_at(magnitudes, None, scaled)
        for heads, magnitude, one in zip(found, magnitudes, scaled, strict=True):
            # Where a note begins is heard in its source.
            share = one["sources"] / np.maximum(magnitude, np.finfo(np.float32).tiny)
            heads["shares"] = np.minimum(share, 1)
        return found


def _rolls(score: Sequence[Notes], spectrogram: Spectrogram, first: int, last: int) -> np.ndarray:
    """Return (n_instruments, n_pitches, n_frames) of some frames."""
    rate = spectrogram.frame_rate
    return np.stack([notes_to_roll(notes, last - first, rate, first) for notes in score])


def _source_of(mixture: Mixture, name: str) -> Mixture:
    """Return one of the sources that a mixture brings along, at its rate."""
    return Mixture((mixture.sources or {})[name], mixture.rate)
