"""The networks of table 3.1 that have some of the three heads of Cerberus, and no others.

They are `Cerberus` with some of its weights fixed at 0: body and heads begin at the same weights
for the same seed. Each has only the parameters that concern it; signature and documentation of
those that they share are those of Cerberus.
"""

from collections.abc import Callable
from typing import Any

from msa_sk._sklearn import real
from msa_sk.models.cerberus import Cerberus
from msa_sk.neural.parameters import documented, give_init, own_parameters, parameters_of

_WEIGHTS = {"dc_weight", "mi_weight", "tr_weight"}
_OF_EMBEDDINGS = (
    *("dc_weight", "clustering_loss", "bin_weights", "embedding_size", "embedding_stride"),
)
_OF_MASKS = ("mi_weight",)
_OF_ROLLS = (
    *("tr_weight", "transcription_loss"),
    *("threshold", "drum_threshold", "min_note", "max_gap", "min_rise"),
)
_OF_BOTH_SEPARATORS = ("separate_by",)


def _leave_out(*names: str, **fixed: Any) -> Callable[[type[Cerberus]], type[Cerberus]]:
    """Make a Cerberus without some of its parameters.

    These are attributes of the class, with the values of `fixed` or else with their defaults.
    What the class lists as its ``_own`` parameters, and documents, comes first. A preset gives
    what is shared, and that of chapter 3 the class's weights ``_in_table`` 3.1.
    """

    def decorate(cls: type[Cerberus]) -> type[Cerberus]:
        of_cerberus, own = parameters_of(Cerberus), cls.__dict__.get("_own", {})
        gone = {*names, *fixed, *own}
        shared = {name: one for name, one in of_cerberus.items() if name not in gone}
        give_init(cls, [*own_parameters(own), *shared.values()])
        for name in {*names, *fixed} - vars(cls).keys():
            setattr(cls, name, fixed.get(name, of_cerberus[name].default))
        weights = cls.__dict__.get("_in_table", {})
        cls._presets = {
            preset: {k: value for k, value in values.items() if k in shared.keys() - _WEIGHTS}
            | (weights if preset == "chapter3" else {})
            for preset, values in Cerberus._presets.items()
        }
        cls.__doc__ = documented(cls, Cerberus, shared)
        return cls

    return decorate


@_leave_out(
    *_OF_MASKS, *_OF_ROLLS, *_OF_BOTH_SEPARATORS, dc_weight=1.0, mi_weight=0.0, tr_weight=0.0
)
class DeepClustering(Cerberus):
    """Separate by clustering the embeddings of bins (section 3.2.1, eq. 3.1).

    k-means starts from the centroids that training found, so that clusters keep their
    instruments' names, runs once per recording, and leaves silent bins out.
    """


@_leave_out(
    *_OF_EMBEDDINGS, *_OF_ROLLS, *_OF_BOTH_SEPARATORS, dc_weight=0.0, mi_weight=1.0, tr_weight=0.0
)
class MaskInference(Cerberus):
    """Separate by one mask for each instrument (section 3.2.2, eq. 3.2)."""


@_leave_out(
    *_OF_EMBEDDINGS, *_OF_MASKS, *_OF_BOTH_SEPARATORS, dc_weight=0.0, mi_weight=0.0, tr_weight=1.0
)
class Transcriber(Cerberus):
    """Find the notes of each instrument, and separate nothing (section 3.2.4)."""


@_leave_out("dc_weight", "mi_weight", *_OF_ROLLS, tr_weight=0.0)
class Chimera(Cerberus):
    """Separate by masks or embeddings, learnt together (section 3.2.3).

    Parameters
    ----------
    alpha : float, default=0.5
        Of eq. 3.3: the weight of deep clustering, above 0 and below 1; masks have the rest.
    """

    _own = {"alpha": 0.5}
    _parameter_constraints = {
        **Cerberus._parameter_constraints,
        "alpha": [real(0, 1, closed="neither")],
    }

    @property
    def dc_weight(self) -> float:  # type: ignore[override]
        """The weight of deep clustering."""
        return self.alpha

    @property
    def mi_weight(self) -> float:  # type: ignore[override]
        """The weight of mask inference."""
        return 1 - self.alpha


@_leave_out(*_OF_MASKS, *_OF_BOTH_SEPARATORS, mi_weight=0.0)
class DeepClusteringTranscriber(Cerberus):
    """Separate by clustering embeddings, and transcribe (the row DC + TR of table 3.1).

    Parameters
    ----------
    dc_weight, tr_weight : float, default=0.1, 1.0
        Of deep clustering and transcription, as in `Cerberus`; above 0.
    """

    _own = {"dc_weight": 0.1, "tr_weight": 1.0}
    _in_table = {"dc_weight": 0.2, "tr_weight": 0.8}
    _parameter_constraints = {
        **Cerberus._parameter_constraints,
        **dict.fromkeys(_own, [real(0, closed="neither")]),
    }


@_leave_out(*_OF_EMBEDDINGS, *_OF_BOTH_SEPARATORS, dc_weight=0.0)
class MaskInferenceTranscriber(Cerberus):
    """Separate by masks, and transcribe (the row MI + TR of table 3.1).

    Parameters
    ----------
    mi_weight, tr_weight : float, default=1.0, 1.0
        Of mask inference and transcription, as in `Cerberus`; above 0.
    """

    _own = {"mi_weight": 1.0, "tr_weight": 1.0}
    _in_table = {"mi_weight": 0.2, "tr_weight": 0.8}
    _parameter_constraints = {
        **Cerberus._parameter_constraints,
        **dict.fromkeys(_own, [real(0, closed="neither")]),
    }
