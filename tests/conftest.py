"""Fixtures for all tests."""

import json
import os
import subprocess
import sys
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

ROOT = Path(__file__).parents[1]


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


@pytest.fixture(scope="module")
def run_table(data_dir, tmp_path_factory):
    """Return a function that runs a benchmark at its tiny size: (folder, rows, page)."""
    if not (ROOT / "benchmarks").is_dir():
        pytest.skip("the benchmarks are not installed with the package")
    try:
        import fluidsynth  # noqa: F401
    except ImportError as error:
        pytest.skip(f"FluidSynth is not installed: {error}")
    runs = tmp_path_factory.mktemp("runs")  # one tests what another has trained

    def run(name, *options):
        results = tmp_path_factory.mktemp("results")
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{name}", "--results", results, *options],
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "MSA_SK_RUNS": str(runs)},
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stderr
        report = json.loads((results / f"{name}-tiny.json").read_text())
        return results, report["rows"], (results / f"{name}-tiny.md").read_text()

    return run
