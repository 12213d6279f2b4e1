"""Cerberus: one network that separates and transcribes (dissertation, chapter 3).

A body of BLSTM layers feeds three heads: embeddings of time-frequency bins (deep clustering),
masks (mask inference), and piano rolls (transcription).
"""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from scipy.special import expit

from msa_sk._sklearn import StrOptions, real, whole
from msa_sk._validation import from_preset
from msa_sk.clustering import audible_bins, cluster_centres, cluster_masks
from msa_sk.decoding import NoteDecoder
from msa_sk.exceptions import InputError, ParameterError
from msa_sk.masking import phase_sensitive_target
from msa_sk.neural.bodies import BODIES, body_maker, body_named, check_levels
from msa_sk.neural.data import Example, LevelledSTFT, SceneDataset, collate, some_examples
from msa_sk.neural.estimator import NeuralEstimator
from msa_sk.neural.parameters import CHAPTER_2
from msa_sk.neural.truth import check_taught, warn_of_lost_notes
from msa_sk.nn.cerberus import CerberusLoss, CerberusModule
from msa_sk.notes import Notes
from msa_sk.records import Scene
from msa_sk.rolls import N_PITCHES, in_rolls, notes_to_roll
from msa_sk.spectral import STFT, Spectrogram, channel_rms
from msa_sk.windows import Heads

# The head that each weight asks for, and the part of a Scene that it learns from.
_HEADS = {"dc_weight": "embedding", "mi_weight": "mask", "tr_weight": "roll"}
_TRUTH = {"dc_weight": "sources", "mi_weight": "sources", "tr_weight": "notes"}
_SEPARATES = {"dc_weight": 0.0, "mi_weight": 1.0, "tr_weight": 0.0}

#: The networks of the dissertation, and how they are trained; see `Cerberus.from_preset`.
PRESETS: dict[str, dict[str, Any]] = {
    "chapter2": {**_SEPARATES, **CHAPTER_2},
    # Section 3.3.5; the weights are those of table 3.1. Its losses are no means, so that the
    # same weights need not weigh the same here.
    "chapter3": {
        "dc_weight": 0.1,
        "mi_weight": 0.1,
        "tr_weight": 0.8,
        "bin_weights": "equal",
        "hidden_size": 300,
        "n_layers": 4,
        "dropout": 0.0,
        "embedding_size": 20,
        "embedding_stride": 1,
        "transcription_loss": "mse",
        "threshold": 0.8,
        "drum_threshold": 0.1,
        "sequence_length": 400,
        "max_epochs": 100,
        "batch_size": 40,
        "lr": 2e-4,
        "lr_schedule": "constant",
        "max_grad_norm": None,
    },
    # Section 4.3.5; in 4.3.4, excerpts of 5 s, of 206,000 of which 100,000 steps are 31 epochs.
    "chapter4": {
        **_SEPARATES,
        "hidden_size": 600,
        "n_layers": 4,
        "dropout": 0.0,
        "batch_norm": True,
        "sequence_length": 313,
        "max_epochs": 31,
        "batch_size": 64,
        "lr": 3e-4,
        "lr_schedule": "decay",
        "max_grad_norm": None,
        # Of the transcriber in section 6.2; thresholds are those of 4.3.2.
        "transcription_loss": "leaky_mse",
        "threshold": 0.8,
        "drum_threshold": 0.1,
    },
}


class Cerberus(NeuralEstimator):
    """Separate and transcribe with one network (dissertation, chapter 3, figure 3.1).

    Parameters
    ----------
    dc_weight, mi_weight, tr_weight : float, default=0.1, 1.0, 1.0
        alpha, beta and gamma of eq. 3.4: the weights of deep clustering, mask inference and
        transcription. Each term is a mean that starts between some hundredths and one.
        A head whose weight is 0 is neither made nor computed: (0, 1, 0) is mask inference,
        (0.5, 0.5, 0) is Chimera, (0, 0, 1) is a transcriber.
    body : str, default="blstm"
        What makes of frames the features that all heads read: "blstm", recurrent layers as in
        the paper; "unet", convolutions over frames and bins; "band_split", attention along
        time and along bands; or what `msa_sk.register_body` has a class of your own by.
    hidden_size, n_layers : int, default=128, 2
        How large the body is. "blstm" has so many units per direction, and layers; the paper
        has 300 and 4. "unet" has an eighth as many channels at its first level, and levels, each
        with twice the channels and a quarter of the bins of the one before: of 513, 5 at most.
        "band_split" has vectors of a quarter of the size for its bands, and layers, each along
        time and bands.
    dropout : float, default=0.0
        Between the body's layers.
    batch_norm : bool, default=False
        Whether each bin is normalized in each batch, and then scaled as is learnt (section
        4.3.5). What `predict` normalizes by are running means of that, which begin at what
        bins are normalized by in any case: their mean and variance over the training data.
    separate_by : {"mask", "embedding"} or None, default=None
        The head that separates, which `set_params` may change after `fit`; None takes masks,
        and where `mi_weight` is 0 embeddings, which k-means clusters.
    clustering_loss : {"affinity", "whitened"}, default="affinity"
        That of eq. 3.1, or the whitened k-means objective of Wang, Le Roux and Hershey (2018).
    bin_weights : {"magnitude", "equal"}, default="magnitude"
        How much each bin that is not silent counts in `clustering_loss`: as its magnitude in the
        mixture has it (Wang, Le Roux and Hershey, 2018), or all alike, as in the paper. Most bins
        are quiet, and whose they are is hard to learn and hardly heard.
    embedding_size : int, default=20
        Dimensions of a bin's embedding.
    embedding_stride : int, default=8
        In training, only each so-many-th frame is embedded and counts in eq. 3.1: neighbours
        are much alike, and the embeddings are by far the largest layer. 1 embeds all, as the
        paper does; estimates always do.
    input_scale : {"log", "magnitude"}, default="log"
        What the network sees.
    transcription_loss : {"bce", "mse", "leaky_mse"}, default="bce"
        Cross-entropy, or squared error as in the paper, whose gradient all but vanishes where
        a posterior is wrong and sure. "leaky_mse" has a leaky ReLU in place of the sigmoid
        (section 6.2); `predict` cuts what it gives to [0, 1].
    threshold, drum_threshold : float, default=0.3, 0.4
        Posteriors from here on are notes; the instrument "drums" has its own. The paper
        found 0.8 and 0.1 for its networks; after trainings of minutes posteriors are lower,
        and ``benchmarks.decoding`` measures where to cut. Read at predict, as are the next
        three: `set_params` needs no refit. `msa_sk.decoding` has all rules.
    min_note, max_gap : float, default=0.05, 0.03
        In seconds. Notes of one pitch that begin within `min_note` are one; shorter notes are
        left out, and strokes of drums last that long. Gaps in a posterior up to `max_gap` are
        closed.
    min_rise : float or None, default=4.0
        In dB: by how much a pitch gets louder where its note begins, in the mixture's energy
        times the source's mask (where nothing separates, in the mixture). It puts onsets where
        one hears them, tells repeated notes apart, and leaves out what one does not hear begin,
        unless its posterior is sure. None decodes posteriors alone.
    sampler : SceneSampler, default=None
        Draws new mixtures from the training scenes in each epoch, as
        `msa_sk.datasets.IncoherentMixing` does; ``sampler__gain_db`` can be searched. None
        takes the mixtures as they are. Scenes that are held out are not mixed anew: where
        they are solos, give `fit` mixtures as `X_val` and `y_val`.
    sequence_length : int, default=16
        In frames: longer training scenes are cut into sequences of that length; the paper has
        400. A step of many short sequences hears more mixtures than one of a few long ones,
        which is what short trainings need. What has to be told apart over longer times than a
        quarter of a second, as by deep clustering alone, wants longer ones.
        The body "band_split" attends, at predict too, to as many frames around each as this;
        "unet" hears a fixed number of them, the more the more layers it has.
    window_seconds : float, default=30.0
        At predict, longer mixtures are heard in windows of at most that length, and memory does
        not grow with them; None hears all mixtures whole. An eighth of it or more overlaps with
        the next window, and what is found in both is crossfaded. A recurrent network remembers
        more than a window holds, so that sources differ from those of the whole: by -36 dB of
        the mixture, and by 0.01 dB in SI-SDR, in ``benchmarks.long_audio``.
    max_epochs : int, default=30
    batch_size : int, default=16
        Sequences per step; the paper has 40.
    lr : float, default=0.002
        Of Adam; the paper has 2e-4.
    lr_schedule : {"constant", "cosine", "halve", "decay"}, default="cosine"
        How the learning rate falls: to nothing over the whole training, along half a cosine;
        by half after 5 epochs without a better loss in validation, or in training where
        nothing is held out (section 2.4.2); or to 0.98 of it every 10,000 steps (4.3.5).
    max_grad_norm : float, "autoclip" or None, default=1.0
        Longer gradients are scaled down to this norm; "autoclip" takes the 10th percentile of
        all norms so far (section 2.4.2).
    validation_fraction : float, default=0.1
        The share of songs (`Mixture.group`) that is held out to choose the best epoch's
        weights; 0 holds none out and keeps the last.
        Where `fit` is given `X_val` and `y_val`, these choose, and nothing is held out.
    patience : int or None, default=None
        End training after so many epochs without a better validation loss.
    instruments : sequence of str, default=None
        What to look for; None takes all names in y, sorted, or those that the sampler draws.
    transformer : STFT, default=None
        None is ``STFT()``: 16 kHz, 1024-point windows, hop 256 (section 3.3.4); behind an STFT
        in a Pipeline, it is that one.
    warm_start : bool, default=False
        Begin from the weights of the fit before. With other `instruments`, only the body is
        kept, and the heads are made anew: so a saved model is tuned to other instruments.
        There may be more layers, and other heads, than before.
    callbacks : list of skorch.callbacks.Callback, default=None
        Called as skorch does, in training; see `NeuralEstimator`. They are not saved with the
        model.
    checkpoint : path-like, default=None
        A file, in a folder that is there, that keeps the state of training after each epoch: a
        `fit` that was killed or interrupted, called again with the same parameters and data,
        goes on from there and ends with the weights that it would have had (on one machine's
        CPU, bit for bit).
        After training the file holds the result, which the same `fit` then gives back at
        once; a training that a callback ended goes on instead. Each training needs a file of its
        own. Files in `X` and `y` are known by name and size. It is not saved with the model.
    checkpoint_minutes : float, default=5.0
        The file is also written so many minutes after it last was; 0 means after every step.
    num_workers : int, default=0
        Processes that prepare training examples beside this one; the weights are the same
        with any number of them.
    on_error : {"raise", "skip"}, default="raise"
        "skip" leaves out training examples whose files cannot be read, and batches whose loss or
        gradient is not finite; up to 5 % of an epoch's examples, which `n_skipped_` counts and a
        warning tells.
    precision : {"auto", "float32", "bfloat16"}, default="float32"
        Of the network's products, in training and in predict; "auto" takes bfloat16 where the
        device multiplies it faster. Weights, losses and all that is returned are float32.
    device : str, default="auto"
        "cpu", "cuda", ...; "auto" takes the fastest that is there, and so does a loaded model
        whose device is not. As `precision`, it may be changed after `fit`, from the next
        predict on.
    random_state : int, RandomState instance or None, default=None
    verbose : int, default=1
        0 is silent; progress is only ever shown on a terminal.

    Attributes
    ----------
    instruments_ : tuple of str
    sample_rate_ : int
    net_ : skorch.NeuralNet
    history_ : list of dict
        Per epoch the loss and its weighted terms ("dc", "mi", "tr"), in training and
        validation.
    n_iter_ : int
        Epochs run.
    centroids_ : ndarray of shape (n_sources, embedding_size)
        The mean embedding of each source, NaN where it was nowhere the loudest; only where
        `dc_weight` is above 0.

    Notes
    -----
    k-means on embeddings starts from the centroids that training found, so that clusters keep
    their instruments' names.
    What the training mixtures hold besides the wanted instruments is one more source of the
    network that stays in the mixture.

    Examples
    --------
    >>> from msa_sk import Cerberus
    >>> from msa_sk.datasets import make_scenes
    >>> mixes, scenes = make_scenes(4, random_state=0)
    >>> cerberus = Cerberus(hidden_size=16, max_epochs=2, random_state=0).fit(mixes, scenes)
    >>> cerberus.predict(mixes[:1])[0].instruments
    ('guitar', 'piano')
    """

    _presets = PRESETS
    _before_it_was_saved = {"bin_weights": "equal"}
    _parameter_constraints = {
        **NeuralEstimator._parameter_constraints,
        "dc_weight": [real(0)],
        "mi_weight": [real(0)],
        "tr_weight": [real(0)],
        "body": [str],
        "hidden_size": [whole(1)],
        "n_layers": [whole(1)],
        "dropout": [real(0, 1, closed="left")],
        "batch_norm": ["boolean"],
        "separate_by": [None, StrOptions({"mask", "embedding"})],
        "clustering_loss": [StrOptions({"affinity", "whitened"})],
        "bin_weights": [StrOptions({"magnitude", "equal"})],
        "embedding_size": [whole(2)],  # one number of length 1 tells nothing
        "embedding_stride": [whole(1)],
        "input_scale": [StrOptions({"log", "magnitude"})],
        "transcription_loss": [StrOptions({"bce", "mse", "leaky_mse"})],
        "threshold": [real(0, 1, closed="both")],
        "drum_threshold": [real(0, 1, closed="both")],
        "min_note": [real(0)],
        "max_gap": [real(0)],
        "min_rise": [None, real(0)],
    }
    _settled_by_fit = (
        *NeuralEstimator._settled_by_fit,
        *("body", "hidden_size", "n_layers", "batch_norm"),
        *("embedding_size", "input_scale", *_HEADS),
    )
    _open_to_warm_start = (*NeuralEstimator._open_to_warm_start, "n_layers", *_HEADS)
    _remedies = {"body": "Register its class by @msa_sk.register_body('name'): body='name'."}
    _not_trained_by = (
        *NeuralEstimator._not_trained_by,
        *("separate_by", "threshold", "drum_threshold", "min_note", "max_gap", "min_rise"),
    )

    def __init__(
        self,
        dc_weight: float = 0.1,
        mi_weight: float = 1.0,
        tr_weight: float = 1.0,
        *,
        body: str = "blstm",
        hidden_size: int = 128,
        n_layers: int = 2,
        dropout: float = 0.0,
        batch_norm: bool = False,
        separate_by: str | None = None,
        clustering_loss: str = "affinity",
        bin_weights: str = "magnitude",
        embedding_size: int = 20,
        embedding_stride: int = 8,
        input_scale: str = "log",
        transcription_loss: str = "bce",
        threshold: float = 0.3,
        drum_threshold: float = 0.4,
        min_note: float = 0.05,
        max_gap: float = 0.03,
        min_rise: float | None = 4.0,
        sampler: Any = None,
        sequence_length: int = 16,
        window_seconds: float | None = 30.0,
        max_epochs: int = 30,
        batch_size: int = 16,
        lr: float = 2e-3,
        lr_schedule: str = "cosine",
        max_grad_norm: float | None = 1.0,
        validation_fraction: float = 0.1,
        patience: int | None = None,
        instruments: Sequence[str] | None = None,
        transformer: STFT | None = None,
        warm_start: bool = False,
        callbacks: Sequence[Any] | None = None,
        checkpoint: str | os.PathLike | None = None,
        checkpoint_minutes: float = 5.0,
        num_workers: int = 0,
        on_error: str = "raise",
        precision: str = "float32",
        device: str = "auto",
        random_state: Any = None,
        verbose: int = 1,
    ):
        self.dc_weight = dc_weight
        self.mi_weight = mi_weight
        self.tr_weight = tr_weight
        self.body = body
        self.hidden_size = hidden_size
        self.n_layers = n_layers
        self.dropout = dropout
        self.batch_norm = batch_norm
        self.separate_by = separate_by
        self.clustering_loss = clustering_loss
        self.bin_weights = bin_weights
        self.embedding_size = embedding_size
        self.embedding_stride = embedding_stride
        self.input_scale = input_scale
        self.transcription_loss = transcription_loss
        self.threshold = threshold
        self.drum_threshold = drum_threshold
        self.min_note = min_note
        self.max_gap = max_gap
        self.min_rise = min_rise
        self.sampler = sampler
        self.sequence_length = sequence_length
        self.window_seconds = window_seconds
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.lr_schedule = lr_schedule
        self.max_grad_norm = max_grad_norm
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.instruments = instruments
        self.transformer = transformer
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.checkpoint = checkpoint
        self.checkpoint_minutes = checkpoint_minutes
        self.num_workers = num_workers
        self.on_error = on_error
        self.precision = precision
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    @classmethod
    def from_preset(cls, name: str, **changes: Any) -> "Cerberus":
        """Return a network of the dissertation's size that is trained as there, with changes.

        Parameters
        ----------
        name : {"chapter2", "chapter3", "chapter4"}
            "chapter2" separates as the networks for one instrument do (section 2.4.2): 4 layers
            of 600 units, 100 epochs of batches of 25, the learning rate halved, gradients
            clipped by their history. "chapter3" is Cerberus (3.3.5): 4 layers of 300 units, 100
            epochs of batches of 40. "chapter4" separates as the networks there do, but without
            a score (4.3.5): 4 layers of 600 units after a batch normalization, batches of 64,
            the learning rate decaying; with ``mi_weight=0.0, tr_weight=1.0`` it is the
            transcriber of section 6.2, with its leaky ReLU. Masks are those of chapter 3 in all
            of them: they add up to one, and come from a softmax instead of a sigmoid or a leaky
            ReLU.
        **changes
            Parameters that shall differ.

        Raises
        ------
        ParameterError
            If there is no such preset or parameter.

        Examples
        --------
        >>> Cerberus.from_preset("chapter3", max_epochs=10).n_layers
        4
        """
        return from_preset(cls, cls._presets, name, changes)

    def _settling(self) -> dict[str, str]:
        heads = {name: "0" if getattr(self, name) == 0 else "above 0" for name in _HEADS}
        loss = {"transcription_loss": "'leaky_mse'" if self._leaky else "'bce' or 'mse'"}
        return super()._settling() | heads | loss

    @property
    def _leaky(self) -> bool:
        """Whether a leaky ReLU makes rolls."""
        return self.transcription_loss == "leaky_mse"

    def _scene_tags(self) -> dict[str, bool]:
        separates = self.dc_weight > 0 or self.mi_weight > 0
        whole = separates and not getattr(self, "has_rest_", False)
        return {
            "separates": separates,
            "transcribes": self.tr_weight > 0,
            "blind": False,
            "additive": whole,
        }

    def _select(
        self, items: list[Spectrogram], scenes: list[Scene], name: str = "y"
    ) -> tuple[list[Spectrogram], list[Scene]]:
        if not (self.dc_weight or self.mi_weight or self.tr_weight):
            raise ParameterError(
                "Cerberus(dc_weight=, mi_weight=, tr_weight=)",
                "at least one weight above 0",
                "all of them 0",
                "Give the wanted head a weight.",
            )
        self._check_separate_by()
        caller = type(self).__name__
        body_named(self.body, f"{caller}(body=)")
        check_levels(self.body, self.n_layers, self.transformer_.n_bins, f"{caller}(n_layers=)")
        separates, transcribes = (self._scene_tags()[n] for n in ("separates", "transcribes"))
        known = [
            i
            for i, scene in enumerate(scenes)
            if (separates and scene.sources is not None)
            or (transcribes and scene.notes is not None)
        ]
        if not known:
            truth = " or ".join(["sources"] * separates + ["notes"] * transcribes)
            raise InputError(
                name, f"a scene whose {truth} are known", "none", f"Give {truth} to learn from."
            )
        if self.tr_weight > 0:
            warn_of_lost_notes(scenes, self.instruments_, name)
        return [items[i] for i in known], [scenes[i] for i in known]

    def _check_learnt(self, scenes: Sequence[Scene], start: dict[str, Any] | None = None) -> None:
        before = start["settled"] if start is not None and self._keeps_heads(start) else {}
        weights = [name for name in _TRUTH if getattr(self, name) > 0]
        parts = {name: _TRUTH[name] for name in weights if before.get(name) != "above 0"}
        check_taught(scenes, parts, has_all=_TRUTH.keys() <= self.get_params(deep=False).keys())

    def _make_module(self, n_bins: int, n_sources: int) -> torch.nn.Module:
        return CerberusModule(
            n_bins,
            n_sources,
            hidden_size=self.hidden_size,
            n_layers=self.n_layers,
            dropout=self.dropout,
            batch_norm=self.batch_norm,
            embedding_size=self.embedding_size,
            embedding_stride=self.embedding_stride,
            input_scale=self.input_scale,
            heads=[head for weight, head in _HEADS.items() if getattr(self, weight) > 0],
            n_transcribed=len(self.instruments_),
            n_pitches=N_PITCHES,
            leaky_rolls=self._leaky,
            body=body_maker(self.body, f"{type(self).__name__}(body=)"),
        )

    # A body is sent along to processes in which nobody has registered it.

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_body_class": BODIES.get(self.body)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        cls = state.pop("_body_class")
        super().__setstate__(state)
        if cls is not None:
            BODIES.setdefault(self.body, cls)

    def _make_loss(self) -> tuple[Sequence[str], Callable]:
        loss = CerberusLoss(
            self.dc_weight,
            self.mi_weight,
            self.tr_weight,
            self.transcription_loss,
            self.embedding_stride,
            self.clustering_loss,
        )
        return [name for name, weight in loss.weights.items() if weight > 0], loss

    def _make_target(
        self, spectrogram: Spectrogram, levelled: LevelledSTFT, scene: Scene
    ) -> Example:
        n_frames = levelled.magnitude.shape[-1]
        target: Example = {
            "has_sources": np.array(scene.sources is not None, np.float32),
            "has_notes": np.array(scene.notes is not None, np.float32),
        }
        if self.dc_weight > 0 or self.mi_weight > 0:
            sources = self._true_parts(levelled.audio, scene)
            spectra = spectrogram.analyse(sources) * np.float32(levelled.scale)
            target["mask_target"] = phase_sensitive_target(levelled.spectrum, spectra)
        if self.dc_weight > 0:
            target["dominant"], loudest = _dominant(spectra)
            audible = audible_bins(levelled.magnitude) & (loudest > 0)
            counts = levelled.magnitude if self.bin_weights == "magnitude" else 1
            target["bin_weight"] = (audible * counts).astype(np.float32)
        if self.tr_weight > 0:
            rolls = [_roll_of(scene, name, spectrogram, n_frames) for name in self.instruments_]
            target["roll"] = np.stack(rolls)
        return target

    def _before_training(self, module: Any, dataset: SceneDataset) -> None:
        module.standardise([torch.from_numpy(x["magnitude"]) for x, _ in some_examples(dataset)])

    def _after_training(self, dataset: SceneDataset) -> None:
        if self.dc_weight > 0:
            self.centroids_ = self._learn_centroids(dataset)

    def _learn_centroids(self, dataset: SceneDataset) -> np.ndarray:
        """Return the mean embedding of each source, from some training examples.

        From all of them, if some do not tell; NaN where a source is nowhere the loudest. Where
        no sources are known, those of the training before.
        """
        n_sources, is_known = len(self.instruments_) + self.has_rest_, False
        for examples in (some_examples(dataset), some_examples(dataset, len(dataset))):
            total, count = np.zeros((n_sources, self.embedding_size)), np.zeros((n_sources, 1))
            for inputs, target in examples:
                is_known |= bool(target["has_sources"])
                batch, _ = collate([(inputs, {})])
                embedding = self._infer(batch, ["embedding"])["embedding"][0]
                is_of = np.eye(n_sources)[target["dominant"].T] * target["bin_weight"].T[..., None]
                total += np.tensordot(is_of, embedding, ((0, 1), (0, 1)))
                count += is_of.sum((0, 1))[:, None]
            if count.all():
                break
        if not is_known:
            return self.centroids_
        return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)

    @property
    def _clusters(self) -> bool:
        """Whether embeddings separate."""
        self._check_separate_by()
        return self.separate_by == "embedding" or (self.mi_weight == 0 and self.dc_weight > 0)

    def _values_per_bin(self, n_channels: int) -> int:
        embeddings = 4 * self.embedding_size if self._clusters else 0
        of_body = getattr(self.net_.module_.body, "values_per_frame", 0)
        of_bins = super()._values_per_bin(n_channels) + embeddings
        return of_bins + round(of_body / self.transformer_.n_bins)

    def _check_separate_by(self) -> None:
        weights = {None: 1, "mask": self.mi_weight, "embedding": self.dc_weight}
        if weights[self.separate_by] == 0:
            raise ParameterError(
                f"{type(self).__name__}(separate_by=)",
                "a head whose weight is above 0",
                repr(self.separate_by),
                "Give it a weight and fit, or leave it at None.",
            )

    def _wanted(self) -> Sequence[str]:
        return ["embedding" if self._clusters else "mask", "roll"]

    def _read(self, heads: Heads, magnitude: np.ndarray, survey: np.ndarray | None) -> Heads:
        found = {}
        if "mask" in heads:
            found["mask"] = heads["mask"]
        elif survey is not None:
            found["mask"] = cluster_masks(heads["embedding"], survey)
        elif "embedding" in heads:
            centres = self._centres(heads["embedding"], magnitude.T)
            found["mask"] = cluster_masks(heads["embedding"], centres)
        if "roll" in heads:
            scores = heads["roll"]
            found["roll"] = scores.clip(0, 1) if self._leaky else expit(scores)
        return found

    def _survey(self, item: Spectrogram, magnitudes: Iterator[np.ndarray], n_windows: int) -> Any:
        """Return centres of clusters for all windows, from as many frames as one window has."""
        if not self._clusters:
            return None
        kept = []
        for magnitude in magnitudes:
            (heads,) = self._heads([{"magnitude": magnitude}], ["embedding"])
            kept.append((heads["embedding"][::n_windows], magnitude.T[::n_windows]))
        return self._centres(*map(np.concatenate, zip(*kept, strict=True)))

    def _centres(self, embedding: np.ndarray, magnitude: np.ndarray) -> np.ndarray:
        """Return the centre of each source's embeddings, both (n_frames, n_bins, ...)."""
        heard = audible_bins(magnitude)
        weight = magnitude[heard] if self.bin_weights == "magnitude" else None
        return cluster_centres(embedding[heard], self.centroids_, weight)

    def _decoder(self, name: str) -> NoteDecoder:
        percussive = name == "drums"
        return NoteDecoder(
            self.transformer_,
            threshold=self.drum_threshold if percussive else self.threshold,
            min_note=self.min_note,
            max_gap=self.max_gap,
            min_rise=self.min_rise,
            percussive=percussive,
        )

    def _get_state(self) -> tuple[dict, dict[str, np.ndarray]]:
        values, arrays = super()._get_state()
        if hasattr(self, "centroids_"):
            arrays["centroids_"] = self.centroids_
        return values, arrays

    def _set_state(self, values: dict, arrays: dict[str, np.ndarray]) -> None:
        super()._set_state(values, arrays)
        if "centroids_" in arrays:
            self.centroids_ = arrays["centroids_"]


def _dominant(spectra: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which source is the loudest in each bin, and its magnitude there."""
    first, *others = map(channel_rms, spectra)
    dominant, loudest = np.zeros(first.shape, np.uint8), first
    for i, magnitude in enumerate(others, 1):  # faster than argmax along the first axis
        np.copyto(dominant, i, where=magnitude > loudest)
        loudest = np.maximum(loudest, magnitude)
    return dominant, loudest


def _roll_of(scene: Scene, name: str, spectrogram: Spectrogram, n_frames: int) -> np.ndarray:
    """Return the roll of an instrument; where the scene does not list it, it plays nothing."""
    listed = scene.notes is not None and name in scene.instruments
    notes = scene.notes_of(name) if listed else Notes()
    on_keys = notes.select(in_rolls(notes))  # others were warned of
    return notes_to_roll(on_keys, n_frames, spectrogram.frame_rate)
