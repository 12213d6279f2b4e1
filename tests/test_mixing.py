"""Mixtures of different songs: which sources meet, and how loud they are."""

import numpy as np
import pytest

from msa_sk import Clip, Mixture, Notes, Scene
from msa_sk.audio import rms, write_audio
from msa_sk.datasets import mix_incoherent
from msa_sk.datasets.mixing import mix_of
from msa_sk.datasets.sampling import LEVEL_DB
from msa_sk.exceptions import InputError, MsaWarning, ParameterError, SilenceWarning

RATE = 8000


def song(rng, group, *instruments, n_samples=800, **parts):
    """Return a mixture and a scene in memory, of noise; the pitch of its notes is unique."""
    scale = 10 ** rng.uniform(-3, 0, (len(instruments), 1))
    sources = (scale * rng.standard_normal((len(instruments), n_samples))).astype(np.float32)
    notes = tuple(Notes([0.0], [0.05], [rng.integers(128)]) for _ in instruments)
    scene = Scene(instruments, RATE, sources, parts.get("notes", notes))
    return Mixture(sources.sum(axis=0), RATE, group=group), scene


def split(songs):
    return [mixture for mixture, _ in songs], [scene for _, scene in songs]


def level(scene, name):
    return 20 * np.log10(rms(scene.source(name)))


@pytest.fixture
def duets(rng):
    return split([song(rng, f"song {i}", "piano", "guitar") for i in range(4)])


def test_sources_come_from_different_songs_and_add_up(duets):
    X, y = mix_incoherent(*duets, n_mixes=100, random_state=0)
    assert len(X) == len(y) == 100
    for mixture, scene in zip(X, y, strict=True):
        assert scene.instruments == ("guitar", "piano")
        songs = mixture.group.split(" + ")
        assert len(set(songs)) == 2
        for name, its_song in zip(scene.instruments, songs, strict=True):
            original = duets[1][int(its_song.split()[1])]
            ratio = scene.source(name) / original.source(name)
            assert np.allclose(ratio, ratio[0], rtol=1e-4)
            assert scene.notes_of(name).pitch == original.notes_of(name).pitch
        assert np.allclose(mixture.read(), scene.sources.sum(axis=0), atol=1e-6)
    assert len({mixture.group for mixture in X}) == 12  # every pair of four songs, both ways


def test_levels_are_at_most_so_far_apart(duets):
    _, y = mix_incoherent(*duets, n_mixes=60, gain_db=6.0, random_state=0)
    apart = np.array([level(scene, "piano") - level(scene, "guitar") for scene in y])
    assert np.abs(apart).max() <= 6.0
    assert apart.max() > 3
    assert apart.min() < -3
    _, y = mix_incoherent(*duets, n_mixes=3, gain_db=0.0, random_state=0)
    assert np.allclose([level(s, n) for s in y for n in s.instruments], LEVEL_DB, atol=1e-3)


@pytest.mark.parametrize(("balance", "share"), [("song", 1 / 2), ("excerpt", 3 / 4)])
def test_songs_or_excerpts_come_equally_often(rng, balance, share):
    """Of a song with three excerpts, and one with one."""
    songs = [song(rng, name, "piano") for name in "aaab"]
    X, _ = mix_incoherent(*split(songs), 400, balance=balance, random_state=0)
    assert [mixture.group for mixture in X].count("a") / 400 == pytest.approx(share, abs=0.07)


def test_the_seed_decides(duets):
    def mixed(seed):
        return [m.read().tobytes() for m in mix_incoherent(*duets, 5, random_state=seed)[0]]

    state = np.random.get_state()[1].copy()  # noqa: NPY002
    assert mixed(3) == mixed(3)
    assert mixed(3) != mixed(4)
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_songs_with_one_instrument_are_of_use(rng):
    songs = [song(rng, "a", "piano"), song(rng, "b", "guitar"), song(rng, "b", "guitar")]
    X, y = mix_incoherent(*split(songs), n_mixes=20, random_state=0)
    assert {mixture.group for mixture in X} == {"b + a"}
    assert len({int(scene.notes_of("guitar").pitch[0]) for scene in y}) == 2
    X, y = mix_incoherent(*split(songs), 4, instruments=["piano"], random_state=0)
    assert [scene.instruments for scene in y] == [("piano",)] * 4


def test_a_draw_that_leads_nowhere_is_made_anew(rng):
    # Once the piano is drawn from b, only a remains for drums, and nothing for the bass.
    songs = [song(rng, "a", "drums", "bass"), song(rng, "b", "piano", "bass", "drums")]
    songs += [song(rng, "c", "piano")]
    X, _ = mix_incoherent(*split(songs), n_mixes=30, random_state=0)
    assert {mixture.group for mixture in X} == {"a + b + c", "b + a + c"}  # bass, drums, piano


def test_too_few_songs_are_warned_of(rng):
    with pytest.warns(MsaWarning, match="1 songs are too few to take guitar, piano from"):
        X, _ = mix_incoherent(*split([song(rng, "a", "piano", "guitar")]), 3, random_state=0)
    assert [mixture.group for mixture in X] == ["a + a"] * 3


def test_mixtures_without_a_group_are_songs_of_their_own(rng):
    songs = [song(rng, None, "piano", "guitar") for _ in range(2)]
    X, y = mix_incoherent(*split(songs), n_mixes=20, random_state=0)
    assert {mixture.group for mixture in X} == {"X[0] + X[1]", "X[1] + X[0]"}
    pitches = [[int(scene.notes_of(n).pitch[0]) for n in ("piano", "guitar")] for scene in y]
    together = [[int(s.notes_of(n).pitch[0]) for n in ("piano", "guitar")] for _, s in songs]
    assert not any(pair in together for pair in pitches)


def test_files_stay_files_and_each_is_read_once(tmp_path, rng, monkeypatch):
    songs = []
    for i, name in enumerate(["piano", "piano", "guitar", "guitar"]):
        path = write_audio(tmp_path / f"{i}.wav", 0.1 * rng.standard_normal(RATE), RATE, "FLOAT")
        clip = Clip(path, 0.25, 0.5, gain=0.5)
        scene = Scene((name,), RATE, (clip,), (Notes([0], [0.2], [60]),))
        songs.append((Mixture(clip, RATE, group=i), scene))
    read, n_read = Clip.read, []
    monkeypatch.setattr(
        Clip, "read", lambda self, rate=None: n_read.append(self.path) or read(self, rate)
    )
    X, y = mix_incoherent(*split(songs), n_mixes=25, random_state=0)
    assert len(n_read) == len(set(n_read)) == 4
    assert all(isinstance(clip, Clip) for mixture in X for clip in mixture.audio)
    assert all((clip.start, clip.duration) == (0.25, 0.5) for m in X for clip in m.audio)
    assert {clip.gain for clip in X[0].audio} == {s[0].gain for s in y[0].sources}
    sources = [y[0].source(name) for name in y[0].instruments]
    assert np.allclose(X[0].read(), sum(sources), atol=1e-7)
    assert abs(level(y[0], "piano") - LEVEL_DB) <= 3.001


def test_sources_are_cut_to_the_shortest(rng):
    songs = [song(rng, "a", "piano"), song(rng, "b", "guitar", n_samples=500)]
    X, y = mix_incoherent(*split(songs), 2, random_state=0)
    assert X[0].n_samples == 500
    assert y[0].sources.shape == (2, 500)
    assert np.allclose(X[0].read(), y[0].sources.sum(axis=0), atol=1e-6)


def test_silence_is_left_alone_and_counted(rng):
    silent = Mixture(np.zeros(800), RATE, group="b"), Scene(("guitar",), RATE, np.zeros((1, 800)))
    with pytest.warns(SilenceWarning, match="2 sources in 2 mixtures are silent"):
        X, y = mix_incoherent(*split([song(rng, "a", "piano"), silent]), 2, random_state=0)
    assert not y[0].source("guitar").any()
    assert np.array_equal(X[0].read(), y[0].source("piano"))
    assert y[0].notes is None  # the guitar's are unknown


def test_stereo_and_inputs_that_must_not_change(rng):
    songs = []
    for group, name in (("a", "piano"), ("b", "guitar")):
        sources = rng.standard_normal((1, 2, 400)).astype(np.float32)
        sources.flags.writeable = False
        songs.append((Mixture(sources[0], RATE, group=group), Scene((name,), RATE, sources)))
    X, y = mix_incoherent(*split(songs), 2, random_state=0)
    assert y[0].sources.shape == (2, 2, 400)
    assert X[0].read().shape == (2, 400)


def test_mix_of_scenes_in_memory_and_in_files(tmp_path, rng):
    _, scene = song(rng, "a", "piano", "guitar")
    assert np.allclose(mix_of(scene, "a").read(), scene.sources.sum(axis=0))
    assert mix_of(scene, "a").group == "a"
    path = write_audio(tmp_path / "piano.wav", np.full(800, 0.25), RATE)
    half = Scene(scene.instruments, RATE, (path, scene.sources[1]))
    assert np.allclose(mix_of(half).read(), 0.25 + scene.sources[1])


def test_what_cannot_be_mixed_is_refused(rng, duets):
    for n_mixes in (0, "a"):
        with pytest.raises(ParameterError, match="n_mixes: expected an int in the range"):
            mix_incoherent(*duets, n_mixes)
    for gain_db in (-1, "a", np.nan):
        with pytest.raises(ParameterError, match="gain_db: expected a float in the range"):
            mix_incoherent(*duets, 1, gain_db=gain_db)
    with pytest.raises(ParameterError, match="balance: expected a str among"):
        mix_incoherent(*duets, 1, balance="leaf")
    X, y = duets
    with pytest.raises(InputError, match=r"y\[3\]: expected a scene with sources"):
        mix_incoherent(X, [*y[:3], Scene(("piano",), RATE)], 1)
    other = Mixture(np.ones(9), 16000), Scene(("piano",), 16000, np.ones((1, 9)))
    with pytest.raises(InputError, match=r"y\[4\]: expected 8000 Hz, as y\[0\]"):
        mix_incoherent([*X, other[0]], [*y, other[1]], 1)
