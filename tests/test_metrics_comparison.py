"""Comparisons: means, intervals and tests by song, and the tables that come of them."""

import builtins
import csv
import io
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from test_metrics_scorers import Cheat, make_data

from msa_sk.exceptions import InputError, InstrumentError, ParameterError
from msa_sk.metrics import Comparison, Evaluation, SceneScorer, compare, get_scorer
from msa_sk.metrics.statistics import (
    bootstrap_interval,
    holm,
    known_mean,
    mann_whitney,
    song_means,
    wilcoxon,
)


class Transcriber(Cheat):
    def predict_one(self, mixture):
        return replace(super().predict_one(mixture), sources=None)


@pytest.fixture
def data():
    return make_data(12)


@pytest.fixture
def systems(data):
    systems = {"loud_noise": Cheat(0), "quiet|noise": Cheat(-20, late=0.2), "notes": Transcriber()}
    return {name: system.fit(*data) for name, system in systems.items()}


def known(values, songs=None, metric="sdr", systems=("a", "b")):
    """A comparison of given values: (n_systems, n_scenes) of one instrument."""
    songs = songs or [f"song {i}" for i in range(len(values[0]))]
    scores = [tuple({metric: {"piano": float(v)}} for v in row) for row in values]
    evaluations = (Evaluation(one) for one in scores)
    return Comparison(dict(zip(systems, evaluations, strict=True)), tuple(songs))


class TestCompare:
    def test_summary_says_what_the_scorers_say(self, systems, data):
        metrics = ["si_sdri", "note_onset_f1"]
        comparison = compare(systems, *data, metrics=metrics)
        assert repr(comparison) == (
            "Comparison(loud_noise, quiet|noise, notes; si_sdri, note_onset_f1; "
            "12 scenes of 6 songs)"
        )
        rows = {(r["system"], r["metric"], r["instrument"]): r for r in comparison.summary()}
        assert len(rows) == 2 * 3 * 2 + 3  # a transcriber has no rows of SI-SDRi
        scorer = SceneScorer(metrics, instruments=("piano", "guitar"))
        for name in ("loud_noise", "quiet|noise"):
            scores = scorer(systems[name], *data)
            for metric in metrics:
                assert rows[name, metric, "all"]["mean"] == pytest.approx(scores[metric])
                piano = rows[name, metric, "piano"]
                assert piano["mean"] == pytest.approx(scores[f"{metric}_piano"])
                assert piano["low"] <= piano["mean"] <= piano["high"]
                assert (piano["n_songs"], piano["n_excerpts"], piano["n_left_out"]) == (6, 12, 0)
        assert rows["notes", "note_onset_f1", "all"]["mean"] == 1

    def test_rows_are_tidy(self, systems, data):
        comparison = compare(systems, *data, metrics="sdr", instruments=("guitar",))
        rows = comparison.rows()
        assert len(rows) == 2 * 12
        first = {
            "system": "loud_noise",
            "scene": 0,
            "song": 0,
            "instrument": "guitar",
            "metric": "sdr",
        }
        assert {**rows[0], "value": None} == {**first, "value": None}
        expected = comparison.evaluations["loud_noise"].values("sdr", "guitar")
        np.testing.assert_array_equal([row["value"] for row in rows[:12]], expected)
        assert comparison.instruments("sdr") == ("guitar",)

    def test_table_is_a_data_frame_where_pandas_is(self, systems, data):
        pandas = pytest.importorskip("pandas")
        comparison = compare(systems, *data, metrics="sdr")
        frame = comparison.table()
        assert isinstance(frame, pandas.DataFrame)
        assert frame.to_dict("records") == comparison.rows()

    def test_table_without_pandas(self, monkeypatch):
        real_import = builtins.__import__

        def no_pandas(name, *args):
            if name == "pandas":
                raise ImportError(name)
            return real_import(name, *args)

        monkeypatch.setattr(builtins, "__import__", no_pandas)
        comparison = known([[1, 2]], systems=("a",))
        assert comparison.table() == comparison.rows()

    def test_groups(self, systems, data):
        X, y = data
        alone = [replace(x, group=None) for x in X]
        assert set(compare(systems, alone, y, metrics="sdr").songs) == {
            f"scene {i}" for i in range(12)
        }
        comparison = compare(systems, X, y, metrics="sdr", groups=["a"] * 12)
        assert {row["n_songs"] for row in comparison.summary()} == {1}
        with pytest.raises(InputError, match="groups: expected 12 of them, got 2"):
            compare(systems, X, y, groups=[1, 2])

    def test_a_scorer_with_tolerances_of_its_own(self, systems, data):
        scorer = SceneScorer(["note_onset_f1"], onset_tolerance=0.3)
        comparison = compare(systems, *data, metrics=scorer)
        assert {row["mean"] for row in comparison.summary()} == {1.0}
        with pytest.raises(InputError, match="None beside a SceneScorer"):
            compare(systems, *data, metrics=scorer, instruments=("piano",))

    def test_left_out_is_counted(self, data):
        X, y = data
        system = Cheat().fit(X, y)
        y = [replace(y[0], sources=y[0].sources * [[0], [1]]), *y[1:]]
        rows = compare({"it": system}, X, y, metrics="sdr").summary()
        counts = {r["instrument"]: (r["n_excerpts"], r["n_left_out"]) for r in rows}
        assert counts == {"piano": (11, 1), "guitar": (12, 0), "all": (12, 1)}

    def test_instruments_that_a_system_was_not_asked_for(self, data):
        X, y = data
        systems = {"both": Cheat(), "guitar": Cheat(instruments=("guitar",))}
        comparison = compare({n: s.fit(X, y) for n, s in systems.items()}, X, y, metrics="sdr")
        assert ("guitar", "piano") not in {
            (r["system"], r["instrument"]) for r in comparison.summary()
        }
        assert "| guitar | – |" in comparison.to_markdown()

    def test_notes_of_all_instruments_at_once(self, systems, data):
        comparison = compare(systems, *data, metrics="multi_note_onset_f1")
        assert comparison.instruments("multi_note_onset_f1") == ("all",)
        score = get_scorer("multi_note_onset_f1")(systems["notes"], *data)
        assert comparison.summary()[-1]["mean"] == score == 1

    def test_bad_input(self, systems, data):
        with pytest.raises(InputError, match="estimators: expected a dict"):
            compare([Cheat()], *data)
        for name, value in (
            ("confidence", 95),
            ("confidence", "a"),
            ("n_resamples", 0),
            ("random_state", "a"),
            ("groups", 3),
        ):
            with pytest.raises(ParameterError, match=f"^{name}: expected a"):
                compare(systems, *data, **{name: value})
        with pytest.raises(InputError, match=r"groups\[0\]: expected a hashable name"):
            compare(systems, *data, groups=[[1]] * len(data[0]))
        with pytest.raises(InputError, match="^X: expected at least one mixture"):
            compare(systems, [], [])
        for nobody in (None, Cheat):
            with pytest.raises(InputError, match=r"estimators\['it'\]: expected a fitted"):
                compare(systems | {"it": nobody}, *data)
        with pytest.raises(ParameterError, match=r"SceneScorer\(metrics=\): expected .*, got 3"):
            compare(systems, *data, metrics=3)
        with pytest.raises(InputError, match="Did you mean 'si_sdri'"):
            compare(systems, *data, metrics="si_sdr_i")
        with pytest.raises(InstrumentError, match="Did you mean 'piano'"):
            compare(systems, *data, metrics="sdr", instruments=("pianos",))
        with pytest.raises(InputError, match="metrics: expected what some system finds"):
            compare({"notes": systems["notes"]}, *data, metrics="sdr")


class TestIntervals:
    def test_songs_are_drawn_with_all_their_excerpts(self):
        """Ten excerpts of each song that are all alike say no more than one."""
        rng = np.random.default_rng(0)
        of_songs = rng.normal(10, 2, 30)
        one = bootstrap_interval(of_songs[:, None], np.arange(30), 0.95, 4000, 0)
        ten = bootstrap_interval(
            np.repeat(of_songs, 10)[:, None], np.repeat(np.arange(30), 10), 0.95, 4000, 0
        )
        np.testing.assert_allclose(one, ten)
        as_if_independent = bootstrap_interval(
            np.repeat(of_songs, 10)[:, None], np.arange(300), 0.95, 4000, 0
        )
        assert np.ptp(as_if_independent) < 0.5 * np.ptp(one)

    def test_mixtures_of_two_songs_draw_both(self):
        """The variance of the mean is that of both kinds' means, and no more is claimed."""
        rng = np.random.default_rng(0)
        piano, guitar = rng.normal(0, 1, 20), rng.normal(0, 2, 40)
        songs = np.stack([np.repeat(np.arange(20), 40), np.tile(np.arange(40), 20)], axis=1)
        values = (piano[songs[:, 0]] + guitar[songs[:, 1]])[:, None]
        low, high = bootstrap_interval(values, songs, 0.95, 4000, 0)[:, 0]
        spread = np.sqrt(piano.var() / 20 + guitar.var() / 40)
        assert high - low == pytest.approx(2 * 1.96 * spread, rel=0.05)
        of_pianos = np.ptp(bootstrap_interval(values, songs[:, 0], 0.95, 4000, 0))
        assert of_pianos == pytest.approx(2 * 1.96 * piano.std() / np.sqrt(20), rel=0.05)

    def test_a_comparison_draws_both_songs(self):
        values = np.random.default_rng(0).normal(size=(1, 20))
        alone = known(values, songs=[*"aaaabbbbccccddddeeee"], systems=("it",))
        crossed = replace(alone, mixed_with=(*"wxyz",) * 5)
        (one,), (both,) = alone.summary(), crossed.summary()
        assert (one["mean"], one["n_songs"]) == (both["mean"], both["n_songs"])
        assert both["high"] - both["low"] > one["high"] - one["low"]
        expected = crossed.interval(values.T)[:, 0]
        assert (both["low"], both["high"]) == tuple(expected)
        single = replace(alone, mixed_with=("one",) * 20)
        assert np.isnan(single.summary()[0]["low"])

    def test_about_the_interval_of_theory(self):
        values = np.random.default_rng(1).normal(5, 3, 400)
        low, high = bootstrap_interval(values[:, None], np.arange(400), 0.9, 5000, 0)[:, 0]
        half = 1.645 * values.std() / np.sqrt(400)
        assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.03)

    def test_left_out_values_and_single_songs(self):
        values = np.array([[1.0, np.nan, 1.0], [3.0, 2.0, np.nan], [5.0, np.nan, np.nan]])
        interval = bootstrap_interval(values, np.array([0, 1, 2]), 0.95, 500, 0)
        assert np.isnan(interval).tolist() == [[False, True, True]] * 2
        songs = bootstrap_interval(values, np.array([0, 0, 0]), 0.95, 500, 0)
        assert np.isnan(songs).all()

    def test_the_same_seed_gives_the_same_interval(self):
        comparison = known(np.random.default_rng(0).normal(size=(2, 20)))
        assert comparison.summary() == comparison.summary()
        other = replace(comparison, random_state=1).summary()
        assert other[0]["low"] != comparison.summary()[0]["low"]

    def test_mean_and_median_are_of_scenes(self):
        comparison = known([[0, 0, 9]], songs=["a", "b", "b"], systems=("it",))
        (row,) = comparison.summary()
        assert (row["mean"], row["median"], row["n_songs"], row["n_excerpts"]) == (3, 0, 2, 3)


class TestTests:
    def test_paired_on_song_means(self):
        rng = np.random.default_rng(0)
        hard = rng.normal(0, 10, 40)  # songs differ far more than systems
        values = np.stack([hard + 1 + rng.normal(0, 0.5, 40), hard])
        songs = [f"song {i // 2}" for i in range(40)]
        (paired,) = known(values, songs).tests()
        a, b = values.reshape(2, 20, 2).mean(axis=2)
        assert paired["p"] == stats.wilcoxon(a, b).pvalue == paired["p_holm"] < 0.001
        assert paired["difference"] == pytest.approx((a - b).mean())
        assert paired["n_songs"] == 20
        (unpaired,) = known(values, songs).tests(paired=False)
        assert unpaired["p"] == stats.mannwhitneyu(a, b).pvalue > 0.5

    def test_corrected_for_all_tests_of_a_metric(self):
        values = np.random.default_rng(0).normal([[0], [0.8], [2]], 1, (3, 25))
        rows = known(values, systems=("a", "b", "c")).tests()
        assert [(row["system"], row["other"]) for row in rows] == [
            ("a", "b"),
            ("a", "c"),
            ("b", "c"),
        ]
        np.testing.assert_allclose([r["p_holm"] for r in rows], holm([r["p"] for r in rows]))

    def test_holm_by_hand(self):
        np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
        np.testing.assert_allclose(holm([0.5, np.nan, 0.4]), [0.8, np.nan, 0.8])
        assert holm([]).shape == (0,)
        assert holm([0.9, 0.8]).max() == 1

    def test_degenerate(self):
        ones, nothing = np.ones(8), np.full(8, np.nan)
        assert wilcoxon(ones, ones) == mann_whitney(ones, ones) == 1
        assert np.isnan(wilcoxon(ones, nothing))
        assert np.isnan(mann_whitney(nothing, ones))
        only_first = np.where(np.arange(8) < 4, 2.0, np.nan)
        assert wilcoxon(only_first, ones) == stats.wilcoxon(np.ones(4)).pvalue

    def test_song_means(self):
        values = np.array([1, 3, np.nan, 5, np.nan])
        np.testing.assert_array_equal(
            song_means(values, np.array([0, 0, 0, 1, 2])), [2, 5, np.nan]
        )
        assert known_mean([1, np.nan, 4], [1, 5, 2]) == 3
        assert np.isnan(known_mean([np.nan]))
        assert np.isnan(known_mean([1.0], [0.0]))


class TestTables:
    def comparison(self):
        rng = np.random.default_rng(0)
        values = rng.normal([[10], [4], [0]], 1, (3, 30))
        values[2] = values[0] + np.linspace(1, -1.05, 30)  # hardly worse
        return known(values, systems=("best", "50% & worse", "as|good"))

    def test_markdown(self, tmp_path):
        comparison = self.comparison()
        text = comparison.to_markdown(tmp_path / "table.md")
        assert (tmp_path / "table.md").read_text(encoding="utf-8") == text
        lines = text.splitlines()
        assert lines[0].startswith("sdr (dB): mean over 30 excerpts of 30 songs, 95% bootstrap")
        assert lines[2:4] == ["| system | piano |", "| --- | ---: |"]
        rows = {row["system"]: row for row in comparison.summary()}
        best = rows["best"]
        assert lines[4] == (
            f"| best | **{best['mean']:.2f}** [{best['low']:.2f}, {best['high']:.2f}] |"
        )
        assert f"{rows['50% & worse']['mean']:.2f}† [" in lines[5]
        assert lines[6].startswith("| as\\|good |")
        assert "†" not in lines[6]

    def test_latex(self, tmp_path):
        text = self.comparison().to_latex(tmp_path / "table.tex")
        assert (tmp_path / "table.tex").read_text(encoding="utf-8") == text
        lines = text.splitlines()
        assert lines[0].startswith("% sdr (dB)")
        assert lines[1:3] == [r"\begin{tabular}{lr}", r"\toprule"]
        assert lines[5].startswith(r"best & \textbf{")
        assert lines[6].startswith(r"50\% \& worse & ")
        assert r"$^\dagger$ {\small [" in lines[6]
        assert lines[-2:] == [r"\bottomrule", r"\end{tabular}"]
        assert all(line.endswith(r" \\") for line in lines[5:8])

    def test_csv(self, tmp_path):
        comparison = self.comparison()
        for table in ("summary", "rows", "tests"):
            text = comparison.to_csv(tmp_path / f"{table}.csv", table)
            assert (tmp_path / f"{table}.csv").read_text(encoding="utf-8") == text
            expected = getattr(comparison, table)()
            found = list(csv.DictReader(io.StringIO(text)))
            assert [list(row) for row in found] == [list(row) for row in expected]
            assert [row["metric"] for row in found] == ["sdr"] * len(expected)
        assert float(found[0]["p"]) == expected[0]["p"]
        with pytest.raises(InputError, match="table: expected 'summary', 'rows' or 'tests'"):
            comparison.to_csv(table="all")

    def test_scores_have_three_digits_and_nothing_is_minus_zero(self):
        text = known([[0.5, 0.5], [-1e-9, 0]], metric="frame_f1").to_markdown()
        assert "| a | **0.500** [0.500, 0.500] |" in text
        assert "| b | 0.000 [0.000, 0.000] |" in text

    def test_nothing_is_the_best_of_what_is_printed_alike(self):
        values = [[0.5, 0.5], [0.50001, 0.50001]]
        assert "**" not in known(values, metric="frame_f1").to_markdown()
        apart = known([*values, [0.4, 0.4]], metric="frame_f1", systems=("a", "b", "c"))
        assert apart.to_markdown().count("**") == 2

    def test_one_song_has_no_interval(self):
        text = known([[1, 2]], songs=["it", "it"], systems=("a",)).to_markdown()
        assert "| a | **1.50** |" in text

    def test_no_value_is_a_dash(self):
        text = known([[1, 2], [np.nan, np.nan]]).to_markdown()
        assert "| b | – |" in text
