"""The speed benchmark runs, and writes what every benchmark has to write."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def benchmark(monkeypatch):
    if not (ROOT / "benchmarks").is_dir():
        pytest.skip("the benchmarks are not installed with the package")
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks import metrics_speed

    nothing_much = metrics_speed.Size(3, 0.1, 2, 0.2, 5, 1, 1)
    monkeypatch.setitem(metrics_speed.SIZES, "tiny", nothing_much)
    return metrics_speed


def test_report(benchmark, tmp_path):
    benchmark.main(["--size", "tiny", "--seed", "3", "--results", str(tmp_path)])
    report = json.loads((tmp_path / "metrics_speed-tiny.json").read_text())
    keys = ["name", "size", "command", "versions", "processor", "seeds", "seconds", "rows"]
    assert list(report) == keys
    assert report["command"] == "python -m benchmarks.metrics_speed --size tiny --seed 3"
    assert report["seeds"] == [3]
    assert {"python", "numpy", "torch", "mir_eval", "torchmetrics"} <= set(report["versions"])
    races = [row for row in report["rows"] if row["work"].startswith("note_onset_scores")]
    assert races[0]["ratio"] == pytest.approx(races[0]["peer"] / races[0]["ours"])
    assert all(row["holds"] in (True, None) for row in report["rows"])
    table = (tmp_path / "metrics_speed-tiny.md").read_text()
    assert table.startswith("# metrics_speed, tiny\n\n`python -m benchmarks")
    assert table.count("\n| ") == 2 + len(report["rows"])


def test_absent_peers_are_said_to_be(benchmark, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    benchmark.main(["--results", str(tmp_path)])
    rows = json.loads((tmp_path / "metrics_speed-tiny.json").read_text())["rows"]
    assert [row["claim"] for row in rows].count("mir_eval is absent") == 4
    assert rows[0]["ratio"] is rows[0]["peer"] is None


def test_a_claim_that_does_not_hold_fails(benchmark, tmp_path, monkeypatch):
    for others in ("bss_speed", "note_speed"):
        monkeypatch.setattr(benchmark, others, lambda *_: [])
    monkeypatch.setattr(benchmark, "si_sdr", lambda reference, estimate: 0 * reference[..., 0] + 3)
    with pytest.raises(
        AssertionError, match="do not hold: .*SI-SDR, error in dB.*difference < 0.001"
    ):
        benchmark.main(["--results", str(tmp_path)])
    assert (tmp_path / "metrics_speed-tiny.json").exists()
