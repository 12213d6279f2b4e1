"""Any path of a hierarchy, asked for by an example of the sound (dissertation, 2.3.5, 2.3.6)."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from msa_sk._sklearn import real, whole
from msa_sk._validation import as_list, check_mixtures
from msa_sk.exceptions import InputError, ParameterError
from msa_sk.neural.data import Example, LevelledSTFT, SceneDataset, some_examples
from msa_sk.neural.levels import LevelEstimator
from msa_sk.neural.parameters import CHAPTER_2, extending
from msa_sk.nn.query import QueryModule
from msa_sk.records import Anchor, Mixture, Scene, examples_of, level_of
from msa_sk.spectral import Spectrogram
from msa_sk.windows import Heads

_LEAST_SECONDS = 0.01


@extending(LevelEstimator)
class _AskedByExample(LevelEstimator):
    """Base class of systems that take from a mixture what sounds like its query.

    Parameters
    ----------
    query_size, query_layers : int, default=128, 1
        Units per direction and layers of the query network; the paper has 600 and 2.
    query_length : int, default=64
        In frames: in training the loudest stretch of that length stands for a query, of one of
        its examples where it has several; the paper has 10 s, 626 frames. `predict` and `embed`
        hear queries whole.
    embedding_size : int, default=20
        Dimensions of a bin's embedding, and of the anchor.
    """

    _own = {"query_size": 128, "query_layers": 1, "query_length": 64, "embedding_size": 20}
    _presets = {
        "chapter2": CHAPTER_2
        | {"query_size": 600, "query_layers": 2, "query_length": 626, "embedding_size": 20}
    }
    _parameter_constraints = {
        **LevelEstimator._parameter_constraints,
        **{name: [whole(1)] for name in _own},
    }
    _settled_by_fit = (
        *LevelEstimator._settled_by_fit,
        *("query_size", "query_layers", "embedding_size"),
    )

    query_size: int
    query_layers: int
    query_length: int
    embedding_size: int
    constraint = False

    def embed(self, queries: Any) -> np.ndarray:
        """Return where queries lie in the query network's space (eq. 2.5).

        Parameters
        ----------
        queries : list or ndarray of length n_queries
            What `Mixture.query` may be; samples are at `sample_rate_`.

        Returns
        -------
        anchors : ndarray of float32, shape (n_queries, embedding_size)
            Of a query that is several examples, the mean of theirs. ``Anchor(anchors[0])`` is a
            query, and so is what lies between two of them.

        Raises
        ------
        NotFittedError
            If `fit` has not been called.
        InputError
            If a query is silent, or none.
        AudioError
            If a file cannot be read.
        """
        self._check_fitted()
        anchors = [
            self._anchor(self._check_query(query, self.sample_rate_, f"queries[{i}]"))
            for i, query in enumerate(as_list(queries, "queries"))
        ]
        return np.reshape(anchors, (len(anchors), self.embedding_size)).astype(np.float32)

    def _make_module(self, n_bins: int, n_sources: int) -> QueryModule:
        return QueryModule(
            n_bins,
            n_sources,
            hidden_size=self.hidden_size,
            n_layers=self.n_layers,
            dropout=self.dropout,
            input_scale=self.input_scale,
            constraint=self.constraint,
            query_size=self.query_size,
            query_layers=self.query_layers,
            embedding_size=self.embedding_size,
        )

    def _instruments_in(self, scenes: list[Scene]) -> tuple[str, ...]:
        names = self._chosen(super()._instruments_in(scenes))
        of_queries = getattr(self.sampler, "query_level", 1)
        if of_queries > level_of(names[0]):
            raise ParameterError(
                f"{type(self).__name__}(sampler=)",
                f"queries of {names[0]}, the lowest level that is looked for, or below",
                f"query_level={of_queries}",
                "What is broader than the target does not say which target is meant.",
            )
        return names

    def _chosen(self, names: tuple[str, ...]) -> tuple[str, ...]:
        return names

    # What comes in: mixtures with queries, unless a sampler makes them

    def _accept(self, X: Any) -> list[Spectrogram]:
        items = super()._accept(X)
        for i, item in enumerate(items):
            self._query_of(item.mixture, f"X[{i}]")
        return items

    def _accept_training(self, X: Any) -> list[Spectrogram]:
        return super()._accept(X)

    def _select(
        self, items: list[Spectrogram], scenes: list[Scene], name: str = "y"
    ) -> tuple[list[Spectrogram], list[Scene]]:
        if self.sampler is None or name != "y":
            for i, item in enumerate(items):
                self._sounds_of(item.mixture, f"{name.replace('y', 'X')}[{i}]")
        return super()._select(items, scenes, name)

    def _query_of(self, mixture: Mixture, item: str) -> list[Mixture | Anchor]:
        if mixture.query is None:
            raise InputError(
                item,
                "a mixture with a query, an example of what to look for",
                "none",
                "Pass Mixture(audio, query=...)."
                if self.sampler is None
                else "Pass Mixture(audio, query=...); to score or search, let the sampler make "
                "mixtures and levels: X, y = sampler.apply(X, y).",
            )
        return self._check_query(mixture.query, mixture.rate, f"{item}.query")

    def _check_query(self, query: Any, rate: int, item: str) -> list[Mixture | Anchor]:
        """Return the examples that a query holds, or refuse it; no file is read yet."""
        examples = examples_of(query, rate, item)
        check_mixtures([one for one in examples if isinstance(one, Mixture)], rate, item)
        for i, one in enumerate(examples):
            if isinstance(one, Anchor) and len(one.values) != self.embedding_size:
                raise InputError(
                    item,
                    f"an anchor of {self.embedding_size} dimensions",
                    repr(one),
                    "Pass what embed of this very system returned.",
                )
            if isinstance(one, Mixture) and isinstance(one.audio, np.ndarray):
                _check_heard(one, one.audio, f"{item}[{i}]")
        return examples

    def _sounds_of(self, mixture: Mixture, item: str) -> list[Mixture]:
        sounds = []
        for one in self._query_of(mixture, item):
            if isinstance(one, Anchor):
                remedy = "An anchor is what the network makes of a sound."
                raise InputError(f"{item}.query", "a sound to learn from", repr(one), remedy)
            sounds.append(one)
        return sounds

    # The query network

    def _magnitude_of(self, sound: Mixture) -> np.ndarray:
        """Return the magnitudes of an example of whatever level, (n_bins, n_frames)."""
        spectrogram = Spectrogram(sound, **self.transformer_.get_params())
        magnitude = LevelledSTFT.of(spectrogram).magnitude
        _check_heard(sound, magnitude, f"the query {sound!r}")
        return magnitude

    def _anchor(self, examples: Sequence[Mixture | Anchor]) -> np.ndarray:
        """Return the anchor of a query: the mean of its examples'."""
        anchors = []
        for one in examples:
            if isinstance(one, Anchor):
                anchors.append(one.values)
                continue
            query = torch.from_numpy(self._magnitude_of(one))[None]
            batch = {
                "query": query,
                "query_lengths": torch.from_numpy(np.array([query.shape[-1]])),
            }
            anchors.append(self._infer(batch, ["anchor"])["anchor"][0])
        return np.stack(anchors).mean(axis=0, dtype=np.float32)

    def _make_inputs(
        self, spectrogram: Spectrogram, levelled: LevelledSTFT, scene: Scene
    ) -> Example:
        sounds = self._sounds_of(spectrogram.mixture, repr(spectrogram.mixture))
        stretches = [loudest_stretch(self._magnitude_of(one), self.query_length) for one in sounds]
        return {"query": max(stretches, key=lambda one: np.square(one).sum())}

    def _before_training(self, module: Any, dataset: SceneDataset) -> None:
        inputs = [one for one, _ in some_examples(dataset)]
        module.standardise([torch.from_numpy(one["magnitude"]) for one in inputs])
        queries = [torch.from_numpy(one["query"]) for one in inputs]
        module.query.standardise(queries)
        module.query.standardise_anchors(queries)

    # What goes out

    def _predict_one(self, item: Spectrogram) -> Scene:
        return self._scene_of(self._whole_magnitude(item), item, self._anchor_of(item))

    def _survey(
        self, item: Spectrogram, magnitudes: Iterator[np.ndarray], n_windows: int
    ) -> np.ndarray:
        return self._anchor_of(item)

    def _anchor_of(self, item: Spectrogram) -> np.ndarray:
        return self._anchor(self._query_of(item.mixture, repr(item.mixture)))

    def _look_at(self, magnitudes: Sequence[np.ndarray], survey: Any, told: Any) -> list[Heads]:
        return self._heads([{"magnitude": one} for one in magnitudes], ["mask"], anchor=survey)


def _check_heard(sound: Mixture, values: np.ndarray, item: str) -> None:
    """Refuse an example that is silent, or so short that it cannot be a sound."""
    if sound.duration < _LEAST_SECONDS:
        raise InputError(
            item,
            f"an example of a sound, of {_LEAST_SECONDS:g} s or more",
            f"{sound.n_samples} samples, {sound.duration:.3g} s",
            "Choose a longer stretch. What embed returns is passed as Anchor(values).",
        )
    if not values.any():
        raise InputError(
            item, "an example of a sound", "silence", "Choose a stretch in which it is heard."
        )


def loudest_stretch(magnitude: np.ndarray, n_frames: int) -> np.ndarray:
    """Return so many neighbouring frames, those with most energy, of (n_bins, n_all_frames)."""
    energy = np.cumsum(np.square(magnitude, dtype=float).sum(0))
    if len(energy) <= n_frames:
        return magnitude
    within = energy[n_frames - 1 :] - np.concatenate([[0], energy[:-n_frames]])
    start = int(within.argmax())
    return magnitude[:, start : start + n_frames]


@extending(_AskedByExample)
class QueryByExample(_AskedByExample):
    """Separate, at one level of a hierarchy, what sounds like an example (section 2.3.5).

    Each mixture has a query, `Mixture.query`: an example of a leaf, from wherever. A network
    makes of it an anchor (eq. 2.5), and another one, which sees that in every frame, a mask.
    The truth has levels as sources, as that of `SourceSpecificSeparator`, and the estimate the
    one level that is looked for.

    Parameters
    ----------
    level : int, default=1
        The one to separate; 1 is the leaf.

    Attributes
    ----------
    instruments_ : tuple of str
        The level's name.
    sample_rate_ : int
    net_ : skorch.NeuralNet
    history_ : list of dict
        Per epoch the loss, in training and validation.
    n_iter_ : int
        Epochs run.

    Examples
    --------
    >>> from msa_sk import Hierarchy, QueryByExample, QueryMixing
    >>> from msa_sk.datasets import make_scenes
    >>> X, y = make_scenes(4, ("guitar", "piano"), duration=1.0, random_state=0)
    >>> tree = Hierarchy.from_dict({"strings": {"piano": 0, "guitar": 24}})
    >>> X, y = QueryMixing(tree).apply(X, y)
    >>> asked = QueryByExample(level=2, hidden_size=8, max_epochs=1, random_state=0).fit(X, y)
    >>> asked.predict(X[:1])[0].instruments
    ('level_2',)
    """

    _own = {"level": 1}
    _parameter_constraints = {**_AskedByExample._parameter_constraints, "level": [whole(1)]}
    _settled_by_fit = (*_AskedByExample._settled_by_fit, "level")

    level: int

    def _chosen(self, names: tuple[str, ...]) -> tuple[str, ...]:
        name = f"level_{self.level}"
        if name not in names:
            raise ParameterError(
                "QueryByExample(level=)",
                f"one of {', '.join(names)}, which y has",
                str(self.level),
                "Levels are counted from the leaf, which is 1.",
            )
        return (name,)


@extending(_AskedByExample)
class HierarchicalQBE(_AskedByExample):
    """Separate, at all levels of a hierarchy, what sounds like an example (section 2.3.6).

    As `QueryByExample`, but one network finds a mask for each level of the path that the query
    tells: ``level_1``, the leaf, up to the top level, of which each is part of the next. What
    is left over is the mixture without the top level (`Scene.residual`), and `Scene.blend`
    gives what lies between two levels.

    Parameters
    ----------
    constraint : bool, default=True
        Whether each mask is, in every bin, at least that of the level below it (eq. 2.4), in
        training and in predict.
    leaf_dropout : float, default=0.0
        The share of training scenes whose ``level_1`` is left out, as in table 2.5: they teach
        the other levels alone. Always the same scenes, with one seed; none that are held out.
        Where a sampler draws, it is the share of those that hold a leaf, for each leaf.

    Attributes
    ----------
    instruments_ : tuple of str
        The levels, the leaf's first.
    sample_rate_ : int
    net_ : skorch.NeuralNet
    history_ : list of dict
        Per epoch the loss, and what each level adds to it, in training and validation.
    n_iter_ : int
        Epochs run.

    Examples
    --------
    A network that learns from new mixtures in each epoch, and is then asked for a sound::

        tree = Hierarchy.slakh()
        sampler = QueryMixing(tree, n_mixes=20_000)
        asked = HierarchicalQBE(sampler=sampler, validation_fraction=0).fit(X, y)
        like_this = Mixture("song.wav", query=Clip("other.wav", start=61.0, duration=2.0))
        estimate = asked.predict([like_this])[0]
        estimate.blend(1.4)

    Asked for what lies between two sounds::

        violin, flute = asked.embed(["violin.wav", "flute.wav"])
        asked.predict([Mixture("song.wav", query=Anchor((violin + flute) / 2))])
    """

    _own = {"constraint": True, "leaf_dropout": 0.0}
    _parameter_constraints = {
        **_AskedByExample._parameter_constraints,
        "constraint": ["boolean"],
        "leaf_dropout": [real(0, 1)],
    }
    _settled_by_fit = (*_AskedByExample._settled_by_fit, "constraint")
