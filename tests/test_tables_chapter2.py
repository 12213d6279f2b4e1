"""The benchmarks of chapter 2: at their tiny size all runs, and figures are drawn."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pretty_midi
import pytest

from benchmarks._chapter2 import Fold, OneLevel, Pool, Scored, askable
from benchmarks._fits import Direction, bootstrap, compare_scores, verdicts
from benchmarks._songs import recast
from benchmarks.figure_2_14 import MULTI, SINGLE, differences
from benchmarks.figure_2_14 import rows_of as leaf_rows
from benchmarks.figure_2_15 import queries_of
from benchmarks.table_2_4 import pairs_of
from msa_sk import Hierarchy, Mixture, QueryMixing, Scene
from msa_sk.metrics import Comparison, Evaluation

ROOT = Path(__file__).parents[1]
NAMES = ("table_2_3", "table_2_4", "table_2_5", "figure_2_14", "figure_2_15", "figure_2_16")
PROGRAMS = (30, 48, 33, 14, None)  # effected guitars, string ensembles, bass, bells, drums
ASKED = ["string_ensembles", "effected_guitars", "drums", "chromatic_percussion"]
LEVELS = {"level_1", "level_2", "level_3"}
VERDICTS = {"reproduced", "reversed", "open"}


def write_song(path, seed, seconds=12):
    """Write chords that guitars, strings, bells and drums play, on a bass."""
    random, song = np.random.default_rng(seed), pretty_midi.PrettyMIDI()
    for program in PROGRAMS:
        player = pretty_midi.Instrument(program or 0, is_drum=program is None)
        for start in np.arange(0, seconds, 0.5):
            low = {33: 36, None: 38}.get(program, 55)
            for pitch in low + random.choice(12, 1 if program == 33 else 3):
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
    assert "8 songs hold 5 leaves; 5 have songs enough" in done.stdout
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
    whole, _, apart = page.partition("Where a sibling of the leaf is heard too")
    assert all(whole.count(f"\n| {system} |") == 1 for system in systems)
    by_example = {system for system in systems if system.startswith("QBE")}
    assert {system for system in systems if f"\n| {system} |" in apart} == by_example
    asked = ", ".join(f"{leaf} (8)" for leaf in ASKED)
    assert "Nodes by level, the leaves first: [5, 4, 3]." in page
    assert f"in which they are heard beside a relative: {asked};" in page
    assert "of 8 songs, 0% of them with a sibling of the leaf" in page  # of guitars
    assert "of 8 songs, 50% of them with a sibling of the leaf" in page  # drums and bells


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
    rows = rows_of(results, "figure_2_14")
    assert [row["leaf"] for row in rows if "leaf" in row] == ASKED
    tests = [row["tests"] for row in rows if "tests" in row]
    assert tests[:3] == ["all", "fold 0", "fold 1"]
    assert tests[3] == f"all but {tests[4]}"
    rows = {row["places"]: row for row in rows_of(results, "figure_2_15")}
    assert set(rows) == {"QBE + HC", "untrained network", "mean log spectrum"}
    assert rows["mean log spectrum"]["balanced_accuracy"] > 0.9  # four instruments, one sound each
    assert all(row["n_parents"] == 3 for row in rows.values())
    points = [(r["strategy"], r["part"], r["removed"]) for r in rows_of(results, "figure_2_16")]
    assert len(points) == len(set(points)) == 12


# --------------------------------------------------------------------------- their arithmetic


def test_a_leaf_is_asked_for_if_two_songs_have_it_beside_a_relative():
    tree = Hierarchy.from_dict({"keys": {"piano": 0, "organ": 16}, "basses": {"bass": 33}})
    heard = [{"piano", "organ"}, {"piano"}, {"piano", "bass"}, {"organ", "piano"}, {"bass"}]
    mixtures = [Mixture(np.zeros(8), group=song) for song in "abacd"]
    scenes = [Scene(("piano", "organ", "bass"), 8000, np.zeros((3, 8)))] * 5
    pool = Pool(mixtures, scenes, heard)
    assert askable(tree, pool) == ["piano", "organ"]  # a bass alone is the same at all levels
    assert askable(tree, pool.select(range(1, 5))) == []
    assert askable(tree, pool.select([0, 2, 3, 4] + 60 * [1])) == ["piano", "organ"]
    of_one_song = pool.select([0, 1, 2])
    assert Fold(0, tree, of_one_song, pool).asked == []  # training cannot ask for them


def test_songs_are_recast_but_for_drums_and_basses(tmp_path):
    song = tmp_path / "a song.mid"
    write_song(song, 0)
    families = [(16, 17), (73,), (80, 81, 82)]
    casts = set()
    for seed in range(4):
        path = recast(song, tmp_path / str(seed), families, (33,), seed)
        assert path.name == song.name
        before, after = (pretty_midi.PrettyMIDI(str(one)).instruments for one in (song, path))
        for old, new in zip(before, after, strict=True):
            assert [note.pitch for note in new.notes] == [note.pitch for note in old.notes]
            assert new.is_drum == old.is_drum
            if old.is_drum or old.program == 33:
                assert new.program == old.program
            else:
                assert any(new.program in family for family in families)
        casts.add(tuple(one.program for one in after))
        again = recast(song, tmp_path / "again", families, (33,), seed)
        assert again.read_bytes() == path.read_bytes()
    assert len(casts) > 1


def test_queries_and_pairs_are_of_leaves_that_training_asks_for():
    tree = Hierarchy.from_dict(
        {
            "keys": {"piano": 0, "organ": 16},
            "drumming": {"drums": "drums", "bells": 14},
            "winds": {"flute": 73, "brass": 61},
        }
    )
    names = tree.leaves
    mixtures = [Mixture(np.zeros(8), 8000, group=song) for song in "abc"]
    scenes = [Scene(names, 8000, np.eye(6, 8) + k) for k in range(3)]
    test = Pool(mixtures, scenes, [set(names)] * 3)
    fold = Fold(0, tree, Pool(mixtures, scenes, [set(names) - {"brass"}] * 3), test)
    assert fold.asked == ["piano", "organ", "drums", "bells"]  # no flute: brass is not heard
    assert set(queries_of(test, fold.asked).leaves) == set(fold.asked)
    own = {tuple(scene.source(name)) for scene in scenes for name in fold.asked}
    for mixtures, truths, examples_of in pairs_of(fold, 3):
        asked = {tuple(mixture.query) for mixture in mixtures}
        found = {tuple(truth.source("level_1")) for truth in truths}
        assert asked | found <= own
        assert not asked & found  # examples are of other songs
        assert all(
            song != mixture.group for song, mixture in zip(examples_of, mixtures, strict=True)
        )


def test_a_level_is_learnt_alone_from_the_same_mixtures():
    tree = Hierarchy.from_dict({"keys": {"piano": 0, "organ": 16}})
    rng = np.random.default_rng(0)
    scenes = [Scene(tree.leaves, 8000, rng.normal(0, 0.1, (2, 80))) for _ in "ab"]
    mixtures = [
        Mixture(scene.sources.sum(0), 8000, group=song)
        for scene, song in zip(scenes, "ab", strict=True)
    ]
    sampler = QueryMixing(tree, 4, gain_db=6.0)
    whole = sampler.prepare(mixtures, scenes, 3).epoch(1)
    for level in tree.levels:
        one = OneLevel(sampler, level)
        assert one.instruments_of(scenes) == (level,)
        for mixture, scene, same, levels in zip(
            *one.prepare(mixtures, scenes, 3).epoch(1), *whole, strict=True
        ):
            assert scene.instruments == (level,)
            np.testing.assert_array_equal(mixture.audio, same.audio)
            np.testing.assert_array_equal(scene.sources[0], levels.source(level))


def test_p_is_corrected_for_leaves_and_not_for_their_mean():
    rng = np.random.default_rng(0)
    songs = tuple(range(40))
    evaluations = {
        name: Evaluation(
            tuple(
                {"si_sdri": {("piano", "organ")[i % 2]: rng.normal(gain * (i % 2))}} for i in songs
            )
        )
        for name, gain in ((MULTI, 1.0), (SINGLE, 0.0))
    }
    rows = leaf_rows(Comparison(evaluations, songs), ["piano", "organ"])
    p = np.array([row["mann_whitney_p"] for row in rows])
    assert p[1] < p[0]
    expected = [max(2 * p[1], p[0]), 2 * p[1]]
    assert [row["mann_whitney_p_holm"] for row in rows] == pytest.approx(expected)
    assert [row["n_excerpts"] for row in rows] == [20, 20]


def scored(differences, folds, with_sibling=()):
    """Return scores of two systems on tests of leaves, each of as many songs as values."""
    leaves = [leaf for leaf, values in differences.items() for _ in values]
    values = [value for values in differences.values() for value in values]
    scores = {
        name: [tuple({"si_sdri": {"level_1": own}} for own in of_system)]
        for name, of_system in ((MULTI, values), (SINGLE, [0.0] * len(values)))
    }
    songs = [str(i) for i in range(len(values))]
    siblings = list(with_sibling) or [True] * len(values)
    return Scored(scores, songs, folds, leaves, songs[::-1], siblings)


def test_means_without_the_leaf_that_makes_them():
    rows = [{"leaf": "piano", MULTI: -1.0, SINGLE: 0.0}, {"leaf": "drums", MULTI: 9.0, SINGLE: 0}]
    found = differences(scored({"piano": [-1, -2], "drums": [8, 11]}, [0, 1, 0, 1]), rows)
    means = {row["tests"]: row["difference"] for row in found}
    assert means == {
        **{"all": 4.0, "fold 0": 3.5, "fold 1": 4.5},
        **{"all but drums": -1.5, "drums": 9.5},
    }
    assert all(row["low"] <= row["difference"] <= row["high"] for row in found)


def test_tests_with_a_sibling_are_told_apart():
    whole = scored({"grand": [1.0, 2.0, 4.0]}, [0, 0, 1], with_sibling=[True, False, True])
    apart = whole.where(whole.with_sibling)
    assert apart.songs == ["0", "2"]
    assert apart.examples_of == ["2", "0"]
    assert apart.folds == [0, 1]
    assert apart.compare().summary()[0]["mean"] == 2.5


def test_intervals_are_over_songs():
    values = np.array([0.0] * 50 + [1.0] * 50)
    by_song = bootstrap(lambda chosen: values[chosen].mean(), ["a"] * 50 + ["b"] * 50)
    each = bootstrap(lambda chosen: values[chosen].mean(), [str(i) for i in range(100)])
    assert by_song == (0, 1)
    assert 0.35 < each[0] < 0.45
    assert 0.55 < each[1] < 0.65


def test_intervals_of_two_songs_mixed_draw_both():
    spread = np.arange(100) % 10
    both = [f"{i // 10}" for i in range(100)], [f"{i % 10}" for i in range(100)]
    of_first, of_both = (
        bootstrap(lambda chosen: float(np.median(spread[chosen])), both[0], mixed_with)
        for mixed_with in ((), both[1])
    )
    assert of_first == (4.5, 4.5)  # each of the first songs is mixed with all of the others
    assert of_both[0] < 4 < 5 < of_both[1]


def test_directions_are_about_a_level_or_all():
    scenes = [{"si_sdri": {"level_1": 1.0 + i, "level_2": 5.0}} for i in range(4)]
    worse = [{"si_sdri": {"level_1": 0.5 * i, "level_2": 9.0}} for i in range(4)]
    comparison = compare_scores({"A": [scenes], "B": [worse]}, list("abcd"))
    wanted = [Direction("A", "B", "si_sdri", 2.0, "level_1"), Direction("A", "B", "si_sdri", 2.0)]
    leaf, both = verdicts(comparison, wanted)
    assert (leaf["instrument"], leaf["verdict"], leaf["ours"]) == ("level_1", "reproduced", 1.75)
    assert "instrument" not in both
    assert (both["verdict"], both["ours"]) == ("reversed", -1.125)
