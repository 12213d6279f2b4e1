"""The examples run, as users run them, at their smallest size."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile

from msa_sk.audio import read_audio, rms, write_audio

DOCS, EXAMPLES = (Path(__file__).parents[1] / name for name in ("docs", "examples"))
PAIR = ("piano", "guitar")


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
    assert stems == {f"{when}/{name}.wav" for when in ("before", "after") for name in PAIR}
    lines = done.stdout.splitlines()[:2]
    levels = [re.findall(r"([\d.]+) dB", line) for line in lines]
    assert all(float(a) > float(b) + 3 for b, a in zip(*levels, strict=True))
    # Of the guitar's three notes: in the stem of the piano, and of the guitar.
    shares = [[int(share) for share in re.findall(r"(\d+)%", line)] for line in lines]
    page = (DOCS / "editing.md").read_text("utf-8")
    on_page = [int(share) for share in re.findall(r"(\d+) %", page)]
    np.testing.assert_allclose(np.transpose(shares).ravel(), on_page, atol=2)
    sounds = {path.name: soundfile.read(path) for path in (tmp_path / "editing").glob("*.ogg")}
    names = ("mixture", *(f"{name}_{when}" for name in PAIR for when in ("before", "after")))
    assert set(sounds) == {f"{name}.ogg" for name in names}
    for name, (audio, rate) in sounds.items():  # those of the page are these
        on_page, rate_on_page = soundfile.read(DOCS / "editing" / name)
        assert (rate, audio.shape) == (rate_on_page, on_page.shape) == (16000, (7 * 16000,))
        assert rms(audio - on_page) < 0.1 * rms(audio)


def test_pull_out(tmp_path):
    def run(*options):
        done = subprocess.run(
            [sys.executable, EXAMPLES / "pull_out.py", "--rate", "8000", *options],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    out, levels = tmp_path / "pull-out-out", ("level_1", "level_2", "level_3")
    table = run("--quick")
    assert (out / "pull_out.png").read_bytes().startswith(b"\x89PNG")
    rows = [[part.strip() for part in row.split("|")] for row in table.splitlines() if "|" in row]
    assert tuple(row[1] for row in rows[2:]) == levels
    # Each level is part of the next.
    loudness = [float(row[2]) for row in rows[2:]]
    assert loudness == sorted(loudness)
    assert all(np.isfinite(float(row[3])) for row in rows[2:])

    random = np.random.default_rng(0)
    song, sound = (random.normal(0, 0.1, seconds * 11025) for seconds in (3, 5))
    write_audio(tmp_path / "song.wav", song, 11025, "FLOAT")
    write_audio(tmp_path / "sound.wav", sound, 11025, "FLOAT")
    files = ("--song", "song.wav", "--sound", "sound.wav", "--start", "1.5")
    run("--model", str(out / "asked.msa"), *files)
    run("--model", str(out / "asked.msa"), *files[:-1], "3.5")  # of which 1.5 s are left
    top, rest, between = (
        read_audio(out / f"{name}.wav") for name in ("level_3", "the_rest", "between_1_and_2")
    )
    assert {rate for _, rate in (top, rest, between)} == {11025}
    np.testing.assert_allclose(top[0] + rest[0], song, atol=1e-3)
    halves = [read_audio(out / f"{name}.wav")[0] for name in levels[:2]]
    np.testing.assert_allclose(between[0], sum(halves) / 2, atol=1e-3)
