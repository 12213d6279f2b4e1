"""What users type first: each snippet works as it stands."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_predict, cross_val_score
from sklearn.pipeline import Pipeline

import msa_sk
from msa_sk import STFT, Cerberus, Clip, Mixture, NMFSeparator, Notes
from msa_sk.audio import read_audio, write_audio
from msa_sk.datasets import make_scenes
from msa_sk.exceptions import ParameterError
from msa_sk.metrics import SceneScorer, compare, get_scorer

TINY = {"hidden_size": 8, "n_layers": 1, "max_epochs": 1, "random_state": 0}


@pytest.fixture(scope="module")
def data():
    return make_scenes(6, duration=1.5, sample_rate=8000, random_state=0)


def test_arrays_in(data):
    X, y = data
    audio = np.stack([mixture.audio for mixture in X])  # (n_mixes, n_samples)
    sources = np.stack([scene.sources for scene in y])  # (n_mixes, n_sources, n_samples)
    separator = NMFSeparator(4, transformer=STFT(sample_rate=8000), random_state=0)
    scene = separator.fit(audio, sources).predict(audio)[0]
    assert scene.instruments == ("source_0", "source_1")
    assert scene.sources.shape == sources[0].shape


def test_grid_over_weights(data):
    X, y = data
    search = GridSearchCV(
        Cerberus(**TINY),
        {"dc_weight": [0, 0.1], "tr_weight": [0.5, 0.8]},
        scoring=SceneScorer(["si_sdri", "note_onset_f1"]),
        refit="si_sdri",
        cv=3,
    )
    search.fit(X, y)
    scene = search.predict(X[:1])[0]
    assert repr(scene).startswith("Scene(guitar, piano; 1.5 s at 8 kHz; ")
    assert np.isfinite(search.cv_results_["mean_test_si_sdri"]).all()
    assert np.isfinite(search.cv_results_["mean_test_note_onset_f1"]).all()


def test_pipeline_equals_transformer_byte_for_byte(data):
    X, y = data
    stft = STFT(n_fft=512, hop_length=128)
    for system in (NMFSeparator(4, random_state=0), Cerberus(**TINY)):
        pipeline = Pipeline([("stft", stft), ("separate", system)]).fit(X, y)
        alone = system.set_params(transformer=stft).fit(X, y)
        for one, other in zip(pipeline.predict(X), alone.predict(X), strict=True):
            np.testing.assert_array_equal(one.sources, other.sources)
        assert pipeline.score(X, y) == alone.score(X, y)


@pytest.mark.parametrize("system", [NMFSeparator(4), Cerberus(**TINY)])
def test_a_transformer_besides_that_of_a_pipeline_is_refused(data, system):
    X, y = data
    system = clone(system).set_params(transformer=STFT(n_fft=256, hop_length=64))
    pipeline = Pipeline([("stft", STFT(n_fft=512, hop_length=128)), ("separate", system)])
    with pytest.raises(ParameterError, match=r"\(transformer=\): .* got STFT.*n_fft=256.*Leave"):
        pipeline.fit(X, y)
    pipeline.set_params(separate__transformer=STFT(n_fft=512, hop_length=128)).fit(X, y)


def test_systems_compete_in_one_grid(data):
    X, y = data
    pipeline = Pipeline([("stft", STFT()), ("separate", NMFSeparator())])
    search = GridSearchCV(
        pipeline,
        {
            "stft__n_fft": [512, 1024],
            "separate": [NMFSeparator(4, random_state=0), Cerberus(**TINY)],
        },
        scoring=get_scorer("si_sdri"),
        cv=2,
    ).fit(X, y)
    assert len(search.cv_results_["params"]) == 4
    assert isinstance(search.best_params_["separate"], NMFSeparator)  # one epoch is no training


def test_transformers_are_searched(data):
    X, y = data
    grid = {"transformer": [STFT(n_fft=512), STFT()]}
    search = GridSearchCV(NMFSeparator(4, random_state=0), grid, cv=2).fit(X, y)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_cross_val_predict_with_ragged_lengths(data):
    X, y = data
    X = [mixture.excerpt(0, 1 + 0.05 * i) for i, mixture in enumerate(X)]
    y = [scene.excerpt(0, 1 + 0.05 * i) for i, scene in enumerate(y)]
    scenes = cross_val_predict(NMFSeparator(4, random_state=0), X, y, cv=3)
    lengths = [scene.sources.shape[-1] for scene in scenes]
    assert lengths == [mixture.n_samples for mixture in X]


def test_groups_keep_songs_together():
    X, y = make_scenes(6, duration=1.0, sample_rate=8000, scenes_per_song=2, random_state=0)
    groups = [mixture.group for mixture in X]
    scores = cross_val_score(
        NMFSeparator(4, random_state=0), X, y, groups=groups, cv=GroupKFold(3)
    )
    assert len(scores) == 3


def test_a_stereo_file(data, tmp_path):
    X, y = data
    separator = NMFSeparator(4, random_state=0).fit(X, y)
    left = np.random.default_rng(0).normal(0, 0.1, 30001)
    stereo = np.stack([left, -0.5 * left]).astype(np.float32)
    path = write_audio(tmp_path / "song.wav", stereo, 44100)
    scene = separator.predict([path])[0]
    assert scene.sample_rate == 44100
    assert scene.sources.shape == (2, 2, 30001)
    folder = separator.predict_to_files([path], tmp_path / "out")[0]
    audio, rate = read_audio(folder / "piano.wav")
    assert rate == 44100
    np.testing.assert_allclose(audio, scene.source("piano"), atol=2**-23)


def test_files_in(data, tmp_path):
    X, y = data
    paths, truths = [], []
    for i, (mixture, scene) in enumerate(zip(X, y, strict=True)):
        paths.append(write_audio(tmp_path / f"{i}.wav", mixture.audio, 8000, "FLOAT"))
        names = {name: tmp_path / f"{i}-{name}.wav" for name in scene.instruments}
        for name, path in names.items():
            write_audio(path, scene.source(name), 8000, "FLOAT")
        truths.append(names)
    separator = NMFSeparator(4, random_state=0)
    from_files = separator.fit(paths, truths).predict(paths[:1])[0]
    from_arrays = separator.fit(X, y).predict(X[:1])[0]
    np.testing.assert_allclose(from_files.sources, from_arrays.sources, atol=1e-5)
    clips = [Mixture((Clip(truths[0]["piano"]), Clip(truths[0]["guitar"], gain=0.5)))]
    assert separator.predict(clips)[0].sources.shape == from_files.sources.shape


@pytest.mark.parametrize("system", [NMFSeparator(4, random_state=0), Cerberus(**TINY)])
def test_save_and_load(data, system, tmp_path):
    X, y = data
    path = system.fit(X, y).save(tmp_path / "model.msa")
    loaded = msa_sk.load(path)
    assert loaded.get_params() == system.get_params()
    for one, other in zip(system.predict(X), loaded.predict(X), strict=True):
        np.testing.assert_array_equal(one.sources, other.sources)


def test_two_jobs_score_as_one(data):
    X, y = data
    separator = NMFSeparator(4, random_state=0)
    one = cross_val_score(separator, X, y, cv=2, n_jobs=1)
    two = cross_val_score(separator, X, y, cv=2, n_jobs=2)
    # Workers have fewer threads for linear algebra, which add up in another order.
    np.testing.assert_allclose(one, two, rtol=1e-5)


def test_nmf_against_cerberus_in_one_table(data):
    X, y = data
    systems = {"NMF": NMFSeparator(4, random_state=0), "Cerberus": Cerberus(**TINY)}
    fitted = {name: system.fit(X[:4], y[:4]) for name, system in systems.items()}
    table = compare(fitted, X[4:], y[4:], metrics=["si_sdri", "frame_f1"]).to_markdown()
    assert "| NMF |" in table
    assert "| Cerberus |" in table


def test_a_scene_is_handy(data, tmp_path):
    X, y = data
    scene = y[0]
    assert scene.source("piano").shape == X[0].audio.shape
    assert isinstance(scene.notes_of("piano"), Notes)
    names = {path.name for path in scene.write(tmp_path / "out")}
    assert names == {"piano.wav", "guitar.wav", "scene.mid", "scene.json"}
    notes = msa_sk.midi.read_midi(tmp_path / "out" / "scene.mid")
    np.testing.assert_array_equal(notes["piano"].pitch, scene.notes_of("piano").pitch)
    np.testing.assert_allclose(notes["piano"].onset, scene.notes_of("piano").onset, atol=2e-3)


def test_separate_then_transcribe_is_a_pipeline(data):
    X, y = data
    filled = NMFSeparator(4, random_state=0).fit(X, y).transform(X)
    assert set(filled[0].sources) == {"piano", "guitar"}
    transcribed = Cerberus(0, 0, 1, **TINY).fit(X, y).transform(X)
    assert isinstance(transcribed[0].notes["piano"], Notes)
    assert transcribed[0].sources is None
