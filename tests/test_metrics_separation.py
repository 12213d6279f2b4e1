"""SDR, SI-SDR and their improvements, on signals whose score is known."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from msa_sk import Mixture, Scene
from msa_sk.exceptions import AudioError, InputError, InstrumentError
from msa_sk.metrics import (
    best_permutation,
    delta_si_sdr_improvement,
    sdr,
    sdr_improvement,
    si_sdr,
    si_sdr_improvement,
)

RATE = 8000


def orthogonal(n_signals, n_samples=1000, seed=0):
    """Signals of energy 1 that are orthogonal to each other."""
    noise = np.random.default_rng(seed).standard_normal((n_samples, n_signals))
    return np.linalg.qr(noise)[0].T


def at_level(signal, noise, db):
    """The signal with orthogonal noise of the same energy, `db` below it."""
    return signal + noise * 10 ** (-db / 20)


@pytest.mark.parametrize("db", [-60, -10, 0, 0.5, 12.34, 60, 99])
def test_known_by_construction(db):
    signal, noise = orthogonal(2)
    estimate = at_level(signal, noise, db)
    assert si_sdr(signal, estimate) == pytest.approx(db, abs=1e-4)
    assert si_sdr(signal, -3.7 * estimate) == pytest.approx(db, abs=1e-4)
    assert sdr(signal, estimate) == pytest.approx(db, abs=1e-4)
    assert sdr(signal, 2 * signal) == pytest.approx(0)  # as much error as signal
    assert sdr(signal, 1.1 * signal) == pytest.approx(20)


def exact_db(reference, estimate, scale_invariant):
    """The definition, word by word, in extended precision."""
    s, e = reference.astype(np.longdouble), estimate.astype(np.longdouble)
    target = (e @ s) / (s @ s) * s if scale_invariant else s
    return float(10 * np.log10((target @ target) / ((target - e) @ (target - e))))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("db", [0, 30, 60, 80, 99.9])
def test_error_stays_below_a_thousandth_of_a_decibel(dtype, db):
    rng = np.random.default_rng(1)
    reference = rng.standard_normal(200_000).astype(dtype)
    noise = rng.standard_normal(200_000) * 10 ** (-db / 20)
    estimate = (reference + noise).astype(dtype)
    for measure, scale_invariant in ((sdr, False), (si_sdr, True)):
        error = measure(reference, estimate) - exact_db(reference, estimate, scale_invariant)
        assert abs(error) < 1e-3
    error = si_sdr(reference, 1e-3 * estimate) - exact_db(reference, 1e-3 * estimate, True)
    assert abs(error) < 1e-3


def test_known_constants():
    """Figures worked out by hand, so that some reference is always there."""
    reference = np.array([1.0, 2.0, 2.0])  # energy 9
    estimate = np.array([1.0, 2.0, 1.0])  # energy 6, product 7, error 1
    assert sdr(reference, estimate) == pytest.approx(10 * np.log10(9))
    assert si_sdr(reference, estimate) == pytest.approx(10 * np.log10((49 / 9) / (6 - 49 / 9)))
    mixture = np.array([1.0, 2.0, 4.0])  # energy 21, product 13, error 4
    assert sdr_improvement(reference, estimate, mixture) == pytest.approx(10 * np.log10(4))
    before = 10 * np.log10((169 / 9) / (21 - 169 / 9))
    after = si_sdr(reference, estimate)
    assert si_sdr_improvement(reference, estimate, mixture) == pytest.approx(after - before)
    assert delta_si_sdr_improvement(reference, estimate, mixture) == pytest.approx(after - before)


def test_swapped_arguments_differ():
    signal, noise = orthogonal(2)
    estimate = 0.5 * signal + noise
    assert sdr(signal, estimate) != pytest.approx(sdr(estimate, signal))
    silence = np.zeros_like(signal)
    assert np.isnan(si_sdr(silence, signal))
    assert si_sdr(signal, silence) == -100


signals = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.default_rng(seed).standard_normal((3, 50))
)
scales = st.floats(1e-6, 1e6) | st.floats(-1e6, -1e-6)


@settings(max_examples=60, deadline=None)
@given(signals, scales, scales)
def test_invariances(three, scale, other_scale):
    reference, estimate, mixture = three
    value = si_sdr(reference, estimate)
    assert si_sdr(other_scale * reference, scale * estimate) == pytest.approx(value, abs=1e-6)
    assert sdr(scale * reference, scale * estimate) == pytest.approx(sdr(reference, estimate))
    assert si_sdr(reference[::-1], estimate[::-1]) == pytest.approx(value, abs=1e-6)
    assert sdr(reference, estimate) <= 10 * np.log10(1 + 10 ** (value / 10)) + 1e-9  # best scale
    delta = delta_si_sdr_improvement(reference, estimate, 0.5 * reference + mixture)
    improvements = [
        si_sdr_improvement(reference, one, mixture)
        for one in (estimate, 0.5 * reference + mixture)
    ]
    assert delta == pytest.approx(improvements[0] - improvements[1])  # the mixture cancels


@settings(max_examples=40, deadline=None)
@given(signals, st.floats(0, 1e-3), st.sampled_from([np.float32, np.float64]))
def test_values_stay_within_their_limits(three, factor, dtype):
    reference, estimate, _ = three.astype(dtype)
    for one in (estimate, reference, factor * estimate, reference + dtype(factor) * estimate):
        for measure in (sdr, si_sdr):
            assert -100 <= measure(reference, one) <= 100


def test_perfect_and_opposite():
    (signal,) = orthogonal(1)
    assert sdr(signal, signal) == si_sdr(signal, signal) == si_sdr(signal, -5 * signal) == 100
    assert si_sdr([1.0, 0.0], [0.0, 1.0]) == -100  # orthogonal
    assert si_sdr_improvement([1.0, 0.0], [1.0, 0.0], [0.0, 1.0]) == 200


class TestSilence:
    def test_meaning(self):
        (signal,) = orthogonal(1)
        silence = np.zeros_like(signal)
        for measure in (sdr, si_sdr):
            assert np.isnan(measure(silence, signal))
            assert np.isnan(measure(silence, silence))
        assert si_sdr(signal, silence) == -100
        assert sdr(signal, silence) == 0
        assert np.isnan(si_sdr_improvement(silence, signal, signal))
        assert sdr_improvement(signal, silence, signal) == -100

    @pytest.mark.parametrize("permutation", [False, True])
    def test_one_source_never_changes_another(self, permutation):
        sources = np.random.default_rng(0).standard_normal((2, 4, 500))
        sources[1] += sources[0]
        reference, estimate = sources
        expected = si_sdr(reference, estimate)
        for silent in range(4):
            one = reference.copy()
            one[silent] = 0
            value = si_sdr(one, estimate, permutation=permutation)
            others = np.arange(4) != silent
            np.testing.assert_array_equal(value[others], expected[others])
            assert np.isnan(value[silent])

    def test_tiny_is_not_silent(self):
        signal, noise = orthogonal(2)
        for scale in (1e-30, 1e-120):
            value = si_sdr(scale * signal, scale * at_level(signal, noise, 7))
            assert value == pytest.approx(7)


class TestShapes:
    def test_single_batch_and_ragged_agree(self):
        rng = np.random.default_rng(3)
        reference = rng.standard_normal((5, 3, 400))
        estimate = reference + rng.standard_normal((5, 3, 400))
        mixture = reference.sum(axis=1)
        table = si_sdr_improvement(reference, estimate, mixture)
        assert table.shape == (5, 3)
        assert isinstance(si_sdr(reference[0, 0], estimate[0, 0]), float)
        for i, j in np.ndindex(5, 3):
            one = si_sdr_improvement(reference[i, j], estimate[i, j], mixture[i])
            assert one == table[i, j]
        lengths = [100, 400, 250, 1, 399]
        ragged = [
            [one[i][..., :n] for i, n in enumerate(lengths)]
            for one in (reference, estimate, mixture)
        ]
        values = si_sdr_improvement(*ragged)
        assert [value.shape for value in values] == [(3,)] * 5
        np.testing.assert_array_equal(values[1], table[1])
        assert sdr(reference=[reference[0]], estimate=[estimate[0]])[0].shape == (3,)

    @pytest.mark.parametrize("dtype", ["f4", ">f4", "f2", "i2"])
    def test_layouts_and_types_agree(self, dtype):
        rng = np.random.default_rng(4)
        reference, estimate = (rng.standard_normal((2, 3, 5000)) * 50).round().astype(dtype)
        before = reference.copy(), estimate.copy()
        expected = si_sdr(reference.astype(float), estimate.astype(float))
        for array in (reference, estimate):
            array.flags.writeable = False
        np.testing.assert_array_equal(si_sdr(reference, estimate), expected)
        fortran = [np.asfortranarray(one) for one in (reference, estimate)]
        np.testing.assert_array_equal(si_sdr(*fortran), expected)
        backwards = [np.flip(one.copy(), -1) for one in (reference, estimate)]
        np.testing.assert_allclose(si_sdr(*backwards), expected)
        np.testing.assert_array_equal(reference, before[0])
        np.testing.assert_array_equal(estimate, before[1])

    def test_integers_are_divided_by_their_range(self):
        reference = np.array([[1000, -2000, 3000]], np.int16)
        as_floats = 0.9 * reference / 2**15
        assert sdr(reference, as_floats) == pytest.approx(20)
        truth, found = (Scene(("piano",), RATE, one) for one in (reference, as_floats))
        np.testing.assert_allclose(sdr(truth, found), 20, atol=1e-4)
        centred = (reference // 100 + 128).astype(np.uint8)
        assert sdr(centred, 0.9 * (reference // 100) / 2**7) == pytest.approx(20)

    def test_blocks_join(self):
        """Longer than what is summed at once, and no multiple of it."""
        rng = np.random.default_rng(5)
        reference = rng.standard_normal(300_001)
        estimate = reference + rng.standard_normal(300_001)
        assert si_sdr(reference, estimate) == pytest.approx(exact_db(reference, estimate, True))

    def test_channels_are_one_vector(self):
        rng = np.random.default_rng(6)
        reference, estimate = rng.standard_normal((2, 3, 2, 500))
        joined = si_sdr(reference.reshape(3, -1), estimate.reshape(3, -1))
        np.testing.assert_array_equal(si_sdr(reference, estimate, multichannel=True), joined)
        improved = si_sdr_improvement(
            reference, estimate, reference.sum(axis=0), multichannel=True
        )
        mixture = reference.sum(axis=0).reshape(-1)
        np.testing.assert_array_equal(
            improved, joined - si_sdr(reference.reshape(3, -1), np.stack([mixture] * 3))
        )
        anti_phase = np.array([[1.0, 2.0], [-1.0, -2.0]])  # silent as a downmix
        assert si_sdr(anti_phase, anti_phase, multichannel=True) == 100


class TestPermutation:
    @settings(max_examples=25, deadline=None)
    @given(st.integers(1, 4), st.integers(0, 2), st.integers(0, 2**32 - 1))
    def test_equals_trying_all(self, n_references, n_more, seed):
        rng = np.random.default_rng(seed)
        reference = rng.standard_normal((n_references, 60))
        estimate = rng.standard_normal((n_references + n_more, 60))
        best = max(
            si_sdr(reference, estimate[list(order)]).mean()
            for order in itertools.permutations(range(len(estimate)), n_references)
        )
        assert si_sdr(reference, estimate, permutation=True).mean() == pytest.approx(best)
        order = best_permutation(reference, estimate)
        assert si_sdr(reference, estimate[order]).mean() == pytest.approx(best)

    def test_finds_the_order_of_many_sources(self):
        rng = np.random.default_rng(7)
        reference = rng.standard_normal((2, 12, 300))
        order = rng.permutation(12)
        estimate = reference[:, order] + 0.1 * rng.standard_normal((2, 12, 300))
        np.testing.assert_array_equal(
            best_permutation(reference, estimate), [np.argsort(order)] * 2
        )
        found = si_sdr_improvement(reference, estimate, reference.sum(axis=1), permutation=True)
        assert (found > 20).all()

    def test_silent_references_take_what_is_left(self):
        signal, noise, other = orthogonal(3)
        silence = np.zeros_like(signal)
        order = best_permutation(
            np.stack([silence, signal, noise]), np.stack([noise, signal, other])
        )
        np.testing.assert_array_equal(order, [2, 1, 0])
        reference = np.stack([silence, signal, silence])
        np.testing.assert_array_equal(
            best_permutation(reference, np.stack([other, signal])), [0, 1, -1]
        )
        value = si_sdr(reference, np.stack([other, signal]), permutation=True)
        np.testing.assert_array_equal(value, [np.nan, 100, np.nan])

    def test_too_few_estimates(self):
        reference = orthogonal(3)
        with pytest.raises(InputError, match="at least 3 sources.* got 2"):
            si_sdr(reference, reference[:2], permutation=True)


class TestScenes:
    def scenes(self):
        piano, guitar, noise = (one.astype(np.float32) for one in orthogonal(3))
        truth = Scene(("piano", "guitar"), RATE, np.stack([piano, guitar]))
        estimate = Scene(
            ("guitar", "piano"), RATE, np.stack([guitar + noise, at_level(piano, noise, 10)])
        )
        return truth, estimate, Mixture(piano + guitar, RATE)

    def test_matched_by_name(self):
        truth, estimate, mixture = self.scenes()
        np.testing.assert_allclose(si_sdr(truth, estimate), [10, 0], atol=1e-4)
        np.testing.assert_allclose(
            si_sdr_improvement(truth, estimate, mixture), [10, 0], atol=1e-4
        )
        np.testing.assert_array_equal(
            si_sdr([truth], [estimate], permutation=True)[0], si_sdr(truth, estimate)
        )
        np.testing.assert_array_equal(best_permutation(truth, estimate), [1, 0])

    def test_channels_are_known(self):
        truth, estimate, _ = self.scenes()
        wide = [
            Scene(s.instruments, RATE, np.stack([s.sources, s.sources], axis=1))
            for s in (truth, estimate)
        ]
        np.testing.assert_allclose(si_sdr(*wide), si_sdr(truth, estimate), atol=1e-6)

    def test_an_instrument_is_missing(self):
        truth, estimate, _ = self.scenes()
        estimate = Scene(("guitar", "pianos"), RATE, estimate.sources)
        with pytest.raises(InstrumentError, match="'piano'. Did you mean 'pianos'"):
            si_sdr(truth, estimate)

    def test_rates_differ(self):
        truth, estimate, _ = self.scenes()
        with pytest.raises(AudioError, match="8000 Hz, the reference's rate, got 16000 Hz"):
            si_sdr(truth, Scene(estimate.instruments, 16000, estimate.sources))

    def test_no_instruments(self):
        nothing = Scene((), RATE, np.zeros((0, 100)))
        assert si_sdr(nothing, nothing).shape == (0,)


class TestBadInput:
    def test_shapes(self):
        with pytest.raises(
            AudioError, match=r"shape \(2, 5\), as the reference has, got shape \(2, 6\)"
        ):
            sdr(np.ones((2, 5)), np.ones((2, 6)))
        with pytest.raises(AudioError, match=r"reference: expected real samples.*shape \(0,\)"):
            sdr(np.ones(0), np.ones(0))
        with pytest.raises(AudioError, match="complex128"):
            sdr(np.ones(5, complex), np.ones(5))
        with pytest.raises(
            AudioError, match=r"mixture: expected shape \(2, 5\).*got shape \(4,\)"
        ):
            sdr_improvement(np.ones((2, 5)), np.ones((2, 5)), np.ones(4))
        with pytest.raises(AudioError, match="n_sources or n_channels, n_samples"):
            si_sdr(np.ones(5), np.ones(5), permutation=True)

    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_not_finite(self, bad):
        reference = np.ones((2, 3, 5))
        estimate = reference.copy()
        estimate[1, 2, 4] = bad
        with pytest.raises(AudioError, match=r"estimate\[1, 2\]: expected finite samples"):
            si_sdr(reference, estimate)
        with pytest.raises(AudioError, match="reference: expected finite samples"):
            sdr(estimate[1, 2], reference[1, 2])

    def test_lists(self):
        with pytest.raises(InputError, match="reference, estimate: .* got 2 items, 1 items"):
            sdr([np.ones(5), np.ones(5)], [np.ones(5)])
        with pytest.raises(InputError, match="got 1 items, ndarray"):
            sdr([np.ones(5)], np.ones(5))
        with pytest.raises(InputError, match="both Scenes, or both arrays"):
            sdr(Scene((), RATE), np.ones(5))


def test_torch_tensors_are_taken():
    torch = pytest.importorskip("torch")
    reference = torch.tensor([3.0, 4.0], requires_grad=True)
    assert sdr(reference, 0.9 * reference) == pytest.approx(20, abs=1e-4)
