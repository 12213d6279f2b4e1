"""Fixtures for all tests."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from msa_sk.datasets import make_scenes

# The same examples in every run, on machines of any speed.
settings.register_profile(
    "msa_sk", deadline=None, derandomize=True, max_examples=30, database=None
)
settings.load_profile("msa_sk")


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Return the folder of recordings and MIDI files that MSA_SK_DATA names, or skip."""
    folder = os.environ.get("MSA_SK_DATA")
    if not folder:
        pytest.skip("MSA_SK_DATA is not set")
    return Path(folder)


@pytest.fixture
def rng() -> np.random.Generator:
    """Return a seeded generator, new for each test."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def tiny_scenes():
    """Return four mixtures of piano and guitar, one second each, of two songs; and the truth."""
    return make_scenes(4, duration=1.0, scenes_per_song=2, random_state=0)
