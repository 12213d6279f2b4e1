"""Which estimators there are, and how to make each so small that it fits in a moment."""

import importlib
import inspect
import pkgutil

import msa_sk.models
from msa_sk._sklearn import get_tags
from msa_sk.base import SceneEstimator
from msa_sk.spectral import STFT

_SMALL_STFT = STFT(sample_rate=8000, n_fft=256, hop_length=64)
_SMALL_NMF = {"n_components": 4, "max_iter": 20, "transformer": _SMALL_STFT}
_SMALL_NETWORK = {
    "hidden_size": 8,
    "n_layers": 1,
    "max_epochs": 1,
    "transformer": _SMALL_STFT,
    "device": "cpu",
    "verbose": 0,
}
_SMALL_CERBERUS = {**_SMALL_NETWORK, "embedding_size": 4}
_SMALL_INFORMED = {**_SMALL_NETWORK, "hint_size": 8, "hint_features": 8}
_SMALL_QUERIES = {**_SMALL_CERBERUS, "query_size": 8, "query_length": 16}

# Parameters of the estimators that are checked, by class: the first is the system as it
# usually is, the others are what its parameters can make of it.
_TINY: dict[str, list[dict]] = {
    "Cerberus": [
        _SMALL_CERBERUS,
        {**_SMALL_CERBERUS, "body": "unet"},
        {**_SMALL_CERBERUS, "body": "band_split"},
    ],
    "Chimera": [{**_SMALL_CERBERUS, "separate_by": "embedding"}],
    "DeepClustering": [_SMALL_CERBERUS],
    "DeepClusteringTranscriber": [_SMALL_CERBERUS],
    "HierarchicalQBE": [_SMALL_QUERIES],
    "IdealMaskSeparator": [{"transformer": _SMALL_STFT}],
    "MaskInference": [_SMALL_NETWORK],
    "MaskInferenceTranscriber": [_SMALL_NETWORK],
    "MixtureBaseline": [{"sample_rate": 8000}],
    "NMFSeparator": [
        _SMALL_NMF,
        {**_SMALL_NMF, "beta_loss": "frobenius"},
        {**_SMALL_NMF, "blind": True},
        {**_SMALL_NMF, "score_informed": True},
    ],
    "QueryByExample": [{**_SMALL_QUERIES, "level": 2}],
    "ScoreInformedSeparator": [
        _SMALL_INFORMED,
        {
            **_SMALL_INFORMED,
            "variant": "residual",
            "roll_input": "harmonics",
            "mask_activation": "leaky_relu",
        },
    ],
    "SourceInformedTranscriber": [
        _SMALL_INFORMED,
        {**_SMALL_INFORMED, "variant": "processed", "transcription_loss": "leaky_mse"},
    ],
    "SourceSpecificSeparator": [_SMALL_NETWORK, {**_SMALL_NETWORK, "levels": "single"}],
    "Transcriber": [_SMALL_NETWORK],
}

# What a system's mixtures must hold besides audio, and scenes as their sources, by class.
_NEEDS: dict[str, tuple[str, ...]] = {
    "HierarchicalQBE": ("levels", "query"),
    "IdealMaskSeparator": ("sources",),
    "QueryByExample": ("levels", "query"),
    "SourceInformedTranscriber": ("sources",),
    "SourceSpecificSeparator": ("levels",),
}


def all_estimators() -> list[tuple[str, type[SceneEstimator]]]:
    """Return every public system of `msa_sk.models`, found by looking through its modules.

    Returns
    -------
    estimators : list of (name, class)
        Sorted by name.
    """
    found = {}
    for module_info in pkgutil.walk_packages(msa_sk.models.__path__, "msa_sk.models."):
        module = importlib.import_module(module_info.name)
        for name, cls in inspect.getmembers(module, inspect.isclass):
            own = cls.__module__ == module.__name__ and not name.startswith("_")
            if own and issubclass(cls, SceneEstimator) and _is_concrete(cls):
                found[name] = cls
    return sorted(found.items())


def tiny_estimators(cls: type[SceneEstimator]) -> list[SceneEstimator]:
    """Return small instances of a class, one for each kind of system that it can be.

    Parameters
    ----------
    cls : type
        A class may declare ``_tiny_parameters``, a list of dicts; without it, and outside
        the table of this package, there is one instance with the default parameters.
    """
    parameters = getattr(cls, "_tiny_parameters", _TINY.get(cls.__name__, [{}]))
    return [cls(**one) for one in parameters]


def needs_of(estimator: SceneEstimator) -> tuple[str, ...]:
    """Return what a system needs besides audio and plain instruments.

    Fields of `Mixture` that an informed one reads, "sources", "notes" (where its tags say that it
    is informed by a score) and "query", and "levels" where the sources are those of a hierarchy.
    A class may declare them as ``_needs``.
    """
    cls = type(estimator)
    in_table = (_NEEDS.get(base.__name__) for base in cls.__mro__)
    declared = getattr(cls, "_needs", next(filter(None, in_table), ()))
    informed = getattr(get_tags(estimator), "score_informed", False) and "notes" not in declared
    return (*declared, "notes") if informed else declared


def label_of(estimator: SceneEstimator) -> str:
    """Return a short name that tells the instances of `tiny_estimators` apart."""
    name = type(estimator).__name__
    usual = tiny_estimators(type(estimator))[0].get_params(deep=False)
    others = {
        key: value
        for key, value in estimator.get_params(deep=False).items()
        if isinstance(value, str | int | float) and value != usual[key]
    }
    return name + (f"({','.join(f'{k}={v}' for k, v in others.items())})" if others else "")


def _is_concrete(cls: type) -> bool:
    return not any(getattr(getattr(cls, name), "__isabstractmethod__", False) for name in dir(cls))
