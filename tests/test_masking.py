"""Masks share a mixture among its sources."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msa_sk.masking import binary_masks, phase_sensitive_masks, ratio_masks


def test_masks_are_shares():
    magnitudes = np.array([[[3.0, 0.0]], [[1.0, 2.0]]])
    np.testing.assert_allclose(ratio_masks(magnitudes), [[[0.75, 0]], [[0.25, 1]]])
    np.testing.assert_allclose(ratio_masks(magnitudes, 2.0), [[[0.9, 0]], [[0.1, 1]]])


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 5),
    st.sampled_from([0.5, 1.0, 2.0, 10.0]),
    st.sampled_from([1e-40, 1e-20, 1.0, 1e20, 1e38]),
    st.sampled_from([np.float32, np.float64]),
)
def test_masks_sum_to_one(seed, n_sources, power, scale, dtype):
    random = np.random.default_rng(seed)
    magnitudes = (random.uniform(0, 1, (n_sources, 6, 7)) * scale).astype(dtype)
    magnitudes *= random.uniform(0, 1, magnitudes.shape) > 0.3  # some are silent
    masks = ratio_masks(magnitudes, power)
    assert masks.shape == magnitudes.shape
    assert masks.dtype == np.float32
    assert ((masks >= 0) & (masks <= 1)).all()
    np.testing.assert_allclose(masks.sum(axis=0), 1, atol=1e-6)


@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-30, 1e-3, 1e3, 1e30]))
def test_the_level_does_not_matter(seed, gain):
    magnitudes = np.random.default_rng(seed).uniform(0, 1, (3, 6, 7))
    np.testing.assert_allclose(
        ratio_masks(gain * magnitudes, 2.0), ratio_masks(magnitudes, 2.0), atol=1e-6
    )


@pytest.mark.parametrize("n_sources", [1, 2, 4])
def test_silence_is_shared_alike(n_sources):
    assert (ratio_masks(np.zeros((n_sources, 3, 2))) == 1 / n_sources).all()


def test_the_order_of_sources_does_not_matter():
    magnitudes = np.random.default_rng(0).uniform(0, 1, (3, 6, 7))
    np.testing.assert_array_equal(ratio_masks(magnitudes)[::-1], ratio_masks(magnitudes[::-1]))


def test_magnitudes_stay_as_they_are():
    magnitudes = np.random.default_rng(0).uniform(0, 1, (3, 6, 7))
    before = magnitudes.copy()
    magnitudes.flags.writeable = False
    ratio_masks(magnitudes, 2.0)
    np.testing.assert_array_equal(magnitudes, before)


def test_binary_masks_give_each_bin_to_the_loudest():
    magnitudes = np.array([[[1.0, 2.0, 3.0]], [[2.0, 2.0, 1.0]]])
    np.testing.assert_array_equal(binary_masks(magnitudes), [[[0, 1, 1]], [[1, 0, 0]]])


def test_no_mask_comes_closer_than_the_phase_sensitive_one(rng):
    mixture = rng.normal(size=(4, 5)) + 1j * rng.normal(size=(4, 5))
    source = rng.normal(size=(1, 4, 5)) + 1j * rng.normal(size=(1, 4, 5))
    best = phase_sensitive_masks(mixture, source)
    tried = np.linspace(0, 1, 201)[:, None, None, None]
    errors = np.abs(tried * mixture - source) ** 2
    np.testing.assert_array_less(np.abs(best * mixture - source) ** 2, errors.min(axis=0) + 1e-4)
    assert phase_sensitive_masks(np.zeros((1, 1)), np.ones((1, 1, 1))) == 0
