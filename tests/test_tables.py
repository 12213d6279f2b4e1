"""The benchmarks that draw the dissertation's tables: at their tiny size all runs, and learns."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NETWORKS = {"Deep clustering", "Mask inference", "Chimera", "Transcription", "Cerberus"}
VERDICTS = {"reproduced", "reversed", "open"}


@pytest.fixture(scope="module")
def run(data_dir, tmp_path_factory):
    """Return a function that runs a table, and returns the folder of its results and its rows."""
    if not (ROOT / "benchmarks").is_dir():
        pytest.skip("the benchmarks are not installed with the package")
    try:
        import fluidsynth  # noqa: F401
    except ImportError as error:
        pytest.skip(f"FluidSynth is not installed: {error}")
    runs = tmp_path_factory.mktemp("runs")  # table 3.2 tests what table 3.1 has trained

    def run_table(name, *options):
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

    return run_table


def systems_in(rows, **where):
    return {row["system"] for row in rows if "system" in row and where.items() <= row.items()}


def test_table_3_1(run):
    _, rows, page = run("table_3_1")
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


def test_table_3_2(run):
    _, rows, page = run("table_3_2")
    assert systems_in(rows, test="mixed") == NETWORKS | {"Deep clustering, best permutation"}
    for name in ("piano", "guitar"):
        assert systems_in(rows, test=name) == {"Transcription", "Cerberus"}
        metrics = {row["metric"] for row in rows if row["test"] == name}
        assert not metrics & {"sdr", "si_sdri"}  # a solo is not separated
    assert page.count("| Cerberus |") == 3


def test_table_3_3(run):
    results, rows, page = run("table_3_3")
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


VARIANTS = {"vanilla", "processed", "residual"}


def means_of(rows, metric, **where):
    return {
        (row["system"], row["instrument"]): row["mean"]
        for row in rows
        if row.get("metric") == metric and "mean" in row and where.items() <= row.items()
    }


def test_table_4_1(run):
    _, rows, page = run("table_4_1")
    for test, names in (
        ("piano and guitar", ("piano", "guitar")),
        ("four instruments", ("piano", "guitar", "bass", "drums")),
    ):
        systems = systems_in(rows, test=test)
        assert systems == {"NMF", "NMF, score-informed", "MI + TR"} | VARIANTS
        mean = means_of(rows, "si_sdri", test=test)
        assert mean.keys() == {(system, name) for system in systems for name in (*names, "all")}
    assert means_of(rows, "si_sdri", test="piano and guitar")["NMF, score-informed", "all"] > 6
    assert len([row for row in rows if "verdict" in row]) == 2 * 6
    assert "| 15.1 | 16.2 | 11.8 | 15 |" in page  # the paper's row


def test_score_options(run):
    _, rows, _ = run("score_options")
    options = {"masks by leaky ReLUs", "pitches alone"}
    assert systems_in(rows) == {"vanilla"} | options
    gains = {row["claim"]: row["paper"] for row in rows if "verdict" in row}
    assert gains == {f"vanilla above {option}": None for option in options}


def test_table_4_2(run):
    _, rows, page = run("table_4_2")
    assert systems_in(rows) == {"MI + TR"} | VARIANTS
    assert len([row for row in rows if "verdict" in row]) == 5
    assert "| 0.49 | 0.44 | 0.69 | 0.21 |" in page


def test_table_6_1(run):
    _, rows, page = run("table_6_1")
    assert systems_in(rows) == {"Transcription"}
    assert {row["metric"] for row in rows} == {"note_onset_offset_f1", "note_onset_f1", "frame_f1"}
    assert "| 0.3 | 0.29 | 0.49 | 0.06 |" in page


def test_figure_4_5(run):
    results, rows, _ = run("figure_4_5")
    steps = [row for row in rows if "step" in row]
    assert len(steps) == 2 * 5 * 11  # beginnings, instruments and all, steps
    for row in steps:
        if row["step"] in (0, 10) and row["beginning"] == "empty":
            assert row["distance"] == 1 - row["step"] / 10
        assert row["mean"] == 0 or row["step"] > 0
    assert len([row for row in rows if "spearman" in row]) == 2 * 5
    assert (results / "figure_4_5-tiny.png").stat().st_size > 10_000


def test_figure_4_7(run):
    results, rows, _ = run("figure_4_7")
    distances = [row["distance"] for row in rows]
    assert distances == sorted(distances, reverse=True)
    assert (distances[0], distances[-1]) == (1, 0)
    assert (results / "figure_4_7-tiny.png").stat().st_size > 10_000


def test_figure_4_9(run):
    results, rows, _ = run("figure_4_9")
    (median,) = (row for row in rows if "median" in row)
    assert median["n_edits"] == len([row for row in rows if "from" in row]) == 4
    assert len([row for row in rows if "shown" in row]) == 3
    assert (results / "figure_4_9-tiny.png").stat().st_size > 10_000


def test_a_note_has_bins_that_no_other_shares():
    from benchmarks.figure_4_9 import harmonic_bins, own_bins, rise_of
    from msa_sk import Notes, Scene

    assert [*harmonic_bins(69, 513, 15.625)[:6]] == [27, 28, 29, 55, 56, 57]  # 440 and 880 Hz
    low, octave, later = ([0.0], [1.0], [57]), ([0.5], [1.5], [69]), ([2.0], [3.0], [57])
    scene = Scene(("a", "b"), 16000, notes=(Notes(*low), Notes([0.5, 2.0], [1.5, 3.0], [69, 57])))
    alone = harmonic_bins(57, 513, 15.625)
    shared = harmonic_bins(69, 513, 15.625)
    assert {*own_bins(scene, "a", Notes(*low))} == {*alone} - {*shared}
    assert {*own_bins(scene, "b", Notes(*later))} == {*alone}
    assert not {*own_bins(scene, "b", Notes(*octave))} & {*alone}
    assert not len(own_bins(scene, "b", Notes(*low)))  # the other one's has them all
    assert rise_of(scene, scene, Notes(*low), "b", "a") is None
