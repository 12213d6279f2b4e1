"""Scenes along a path: submixes of leaves, and how much they grow from level to level."""

import numpy as np
import pytest

from msa_sk import Clip, Hierarchy, Mixture, Notes, Scene
from msa_sk.audio import write_audio
from msa_sk.datasets import make_scenes, rare_leaves, scenes_along
from msa_sk.exceptions import InputError, InstrumentError, ParameterError
from msa_sk.masking import ratio_masks
from msa_sk.spectral import istft, stft

RATE = 8000
LEAVES = ("piano", "guitar", "strings", "bass")
TREE = Hierarchy.from_dict(
    {
        "soft": {"fingered": {"piano": 0, "guitar": 24}, "bowed": {"strings": 40}},
        "low": {"basses": {"bass": 33}},
    }
)


def note(pitch):
    return Notes([0.0], [0.5], [pitch], [100])


def scene_of(rng, names=LEAVES, notes=True, n_channels=1):
    """Return a mixture and a scene of noise, with one note each."""
    shape = (len(names), n_channels, RATE)
    sources = rng.normal(0, 0.1, shape[:: 2 if n_channels == 1 else 1]).astype(np.float32)
    events = tuple(note(60 + i) for i in range(len(names))) if notes else None
    return Mixture(sources.sum(axis=0), RATE), Scene(tuple(names), RATE, sources, events)


def along(path, *pairs, tree=TREE):
    return scenes_along(tree, path, [mixture for mixture, _ in pairs], [s for _, s in pairs])


@pytest.mark.parametrize("n_channels", [1, 2])
def test_each_level_is_the_sum_of_its_leaves(rng, n_channels):
    mixture, scene = scene_of(rng, n_channels=n_channels)
    piano, guitar, strings, _ = scene.sources.copy()
    X, (levels,) = along("piano", (mixture, scene))
    assert len(X) == 1
    assert X[0] is mixture
    assert levels.instruments == ("level_1", "level_2", "level_3")
    assert np.array_equal(levels.source("level_1"), piano)
    assert np.array_equal(levels.source("level_2"), piano + guitar)
    assert np.array_equal(levels.source("level_3"), piano + guitar + strings)
    assert [notes.pitch.tolist() for notes in levels.notes] == [[60], [60, 61], [60, 61, 62]]
    assert np.array_equal(scene.sources[0], piano)  # nothing was written into the input
    _, (other,) = along(TREE.path("bass"), (mixture, scene))
    assert np.array_equal(other.sources, np.stack([scene.source("bass")] * 3))


def test_what_is_in_files_stays_there(tmp_path, rng, monkeypatch):
    mixture, scene = scene_of(rng)
    paths = {
        name: write_audio(tmp_path / f"{name}.wav", audio, RATE, "FLOAT")
        for name, audio in zip(LEAVES, scene.sources, strict=True)
    }
    bass = Clip(paths["bass"])
    stems = (paths["piano"], Clip(paths["guitar"], gain=0.5), (Clip(paths["strings"]), bass), bass)
    song = Mixture(mixture.audio, RATE), Scene(LEAVES, RATE, stems, scene.notes)
    with monkeypatch.context() as patched:
        patched.setattr(Clip, "read", None)
        _, (levels,) = along("guitar", song)
    assert [[clip.path.stem for clip in clips] for clips in levels.sources] == [
        ["guitar"],
        ["piano", "guitar"],
        ["piano", "guitar", "strings", "bass"],
    ]
    expected = scene.sources * np.array([1, 0.5, 1, 1], np.float32)[:, None]
    assert np.allclose(levels.source("level_1"), expected[1])
    assert np.allclose(levels.source("level_3"), expected.sum(axis=0), atol=1e-6)


def test_one_source_in_memory_brings_the_others_there(tmp_path, rng):
    mixture, scene = scene_of(rng)
    path = write_audio(tmp_path / "piano.wav", scene.source("piano"), RATE, "FLOAT")
    mixed = Scene(LEAVES, RATE, (Clip(path), *scene.sources[1:]), scene.notes)
    _, (levels,) = along("piano", (mixture, mixed))
    _, (expected,) = along("piano", (mixture, scene))
    assert np.array_equal(levels.sources, expected.sources)


def test_scenes_without_the_leaf_are_left_out_and_strangers_ignored(rng):
    first = scene_of(rng, ("guitar", "kazoo", "strings"))
    second = scene_of(rng, ("piano", "strings"), notes=False)
    X, (levels,) = along("piano", first, second)
    assert len(X) == 1
    assert X[0] is second[0]
    assert levels.notes is None
    assert np.array_equal(levels.source("level_2"), second[1].source("piano"))
    _, (levels,) = along("guitar", first, second)
    kazoo = first[1].source("kazoo")
    assert np.allclose(levels.source("level_3"), first[0].read() - kazoo, atol=1e-6)
    with pytest.raises(InputError, match="a scene with 'bass', got none among 2"):
        along("bass", first, second)


def test_what_is_no_path_is_refused(rng):
    pair = scene_of(rng)
    with pytest.raises(InstrumentError, match="Did you mean 'piano'"):
        along("pianos", pair)
    for wrong in ("fingered", ("piano", "fingered"), ("fingered", "soft"), ("piano", "soft")):
        with pytest.raises(ParameterError, match="a leaf, or its path up to the top"):
            along(wrong, pair)
    with pytest.raises(InstrumentError):
        along((), pair)
    for wrong in (None, 3):
        with pytest.raises(ParameterError, match=r"scenes_along\(path\): expected"):
            along(wrong, pair)
    with pytest.raises(ParameterError, match=r"scenes_along\(hierarchy\): .*Hierarchy', got {"):
        scenes_along(TREE.to_dict(), "piano", [pair[0]], [pair[1]])
    with pytest.raises(InputError, match=r"y\[0\]: expected a scene with sources"):
        along("piano", (pair[0], Scene(LEAVES, RATE)))


# ---------------------------------------------------------------------------- growth


@pytest.fixture(scope="module")
def band():
    """Return a composed mixture and scene of all leaves."""
    X, y = make_scenes(1, instruments=LEAVES, duration=4.0, sample_rate=RATE, random_state=0)
    return X[0], y[0]


def energy_db(audio):
    return 10 * np.log10(np.sum(np.square(audio, dtype=np.float64)))


@pytest.mark.parametrize("leaf", LEAVES)
def test_masks_and_masked_spectra_grow_exactly_and_waveforms_to_a_tenth_of_a_db(band, leaf):
    mixture, scene = band
    whole = stft(mixture.read(), 512, 128)
    masks = ratio_masks(np.abs([stft(scene.source(name), 512, 128) for name in LEAVES]))
    levels = TREE.sum_along(leaf, dict(zip(LEAVES, masks, strict=True)))
    assert (np.diff(levels, axis=0) >= 0).all()
    assert levels.max() <= 1 + 1e-6
    spectra = levels * np.abs(whole)
    assert (np.diff(spectra, axis=0) >= 0).all()
    energies = [energy_db(spectrum) for spectrum in spectra]
    assert energies == sorted(energies)
    n_samples = mixture.n_samples
    waveforms = [energy_db(istft(mask * whole, n_samples, 128)) for mask in levels]
    assert min(np.diff(waveforms)) > -0.1


@pytest.mark.parametrize("leaf", LEAVES)
def test_submixes_of_a_band_grow_to_a_tenth_of_a_db(band, leaf):
    _, (levels,) = along(leaf, band)
    energies = [energy_db(source) for source in levels.sources]
    assert min(np.diff(energies)) > -0.1
    if leaf == "piano":
        assert energies[2] > energies[0] + 0.5


# ------------------------------------------------------------------------- rare leaves


def test_rare_leaves_are_listed_by_songs(rng):
    pairs = [
        scene_of(rng, names)
        for names in (("piano", "guitar"), ("piano",), ("strings", "piano"), ("strings", "kazoo"))
    ]
    groups = ("a", "a", "b", None)
    X = [Mixture(mixture.audio, RATE, group=g) for (mixture, _), g in
         zip(pairs, groups, strict=True)]  # fmt: skip
    y = [scene for _, scene in pairs]
    assert rare_leaves(TREE, X, y, 1) == ("bass",)
    assert rare_leaves(TREE, X, y, 2) == ("guitar", "bass")
    assert rare_leaves(TREE, X, y, 3) == LEAVES
    assert TREE.without(rare_leaves(TREE, X, y, 2)).leaves == ("piano", "strings")
    # Mixtures without a group are songs of their own.
    alone = [Mixture(mixture.audio, RATE) for mixture, _ in pairs]
    assert rare_leaves(TREE, alone, y, 3) == ("guitar", "strings", "bass")
    for min_songs in (-1, "a", None):
        with pytest.raises(ParameterError, match=r"rare_leaves\(min_songs\): expected an int"):
            rare_leaves(TREE, X, y, min_songs)
    with pytest.raises(ParameterError, match=r"rare_leaves\(hierarchy\): .*Hierarchy', got {"):
        rare_leaves(TREE.to_dict(), X, y, 1)
