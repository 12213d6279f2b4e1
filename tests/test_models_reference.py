"""Floor and ceiling."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone

from msa_sk import (
    Cerberus,
    Clip,
    Hierarchy,
    IdealMaskSeparator,
    Mixture,
    MixtureBaseline,
    NMFSeparator,
    QueryMixing,
    Scene,
    attach_truth,
)
from msa_sk.audio import write_audio
from msa_sk.datasets import make_scenes, scenes_along
from msa_sk.exceptions import InputError, InstrumentError
from msa_sk.metrics import get_scorer, si_sdr


@pytest.fixture(scope="module")
def scenes():
    return make_scenes(2, ("piano", "drums"), duration=2.0, random_state=0)


def test_the_floor_is_the_mixture_itself(scenes):
    X, y = scenes
    baseline = MixtureBaseline().fit(X, y)
    for mixture, scene in zip(X, baseline.predict(X), strict=True):
        assert scene.instruments == ("drums", "piano")
        np.testing.assert_array_equal(scene.source("piano"), mixture.audio)
    assert baseline.score(X, y) == pytest.approx(0, abs=1e-9)


def test_what_is_not_one_mixture_is_no_stream(scenes):
    baseline = MixtureBaseline().fit(*scenes)
    for several in (scenes[0], scenes[0][:1], ["song.wav"], []):
        message = rf"stream\(mixture\): expected one mixture, got a list of {len(several)}"
        with pytest.raises(InputError, match=message):
            baseline.stream(several)


def test_no_mixtures_have_no_scenes(scenes, tmp_path):
    baseline = MixtureBaseline().fit(*scenes)
    assert baseline.predict([]) == baseline.transform([]) == []
    assert baseline.predict(np.zeros((0, 9))) == list(baseline.iter_predict(())) == []
    assert baseline.predict_to_files([], tmp_path) == []
    with pytest.raises(InputError, match="X: expected at least one mixture"):
        MixtureBaseline().fit([], [])


def test_the_ceiling_is_far_above_and_adds_up(scenes):
    X, y = scenes
    informed = attach_truth(X, y)
    ideal = IdealMaskSeparator().fit(informed, y)
    assert ideal.score(informed, y) > 8
    scene = ideal.predict(informed)[0]
    assert np.abs(scene.residual(informed[0])).max() < 1e-5


def test_other_ideal_masks_are_ceilings_of_their_own(scenes):
    X, y = scenes
    informed = attach_truth(X, y)
    scores = {}
    for mask in ("ratio", "binary", "wiener", "phase_sensitive"):
        ideal = IdealMaskSeparator(mask).fit(informed, y)
        scores[mask] = get_scorer("sdr")(ideal, informed, y)
        # With two sources these masks add up as well; with three they need not.
        assert np.abs(ideal.predict(informed)[0].residual(informed[0])).max() < 1e-5
        assert ideal.__sklearn_tags__().additive == (mask != "phase_sensitive")
    assert scores["phase_sensitive"] == max(scores.values())  # no real mask in [0, 1] is closer
    assert min(scores.values()) > 8


def test_disjoint_spectra_are_separated_perfectly():
    t = np.arange(16000) / 16000
    sources = np.stack([np.sin(2 * np.pi * f * t) for f in (500, 5000)]).astype(np.float32)
    X = [Mixture(sources.sum(axis=0), 16000)]
    y = [{"low": sources[0], "high": sources[1]}]
    informed = attach_truth(X, y)
    scene = IdealMaskSeparator().fit(informed, y).predict(informed)[0]
    assert si_sdr(sources[0], scene.source("low")) > 35


def test_sources_besides_the_wanted_ones_stay_in_the_mixture(scenes):
    X, y = scenes
    informed = attach_truth(X, y)
    ideal = IdealMaskSeparator(instruments=["piano"]).fit(informed, y)
    scene = ideal.predict(informed)[0]
    assert scene.instruments == ("piano",)
    assert si_sdr(y[0].source("drums"), scene.residual(X[0])) > 5


def test_files_of_another_prediction_do_not_stay_beside_new_ones(scenes, tmp_path):
    X, y = scenes
    baseline = MixtureBaseline().fit(X, y)
    (folder,) = baseline.predict_to_files(X[:1], tmp_path)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="pass overwrite=True"):
        baseline.predict_to_files(X[:1], tmp_path, instruments=["piano"])
    baseline.predict_to_files(X[:1], tmp_path, overwrite=True, instruments=["piano"])
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["notes.txt", "piano.wav", "scene.json"]


@pytest.mark.parametrize(
    ("files", "folders"),
    [
        (["a/song.wav", "b/other.wav"], ["song", "other"]),
        (["a/song.wav", "b/song.wav", "b/x.wav"], ["0000", "0001", "x"]),
        (["a/song.wav", "b/Song.wav"], ["0000", "0001"]),  # one folder on some disks
        (["a/0001.wav", "a/0002.wav"], ["0001", "0002"]),
        (["a/2.wav", "a/x.wav", "b/x.wav", "a/0001.wav"], ["2", "00001", "0002", "0001"]),
        (["a/...wav", "a/x.wav"], ["0000", "x"]),  # its stem is ".."
    ],
)
def test_each_mixture_has_a_folder_of_its_own(scenes, tmp_path, monkeypatch, files, folders):
    X, y = scenes
    monkeypatch.chdir(tmp_path)
    for k, name in enumerate(files):
        Path(name).parent.mkdir(exist_ok=True)
        write_audio(name, X[k % 2].read(), X[k % 2].rate)
    written = MixtureBaseline().fit(X, y).predict_to_files(files, "out", overwrite=True)
    assert written == [Path("out", name) for name in folders]
    assert {path.name for path in Path("out").iterdir()} == set(folders)


def test_a_recording_is_not_replaced_by_what_is_found_in_it(scenes, tmp_path):
    X, y = scenes
    baseline = MixtureBaseline().fit(X, y)
    (folder,) = baseline.predict_to_files(X[:1], tmp_path)
    stem = folder / "piano.wav"
    before = stem.read_bytes()
    part = Mixture((Clip(stem),))
    with pytest.raises(InputError, match="expected recordings that no stem will overwrite"):
        baseline.predict_to_files([part], tmp_path, overwrite=True)
    with pytest.raises(InputError, match="stem will overwrite"):  # nor what is found in another
        baseline.predict_to_files([X[0], stem], tmp_path, overwrite=True)
    drums = folder / "drums.wav"  # would go with the scene before
    for mixture in (
        drums,
        replace(X[1], sources={"drums": drums}),
        replace(X[1], query=drums),
    ):
        with pytest.raises(InputError, match="stem will overwrite"):
            baseline.predict_to_files(
                [X[0], mixture], tmp_path, overwrite=True, instruments=["piano"]
            )
    baseline.predict_to_files([part], tmp_path / "again")
    assert stem.read_bytes() == before


def test_attach_truth_fills_in_what_is_known_and_leaves_the_input_alone(scenes):
    X, y = scenes
    informed = attach_truth(X, y)
    assert X[0].sources is None
    np.testing.assert_array_equal(informed[0].read_source("piano"), y[0].source("piano"))
    assert informed[0].notes["drums"] is y[0].notes_of("drums")
    assert informed[0].group == X[0].group


def test_an_ideal_mask_without_the_truth_says_how_to_get_it(scenes):
    X, y = scenes
    ideal = IdealMaskSeparator().fit(X, y)
    with pytest.raises(InputError, match=r"attach_truth\(X, y\)"):
        ideal.predict(X)
    with pytest.raises(InputError, match="X\\[0\\]|true sources"):
        get_scorer("si_sdri")(ideal, X, y)


def test_levels_are_masked_against_what_they_leave():
    tree = Hierarchy.from_dict(
        {"strings": {"piano": 0, "guitar": 24}, "percussion": {"drums": None}}
    )
    X, y = make_scenes(2, tree.leaves, duration=2.0, random_state=0)
    levels = scenes_along(tree, "piano", X, y)
    informed = attach_truth(*levels)
    for mask in ("ratio", "binary", "wiener", "phase_sensitive"):
        ideal = IdealMaskSeparator(mask).fit(informed, levels[1])
        assert ideal.score(informed, levels[1]) > 6, mask
        assert not ideal._scene_tags()["additive"]
    of_levels = IdealMaskSeparator().fit(informed, levels[1]).predict(informed[:1])[0]
    # The strings against the drums are the same two sounds, whatever the strings are made of.
    rest = Scene(
        ("rest", "strings"), 16000, (y[0].source("drums"), levels[1][0].source("level_2"))
    )
    two = attach_truth(X[:1], [rest])
    expected = IdealMaskSeparator().fit(two, [rest]).predict(two)[0].source("strings")
    np.testing.assert_allclose(of_levels.source("level_2"), expected, atol=1e-5)


@pytest.mark.parametrize("system", [NMFSeparator(), Cerberus(verbose=0)])
def test_levels_are_no_instruments(system):
    tree = Hierarchy.from_dict({"strings": {"piano": 0, "guitar": 24}})
    X, y = make_scenes(2, tree.leaves, duration=1.0, random_state=0)
    with pytest.raises(
        InstrumentError, match="none is part of another, got the levels level_1, le"
    ):
        system.fit(*scenes_along(tree, "piano", X, y))
    if "sampler" in system.get_params():
        with pytest.raises(InstrumentError, match="none is part of another"):
            clone(system).set_params(sampler=QueryMixing(tree)).fit(X, y)
    assert MixtureBaseline().fit(*scenes_along(tree, "piano", X, y)).instruments_ == (
        "level_1",
        "level_2",
    )
