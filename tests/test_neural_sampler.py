"""Training on mixtures that are drawn anew in each epoch."""

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV

from msa_sk import (
    STFT,
    Cerberus,
    CoherentMixing,
    Hierarchy,
    IncoherentMixing,
    QueryMixing,
    SourceSpecificSeparator,
    load,
)
from msa_sk.datasets import Excerpts, make_scenes
from msa_sk.exceptions import InstrumentError, ParameterError
from msa_sk.neural.data import SampledDataset

RATE = 8000
TINY = {
    "hidden_size": 4,
    "n_layers": 1,
    "max_epochs": 2,
    "validation_fraction": 0,
    "random_state": 0,
    "transformer": STFT(sample_rate=RATE, n_fft=256, hop_length=64),
}


@pytest.fixture(scope="module")
def solos():
    songs = make_scenes(4, duration=1.0, sample_rate=RATE, random_state=0)
    return Excerpts(1.0, min_notes=0, solo=True).apply(*songs)


def weights_of(estimator):
    return {k: v.numpy() for k, v in estimator.net_.module_.state_dict().items()}


def test_solos_are_mixed_anew_in_each_epoch(solos, monkeypatch):
    seen = []
    begin = SampledDataset.begin_epoch
    monkeypatch.setattr(
        SampledDataset,
        "begin_epoch",
        lambda self, epoch: (begin(self, epoch), seen.append((epoch, self.spectrograms[0]))),
    )
    estimator = Cerberus(sampler=IncoherentMixing(6), **TINY).fit(*solos)
    assert estimator.instruments_ == ("guitar", "piano")
    assert [epoch for epoch, _ in seen] == [0, 1]
    first, second = (spectrogram.mixture for _, spectrogram in seen)
    assert " + " in first.group
    assert not np.array_equal(first.read(), second.read())
    assert not estimator.has_rest_  # although each solo lacks an instrument


def test_a_seed_draws_the_same_mixtures(solos):
    one, other = (Cerberus(sampler=IncoherentMixing(6), **TINY).fit(*solos) for _ in range(2))
    for name, weight in weights_of(one).items():
        np.testing.assert_array_equal(weight, weights_of(other)[name])


def test_a_killed_training_meets_the_same_mixtures(solos, tmp_path):
    """It ends between two epochs, in the middle of one, and goes on."""

    class Killed(Exception):
        pass

    class Kill:
        def __init__(self, step):
            self.left = step

        def __getattr__(self, name):
            return lambda *args, **kwargs: None

        def on_batch_end(self, net, training=False, **kwargs):
            self.left -= training
            if self.left == 0:
                raise Killed

    parameters = {**TINY, "sampler": IncoherentMixing(3), "batch_size": 8}
    whole = Cerberus(**parameters).fit(*solos)
    n_steps = sum(len(epoch["batches"]) for epoch in whole.net_.history.to_list())
    for step in (n_steps // 2 + 2, n_steps // 2 + 1):
        path = tmp_path / f"{step}.checkpoint"
        killed = Cerberus(
            checkpoint=path, checkpoint_minutes=0, callbacks=[("kill", Kill(step))], **parameters
        )
        with pytest.raises(Killed):
            killed.fit(*solos)
        resumed = Cerberus(checkpoint=path, checkpoint_minutes=0, **parameters).fit(*solos)
        for name, weight in weights_of(whole).items():
            np.testing.assert_array_equal(weight, weights_of(resumed)[name])


def test_an_instrument_that_is_not_wanted_is_a_rest(solos):
    estimator = Cerberus(sampler=IncoherentMixing(4), instruments=["piano"], **TINY).fit(*solos)
    assert estimator.has_rest_
    mixture, _ = IncoherentMixing(1).apply(*solos)
    assert estimator.predict(mixture)[0].instruments == ("piano",)


def test_each_pass_of_partial_fit_draws_anew(solos):
    estimator = Cerberus(sampler=IncoherentMixing(4), **TINY)
    losses = [estimator.partial_fit(*solos).history_[-1]["train_loss"] for _ in range(2)]
    assert losses[0] != losses[1]


@pytest.mark.filterwarnings("ignore:.* mixtures are solos")  # folds are not mixed anew
def test_a_sampler_is_searched_and_saved(solos, tmp_path):
    X_val, y_val = make_scenes(2, duration=1.0, sample_rate=RATE, random_state=1)
    search = GridSearchCV(
        Cerberus(sampler=IncoherentMixing(4), **TINY),
        {"sampler__gain_db": [0.0, 12.0]},
        cv=[(np.arange(len(solos[0])), np.arange(2))],
        error_score="raise",
    ).fit(*solos)
    best = search.best_estimator_
    assert best.sampler.gain_db == search.best_params_["sampler__gain_db"]
    again = load(best.save(tmp_path / "model.msa"))
    assert again.sampler.get_params() == best.sampler.get_params()
    np.testing.assert_array_equal(again.predict(X_val)[0].sources, best.predict(X_val)[0].sources)


@pytest.mark.parametrize(
    ("sampler", "message"),
    [
        ("incoherent", "expected None or an object implementing 'prepare' and 'instruments_of'"),
        (CoherentMixing, "expected an instance, got the class CoherentMixing. Make one: Coh"),
        (QueryMixing({"piano": 0}), "expected an instance of .*Hierarchy', got {'piano': 0}"),
    ],
)
def test_what_is_no_sampler_is_refused(solos, sampler, message):
    with pytest.raises(ParameterError, match=rf"(sampler|hierarchy)=\): {message}"):
        Cerberus(sampler=sampler, **TINY).fit(*solos)


TREE = Hierarchy.from_dict({"strings": {"piano": 0, "guitar": 24}})


@pytest.mark.parametrize(
    ("sampler", "instruments"),
    [
        (IncoherentMixing(4), ("guitar", "piano")),
        (IncoherentMixing(4, instruments=["piano"]), ("piano",)),
    ],
)
def test_instruments_are_those_that_are_drawn(sampler, instruments):
    songs = make_scenes(4, duration=1.0, sample_rate=RATE, random_state=0)
    estimator = Cerberus(sampler=sampler, **TINY).fit(*songs)
    assert estimator.instruments_ == instruments
    assert estimator.partial_fit(*songs).predict(songs[0][:1])[0].instruments == instruments
    with pytest.raises(InstrumentError, match="got 'drums'"):
        Cerberus(sampler=sampler, instruments=["drums"], **TINY).fit(*songs)


def test_levels_are_those_that_are_drawn():
    songs = make_scenes(4, duration=1.0, sample_rate=RATE, random_state=0)
    sampler = QueryMixing(TREE, 4, leaves=["piano"])
    estimator = SourceSpecificSeparator(sampler=sampler, **TINY).fit(*songs)
    assert estimator.instruments_ == ("level_1", "level_2")
    assert estimator.partial_fit(*songs).predict(songs[0][:1])[0].instruments == (
        "level_1",
        "level_2",
    )


def test_what_is_held_out_must_have_the_names_that_are_drawn():
    songs = make_scenes(4, duration=1.0, sample_rate=RATE, random_state=0)
    sampler = QueryMixing(TREE, 4, leaves=["piano"])
    estimator = SourceSpecificSeparator(sampler=sampler, **TINY | {"validation_fraction": 0.3})
    message = "validation_fraction=.: expected 0, as none of the rest has level_1, level_2, got 0"
    with pytest.raises(ParameterError, match=message):
        estimator.fit(*songs)
    with pytest.raises(InstrumentError, match="y_val: expected scenes with any of level_1, level"):
        estimator.fit(*songs, X_val=songs[0][:1], y_val=songs[1][:1])
    X_val, y_val = QueryMixing(TREE, 2).apply(*songs)
    history = estimator.fit(*songs, X_val=X_val, y_val=y_val).history_
    assert all(np.isfinite(row["valid_loss"]) for row in history)
