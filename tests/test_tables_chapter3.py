"""The benchmarks of chapter 3: at their tiny size all runs, and learns."""

import numpy as np
import pytest
from reports import systems_in
from sklearn.base import clone

from benchmarks import _chapter3
from benchmarks._fits import Training
from benchmarks._songs import render
from msa_sk import STFT, Cerberus, MaskInference
from msa_sk.datasets import make_scenes

NETWORKS = {"Deep clustering", "Mask inference", "Chimera", "Transcription", "Cerberus"}
VERDICTS = {"reproduced", "reversed", "open"}


def test_table_3_1(run_table):
    _, rows, page = run_table("table_3_1")
    floors = {"unprocessed mixture", "mixture, shared out evenly"}
    beside = floors | {"NMF", "ideal ratio mask"}
    permuted = {f"{name}, best permutation" for name in ("Deep clustering", "DC + TR")}
    assert systems_in(rows) == NETWORKS | beside | {"DC + TR", "MI + TR"} | permuted
    mean = {
        (row["system"], row["instrument"]): row["mean"]
        for row in rows
        if row.get("metric") == "si_sdri" and "mean" in row
    }
    for floor in floors:
        assert mean[floor, "all"] == pytest.approx(0, abs=1e-6)
    assert mean["ideal ratio mask", "all"] > 10
    for name in permuted:
        assert mean[name, "all"] >= mean[name.split(",")[0], "all"]
    directions = [row for row in rows if "verdict" in row]
    assert len(directions) == 9
    assert {row["verdict"] for row in directions} <= VERDICTS
    assert "| Cerberus |" in page
    assert "| 10 | 0.51 | 0.45 | 0.47 |" in page  # the paper's row


def test_table_3_2(run_table):
    _, rows, page = run_table("table_3_2")
    assert systems_in(rows, test="mixed") == NETWORKS | {"Deep clustering, best permutation"}
    for name in ("piano", "guitar"):
        assert systems_in(rows, test=name) == {"Transcription", "Cerberus"}
        metrics = {row["metric"] for row in rows if row["test"] == name}
        assert not metrics & {"sdr", "si_sdri"}  # a solo is not separated
    assert page.count("| Cerberus |") == 3


def test_table_3_3(run_table):
    results, rows, page = run_table("table_3_3")
    listed = {
        (row["n_sources"], row["instrument"])
        for row in rows
        if row.get("metric") == "sdr" and "n_sources" in row
    }
    pitched = ("piano", "guitar", "bass")
    for n_sources, names in (
        (3, pitched),
        (4, (*pitched, "drums")),
        (5, (*pitched, "drums", "strings")),
    ):
        assert listed >= {(n_sources, name) for name in (*names, "all")}
        assert f"## {n_sources} sources" in page
    assert all("p_holm" in row and "p" not in row for row in rows if "claim" in row)
    assert (results / "table_3_3-tiny.png").stat().st_size > 10_000


def test_a_network_is_known_by_all_that_made_it(monkeypatch):
    def title(size=_chapter3.SIZES["tiny"]):
        fold = _chapter3.Fold(0, [], ([], []), [])
        return _chapter3.plan("Cerberus", fold, size, 0).title

    titles = {title(), title(_chapter3.SIZES["tiny"]._replace(balance="song"))}
    monkeypatch.setattr(_chapter3, "PER_CAST", 3)
    titles.add(title())
    defaults = Cerberus.__init__.__kwdefaults__ | {"dropout": 0.1}
    monkeypatch.setattr(Cerberus.__init__, "__kwdefaults__", defaults)
    titles.add(title())
    assert len(titles) == 4


@pytest.mark.parametrize(
    ("names", "texts", "told"),
    [
        (("a/song", "b/song"), "12", "two songs have one name"),
        (("a/song", "b/copy"), "11", "a song is there twice"),
    ],
)
def test_songs_that_could_be_trained_on_and_tested_are_refused(
    tmp_path, monkeypatch, names, texts, told
):
    for name, text in zip(names, texts, strict=True):
        file = tmp_path / "midi" / f"{name}.mid"
        file.parent.mkdir(parents=True)
        file.write_text(text)
    monkeypatch.setenv("MSA_SK_DATA", str(tmp_path))
    with pytest.raises(AssertionError, match=told):
        render(("piano",), tmp_path)


def test_the_last_of_the_data_are_heard_last(tmp_path):
    X, y = make_scenes(6, duration=0.5, sample_rate=8000, random_state=0)
    sizes = {"hidden_size": 4, "n_layers": 1, "validation_fraction": 0, "max_epochs": 1}
    system = MaskInference(**sizes, transformer=STFT(8000, 256, 128), random_state=0, verbose=0)
    last = {"sequence_length": 32, "lr": 1e-3}
    training = Training("networks", system, lambda: (X, y), 2, last)
    assert training.title != Training("networks", system, lambda: (X, y)).title

    by_hand = clone(system).set_params(checkpoint=tmp_path / "begun").fit(X[:4], y[:4])
    by_hand.set_params(warm_start=True, checkpoint=None, **last).fit(X[4:], y[4:])
    # A run before was through with the first part.
    (tmp_path / "begun").rename(tmp_path / f"{training.title}.0.checkpoint")
    for _ in range(2):
        fitted = training.fit(tmp_path)
        for one, other in zip(fitted.predict(X), by_hand.predict(X), strict=True):
            np.testing.assert_array_equal(one.sources, other.sources)
    assert [path.name for path in tmp_path.iterdir()] == [f"{training.title}.msa"]
