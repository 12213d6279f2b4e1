"""The benchmarks of chapter 2: at their tiny size all runs, and figures are drawn."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pretty_midi
import pytest

from benchmarks._chapter2 import Pool, askable, bootstrap
from benchmarks._fits import Direction, compare_scores, verdicts
from msa_sk import Hierarchy, Mixture, Scene

ROOT = Path(__file__).parents[1]
NAMES = ("table_2_3", "table_2_4", "table_2_5", "figure_2_14", "figure_2_15", "figure_2_16")
PROGRAMS = (30, 48, 33, None)  # effected guitars, string ensembles, electric basses, drums
LEVELS = {"level_1", "level_2", "level_3"}
VERDICTS = {"reproduced", "reversed", "open"}


def write_song(path, seed, seconds=12):
    """Write chords that guitars and strings share, on bass and drums."""
    random, song = np.random.default_rng(seed), pretty_midi.PrettyMIDI()
    for program in PROGRAMS:
        player = pretty_midi.Instrument(program or 0, is_drum=program is None)
        for start in np.arange(0, seconds, 0.5):
            low = {33: 36, None: 38}.get(program, 55)
            for pitch in low + random.choice(12, 1 if program in (33, None) else 3):
                player.notes.append(pretty_midi.Note(110, int(pitch), start, start + 0.45))
        song.instruments.append(player)
    song.write(str(path))


@pytest.fixture(scope="module")
def results(data_dir, tmp_path_factory):
    """Run all, in one process, on songs of some seconds; return the folder of the results."""
    pytest.importorskip("fluidsynth", reason="FluidSynth is not installed")
    data, runs, results = (tmp_path_factory.mktemp(name) for name in ("data", "runs", "results"))
    (data / "midi" / "songs").mkdir(parents=True)
    (data / "soundfonts").symlink_to(data_dir / "soundfonts")
    for seed in range(8):
        write_song(data / "midi" / "songs" / f"{seed}.mid", seed)
    lines = ["from joblib import parallel_config"]
    lines += [f"from benchmarks import {', '.join(NAMES)}"]
    lines += ["with parallel_config(backend='sequential'):"]  # workers take long to begin
    lines += [f"    {name}.main(['--results', {str(results)!r}])" for name in NAMES]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        cwd=ROOT,
        env={
            **os.environ,
            **{"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"},
            **{"MSA_SK_RUNS": str(runs), "MSA_SK_DATA": str(data)},
        },
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert "8 songs hold 4 leaves; 4 have songs enough" in done.stdout
    return results


def rows_of(results, name):
    return json.loads((results / f"{name}-tiny.json").read_text())["rows"]


@pytest.mark.parametrize(
    ("name", "systems", "n_directions"),
    [
        ("table_2_3", {"SSS", "SSS + HC", "QBE", "QBE + HC"}, 6),
        ("table_2_4", {"SSS", "SSS, single-level", "QBE + HC", "QBE, single-level"}, 7),
        (
            "table_2_5",
            {"SSS", "QBE + HC"}
            | {
                f"{strategy}, {share}% {part} removed"
                for strategy in ("SSS", "QBE")
                for share in (50, 90)
                for part in ("all", "leaf")
            },
            47,
        ),
    ],
)
def test_tables(results, name, systems, n_directions):
    rows = rows_of(results, name)
    cells = {(row["system"], row["instrument"]) for row in rows if "system" in row}
    assert cells == {(system, level) for system in systems for level in LEVELS | {"all"}}
    directions = [row for row in rows if "verdict" in row]
    assert len(directions) == n_directions
    assert {row["verdict"] for row in directions} <= VERDICTS
    page = (results / f"{name}-tiny.md").read_text()
    assert all(page.count(f"\n| {system} |") == 1 for system in systems)
    assert "nodes by level, the leaves first: [4, 4, 3]; asked for are string_ensembles," in page


def test_what_two_queries_of_a_mixture_give(results):
    medians = [row for row in rows_of(results, "table_2_4") if "median_of" in row]
    assert {row["level"] for row in medians} == LEVELS
    for row in medians:
        assert row["low"] <= row["median"] <= row["high"]
        assert 1 < row["n_songs"] <= 8


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("figure")])
def test_figures_are_drawn(results, name):
    assert (results / f"{name}-tiny.png").stat().st_size > 10_000


def test_figures_say_what_they_show(results):
    leaves = [row["leaf"] for row in rows_of(results, "figure_2_14")]
    assert leaves == ["string_ensembles", "effected_guitars", "electric_basses", "drums"]
    rows = {row["places"]: row for row in rows_of(results, "figure_2_15")}
    assert set(rows) == {"QBE + HC", "untrained network", "mean log spectrum"}
    assert rows["mean log spectrum"]["balanced_accuracy"] > 0.9  # four instruments, one sound each
    assert all(row["n_parents"] == 4 for row in rows.values())
    points = [(r["strategy"], r["part"], r["removed"]) for r in rows_of(results, "figure_2_16")]
    assert len(points) == len(set(points)) == 12


# --------------------------------------------------------------------------- their arithmetic


def test_a_leaf_is_asked_for_if_two_songs_have_it_beside_a_relative():
    tree = Hierarchy.from_dict({"keys": {"piano": 0, "organ": 16}, "basses": {"bass": 33}})
    heard = [{"piano", "organ"}, {"piano"}, {"piano", "bass"}, {"organ", "piano"}, {"bass"}]
    mixtures = [Mixture(np.zeros(8), group=song) for song in "abacd"]
    scenes = [Scene(("piano", "organ", "bass"), 8000, np.zeros((3, 8)))] * 5
    pool = Pool(mixtures, scenes, heard)
    assert askable(tree, pool) == ["piano", "organ", "bass"]
    assert askable(tree, pool.select(range(1, 5))) == ["bass"]
    silent = pool.select([0, 2, 3, 4] + 60 * [1])
    assert askable(tree, silent) == ["piano", "organ", "bass"]  # one song of four
    many = [Mixture(np.zeros(8), group=f"other {i}") for i in range(60)]
    rare = Pool(mixtures + many, scenes + 60 * scenes[:1], heard + 60 * [{"piano"}])
    assert askable(tree, rare) == []


def test_intervals_are_over_songs():
    values = np.array([0.0] * 50 + [1.0] * 50)
    by_song = bootstrap(lambda chosen: values[chosen].mean(), ["a"] * 50 + ["b"] * 50)
    each = bootstrap(lambda chosen: values[chosen].mean(), [str(i) for i in range(100)])
    assert by_song == (0, 1)
    assert 0.35 < each[0] < 0.45
    assert 0.55 < each[1] < 0.65


def test_directions_are_about_a_level_or_all():
    scenes = [{"si_sdri": {"level_1": 1.0 + i, "level_2": 5.0}} for i in range(4)]
    worse = [{"si_sdri": {"level_1": 0.5 * i, "level_2": 9.0}} for i in range(4)]
    comparison = compare_scores({"A": [scenes], "B": [worse]}, list("abcd"))
    wanted = [Direction("A", "B", "si_sdri", 2.0, "level_1"), Direction("A", "B", "si_sdri", 2.0)]
    leaf, both = verdicts(comparison, wanted)
    assert (leaf["instrument"], leaf["verdict"], leaf["ours"]) == ("level_1", "reproduced", 1.75)
    assert "instrument" not in both
    assert (both["verdict"], both["ours"]) == ("reversed", -1.125)
