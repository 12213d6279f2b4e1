"""Scenes to learn from: synthesised, rendered from MIDI, read from disk."""

import importlib

# Imported when first asked for: rendering and reading need libraries that composing does not.
_WHERE = {
    "CoherentMixing": "msa_sk.datasets.sampling",
    "Excerpts": "msa_sk.datasets.excerpts",
    "Folder": "msa_sk.datasets.folder",
    "GuitarSet": "msa_sk.datasets.guitarset",
    "IncoherentMixing": "msa_sk.datasets.sampling",
    "MAESTRO": "msa_sk.datasets.maestro",
    "MAPS": "msa_sk.datasets.maps",
    "MIR1K": "msa_sk.datasets.mir1k",
    "MUSDB18": "msa_sk.datasets.musdb",
    "QueryMixing": "msa_sk.datasets.sampling",
    "SYNTHETIC_INSTRUMENTS": "msa_sk.datasets.synthetic",
    "Slakh": "msa_sk.datasets.slakh",
    "cache_resampled": "msa_sk.datasets.cache",
    "make_scenes": "msa_sk.datasets.synthetic",
    "mix_incoherent": "msa_sk.datasets.sampling",
    "rare_leaves": "msa_sk.datasets.levels",
    "render_scenes": "msa_sk.datasets.rendered",
    "scenes_along": "msa_sk.datasets.levels",
}

__all__ = [*_WHERE]


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module 'msa_sk.datasets' has no attribute {name!r}")
    return getattr(importlib.import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
