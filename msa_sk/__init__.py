"""Musical scene analysis with the estimator interface of scikit-learn."""

import importlib
from typing import TYPE_CHECKING

from msa_sk._version import __version__

# Everything is imported when it is first asked for: torch costs seconds, NMF does not need it.
_WHERE = {
    "Anchor": "msa_sk.records",
    "Cerberus": "msa_sk.models.cerberus",
    "Chimera": "msa_sk.models.family",
    "Clip": "msa_sk.clips",
    "CoherentMixing": "msa_sk.datasets.sampling",
    "DeepClustering": "msa_sk.models.family",
    "DeepClusteringTranscriber": "msa_sk.models.family",
    "EditSession": "msa_sk.editing",
    "HierarchicalQBE": "msa_sk.models.query",
    "Hierarchy": "msa_sk.hierarchy",
    "IdealMaskSeparator": "msa_sk.models.reference",
    "IncoherentMixing": "msa_sk.datasets.sampling",
    "MaskInference": "msa_sk.models.family",
    "MaskInferenceTranscriber": "msa_sk.models.family",
    "Mixture": "msa_sk.records",
    "MixtureBaseline": "msa_sk.models.reference",
    "NMFSeparator": "msa_sk.models.nmf",
    "Notes": "msa_sk.notes",
    "QueryByExample": "msa_sk.models.query",
    "QueryMixing": "msa_sk.datasets.sampling",
    "STFT": "msa_sk.spectral",
    "Scene": "msa_sk.records",
    "ScoreInformedSeparator": "msa_sk.models.informed",
    "SourceInformedTranscriber": "msa_sk.models.informed",
    "SourceSpecificSeparator": "msa_sk.models.hierarchical",
    "Spectrogram": "msa_sk.spectral",
    "Transcriber": "msa_sk.models.family",
    "attach_truth": "msa_sk.models.reference",
    "load": "msa_sk.persistence",
    "register_body": "msa_sk.neural.bodies",
    "save": "msa_sk.persistence",
}

__all__ = [
    "Anchor",
    "Cerberus",
    "Chimera",
    "Clip",
    "CoherentMixing",
    "DeepClustering",
    "DeepClusteringTranscriber",
    "EditSession",
    "HierarchicalQBE",
    "Hierarchy",
    "IdealMaskSeparator",
    "IncoherentMixing",
    "MaskInference",
    "MaskInferenceTranscriber",
    "Mixture",
    "MixtureBaseline",
    "NMFSeparator",
    "Notes",
    "QueryByExample",
    "QueryMixing",
    "STFT",
    "Scene",
    "ScoreInformedSeparator",
    "SourceInformedTranscriber",
    "SourceSpecificSeparator",
    "Spectrogram",
    "Transcriber",
    "__version__",
    "attach_truth",
    "load",
    "register_body",
    "save",
]

if TYPE_CHECKING:
    from msa_sk.clips import Clip
    from msa_sk.datasets.sampling import CoherentMixing, IncoherentMixing, QueryMixing
    from msa_sk.editing import EditSession
    from msa_sk.hierarchy import Hierarchy
    from msa_sk.models.cerberus import Cerberus
    from msa_sk.models.family import (
        Chimera,
        DeepClustering,
        DeepClusteringTranscriber,
        MaskInference,
        MaskInferenceTranscriber,
        Transcriber,
    )
    from msa_sk.models.hierarchical import SourceSpecificSeparator
    from msa_sk.models.informed import ScoreInformedSeparator, SourceInformedTranscriber
    from msa_sk.models.nmf import NMFSeparator
    from msa_sk.models.query import HierarchicalQBE, QueryByExample
    from msa_sk.models.reference import IdealMaskSeparator, MixtureBaseline, attach_truth
    from msa_sk.neural.bodies import register_body
    from msa_sk.notes import Notes
    from msa_sk.persistence import load, save
    from msa_sk.records import Anchor, Mixture, Scene
    from msa_sk.spectral import STFT, Spectrogram


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module 'msa_sk' has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
