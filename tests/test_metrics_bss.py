"""BSS Eval against mir_eval's figures and against splits that are known by construction."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from msa_sk import Mixture, Scene
from msa_sk.audio import read_audio
from msa_sk.exceptions import AudioError, InputError, MsaWarning
from msa_sk.metrics import bss_eval, gnsdr, nsdr

FIELDS = {"sdr": "Distortion", "sir": "Interference", "sar": "Artifact"}


def signals(n_samples=6000):
    """Three sources and their estimates, from formulas alone."""
    n = np.arange(n_samples)
    reference = np.stack(
        [
            np.sin(0.05 * n + 0.4 * np.sin(0.003 * n)),
            np.sign(np.sin(0.081 * n)) * np.exp(-n / 4000),
            ((n * 7919) % 1009) / 1009 - 0.5,
        ]
    )
    a, b, c = reference
    estimate = np.stack(
        [a + 0.2 * b, 0.8 * b - 0.1 * c + 0.05 * np.cos(0.37 * n), np.roll(c, 3) + 0.3 * a]
    )
    return reference, estimate + 0.02 * np.sin(n**2 * 0.001)


# What mir_eval 0.8.2 gives for them.
MIR_EVAL = {
    "sdr": [16.153653271931166, 21.653965256120117, 10.608631442371887],
    "sir": [16.212580868470845, 23.630848981771496, 10.680804389862967],
    "sar": [34.960395348587355, 26.041791856716088, 28.79502825246626],
}


def test_equals_mir_eval():
    scores = bss_eval(*signals())
    for name, expected in MIR_EVAL.items():
        np.testing.assert_allclose(getattr(scores, name), expected, atol=5e-5)


@pytest.mark.parametrize("case", ["01", "02", "03"])
def test_equals_mir_eval_on_its_own_references(case):
    if "MSA_SK_DATA" not in os.environ:
        pytest.skip("MSA_SK_DATA is not set")
    folder = Path(os.environ["MSA_SK_DATA"], "known_scores/mir_eval/separation")
    known = json.loads((folder / f"output{case}.json").read_text())["Sources"]
    reference, estimate = (
        np.stack(
            [read_audio(path)[0] for path in sorted((folder / f"{side}{case}").glob("*.wav"))]
        )
        for side in ("ref", "est")
    )
    scores = bss_eval(reference, estimate, permutation=True)
    for name, field in FIELDS.items():
        np.testing.assert_allclose(getattr(scores, name), known[f"Source to {field}"], atol=5e-5)


def test_split_known_by_construction():
    noise = np.random.default_rng(0).standard_normal((1000, 3))
    target, other, artifact = np.linalg.qr(noise)[0].T
    estimate = 3 * target + 0.3 * other + 0.03 * artifact
    scores = bss_eval(np.stack([target, other]), np.stack([estimate, other]), filter_length=1)
    assert scores.sir[0] == pytest.approx(20)
    assert scores.sar[0] == pytest.approx(10 * np.log10((9 + 0.09) / 0.0009))
    assert scores.sdr[0] == pytest.approx(10 * np.log10(9 / (0.09 + 0.0009)))
    assert [one[1] for one in scores] == [100, 100, 100]


def test_a_filter_is_forgiven_and_no_more():
    reference = np.random.default_rng(0).standard_normal((2, 4000))
    reference[:, -100:] = 0
    filtered = reference + np.roll(reference, 50, axis=1)
    assert (bss_eval(reference, filtered, filter_length=51).sdr == 100).all()
    assert (bss_eval(reference, filtered, filter_length=50).sdr < 1).all()


def test_swapped_arguments_differ():
    reference, estimate = signals()
    assert abs(bss_eval(estimate, reference).sir - bss_eval(reference, estimate).sir).max() > 1


def test_permutation_and_batch():
    reference, estimate = signals()
    expected = bss_eval(reference, estimate)
    found = bss_eval(reference, estimate[[2, 0, 1]], permutation=True)
    np.testing.assert_allclose(found, expected)
    more = bss_eval(reference[:2], estimate, permutation=True)
    assert more.sdr.shape == (2,)
    batch = bss_eval(np.stack([reference] * 2), np.stack([estimate, estimate[::-1]]))
    np.testing.assert_allclose(batch.sdr[0], expected.sdr)
    ragged = bss_eval([reference, reference[:, :4000]], [estimate, estimate[:, :4000]])
    np.testing.assert_allclose(ragged[0], expected)
    np.testing.assert_allclose(
        bss_eval(reference.astype("f4"), estimate.astype("f4")).sdr, expected.sdr, atol=1e-3
    )


def test_scenes_and_channels():
    reference, estimate = signals()
    names = ("a", "b", "c")
    truth = Scene(names, 8000, np.stack([reference, 0 * reference], axis=1))
    found = Scene(names[::-1], 8000, np.stack([estimate, 0 * estimate], axis=1)[::-1])
    expected = bss_eval(reference, estimate)  # a silent channel adds nothing
    np.testing.assert_allclose(bss_eval(truth, found), expected, atol=1e-3)


class TestSilence:
    def test_references_and_estimates(self):
        reference, estimate = signals()
        expected = bss_eval(reference, estimate)
        silent = reference * [[0], [1], [1]]
        scores = bss_eval(silent, estimate)
        assert np.isnan([one[0] for one in scores]).all()
        np.testing.assert_allclose(scores.sdr[1:], expected.sdr[1:])
        scores = bss_eval(reference, estimate * [[1], [0], [1]])
        assert [one[1] for one in scores] == [-100, -100, -100]
        np.testing.assert_allclose(np.delete(scores, 1, 1), np.delete(expected, 1, 1))
        silence = np.zeros_like(reference)
        assert np.isnan(bss_eval(silence, estimate)).all()
        assert (np.array(bss_eval(reference, silence)) == -100).all()

    def test_with_permutation(self):
        reference, estimate = signals()
        scores = bss_eval(reference * [[1], [1], [0]], estimate[[1, 2, 0]], permutation=True)
        np.testing.assert_allclose(scores.sdr[:2], bss_eval(reference, estimate).sdr[:2])
        assert np.isnan(scores.sdr[2])


def test_dependent_references_warn():
    reference, estimate = signals()
    with pytest.warns(MsaWarning, match="Filters can make one reference of the others"):
        scores = bss_eval(reference[[0, 0]], estimate[[0, 0]])
    assert np.isfinite(scores).all()
    assert (scores.sir == 100).all()


SHORT = {"filter_length": 32}  # takes less time


class TestNsdr:
    def test_the_mixture_has_none(self):
        reference, estimate = signals()
        mixture = reference.sum(axis=0)
        np.testing.assert_array_equal(nsdr(reference, np.stack([mixture] * 3), mixture), 0)
        before = bss_eval(reference, np.stack([mixture] * 3)).sdr
        expected = bss_eval(reference, estimate).sdr - before
        np.testing.assert_allclose(nsdr(reference, estimate, mixture), expected)

    def test_global_mean_is_weighted_by_length(self):
        reference, estimate = signals()
        mixture = reference.sum(axis=0)
        songs = [(one, one[..., :3000]) for one in (reference, estimate, mixture)]
        whole, half = nsdr(*map(list, songs), **SHORT)
        np.testing.assert_allclose(gnsdr(*songs, **SHORT), (2 * whole + half) / 3)
        silent = reference[:, :3000] * [[1], [0], [1]]
        value = gnsdr((reference, silent), *songs[1:], **SHORT)
        assert value[1] == pytest.approx(whole[1])  # the song without it is left out
        assert value[0] == pytest.approx(gnsdr(*songs, **SHORT)[0])
        assert np.isnan(gnsdr([0 * reference], [estimate], [mixture], **SHORT)).all()

    def test_scenes_count_seconds(self):
        reference, estimate = signals(4000)
        scenes = [
            [Scene(("a", "b", "c"), rate, one) for rate in (4000, 8000)]
            for one in (reference, estimate)
        ]
        mixtures = [Mixture(reference.sum(axis=0), rate) for rate in (4000, 8000)]
        first, second = nsdr(*scenes, mixtures, **SHORT)
        np.testing.assert_allclose(gnsdr(*scenes, mixtures, **SHORT), (2 * first + second) / 3)

    def test_songs_of_other_sources(self):
        reference, estimate = signals(4000)
        songs = [reference, reference[:2]], [estimate, estimate[:2]], [reference.sum(axis=0)] * 2
        with pytest.raises(InputError, match="the same sources in every song, got .*3, 2"):
            gnsdr(*songs, **SHORT)


def test_bad_input():
    with pytest.raises(AudioError, match="all sources of a mixture together"):
        bss_eval(np.ones(5000), np.ones(5000))
    with pytest.raises(AudioError, match="more than 1024 samples for 3 filters, got 900"):
        bss_eval(*(one[:, :900] for one in signals()))
    with pytest.raises(AudioError, match=r"estimate\[1\]: expected finite"):
        bss_eval(signals()[0], signals()[1] * [[1], [np.nan], [1]])
