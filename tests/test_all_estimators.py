"""Every check of `msa_sk.testing` on every system, found by discovery."""

import pytest

from msa_sk.spectral import STFT
from msa_sk.testing import all_estimators, parametrize_with_checks, tiny_estimators
from msa_sk.testing.sklearn_checks import SKLEARN_CHECKS
from msa_sk.testing.subject import Subject

EVERYTHING = [one for _, cls in all_estimators() for one in tiny_estimators(cls)]


@parametrize_with_checks(EVERYTHING)
def test_estimators(check):
    check()


@pytest.mark.parametrize("name", SKLEARN_CHECKS)
def test_stft_as_a_transformer(name):
    SKLEARN_CHECKS[name](Subject(STFT(n_fft=256, hop_length=64)))


def test_discovery_finds_every_system_once():
    names = [name for name, _ in all_estimators()]
    assert names == sorted(set(names))
    assert {"Cerberus", "IdealMaskSeparator", "MixtureBaseline", "NMFSeparator"} <= set(names)
    assert not {"NeuralEstimator", "SceneEstimator", "SpectralEstimator"} & set(names)
