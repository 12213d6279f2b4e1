"""The allocator option: what it changes, and that it is what glibc's variables do."""

import os
import subprocess
import sys

import pytest

from msa_sk.neural.allocator import keep_large_buffers

SCRIPT = """
import resource, sys
import numpy as np
from msa_sk.neural.allocator import keep_large_buffers

if sys.argv[1] == "kept":
    assert keep_large_buffers()

def pages_asked_for():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        np.ones(2**23)  # 64 MiB, freed at once
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

pages_asked_for()
print(pages_asked_for() * resource.getpagesize() / 2**20)
"""
VARIABLES = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "2147483647",
    "MALLOC_TOP_PAD_": "268435456",
}


def mebibytes_asked_for(how):
    """Return how much memory a fresh process asks the system for again and again."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    # Huge pages would be counted once each.
    environment |= {"NUMPY_MADVISE_HUGEPAGE": "0", **(VARIABLES if how == "environment" else {})}
    command = [sys.executable, "-c", SCRIPT, how]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(run.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="an option of glibc")
def test_large_buffers_are_kept_as_the_environment_would():
    assert mebibytes_asked_for("default") > 200
    assert mebibytes_asked_for("kept") < 5
    assert mebibytes_asked_for("environment") < 5


def test_elsewhere_nothing_changes(monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_large_buffers() is False


def test_a_library_without_the_option_is_left_alone(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    assert keep_large_buffers() is False
