"""Scorers with tiny systems whose score is known, in everything that scikit-learn does."""

import pickle
import warnings
from dataclasses import fields, replace
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    cross_val_score,
    cross_validate,
    learning_curve,
    permutation_test_score,
)
from sklearn.pipeline import Pipeline

from msa_sk import Mixture, Notes, Scene
from msa_sk.base import SceneTags
from msa_sk.exceptions import (
    AudioError,
    InputError,
    InstrumentError,
    MsaWarning,
    ParameterError,
    SilenceWarning,
)
from msa_sk.metrics import (
    METRICS,
    SceneScorer,
    bss_eval,
    frame_scores,
    get_scorer,
    note_onset_offset_scores,
    note_onset_scores,
    nsdr,
    sdr,
    sdr_improvement,
    si_sdr,
    si_sdr_improvement,
)

RATE = 8000


def make_data(n_mixes=6, instruments=("piano", "guitar"), n_samples=1600):
    """Scenes of noise, and mixtures that hold their truth for `Cheat` to see."""
    rng = np.random.default_rng(0)
    X, y = [], []
    for i in range(n_mixes):
        sources = rng.standard_normal((len(instruments), n_samples + 80 * (i % 3)))
        onset = np.sort(rng.uniform(0, 0.1, (len(instruments), 3)))
        notes = [Notes(one, one + 0.05, [60, 62, 64]) for one in onset]
        scene = Scene(instruments, RATE, sources.astype(np.float32), notes)
        truth = dict(zip(instruments, scene.sources, strict=True))
        told = dict(zip(instruments, scene.notes, strict=True))
        audio = scene.sources.sum(axis=0)
        X.append(Mixture(audio, RATE, sources=truth, notes=told, group=i // 2))
        y.append(scene)
    return X, y


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"metrics": []}, InputError, "metrics: expected at least one name"),
        ({"metrics": None}, ParameterError, r"SceneScorer\(metrics=\): expected .*, got None"),
        ({"metrics": 3}, ParameterError, r"SceneScorer\(metrics=\): expected .*, got 3"),
        ({"instruments": []}, InstrumentError, "instruments: expected at least one name"),
        ({"instruments": "piano"}, InstrumentError, r"got 'piano'. Pass \['piano'\]"),
        ({"instruments": 3}, InstrumentError, "instruments: expected a sequence of names"),
        ({"onset_only": "drums"}, InstrumentError, r"onset_only: .*. Pass \['drums'\]"),
        ({"slice_seconds": 0}, ParameterError, r"slice_seconds=\): expected a float"),
        ({"slice_seconds": -1}, ParameterError, r"slice_seconds=\): expected a float"),
        ({"slice_seconds": "a"}, ParameterError, r"slice_seconds=\): expected a float"),
        ({"slice_seconds": None}, ParameterError, r"slice_seconds=\): expected a float"),
        ({"frame_rate": -1}, ParameterError, r"frame_rate=\): expected a float .* or None"),
        ({"onset_tolerance": -1}, ParameterError, r"onset_tolerance=\): expected a float"),
        ({"offset_ratio": np.inf}, ParameterError, r"offset_ratio=\): expected a float"),
        ({"offset_min_tolerance": "a"}, ParameterError, "expected a float"),
    ],
)
def test_what_cannot_score_is_refused_at_once(parameters, error, message):
    with pytest.raises(error, match=message):
        SceneScorer(**parameters)


class Cheat(BaseEstimator):
    """Returns the truth that a mixture holds, with noise `noise` dB below it, and notes late."""

    def __init__(self, noise=-20.0, late=0.0, instruments=None):
        self.noise = noise
        self.late = late
        self.instruments = instruments

    def fit(self, X, y):
        names = sorted({name for scene in y for name in scene.instruments})
        self.instruments_ = tuple(self.instruments or names)
        self.sizes_ = []
        return self

    def predict(self, X):
        self.sizes_.append(len(X))
        return [self.predict_one(mixture) for mixture in X]

    def predict_one(self, mixture):
        sources = np.stack([mixture.sources[name] for name in self.instruments_])
        noise = np.random.default_rng(sources.shape[1]).standard_normal(sources.shape)
        notes = [mixture.notes[name] for name in self.instruments_]
        late = [Notes(n.onset + self.late, n.offset + self.late, n.pitch) for n in notes]
        return Scene(self.instruments_, RATE, sources + noise * 10 ** (self.noise / 20), late)


class Blind(Cheat):
    """Returns the same in another order and without names, and one source more."""

    def predict_one(self, mixture):
        scene = super().predict_one(mixture)
        sources = np.concatenate([scene.sources[::-1], scene.sources[:1] * 0 + 1])
        names = [f"source_{i}" for i in range(len(sources))]
        return Scene(names, RATE, sources, [*scene.notes[::-1], Notes()])

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        return SceneTags(**{f.name: getattr(tags, f.name) for f in fields(tags)}, blind=True)


class PassThrough(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X


class Altered(Cheat):
    """Passes each scene through `change`."""

    def __init__(self, change=None):
        super().__init__()
        self.change = change

    def predict_one(self, mixture):
        return self.change(super().predict_one(mixture))


@pytest.fixture
def data():
    return make_data()


class TestNames:
    def test_each_metric_is_that_function(self, data):
        X, y = data
        system = Cheat(noise=-6, late=0.04).fit(X, y)
        found = system.predict(X)

        def mean(values):
            return np.mean([np.mean(value) for value in values])

        def notes(function, i, **options):
            return mean(
                [s[i] for s in function(a, b, by_instrument=True, **options).values()]
                for a, b in zip(y, found, strict=True)
            )

        def together(function, i):
            return mean(function(a, b)[i] for a, b in zip(y, found, strict=True))

        bss = bss_eval(y, found)
        expected = {
            "sdr": mean(sdr(y, found)),
            "si_sdr": mean(si_sdr(y, found)),
            "sdri": mean(sdr_improvement(y, found, X)),
            "si_sdri": mean(si_sdr_improvement(y, found, X)),
            "nsdr": mean(nsdr(y, found, X)),
            "bss_sdr": mean(one.sdr for one in bss),
            "bss_sir": mean(one.sir for one in bss),
            "bss_sar": mean(one.sar for one in bss),
        }
        for i, name in enumerate(("precision", "recall", "f1")):
            expected[f"frame_{name}"] = notes(frame_scores, i)
            expected[f"note_onset_{name}"] = notes(note_onset_scores, i)
            expected[f"note_onset_offset_{name}"] = notes(note_onset_offset_scores, i)
            expected[f"multi_note_onset_{name}"] = together(note_onset_scores, i)
            expected[f"multi_note_onset_offset_{name}"] = together(note_onset_offset_scores, i)
        assert set(expected) == set(METRICS)
        scores = SceneScorer(list(METRICS))(system, X, y)
        assert scores == pytest.approx(expected, abs=1e-4)
        assert list(scores) == list(METRICS)
        assert all(type(value) is float for value in scores.values())

    def test_an_unknown_name(self):
        with pytest.raises(InputError, match="got 'si_sdr_i'. Did you mean 'si_sdri'"):
            get_scorer("si_sdr_i")
        with pytest.raises(InputError, match="'f1_onset'"):
            SceneScorer(["si_sdri", "f1_onset"])
        with pytest.raises(InstrumentError, match=r"Pass \['piano'\]"):
            SceneScorer(["sdr"], instruments="piano")

    def test_repr_clone_and_pickle(self):
        scorer = SceneScorer(["si_sdri", "frame_f1"], instruments=["piano"], frame_rate=50)
        assert repr(scorer) == (
            "SceneScorer(['si_sdri', 'frame_f1'], instruments=['piano'], frame_rate=50)"
        )
        assert repr(get_scorer("sdr")) == "SceneScorer('sdr')"
        for other in (clone(scorer), pickle.loads(pickle.dumps(scorer))):
            assert repr(other) == repr(scorer)
        search = GridSearchCV(Cheat(), {"noise": [0]}, scoring=scorer)
        assert repr(clone(search).scoring) == repr(scorer)


class TestMeans:
    def test_of_named_instruments(self, data):
        X, y = data
        system = Cheat().fit(X, y)
        system.instruments_ = ("guitar", "piano")
        scores = SceneScorer(["sdr", "multi_note_onset_f1"], instruments=("piano", "guitar"))(
            system, X, y
        )
        assert list(scores) == ["sdr", "sdr_piano", "sdr_guitar", "multi_note_onset_f1"]
        assert scores["sdr"] == pytest.approx((scores["sdr_piano"] + scores["sdr_guitar"]) / 2)
        only = SceneScorer(["sdr"], instruments=("piano",))(system, X, y)
        assert only == {"sdr": scores["sdr_piano"], "sdr_piano": scores["sdr_piano"]}

    def test_a_weight_is_a_number_of_copies(self, data):
        X, y = data
        system = Cheat(noise=0).fit(X, y)
        weights = [2, 1, 0, 3, 1, 0]
        chosen = np.repeat(np.arange(6), weights)
        copies = [X[i] for i in chosen], [y[i] for i in chosen]
        for scorer in (get_scorer("si_sdri"), SceneScorer(["sdr", "note_onset_f1"])):
            weighted = scorer(system, X, y, sample_weight=weights)
            assert weighted == pytest.approx(scorer(system, *copies))
        with pytest.raises(InputError, match="sample_weight: expected 6 finite weights"):
            get_scorer("sdr")(system, X, y, sample_weight=[1, 2])

    def test_a_scene_counts_once_however_many_instruments_it_has(self, data):
        X, y = data
        one, two = y[0], y[1]
        X = [replace(X[0], sources={"piano": one.source("piano")}), X[1]]
        y = [Scene(("piano",), RATE, one.sources[:1]), two]
        system = Altered(lambda scene: scene).fit(X, y)
        system.predict_one = lambda m: Scene(
            tuple(m.sources), RATE, 0.5 * np.stack([*m.sources.values()])
        )
        evaluation = SceneScorer(["sdr"]).evaluate(system, X, y)
        values = evaluation.values("sdr")
        assert evaluation.mean("sdr") == pytest.approx(values.mean())
        np.testing.assert_allclose(values, 10 * np.log10(4))

    def test_tolerances_reach_the_metrics(self, data):
        X, y = data
        system = Cheat(late=0.08).fit(X, y)
        assert get_scorer("note_onset_f1")(system, X, y) < 1
        assert SceneScorer("note_onset_f1", onset_tolerance=0.1)(system, X, y) == 1
        options = {"onset_tolerance": 0.1, "onset_only": ("piano", "guitar")}
        assert SceneScorer("note_onset_offset_f1", **options)(system, X, y) == 1
        assert SceneScorer("note_onset_offset_f1", onset_tolerance=0.1)(system, X, y) < 1
        assert SceneScorer("frame_f1", frame_rate=1)(system, X, y) == 1


class TestSilence:
    def test_left_out_and_counted(self, data):
        X, y = data
        system = Cheat().fit(X, y)
        expected = get_scorer("si_sdri")(system, X[1:], y[1:])
        silent = replace(y[0], sources=np.zeros_like(y[0].sources))
        scorer = SceneScorer(["si_sdri", "note_onset_f1"])
        scores = scorer(system, X, [silent, *y[1:]])
        assert scores["si_sdri"] == pytest.approx(expected)
        evaluation = scorer.evaluate(system, X, [silent, *y[1:]])
        assert evaluation.n_left_out == {"si_sdri": 2, "note_onset_f1": 0}

    def test_unknown_truth_is_left_out(self, data):
        X, y = data
        system = Cheat().fit(X, y)
        scorer = SceneScorer(["sdr", "frame_f1", "multi_note_onset_f1"])
        evaluation = scorer.evaluate(system, X, [replace(y[0], notes=None), *y[1:]])
        assert evaluation.n_left_out == {"sdr": 0, "frame_f1": 2, "multi_note_onset_f1": 1}

    def test_nothing_left_is_nan_with_a_warning(self, data):
        X, y = data
        system = Cheat().fit(X, y)
        silence = [replace(scene, sources=0 * scene.sources) for scene in y]
        with pytest.warns(MsaWarning, match="No scene has a value of sdr: the truth is silent"):
            assert np.isnan(get_scorer("sdr")(system, X, silence))
        with pytest.warns(MsaWarning, match="of sdr for 'guitar'"):
            scores = SceneScorer(["sdr"], instruments=("piano", "guitar"))(
                system, X, [replace(s, sources=s.sources * [[1], [0]]) for s in y]
            )
        assert np.isnan(scores["sdr_guitar"])
        assert scores["sdr"] == scores["sdr_piano"]


class TestWhoIsScored:
    def test_not_asked_for_stays_in_the_mixture(self, data):
        X, y = data
        system = Cheat(instruments=("guitar",)).fit(X, y)
        evaluation = SceneScorer(["sdr", "note_onset_f1"]).evaluate(system, X, y)
        assert [list(scene["sdr"]) for scene in evaluation.scores] == [["guitar"]] * 6
        assert evaluation.n_left_out == {"sdr": 0, "note_onset_f1": 0}

    def test_asked_for_and_missing(self, data):
        X, y = data
        system = Altered(lambda s: Scene(s.instruments[:1], RATE, s.sources[:1], s.notes[:1])).fit(
            X, y
        )
        with pytest.raises(
            InstrumentError, match=r"X\[0\], Scene\(guitar.*an estimate of 'piano'"
        ):
            get_scorer("sdr")(system, X, y)
        del system.instruments_  # a system that does not say was asked for everything
        system.predict_one = lambda m: Scene(("guitar",), RATE, [m.sources["guitar"]])
        with pytest.raises(InstrumentError, match="an estimate of 'piano'"):
            get_scorer("sdr")(system, X, y)

    def test_too_many_are_silence_in_the_truth(self, data):
        X, y = data
        system = Cheat().fit(X, y)
        y = [Scene(("guitar",), RATE, s.sources[1:], s.notes[1:]) for s in y]
        evaluation = SceneScorer(["sdr", "note_onset_f1"]).evaluate(system, X, y)
        assert evaluation.n_left_out == {"sdr": 6, "note_onset_f1": 0}
        assert evaluation.mean("note_onset_f1", "piano") == 0  # notes that are not there
        assert evaluation.mean("note_onset_f1") == pytest.approx(0.5)

    def test_an_instrument_that_nobody_knows(self, data):
        X, y = data
        system = Cheat().fit(X, y)
        scorer = SceneScorer(["sdr"], instruments=("pianoo",))
        with pytest.raises(InstrumentError, match="got 'pianoo'. Did you mean 'piano'"):
            scorer(system, X, y)
        assert system.sizes_ == []  # before the costly prediction
        silent = SimpleNamespace(predict=system.predict)  # about whom it was asked for
        with pytest.raises(InstrumentError, match="got 'pianoo'. Did you mean 'piano'"):
            scorer(silent, X, y)
        assert system.sizes_ == [6]

    @pytest.mark.parametrize("nobody", [None, "NMF", Cheat])
    def test_what_cannot_predict(self, data, nobody):
        with pytest.raises(InputError, match="estimator: expected a fitted estimator, got"):
            get_scorer("sdr")(nobody, *data)

    def test_blind_systems_by_the_best_permutation(self, data):
        X, y = data
        metrics = ["si_sdri", "bss_sir", "note_onset_f1", "multi_note_onset_f1"]
        named = SceneScorer(metrics, instruments=("piano", "guitar"))(Cheat().fit(X, y), X, y)
        blind = SceneScorer(metrics, instruments=("piano", "guitar"))(Blind().fit(X, y), X, y)
        assert blind == pytest.approx(named)
        assert blind["note_onset_f1"] == 1

    def test_blind_systems_without_sources_by_their_notes(self, data):
        X, y = data
        system = Blind().fit(X, y)
        truth = [replace(scene, sources=None) for scene in y]
        assert get_scorer("note_onset_f1")(system, X, truth) == 1

    def test_a_mono_truth_of_a_stereo_mixture(self, data):
        X, y = data
        stereo = [
            Mixture(np.stack([x.audio] * 2), RATE, sources=x.sources, notes=x.notes) for x in X
        ]
        wide = Altered(lambda s: replace(s, sources=np.stack([s.sources] * 2, axis=1))).fit(X, y)
        scorer = SceneScorer(["si_sdri", "sdr"])
        assert scorer(wide, stereo, y) == pytest.approx(scorer(Cheat().fit(X, y), X, y))


class TestPredicting:
    def test_each_item_once_in_slices_of_seconds(self, data):
        X, y = data  # 0.2, 0.21, 0.22 s, twice
        system = Cheat().fit(X, y)
        scorer = SceneScorer(["si_sdri", "sdr", "note_onset_f1"], slice_seconds=0.425)
        expected = SceneScorer(["si_sdri", "sdr", "note_onset_f1"])(system, X, y)
        assert system.sizes_ == [6]
        system.sizes_.clear()
        assert scorer(system, X, y) == expected
        assert system.sizes_ == [2, 2, 1, 1]
        system.sizes_.clear()
        assert replace(scorer, slice_seconds=0.01)(system, X, y) == expected
        assert system.sizes_ == [1] * 6

    def test_inside_pipelines_and_searches(self, data):
        X, y = data
        steps = [("nothing", PassThrough()), ("separate", Blind())]
        expected = get_scorer("si_sdri")(Cheat().fit(X, y), X, y)
        pipeline = Pipeline(steps).fit(X, y)
        assert get_scorer("si_sdri")(pipeline, X, y) == pytest.approx(expected)
        search = GridSearchCV(
            Pipeline(steps), {"separate__noise": [-20]}, scoring=get_scorer("si_sdri"), cv=2
        )
        assert get_scorer("si_sdri")(search.fit(X, y), X, y) == pytest.approx(expected)

    def test_raw_arrays(self):
        X, y = make_data(4, n_samples=1600)
        X, y = [X[0], X[3]], [y[0], y[3]]  # of one length

        class Halves(BaseEstimator):
            sample_rate_ = RATE

            def predict(self, X):
                return [Scene(("source_0", "source_1"), RATE, np.stack([x, x]) / 2) for x in X]

        arrays = np.stack([x.audio for x in X])
        score = get_scorer("sdri")(Halves(), arrays, np.stack([s.sources for s in y]))
        assert score == pytest.approx(10 * np.log10(2), abs=0.5)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda s: None, "Altered.predict: expected 6 Scenes.*got 6 of NoneType"),
            (lambda s: replace(s, sources=s.sources * np.nan), r"X\[0\], source .*finite samples"),
            (lambda s: replace(s, sources=s.sources[:, 5:]), r"X\[0\], source .*shape \(1595,\)"),
            (lambda s: replace(s, sample_rate=16000), r"X\[0\], .*8000 Hz, the truth's rate"),
            (lambda s: replace(s, sources=None), r"X\[0\], .*Use an estimator that separates"),
        ],
    )
    def test_predictions_that_cannot_be_scored(self, data, change, message):
        X, y = data
        system = Altered(change).fit(X, y)
        with pytest.raises(InputError, match=message) as caught:
            get_scorer("si_sdri")(system, X, y)
        assert isinstance(caught.value, InputError)

    @pytest.mark.parametrize(
        ("part", "known", "unknown", "does"),
        [
            ("notes", "si_sdri", "note_onset_f1", "transcribes"),
            ("sources", "note_onset_f1", "si_sdri", "separates"),
        ],
    )
    def test_what_one_of_several_metrics_asks_for(self, data, part, known, unknown, does):
        X, y = data
        system = Altered(lambda s: replace(s, **{part: None})).fit(X, y)
        scorer = SceneScorer([known, unknown], instruments=["piano"])
        message = f"^{unknown} is NaN: this Altered predicts no {part}. .* that {does}"
        with pytest.warns(MsaWarning, match=message):
            scores = scorer(system, X, y)
        assert list(scores) == [known, f"{known}_piano", unknown, f"{unknown}_piano"]
        alone = SceneScorer(known, instruments=["piano"])
        assert scores[known] == alone(Cheat().fit(X, y), X, y)
        assert np.isnan([scores[unknown], scores[f"{unknown}_piano"]]).all()
        with pytest.raises(InputError, match=f"an estimator that {does}"):
            get_scorer(unknown)(system, X, y)

    def test_solos_are_told(self, data):
        X, y = map(list, data)
        for i, level in ((1, 0), (4, 1e-5)):
            sources = y[i].sources * np.float32([[1], [level]])
            y[i] = replace(y[i], sources=sources)
            X[i] = replace(
                X[i],
                audio=sources.sum(axis=0),
                sources=dict(zip(X[i].sources, sources, strict=True)),
            )
        system = Cheat().fit(X, y)
        message = r"^2 of 6 mixtures are solos, .* and sdri, si_sdri of down .* score by si_sdr\."
        with pytest.warns(SilenceWarning, match=message):
            scores = SceneScorer(["si_sdr", "sdri", "si_sdri"])(system, X, y)
        assert scores["si_sdri"] < -5 < 10 < scores["si_sdr"]
        get_scorer("si_sdr")(system, X, y)
        SceneScorer("si_sdri", instruments=["guitar"])(system, X[:2], y[:2])  # it is silent there
        alone = get_scorer("si_sdri").evaluate(system, X[1:2], y[1:2])
        assert (alone.n_solos, alone.n_left_out) == (1, {"si_sdri": 1})
        louder = replace(X[1], audio=X[1].audio + X[4].audio)  # somebody else plays as well
        get_scorer("si_sdri")(system, [louder], y[1:2])

    def test_truths_are_missing(self, data):
        X, y = data
        with pytest.raises(InputError, match="y: expected the true scenes"):
            get_scorer("sdr")(Cheat().fit(X, y), X, None)


GRID = {"noise": [-5.0, -20.0], "late": [0.0, 0.2]}


class TestModelSelection:
    @pytest.mark.parametrize("n_jobs", [1, 2])
    def test_grid_search_over_several_metrics(self, data, n_jobs):
        X, y = data
        scoring = SceneScorer(["si_sdri", "note_onset_f1"], instruments=("piano",))
        search = GridSearchCV(
            Cheat(), GRID, scoring=scoring, refit="si_sdri", cv=GroupKFold(3), n_jobs=n_jobs
        )
        search.fit(X, y, groups=[x.group for x in X])
        assert search.best_params_["noise"] == -20
        results = search.cv_results_
        keys = {"si_sdri", "note_onset_f1", "si_sdri_piano", "note_onset_f1_piano"}
        assert {f"mean_test_{key}" for key in keys} <= set(results)
        late = np.array([params["late"] for params in results["params"]])
        np.testing.assert_array_equal(results["mean_test_note_onset_f1"] == 1, late == 0)
        assert search.score(X, y) == pytest.approx(20, abs=0.5)

    def test_n_jobs_change_nothing(self, data):
        X, y = data
        scores = [
            cross_val_score(Cheat(), X, y, scoring=get_scorer("si_sdri"), cv=3, n_jobs=n_jobs)
            for n_jobs in (1, 2)
        ]
        np.testing.assert_array_equal(*scores)

    def test_a_candidate_that_diverges_is_nan_and_the_others_are_ranked(self, data):
        X, y = data
        search = GridSearchCV(
            Cheat(), {"noise": [-5.0, 1e3, -20.0]}, scoring=get_scorer("si_sdri"), cv=2
        )
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            search.fit(X, y)
        assert any("expected finite samples" in str(w.message) for w in caught)
        means = search.cv_results_["mean_test_score"]
        np.testing.assert_array_equal(np.isnan(means), [False, True, False])
        assert search.best_params_ == {"noise": -20.0}
        search = clone(search).set_params(error_score="raise")
        with pytest.raises(AudioError, match="expected finite samples"):
            search.fit(X, y)

    def test_learning_curve(self, data):
        X, y = data
        sizes, _, scores = learning_curve(
            Cheat(), X, y, scoring=get_scorer("note_onset_f1"), cv=3, train_sizes=[0.5, 1.0]
        )
        assert sizes.tolist() == [2, 4]
        np.testing.assert_array_equal(scores, 1)

    def test_permutation_test(self):
        X, y = make_data(4)
        X, y = [X[0], X[3]] * 3, [y[0], y[3]] * 3  # of one length, so that truths can be swapped
        score, permuted, p = permutation_test_score(
            Cheat(), X, y, scoring=get_scorer("si_sdri"), cv=2, n_permutations=8, random_state=0
        )
        assert score == pytest.approx(20, abs=1)
        assert (permuted <= score).all()
        assert permuted.mean() < 15
        assert p <= 1

    def test_cross_validate_returns_every_metric(self, data):
        X, y = data
        scores = cross_validate(Cheat(), X, y, scoring=SceneScorer(["sdr", "frame_f1"]), cv=2)
        assert scores["test_sdr"].shape == scores["test_frame_f1"].shape == (2,)
