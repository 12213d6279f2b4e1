"""The benchmark of how fast a device trains: that it counts what it says."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_the_figures_fit_together(tmp_path, monkeypatch):
    if not (ROOT / "benchmarks").is_dir():
        pytest.skip("the benchmarks are not installed with the package")
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks import throughput

    monkeypatch.setattr(throughput, "resolve_device", lambda device: "cpu")
    monkeypatch.setattr(throughput, "keep_large_buffers", lambda: None)  # it is for good
    peaks = []  # small products say little of a peak, and less where other work goes on
    measure = throughput.peak_of
    monkeypatch.setattr(throughput, "peak_of", lambda *a: peaks.append(measure(*a)) or 1e15)
    throughput.main(["--results", str(tmp_path)])
    rows = json.loads((tmp_path / "throughput-tiny.json").read_text())["rows"]
    step, frames, share, peak, epoch, waited = (row["ours"] for row in rows)
    assert frames == pytest.approx(2 * 313 / step)
    assert 0 < share < 1 < peaks[0]
    assert peak == 1e15
    assert 0 <= waited < 1
    assert epoch == pytest.approx(step / (1 - waited) * 20_000 / 2)
    assert all(row["holds"] is None for row in rows)  # nothing is claimed of a CPU
