"""The benchmarks of chapter 3: at their tiny size all runs, and learns."""

import pytest
from reports import systems_in

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
