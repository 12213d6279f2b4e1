"""One path of a hierarchy, by source-specific separation (dissertation, 2.3.3 and 2.3.4)."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from msa_sk._sklearn import StrOptions, real
from msa_sk.exceptions import ParameterError
from msa_sk.neural.levels import LevelEstimator
from msa_sk.neural.parameters import extending
from msa_sk.nn.levels import LevelLoss, LevelModule, SeparateLevels
from msa_sk.records import Scene


@extending(LevelEstimator)
class SourceSpecificSeparator(LevelEstimator):
    """Separate one kind of sound, and the broader kinds that it belongs to (2.3.3, 2.3.4).

    The path in the hierarchy is that of the truth, as `msa_sk.datasets.scenes_along` makes it:
    its sources are ``level_1``, the leaf, up to the top level, of which each is part of the
    next; so are the estimate's. What is left over is the mixture without the top level
    (`Scene.residual`), and `Scene.blend` gives what lies between two levels. A level that a
    scene does not list is unknown there, and not silent: it is left out of the loss.

    Parameters
    ----------
    levels : {"multi", "single"}, default="multi"
        "multi" is one network that finds a mask for each level; "single" has a network of its
        own for each. These take the same steps on the same examples, and share neither weights
        nor terms of the loss. But one `fit` decides for all of them to which norm gradients
        are clipped (`max_grad_norm`), when the learning rate is halved
        (``lr_schedule="halve"``), when training ends (`patience`) and which epoch is kept
        (`validation_fraction`). Of scenes that list one level alone, one network learns that
        level, on its own.
    constraint : bool, default=False
        Whether each mask is, in every bin, at least that of the level below it (eq. 2.4), in
        training and in predict. The paper found that it does not help on a single path. It
        ties levels together, so that there is none with "single".
    leaf_dropout : float, default=0.0
        The share of training scenes whose ``level_1`` is left out, as in table 2.5: they teach
        the other levels alone. Always the same scenes, with one seed; none that are held out.

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
    >>> from msa_sk import Hierarchy, SourceSpecificSeparator
    >>> from msa_sk.datasets import make_scenes, scenes_along
    >>> X, y = make_scenes(4, ("guitar", "piano"), duration=1.0, random_state=0)
    >>> tree = Hierarchy.from_dict({"strings": {"piano": 0, "guitar": 24}})
    >>> X, y = scenes_along(tree, "guitar", X, y)
    >>> separator = SourceSpecificSeparator(hidden_size=8, max_epochs=1, random_state=0)
    >>> estimate = separator.fit(X, y).predict(X[:1])[0]
    >>> estimate.instruments
    ('level_1', 'level_2')
    >>> estimate.blend(1.4).shape  # more of the guitar than of all strings
    (16000,)
    """

    _own = {"levels": "multi", "constraint": False, "leaf_dropout": 0.0}
    _parameter_constraints = {
        **LevelEstimator._parameter_constraints,
        "levels": [StrOptions({"single", "multi"})],
        "constraint": ["boolean"],
        "leaf_dropout": [real(0, 1)],
    }
    _settled_by_fit = (*LevelEstimator._settled_by_fit, "levels", "constraint")

    levels: str
    constraint: bool

    def _instruments_in(self, scenes: list[Scene]) -> tuple[str, ...]:
        if self.levels == "single" and self.constraint:
            raise ParameterError(
                "SourceSpecificSeparator(constraint=)",
                "False where levels='single': the networks know nothing of each other",
                "True",
                "Set levels='multi', or leave the constraint out.",
            )
        asks = hasattr(self.sampler, "leaves")
        if asks and (self.sampler.leaves is None or len(self.sampler.leaves) != 1):
            raise ParameterError(
                "SourceSpecificSeparator(sampler=)",
                "a sampler that asks for one leaf: there is no query to tell them apart",
                repr(self.sampler),
                "Set its leaves: QueryMixing(tree, leaves=['piano']).",
            )
        return super()._instruments_in(scenes)

    def _make_module(self, n_bins: int, n_sources: int) -> nn.Module:
        make: Any = SeparateLevels if self.levels == "single" else LevelModule
        return make(
            n_bins,
            n_sources,
            hidden_size=self.hidden_size,
            n_layers=self.n_layers,
            dropout=self.dropout,
            input_scale=self.input_scale,
            constraint=self.constraint,
        )

    def _make_loss(self) -> tuple[Sequence[str], Callable]:
        return self.instruments_, LevelLoss(self.instruments_, shared=self.levels == "multi")
