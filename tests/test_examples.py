"""The examples run, as users run them, at their smallest size."""

import re
import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def test_search_weights(tmp_path):
    done = subprocess.run(
        [sys.executable, EXAMPLES / "search_weights.py", "--quick", "--n-jobs", "1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    out = tmp_path / "search-weights-out"
    assert (out / "loss_weights.png").read_bytes().startswith(b"\x89PNG")
    rows = [line for line in done.stdout.splitlines() if line.startswith(("| 0 |", "| 0.1 |"))]
    assert len(rows) == 4
    assert [row.endswith("| x |") for row in rows].count(True) == 1
    table = (out / "table.md").read_text()
    for system in ("NMF", "default weights, longer", "chosen weights, longer", "chosen weights"):
        assert table.count(f"| {system} |") == 2  # of separation, and of notes


def test_edit_notes(tmp_path):
    done = subprocess.run(
        [sys.executable, EXAMPLES / "edit_notes.py", "--out", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "editing.png").read_bytes().startswith(b"\x89PNG")
    stems = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.wav")}
    assert stems == {
        f"{when}/{name}.wav" for when in ("before", "after") for name in ("piano", "guitar")
    }
    levels = [re.findall(r"([\d.]+) dB", line) for line in done.stdout.splitlines()[:2]]
    assert all(float(a) > float(b) + 3 for b, a in zip(*levels, strict=True))
