"""Mixtures on the fly: the same for one seed, epoch and number, and what each sampler promises."""

import pickle
from collections import Counter

import numpy as np
import pytest
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.model_selection import ParameterGrid

from msa_sk import Clip, Hierarchy, Mixture, Notes, Scene
from msa_sk.audio import rms, write_audio
from msa_sk.datasets import CoherentMixing, IncoherentMixing, QueryMixing, scenes_along
from msa_sk.datasets.mixing import Change, change_audio
from msa_sk.datasets.sampling import turn_of
from msa_sk.exceptions import InputError, InstrumentError, MsaWarning, ParameterError

RATE = 8000
TREE = Hierarchy.from_dict(
    {"soft": {"keys": {"piano": 0}, "plucked": {"guitar": 24}}, "low": {"basses": {"bass": 33}}}
)


def scene_of(rng, group, names=("piano", "guitar"), shape=(800,)):
    """Return a mixture and a scene of noise in memory, with a note for each instrument."""
    sources = rng.normal(0, 0.1, (len(names), *shape)).astype(np.float32)
    notes = tuple(Notes([0.0], [0.05], [60 + i]) for i in range(len(names)))
    return Mixture(sources.sum(axis=0), RATE, group=group), Scene(names, RATE, sources, notes)


def scenes_of(rng, groups, **how):
    pairs = [scene_of(rng, group, **how) for group in groups]
    return [mixture for mixture, _ in pairs], [scene for _, scene in pairs]


@pytest.fixture
def data(rng):
    return scenes_of(rng, "aabbcd")


@pytest.fixture
def stereo_files(tmp_path, rng):
    """Return two songs of two stereo stems in files, in two excerpts each."""
    X, y = [], []
    for song in "ab":
        paths = [
            write_audio(
                tmp_path / f"{song}{name}.wav", rng.normal(0, 0.1, (2, RATE)), RATE, "FLOAT"
            )
            for name in ("piano", "guitar")
        ]
        stems = tuple(Clip(path) for path in paths)
        whole = Mixture(stems, RATE, group=song), Scene(("piano", "guitar"), RATE, stems)
        for start in (0.0, 0.5):
            X.append(whole[0].excerpt(start, 0.5))
            y.append(whole[1].excerpt(start, 0.5))
    return X, y


def sound(pair):
    mixture, scene = pair
    return mixture.read().tobytes() + b"".join(
        scene.source(n).tobytes() for n in scene.instruments
    )


EVERYTHING = {"gain_db": 9.0, "silence": 0.3, "polarity": True, "channel_swap": True}
SAMPLERS = [
    CoherentMixing(7, **EVERYTHING),
    IncoherentMixing(7, **EVERYTHING),
    QueryMixing(TREE, 7, **EVERYTHING),
]


def draw_in_worker(draws, epoch, index):
    return sound(draws.draw(epoch, index))


# ----------------------------------------------------------------------------- what all promise


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: type(s).__name__)
class TestAll:
    def test_a_draw_depends_on_seed_epoch_and_number_alone(self, sampler, data):
        draws = sampler.prepare(*data, seed=5)
        assert len(draws) == 7
        X, y = draws.epoch(2)
        in_order = [sound(pair) for pair in zip(X, y, strict=True)]
        fresh = sampler.prepare(*data, seed=5)  # as a resumed training would
        assert [sound(fresh.draw(2, index)) for index in (6, 0, 3)] == [
            in_order[index] for index in (6, 0, 3)
        ]
        assert [sound(pair) for pair in zip(*sampler.apply(*data, 2, 5), strict=True)] == in_order
        assert [sound(pair) for pair in zip(*draws.epoch(3), strict=True)] != in_order
        other_seed = sampler.prepare(*data, seed=6).epoch(2)
        assert [sound(pair) for pair in zip(*other_seed, strict=True)] != in_order

    def test_processes_draw_the_same(self, sampler, data):
        draws = sampler.prepare(*data, seed=1)
        assert sound(pickle.loads(pickle.dumps(draws)).draw(4, 2)) == sound(draws.draw(4, 2))
        there = Parallel(n_jobs=2)(delayed(draw_in_worker)(draws, 4, k) for k in range(7))
        assert there == [sound(draws.draw(4, k)) for k in range(7)]

    def test_global_generators_and_inputs_stay_as_they_are(self, sampler, data):
        state = np.random.get_state()[1].copy()  # noqa: NPY002
        before = [sound(pair) for pair in zip(*data, strict=True)]
        sampler.apply(*data)
        assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002
        assert [sound(pair) for pair in zip(*data, strict=True)] == before

    def test_it_is_searched_like_any_estimator(self, sampler, data):
        for parameters in ParameterGrid({"gain_db": [0, 3], "silence": [0.0, 1.0]}):
            assert (
                clone(sampler).set_params(**parameters).get_params().items() >= parameters.items()
            )
        draws = sampler.prepare(*data)
        expected = sound(draws.draw(0, 0))
        changed = clone(sampler)
        later = changed.prepare(*data)
        changed.set_params(gain_db=0, n_mixes=1)
        assert len(later) == 7
        assert sound(later.draw(0, 0)) == expected

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("n_mixes", 0),
            ("gain_db", -1),
            ("silence", 1.5),
            ("polarity", "yes"),
            ("balance", "leaf"),
        ],
    )
    def test_parameters_out_of_range_are_refused(self, sampler, data, name, value):
        with pytest.raises(ParameterError, match=rf"Mixing\({name}=\)"):
            clone(sampler).set_params(**{name: value}).prepare(*data)

    @pytest.mark.parametrize("seed", [-1, None, 1.5])
    def test_silly_seeds_are_refused(self, sampler, data, seed):
        with pytest.raises(ParameterError, match="seed: expected an int in the range"):
            sampler.prepare(*data, seed)

    def test_a_number_that_is_not_in_the_epoch_is_refused(self, sampler, data):
        draws = sampler.prepare(*data)
        for epoch, index in ((0, 7), (0, -1), (-1, 0), ("a", 0), (0, 0.5), (None, 0)):
            with pytest.raises(InputError, match="an index from 0 to 6"):
                draws.draw(epoch, index)

    def test_nothing_to_draw_from_is_refused(self, sampler):
        with pytest.raises(InputError, match="^X: expected at least one mixture, got none"):
            sampler.prepare([], [])

    def test_scenes_without_sources_are_refused(self, sampler, data):
        X, y = data
        with pytest.raises(InputError, match=r"y\[1\]: expected a scene with sources"):
            sampler.prepare(X, [y[0], Scene(("piano",), RATE), *y[2:]])


# --------------------------------------------------------------------------------- one song


def test_sources_of_one_song_change_by_one_gain_each(data):
    X, y = CoherentMixing(gain_db=12.0).apply(*data, seed=3)
    assert Counter(m.group for m in X) == Counter("aabbcd")
    gains = []
    for mixture, scene in zip(X, y, strict=True):
        (original,) = (
            s for s in data[1] if np.corrcoef(s.sources[0], scene.sources[0])[0, 1] > 0.9
        )
        ratio = scene.sources / original.sources
        assert np.allclose(ratio, ratio[:, :1], rtol=1e-3)
        gains += [*ratio[:, 0]]
        assert np.allclose(mixture.read(), scene.sources.sum(axis=0), atol=1e-6)
        assert [notes.pitch.tolist() for notes in scene.notes] == [[60], [61]]
    db = 20 * np.log10(gains)
    assert np.abs(db).max() <= 6
    assert db.max() > 2
    assert db.min() < -2


def test_without_changes_scenes_are_as_they_were(data):
    X, y = CoherentMixing(gain_db=0.0).apply(*data)
    assert {id(mixture) for mixture in X} == {id(mixture) for mixture in data[0]}
    assert {id(scene) for scene in y} == {id(scene) for scene in data[1]}


@pytest.mark.parametrize("in_files", [False, True])
def test_what_else_the_mixture_holds_stays(tmp_path, rng, in_files):
    mixture, scene = scene_of(rng, "a", shape=(2, 800))
    rest = rng.normal(0, 0.1, (2, 800)).astype(np.float32)
    whole = mixture.audio + rest
    hints = {name: scene.source(name) for name in scene.instruments}
    notes = dict(zip(scene.instruments, scene.notes, strict=True))
    if in_files:
        stems = tuple(
            Clip(write_audio(tmp_path / f"{name}.wav", scene.source(name), RATE, "FLOAT"))
            for name in scene.instruments
        )
        scene = Scene(scene.instruments, RATE, stems, scene.notes)
        whole = write_audio(tmp_path / "mix.wav", whole, RATE, "FLOAT")
    mixture = Mixture(whole, RATE, group="a", sources=hints, notes=notes)
    draws = CoherentMixing(**EVERYTHING).prepare([mixture], [scene])
    for epoch in range(10):
        mixed, its_scene = draws.draw(epoch, 0)
        parts = [its_scene.source(name) for name in its_scene.instruments]
        assert np.allclose(mixed.read(), sum(parts) + rest, atol=1e-6)
        for name in its_scene.instruments:
            assert np.allclose(mixed.read_source(name), its_scene.source(name), atol=1e-7)
            assert len(mixed.notes[name]) == len(its_scene.notes_of(name))


def test_polarity_and_channels_turn_every_other_time(stereo_files):
    X, y = stereo_files
    draws = CoherentMixing(40, gain_db=0, polarity=True, channel_swap=True).prepare(X, y)
    seen = Counter()
    for index in range(40):
        (i, _), *_ = draws.picks(0, index)
        mixture, scene = draws.draw(0, index)
        assert all(isinstance(clip, Clip) for clip in mixture.audio)
        for name in scene.instruments:
            new, old = scene.source(name), y[i].source(name)
            ways = {
                (sign, order): np.array_equal(new, sign * old[::order])
                for sign in (1, -1)
                for order in (1, -1)
            }
            assert sum(ways.values()) == 1
            seen.update(way for way, holds in ways.items() if holds)
        total = sum(scene.source(name) for name in scene.instruments)
        assert np.allclose(mixture.read(), total, atol=1e-6)
    assert len(seen) == 4
    assert min(seen.values()) >= 8  # of 80, where 20 are expected


def test_swapping_twice_restores_the_channels(stereo_files):
    swap = Change(swap=True)
    for clip in stereo_files[0][0].audio:
        (once,) = change_audio(clip, swap)
        (twice,) = change_audio(once, swap)
        assert np.array_equal(once.read(), clip.read()[::-1])
        assert np.array_equal(twice.read(), clip.read())
        left = Clip(clip.path, channel=0)
        assert np.array_equal(change_audio(left, swap)[0].read(), left.read())
    mono = np.arange(4.0, dtype=np.float32)
    assert np.array_equal(change_audio(mono, swap), mono)


def test_one_source_is_silent_as_often_as_asked(data):
    draws = CoherentMixing(200, gain_db=0, silence=0.25).prepare(*data)
    silent = 0
    for index in range(200):
        _, scene = draws.draw(0, index)
        mute = [not scene.source(name).any() for name in scene.instruments]
        assert sum(mute) <= 1
        assert [len(notes) == 0 for notes in scene.notes] == mute
        silent += any(mute)
    assert 30 <= silent <= 70


def test_a_lone_source_is_never_silent(rng):
    X, y = CoherentMixing(silence=1.0).apply(*scenes_of(rng, "ab", names=("piano",)))
    assert all(scene.sources.any() for scene in y)


# ---------------------------------------------------------------------------- who comes when


def test_in_a_queue_each_comes_once_per_lap():
    laps = [[turn_of(5, 5 * lap + k, 7, 0) for k in range(5)] for lap in range(20)]
    assert all(sorted(lap) == [0, 1, 2, 3, 4] for lap in laps)
    assert len({tuple(lap) for lap in laps}) > 10


def test_songs_or_scenes_come_equally_often(rng):
    groups = "aaaaaabbc"
    X, y = scenes_of(rng, groups)
    epochs = {
        balance: CoherentMixing(9, gain_db=0, balance=balance).prepare(X, y)
        for balance in ("excerpt", "song")
    }
    assert Counter(m.group for m in epochs["excerpt"].epoch(0)[0]) == Counter(groups)
    drawn = [m for epoch in range(4) for m in epochs["song"].epoch(epoch)[0]]
    assert Counter(m.group for m in drawn) == {"a": 12, "b": 12, "c": 12}
    of_a = Counter(id(m) for m in drawn if m.group == "a")
    assert sorted(of_a.values()) == [2] * 6  # within the song, each scene in turn


@pytest.mark.parametrize(("balance", "share"), [("song", 1 / 2), ("excerpt", 9 / 11)])
def test_incoherent_draws_are_balanced(rng, balance, share):
    X, y = scenes_of(rng, ["long"] * 9 + ["short"] * 2, names=("piano",))
    mixing = IncoherentMixing(400, balance=balance, instruments=["piano"])
    X, _ = mixing.apply(X, y)
    assert Counter(m.group for m in X)["long"] / 400 == pytest.approx(share, abs=0.07)


# ------------------------------------------------------------------------------- several songs


def test_sources_of_different_songs_meet(data):
    X, y = IncoherentMixing(50, gain_db=0.0, silence=0.2, polarity=True).apply(*data)
    for mixture, scene in zip(X, y, strict=True):
        assert len(set(mixture.group.split(" + "))) == 2
        levels = [rms(scene.source(name)) for name in scene.instruments]
        assert all(level == 0 or np.isclose(20 * np.log10(level), -25) for level in levels)
        assert np.allclose(mixture.read(), scene.sources.sum(axis=0), atol=1e-6)
    assert len({mixture.group for mixture in X}) == 12


def test_levels_may_stay_as_they_are(data):
    (mixture,), (scene,) = IncoherentMixing(1, gain_db=0.0, level_db=None).apply(*data)
    originals = [source for one in data[1] for source in one.sources]
    for source in scene.sources:
        assert any(np.array_equal(source, original) for original in originals)


def test_hints_come_along_where_all_have_them(rng):
    X, y = scenes_of(rng, "ab")
    X[1] = Mixture(X[1].audio[:500], RATE, group="b")
    y[1] = Scene(y[1].instruments, RATE, y[1].sources[:, :500], y[1].notes)
    hinted = [
        Mixture(
            m.audio,
            RATE,
            group=m.group,
            notes=dict(zip(s.instruments, s.notes, strict=True)),
            sources=dict(zip(s.instruments, s.sources, strict=True)),
        )
        for m, s in zip(X, y, strict=True)
    ]
    (mixture,), (scene,) = IncoherentMixing(1).apply(hinted, y)
    assert mixture.n_samples == 500
    for name in scene.instruments:
        assert np.array_equal(mixture.read_source(name), scene.source(name))
        assert mixture.notes[name].pitch == scene.notes_of(name).pitch
    (mixture,), _ = IncoherentMixing(1).apply([hinted[0], X[1]], y)
    assert mixture.notes is None
    assert mixture.sources is None


def test_too_few_songs_are_warned_of_once(rng):
    with pytest.warns(MsaWarning, match="1 songs are too few to take guitar, piano") as caught:
        draws = IncoherentMixing(3).prepare(*scenes_of(rng, "a"))
    assert len(caught) == 1
    assert draws.draw(0, 0)[0].group == "a + a"


# ------------------------------------------------------------------------------------ queries


def test_a_query_is_the_same_leaf_of_another_song(rng):
    names = ("piano", "guitar", "bass")
    X, y = scenes_of(rng, "aabc", names=names)
    draws = QueryMixing(TREE, 30).prepare(X, y)
    leaves = Counter()
    for index in range(30):
        (i, leaf), (other, same) = draws.picks(0, index)
        mixture, scene = draws.draw(0, index)
        leaves[leaf] += 1
        assert same == leaf
        assert X[i].group != X[other].group
        assert mixture.group == X[i].group
        assert np.array_equal(mixture.audio, X[i].audio)
        assert np.array_equal(mixture.query, y[other].source(leaf))
        assert scene.instruments == ("level_1", "level_2", "level_3")
        assert np.array_equal(scene.source("level_1"), y[i].source(leaf))
        top = {"piano": ("piano", "guitar"), "guitar": ("piano", "guitar"), "bass": ("bass",)}
        assert np.allclose(scene.source("level_3"), sum(y[i].source(n) for n in top[leaf]))
    assert leaves == {"piano": 10, "guitar": 10, "bass": 10}


def test_targets_queries_and_a_relative_are_salient(rng):
    X, y = scenes_of(rng, "aabb", names=("piano", "guitar"))
    y[0].sources[0] *= 1e-3  # its piano is no target and no query
    y[2].sources[1] *= 1e-3  # its guitar neither, and its piano has no relative that sounds
    picks = [
        p for index in range(60) for p in [QueryMixing(TREE, 60).prepare(X, y).picks(0, index)]
    ]
    targets = {target for target, _ in picks}
    queries = {query for _, query in picks}
    assert targets == {(1, "piano"), (3, "piano"), (1, "guitar"), (3, "guitar")}
    assert queries == {(1, "piano"), (2, "piano"), (3, "piano")} | {
        (0, "guitar"),
        (1, "guitar"),
        (3, "guitar"),
    }


def test_songs_are_asked_for_equally_often_however_rarely_they_are_salient(rng):
    X, y = scenes_of(rng, "aaaaaabbbbbb")
    for scene in y[1:6]:
        scene.sources[0] *= 1e-3  # song a has one piano that is heard, song b six
    draws = QueryMixing(TREE, 400, leaves=["piano"], balance="song").prepare(X, y)
    asked = Counter(draws.picks(0, index)[0][0] for index in range(400))
    assert set(asked) == {0, *range(6, 12)}
    assert 160 < asked[0] < 240  # four standard deviations
    assert min(asked[i] for i in range(6, 12)) > 15


def test_one_salient_scene_among_many_is_found(rng):
    X, y = scenes_of(rng, ["a"] + 300 * ["b"], shape=(80,))
    for scene in y[1:300]:
        scene.sources[0] *= 1e-3
    draws = QueryMixing(TREE, 20, leaves=["piano"]).prepare(X, y)
    picks = [draws.picks(0, index) for index in range(20)]
    assert {tuple(sorted(i for i, _ in pair)) for pair in picks} == {(0, 300)}


def test_what_no_query_can_be_drawn_for_is_refused(rng):
    X, y = scenes_of(rng, "ab")
    message = "expected a leaf that two songs hold, got guitar, piano, each in one song"
    with pytest.raises(InputError, match=message):
        QueryMixing(TREE).prepare(X[:1], y[:1])
    message = r"y: .* leaves of the hierarchy, one of .'organ'., got guitar, piano. Check the"
    with pytest.raises(InstrumentError, match=message):
        QueryMixing(Hierarchy.from_dict({"keys": {"organ": 16}})).prepare(X, y)
    draws = QueryMixing(TREE, min_level_db=0.0).prepare(X, y)
    with pytest.raises(InputError, match=r"is above 0 dB and so is one .* got none"):
        draws.draw(0, 0)


def test_some_leaves_alone_are_asked_for(data):
    draws = QueryMixing(TREE, 8, leaves=["guitar"], min_level_db=None).prepare(*data)
    assert {leaf for k in range(8) for _, leaf in draws.picks(0, k)} == {"guitar"}
    with pytest.raises(InstrumentError, match="got 'gitar'. Did you mean 'guitar'"):
        QueryMixing(TREE, leaves=["gitar"]).prepare(*data)


def test_queries_of_a_level_are_all_that_sounds_under_its_node(data):
    X, y = data
    for level in (1, 3):
        draws = QueryMixing(TREE, 8, query_level=level, min_level_db=None).prepare(X, y)
        mixtures, _ = draws.epoch(0)
        for index, mixture in enumerate(mixtures):
            _, (i, leaf) = draws.picks(0, index)
            expected = y[i].source(leaf) if level == 1 else y[i].sources.sum(axis=0)
            np.testing.assert_allclose(mixture.query, expected, atol=1e-7)
    with pytest.raises(ParameterError, match=r"query_level=\): .* \[1, 3\], got 4"):
        QueryMixing(TREE, query_level=4).prepare(X, y)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda s: type(s).__name__)
def test_levels_are_not_mixed_as_if_they_were_apart(sampler, data):
    X, y = scenes_along(TREE, "guitar", *data)
    with pytest.raises(
        InputError, match=r"y\[0\]: .* none is part of another, got the levels lev"
    ):
        sampler.prepare(X, y)


def test_queries_in_files_stay_there(stereo_files):
    draws = QueryMixing(TREE, gain_db=6.0).prepare(*stereo_files)
    mixture, scene = draws.draw(0, 0)
    for audio in (mixture.audio, mixture.query, *scene.sources):
        assert all(isinstance(clip, Clip) for clip in audio)
    assert mixture.query[0].duration == 0.5
