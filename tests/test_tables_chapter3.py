"""The benchmarks of chapter 3: at their tiny size all runs, and learns."""

import numpy as np
import pytest
from reports import systems_in
from sklearn.base import clone

from benchmarks._fits import Training
from msa_sk import STFT, MaskInference
from msa_sk.datasets import make_scenes

NETWORKS = {"Deep clustering", "Mask inference", "Chimera", "Transcription", "Cerberus"}
VERDICTS = {"reproduced", "reversed", "open"}


def test_table_3_1(run_table):
    _, rows, page = run_table("table_3_1")
    beside = {"unprocessed mixture", "NMF", "ideal ratio mask"}
    permuted = "Deep clustering, best permutation"
    assert systems_in(rows) == NETWORKS | beside | {"DC + TR", "MI + TR", permuted}
    mean = {
        (row["system"], row["instrument"]): row["mean"]
        for row in rows
        if row.get("metric") == "si_sdri" and "mean" in row
    }
    assert mean["unprocessed mixture", "all"] == pytest.approx(0, abs=1e-6)
    assert mean["ideal ratio mask", "all"] > 10
    assert mean[permuted, "all"] >= mean["Deep clustering", "all"]
    directions = [row for row in rows if "verdict" in row]
    assert len(directions) == 9
    assert {row["verdict"] for row in directions} <= VERDICTS
    assert "| Cerberus |" in page
    assert "| 10 | 0.51 | 0.45 | 0.47 |" in page  # the paper's row


def test_table_3_2(run_table):
    _, rows, page = run_table("table_3_2")
    assert systems_in(rows, test="mixed") == NETWORKS | {"Deep clustering, best permutation"}
    for name in ("piano", "guitar"):
        assert systems_in(rows, test=name) == {"Transcription", "Cerberus"}
        metrics = {row["metric"] for row in rows if row["test"] == name}
        assert not metrics & {"sdr", "si_sdri"}  # a solo is not separated
    assert page.count("| Cerberus |") == 3


def test_table_3_3(run_table):
    results, rows, page = run_table("table_3_3")
    listed = {
        (row["n_sources"], row["instrument"])
        for row in rows
        if row.get("metric") == "sdr" and "n_sources" in row
    }
    pitched = ("piano", "guitar", "bass")
    for n_sources, names in (
        (3, pitched),
        (4, (*pitched, "drums")),
        (5, (*pitched, "drums", "strings")),
    ):
        assert listed >= {(n_sources, name) for name in (*names, "all")}
        assert f"## {n_sources} sources" in page
    assert (results / "table_3_3-tiny.png").stat().st_size > 10_000


def test_the_last_of_the_data_are_heard_last(tmp_path):
    X, y = make_scenes(6, duration=0.5, sample_rate=8000, random_state=0)
    sizes = {"hidden_size": 4, "n_layers": 1, "validation_fraction": 0, "max_epochs": 1}
    system = MaskInference(**sizes, transformer=STFT(8000, 256, 128), random_state=0, verbose=0)
    last = {"sequence_length": 32, "lr": 1e-3}
    training = Training("networks", system, lambda: (X, y), 2, last)
    assert training.title != Training("networks", system, lambda: (X, y)).title

    by_hand = clone(system).set_params(checkpoint=tmp_path / "begun").fit(X[:4], y[:4])
    by_hand.set_params(warm_start=True, checkpoint=None, **last).fit(X[4:], y[4:])
    # A run before was through with the first part.
    (tmp_path / "begun").rename(tmp_path / f"{training.title}.0.checkpoint")
    for _ in range(2):
        fitted = training.fit(tmp_path)
        for one, other in zip(fitted.predict(X), by_hand.predict(X), strict=True):
            np.testing.assert_array_equal(one.sources, other.sources)
    assert [path.name for path in tmp_path.iterdir()] == [f"{training.title}.msa"]
