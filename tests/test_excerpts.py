"""Excerpts: which stretches are kept, and what is in them."""

import numpy as np
import pytest
from sklearn.base import clone

from msa_sk import Clip, Hierarchy, Mixture, Notes, Scene
from msa_sk.audio import rms, write_audio
from msa_sk.datasets import Excerpts
from msa_sk.exceptions import InputError, InstrumentError, MsaWarning, ParameterError

RATE = 8000


def notes_at(onsets, velocity=100):
    """Return short notes that begin at these times."""
    onsets = np.asarray(onsets, float)
    return Notes(onsets, onsets + 0.1, np.full(len(onsets), 60), np.full(len(onsets), velocity))


def song(duration=10.0, group=None, **instruments):
    """Return a mixture and a scene in memory; each source is a constant of its own."""
    n = round(duration * RATE)
    sources = np.stack([np.full(n, 0.1 * (i + 1), np.float32) for i in range(len(instruments))])
    mixture = Mixture(sources.sum(axis=0), RATE, group=group)
    return mixture, Scene(tuple(instruments), RATE, sources, tuple(instruments.values()))


def apply(excerpts, *songs):
    return excerpts.apply([mixture for mixture, _ in songs], [scene for _, scene in songs])


def onsets(scene, name):
    return scene.notes_of(name).onset.round(6).tolist()


def test_a_stretch_needs_enough_onsets_of_every_instrument():
    piano = notes_at([0.0, 1.0, 4.9, 6.0])
    guitar = notes_at([2.5, 3.0, 9.0])
    X, y = apply(Excerpts(5.0, 2.5, min_notes=2), song(piano=piano, guitar=guitar))
    # 0-5 s: 3 and 2 onsets; 2.5-7.5 s: 2 and 2; 5-10 s: 1 and 1.
    assert [onsets(scene, "piano") for scene in y] == [[0.0, 1.0, 4.9], [2.4, 3.5]]
    assert [onsets(scene, "guitar") for scene in y] == [[2.5, 3.0], [0.0, 0.5]]
    assert all(mixture.n_samples == 5 * RATE for mixture in X)
    assert all(np.array_equal(m.read(), s.sources.sum(axis=0)) for m, s in zip(X, y, strict=True))


def test_quiet_notes_neither_count_nor_stay():
    loud, quiet = notes_at([1.0, 2.0], 31), notes_at([1.5, 2.5, 3.0], 30)
    both = Notes(*(np.r_[getattr(loud, c), getattr(quiet, c)] for c in
                   ("onset", "offset", "pitch", "velocity")))  # fmt: skip
    _, y = apply(Excerpts(5.0, 5.0, min_notes=2), song(piano=both))
    assert [onsets(scene, "piano") for scene in y] == [[1.0, 2.0]]
    with pytest.warns(MsaWarning, match=r"No stretch of 5 s has 3 onsets of each of \('piano',\)"):
        assert apply(Excerpts(5.0, 5.0, min_notes=3), song(piano=both)) == ([], [])
    _, y = apply(Excerpts(5.0, 5.0, min_notes=5, min_velocity=0), song(piano=both))
    assert len(y[0].notes_of("piano")) == 5


def test_more_instruments_than_are_wanted_never_play():
    pair = song(piano=notes_at([1.0]), guitar=notes_at([2.0]))
    rule = Excerpts(5.0, 5.0, min_notes=1, min_instruments=3)
    with pytest.raises(ParameterError, match=r"at most 2, the number of .*: guitar, piano, got 3"):
        apply(rule, pair)
    assert len(apply(rule.set_params(solo=True), pair)[0]) == 2  # where it is without effect
    rule = Excerpts(5.0, 5.0, min_notes=2, min_instruments=1)
    with pytest.warns(MsaWarning, match="2 onsets of at least 1 of"):
        assert apply(rule, pair) == ([], [])


@pytest.mark.parametrize(
    ("duration", "hop", "n"), [(5.0, 2.5, 3), (5.0, None, 2), (10.0, 1.0, 1), (0.1, None, 100)]
)
def test_the_grid_reaches_to_the_end_of_the_song(duration, hop, n):
    X, _ = apply(Excerpts(duration, hop, min_notes=0), song(piano=Notes()))
    assert len(X) == n


def test_songs_that_are_too_short_give_nothing():
    short = song(4.9, piano=notes_at([1.0]))
    X, _ = apply(Excerpts(5.0, min_notes=1), short, song(5.0, piano=notes_at([1.0])))
    assert [mixture.group for mixture in X] == [1]


def test_groups_keep_the_excerpts_of_a_song_together():
    piano = notes_at(np.arange(0, 10, 0.5))
    X, _ = apply(Excerpts(5.0, min_notes=5), song(piano=piano, group="a"), song(piano=piano))
    assert [mixture.group for mixture in X] == ["a"] * 3 + [1] * 3


def test_some_of_the_wanted_instruments_may_rest():
    piano, guitar = notes_at([0.0, 1.0]), notes_at([6.0, 7.0])
    both = song(piano=piano, guitar=guitar, bass=Notes())
    _, y = apply(Excerpts(5.0, 5.0, min_notes=2, min_instruments=1), both)
    assert [scene.instruments for scene in y] == [("piano", "guitar", "bass")] * 2
    with pytest.warns(MsaWarning):
        assert apply(Excerpts(5.0, 5.0, min_notes=2, min_instruments=2), both)[0] == []


def test_a_song_without_a_wanted_instrument_gives_nothing():
    piano = notes_at([0.0, 1.0])
    X, _ = apply(
        Excerpts(5.0, 5.0, min_notes=2),
        song(piano=piano, group="alone"),
        song(piano=piano, guitar=piano, group="both"),
    )
    assert [mixture.group for mixture in X] == ["both"]


@pytest.mark.parametrize("solo", [False, True])
def test_a_song_without_any_wanted_instrument_gives_nothing(tmp_path, solo):
    notes = notes_at([0.0, 1.0])
    wanted = song(piano=notes, guitar=notes, group="wanted")
    mixture, scene = song(drums=notes, strings=notes, group="other")
    paths = [tmp_path / f"{name}.wav" for name in scene.instruments]
    for path, source in zip(paths, scene.sources, strict=True):
        write_audio(path, source, RATE)
    in_files = Scene(scene.instruments, RATE, tuple(map(Clip, paths)), scene.notes)
    rules = Excerpts(5.0, 5.0, min_notes=2, instruments=["piano", "guitar"], solo=solo)
    for other in ((mixture, scene), (mixture, in_files)):
        X, _ = apply(rules, other, wanted)
        assert {one.group for one in X} == {"wanted"}


def test_wanted_instruments_are_mixed_anew():
    piano = notes_at([0.0, 1.0])
    mixture, scene = song(piano=piano, drums=Notes(), guitar=piano)
    X, y = apply(
        Excerpts(5.0, 5.0, min_notes=2, instruments=["guitar", "piano"]), (mixture, scene)
    )
    assert y[0].instruments == ("piano", "guitar")  # the song's order stays
    assert np.allclose(X[0].read(), 0.1 + 0.3)
    assert np.array_equal(y[0].sources, scene.sources[[0, 2], : 5 * RATE])
    with pytest.raises(InstrumentError, match="Did you mean 'guitar'"):
        apply(Excerpts(instruments=["guitr"]), (mixture, scene))


def test_solo_excerpts_hold_one_instrument_that_plays():
    piano, guitar = notes_at([0.0, 1.0]), notes_at([1.0, 6.0, 7.0])
    X, y = apply(Excerpts(5.0, 5.0, min_notes=2, solo=True), song(piano=piano, guitar=guitar))
    assert [scene.instruments for scene in y] == [("piano",), ("guitar",)]
    assert np.allclose(X[0].read(), 0.1)
    assert np.allclose(X[1].read(), 0.2)
    assert onsets(y[1], "guitar") == [1.0, 2.0]


def test_what_a_mixture_carries_is_cut_with_it():
    piano = notes_at([0.0, 6.0])
    mixture, scene = song(piano=piano, guitar=piano)
    hints = {"piano": piano, "guitar": piano}
    mixture = Mixture(mixture.audio, RATE, notes=hints, sources={"guitar": mixture.audio})
    X, _ = apply(Excerpts(5.0, 5.0, min_notes=1, solo=True), (mixture, scene))
    assert [sorted(one.notes) for one in X] == [["piano"], ["piano"], ["guitar"], ["guitar"]]
    assert [sorted(one.sources) for one in X] == [[], [], ["guitar"], ["guitar"]]
    assert X[1].notes["piano"].onset.tolist() == [1.0]
    assert X[3].read_source("guitar").shape == (5 * RATE,)


def test_files_are_not_read(tmp_path, monkeypatch):
    paths = [write_audio(tmp_path / f"{name}.wav", np.ones(8 * RATE) * 0.1, RATE) for name in "ab"]
    stems = tuple(Clip(path) for path in paths)
    piano = notes_at(np.arange(0, 8, 0.5))
    scene = Scene(("piano", "guitar"), RATE, stems, (piano, piano))
    mixture = Mixture(stems, RATE, group="song")
    monkeypatch.setattr(Clip, "read", None)
    X, y = apply(Excerpts(4.0, 2.0, min_notes=4), (mixture, scene))
    assert [clip.start for clip in X[2].audio] == [4.0, 4.0]
    assert [clip.duration for clip in X[2].audio] == [4.0, 4.0]
    X, _ = apply(Excerpts(4.0, 2.0, min_notes=4, solo=True), (mixture, scene))
    assert [one.audio[0].path for one in X] == [paths[0]] * 3 + [paths[1]] * 3


def test_a_song_gives_at_most_so_many_drawn_by_the_seed():
    piano = notes_at(np.arange(0, 60, 0.5))
    songs = [song(60.0, piano=piano, group=name) for name in "ab"]

    def starts(seed, n=4):
        rule = Excerpts(5.0, 2.5, min_notes=5, max_per_song=n, random_state=seed)
        X, y = apply(rule, *songs)
        assert [mixture.group for mixture in X] == ["a"] * n + ["b"] * n
        return [onsets(scene, "piano")[0] for scene in y], [m.audio.ctypes.data for m in X]

    assert starts(0) == starts(0)
    assert starts(0)[1] != starts(1)[1]
    addresses = starts(0)[1][:4]
    assert addresses == sorted(set(addresses))  # in order, none twice
    X, _ = apply(Excerpts(5.0, 2.5, min_notes=5, max_per_song=99), *songs)
    assert len(X) == 46


def test_presets_are_the_papers():
    chapter3 = Excerpts.from_preset("chapter3", max_per_song=7)
    assert (chapter3.duration, chapter3.min_notes, chapter3.min_velocity) == (5.0, 10, 30)
    assert (chapter3.min_instruments, chapter3.max_per_song) == (None, 7)
    chapter2 = Excerpts.from_preset("chapter2")
    assert (chapter2.duration, chapter2.hop, chapter2.min_level_db) == (10.0, 2.5, -30.0)
    assert (chapter2.min_notes, chapter2.min_instruments) == (0, 1)
    assert chapter2.hierarchy == Hierarchy.slakh()
    chapter4 = Excerpts.from_preset("chapter4")
    assert (chapter4.hop, chapter4.min_notes, chapter4.min_instruments) == (2.5, 5, 2)
    with pytest.raises(
        ParameterError, match="expected one of .'chapter2', 'chapter3', 'chapter4'."
    ):
        Excerpts.from_preset("chapter9")


# ---------------------------------------------------------------------------- chapter 2

TREE = Hierarchy.from_dict(
    {
        "soft": {"keys": {"piano": 0, "organ": 16}, "plucked": {"guitar": 24}},
        "low": {"bass": {"upright": 32}},
    }
)


def leveled(duration=10.0, group=None, **levels_db):
    """Return a song without notes; each source is a constant at a level, or one per second."""
    n = round(duration * RATE)
    rows = [
        np.repeat(10 ** (np.broadcast_to(db, round(duration)) / 20), RATE)[:n]
        for db in levels_db.values()
    ]
    sources = np.stack(rows).astype(np.float32)
    mixture = Mixture(sources.sum(axis=0), RATE, group=group)
    return mixture, Scene(tuple(levels_db), RATE, sources)


@pytest.mark.parametrize(("level", "n"), [(-29.9, 1), (-30.1, 0)])
def test_a_source_plays_where_its_rms_is_above_the_level(level, n):
    rule = Excerpts(5.0, None, min_notes=0, min_level_db=-30.0)
    song = leveled(5.0, piano=level, guitar=-20.0)
    if n:
        assert len(apply(rule, song)[0]) == n
    else:
        with pytest.warns(MsaWarning, match="has 0 onsets and more than -30 dB of"):
            assert apply(rule, song) == ([], [])


def test_the_level_is_that_of_the_stretch_in_all_channels():
    _, scene = leveled(10.0, piano=[-10.0] + [-200.0] * 9)  # -10 dB for a tenth: -20 dB
    stereo = np.stack([scene.sources, np.zeros_like(scene.sources)], axis=1)  # -23 dB
    for level, found in ((-23.1, 1), (-22.9, 0)):
        rule = Excerpts(10.0, min_notes=0, min_level_db=level)
        song = Mixture(stereo[0], RATE), Scene(("piano",), RATE, stereo)
        if found:
            assert len(apply(rule, song)[0]) == 1
        else:
            with pytest.warns(MsaWarning):
                assert apply(rule, song)[0] == []


def test_a_leaf_needs_a_sibling_or_a_cousin_but_no_stranger():
    rule = Excerpts.from_preset("chapter2", hierarchy=TREE, instruments=["piano"])
    loud, quiet = -20.0, -35.0
    X, y = apply(
        rule,
        leveled(group="sibling", piano=loud, organ=loud, upright=quiet),
        leveled(group="cousin", piano=loud, organ=quiet, guitar=loud),
        leveled(group="stranger", piano=loud, upright=loud),
        leveled(group="only quiet relatives", piano=loud, organ=-31.0, guitar=-31.0),
        leveled(group="quiet itself", piano=quiet, organ=loud),
    )
    assert [mixture.group for mixture in X] == ["sibling", "cousin"]
    # The mixture is whole, and so is the scene: quiet leaves are part of the submixes.
    assert y[0].instruments == ("piano", "organ", "upright")
    assert np.allclose(X[0].read(), 0.1 + 0.1 + 10 ** (-35 / 20))


def test_both_are_salient_in_the_same_stretch():
    piano = [-20.0] * 10 + [-90.0] * 10
    organ = [-90.0] * 10 + [-20.0] * 10
    tree = {"hierarchy": TREE, "instruments": ["piano"], "duration": 5.0, "hop": 2.5}
    song = leveled(20.0, piano=piano, organ=organ)
    _, y = apply(Excerpts.from_preset("chapter2", **tree), song)
    assert [one.sources.shape for one in y] == [(2, 5 * RATE)]
    first, second = np.split(y[0].sources, 2, axis=1)  # from 7.5 s on, where one takes over
    assert np.allclose([rms(first[0]), rms(second[1])], 0.1)
    assert np.allclose([rms(first[1]), rms(second[0])], 0, atol=1e-3)


def test_any_leaf_will_do_where_none_is_asked_for():
    rule = Excerpts.from_preset("chapter2", hierarchy=TREE)
    X, _ = apply(
        rule,
        leveled(group="organ", piano=-40.0, organ=-20.0, guitar=-20.0),
        leveled(group="low", upright=-20.0),
        leveled(group="with another", organ=-20.0, guitar=-20.0, kazoo=-20.0),
    )
    assert [mixture.group for mixture in X] == ["organ", "with another"]


def test_levels_of_files_are_read_and_the_excerpts_are_clips(tmp_path):
    levels = {"piano": -20.0, "organ": -20.0}
    paths = [
        write_audio(tmp_path / f"{name}.wav", np.full(13 * RATE, 10 ** (level / 20)), RATE)
        for name, level in levels.items()
    ]
    stems = tuple(Clip(path) for path in paths)
    song = Mixture(stems, RATE, group="song"), Scene(tuple(levels), RATE, stems)
    rule = Excerpts.from_preset("chapter2", hierarchy=TREE)
    X, y = apply(rule, song)
    assert [[clip.start for clip in mixture.audio] for mixture in X] == [[0.0, 0.0], [2.5, 2.5]]
    assert y[1].sources[0][0].duration == 10.0


def test_solo_excerpts_of_leaves_are_examples_of_their_sound():
    rule = Excerpts.from_preset("chapter2", hierarchy=TREE, solo=True)
    _, y = apply(rule, leveled(piano=-20.0, guitar=-20.0, organ=-40.0, upright=-10.0))
    assert [scene.instruments for scene in y] == [("piano",), ("guitar",)]


def test_what_is_no_leaf_is_refused_if_asked_for():
    rule = Excerpts.from_preset("chapter2", hierarchy=TREE)
    song = leveled(piano=-20.0, organs=-20.0)
    with pytest.raises(InstrumentError, match="Did you mean 'organ'"):
        apply(rule.set_params(instruments=["organs"]), song)
    message = "one of .*'piano', .*, got guitars, violin. Did you mean 'guitar'"
    with pytest.raises(InstrumentError, match=f"^y: .* leaves of the hierarchy, {message}"):
        apply(rule.set_params(instruments=None), leveled(guitars=-20.0, violin=-20.0))
    with pytest.raises(InputError, match="a scene with sources"):
        apply(rule, (song[0], Scene(("piano",), RATE)))
    with pytest.raises(ParameterError, match="hierarchy"):
        apply(rule.set_params(hierarchy={"keys": None}), song)


def test_it_is_cloned_and_shown_like_any_other():
    assert repr(clone(Excerpts(3.0, solo=True))) == "Excerpts(duration=3.0, solo=True)"


@pytest.mark.parametrize(
    "wrong",
    [{"duration": 0}, {"hop": -1}, {"min_notes": 2.5}, {"min_velocity": 200}, {"solo": "yes"}],
)
def test_parameters_are_checked_when_applied(wrong):
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        apply(Excerpts(**wrong), song(piano=Notes()))


@pytest.mark.parametrize("wrong", [{"duration": 1e-9}, {"hop": 1e-5}])
def test_what_is_less_than_a_sample_is_refused(wrong):
    (name, _), *_ = wrong.items()
    with pytest.raises(
        ParameterError, match=rf"Excerpts\({name}=\): expected at least a sample: 0.000125 s at"
    ):
        apply(Excerpts(min_notes=0, **wrong), song(piano=notes_at([0.0])))


def test_what_cannot_be_cut_is_refused():
    mixture, scene = song(piano=Notes(), guitar=Notes())
    with pytest.raises(InputError, match="a scene with notes"):
        apply(Excerpts(), (mixture, Scene(("piano",), RATE, scene.sources[:1])))
    bare = Scene(scene.instruments, RATE, notes=scene.notes)
    with pytest.raises(InputError, match="sources, to mix some of them anew"):
        apply(Excerpts(solo=True, min_notes=0), (mixture, bare))
    with pytest.raises(InputError, match="1 scenes, one for each mixture"):
        Excerpts().apply([mixture], [scene, scene])
