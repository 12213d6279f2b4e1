"""The STFT and its inverse, as functions, as a transformer and as a record."""

import pickle

import librosa
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone

from msa_sk import STFT, Mixture, Spectrogram
from msa_sk.audio import resample, write_audio
from msa_sk.exceptions import AudioError, InputError, ParameterError
from msa_sk.spectral import channel_rms, istft, stft

RATE = 16000


def noise(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, shape).astype(np.float32)


def spectrogram_of(samples, rate=RATE, **settings):
    return STFT(**settings).transform([Mixture(samples, rate)])[0]


lengths = st.integers(1, 3000)
leading = st.sampled_from([(), (1,), (2,), (6,)])


# ------------------------------------------------------------------------------ functions


@given(lengths, leading, st.sampled_from([(1024, 256), (512, 128), (2048, 512), (64, 1)]))
def test_the_inverse_undoes_the_transform(n_samples, channels, size):
    n_fft, hop = size
    audio = noise(*channels, n_samples)
    spectrum = stft(audio, n_fft, hop)
    assert spectrum.shape == (*channels, 1 + n_fft // 2, 1 + n_samples // hop)
    assert spectrum.dtype == np.complex64
    back = istft(spectrum, n_samples, hop)
    assert back.dtype == np.float32
    np.testing.assert_allclose(back, audio, atol=1e-5)


@pytest.mark.parametrize("window", ["hann", "hamming", "blackman"])
def test_the_inverse_undoes_other_windows(window):
    audio = noise(5000)
    back = istft(stft(audio, 512, 128, window), 5000, 128, window)
    np.testing.assert_allclose(back, audio, atol=1e-5)


def test_a_long_signal_gives_librosas_transform():
    audio = noise(5000)
    expected = librosa.stft(audio, n_fft=512, hop_length=128, pad_mode="constant")
    np.testing.assert_array_equal(stft(audio, 512, 128), expected)


def test_a_sine_lights_its_bin():
    audio = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE).astype(np.float32)
    magnitude = np.abs(stft(audio, 1024, 256))
    middle = magnitude[:, 10:-10]
    assert (middle.argmax(axis=0) == 64).all()  # 1000 Hz / (16000 Hz / 1024)
    np.testing.assert_allclose(middle.max(axis=0), 256, rtol=1e-3)  # half the window's sum


@given(lengths, leading)
def test_the_transform_is_linear_and_inputs_stay(n_samples, channels):
    one, other = noise(*channels, n_samples), noise(*channels, n_samples, seed=1)
    before = one.copy()
    total = stft(one + 2 * other, 256, 64)
    np.testing.assert_allclose(total, stft(one, 256, 64) + 2 * stft(other, 256, 64), atol=1e-3)
    np.testing.assert_array_equal(one, before)


def test_channels_are_shown_by_their_rms():
    left, right = stft(noise(1000), 256, 64), stft(noise(1000, seed=1), 256, 64)
    np.testing.assert_array_equal(channel_rms(left), np.abs(left))
    both = channel_rms(np.stack([left, right]))
    np.testing.assert_allclose(
        both, np.sqrt((np.abs(left) ** 2 + np.abs(right) ** 2) / 2), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(channel_rms(np.stack([left, -left])), np.abs(left), rtol=1e-6)
    assert not channel_rms(np.zeros((2, 5, 3), np.complex64)).any()


def test_very_quiet_channels_do_not_underflow():
    quiet = np.float32(1e-30) * stft(noise(1000), 256, 64)
    np.testing.assert_allclose(channel_rms(np.stack([quiet, quiet])), np.abs(quiet), rtol=1e-5)


# ---------------------------------------------------------------------------- transformer


def test_the_defaults_are_those_of_the_paper():
    transformer = STFT()
    assert transformer.get_params() == {
        "sample_rate": 16000,
        "n_fft": 1024,
        "hop_length": 256,
        "window": "hann",
    }
    assert (transformer.n_bins, transformer.frame_rate) == (513, 62.5)


def test_transform_wraps_and_computes_nothing():
    X = [Mixture("none.wav"), np.zeros(9)]
    with pytest.raises(AudioError, match=r"X\[0\] \(none.wav\): expected an audio file"):
        STFT().transform(X)
    spectrogram = STFT(n_fft=512).fit_transform(X[1:])[0]
    assert spectrogram.settings == STFT(n_fft=512).get_params()
    assert len(pickle.dumps(spectrogram)) < 2000
    assert repr(spectrogram) == "Spectrogram(Mixture(0.0 s at 16 kHz); n_fft 512, hop 256, 16 kHz)"


def test_one_mixture_is_refused():
    with pytest.raises(InputError, match="expected a collection"):
        STFT().transform(Mixture(np.zeros(9), RATE))


def test_arrays_have_the_transformers_rate_and_files_their_own(tmp_path):
    path = write_audio(tmp_path / "x.wav", noise(441), 44100)
    array, file = STFT(sample_rate=8000).transform([noise(100), path])
    assert (array.mixture.rate, file.mixture.rate) == (8000, 44100)
    assert array.audio.shape == (100,)
    assert file.audio.shape == (80,)


@pytest.mark.parametrize(
    ("parameters", "item", "expected"),
    [
        ({"sample_rate": 999}, "STFT(sample_rate=)", "in the range [1000, 384000]"),
        ({"sample_rate": 16000.5}, "STFT(sample_rate=)", "an int"),
        ({"n_fft": 4}, "STFT(n_fft=)", "in the range [8, inf)"),
        ({"hop_length": 0}, "STFT(hop_length=)", "in the range [1, inf)"),
        ({"hop_length": 513}, "STFT(hop_length=)", "at most n_fft // 2 = 512"),
        ({"window": 5}, "STFT(window=)", "instance of 'str'"),
        ({"window": "glass"}, "STFT(window=)", "a window that scipy.signal.get_window knows"),
    ],
)
def test_a_transform_that_cannot_be_is_refused(parameters, item, expected):
    transformer = STFT(**parameters)  # which stores, and checks nothing
    for use in (transformer.fit, lambda: transformer.transform([np.zeros(9)])):
        with pytest.raises(ParameterError) as caught:
            use()
        assert caught.value.item == item
        assert expected in caught.value.expected
        assert caught.value.remedy


@given(
    st.integers(8, 300).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n // 2))),
    st.sampled_from(["hann", "hamming", "blackman", "boxcar"]),
    st.integers(1, 2000),
)
def test_whatever_is_accepted_can_be_undone(size, window, n_samples):
    n_fft, hop = size
    transformer = STFT(n_fft=n_fft, hop_length=hop, window=window)
    try:
        transformer.fit()
    except ParameterError:
        return
    audio = noise(n_samples)
    (spectrogram,) = transformer.transform([audio])
    whole = np.ones((1, spectrogram.n_bins, 1 + n_samples // hop), np.float32)
    np.testing.assert_allclose(spectrogram.invert(whole)[0], audio, atol=1e-3)


@pytest.mark.parametrize(("n_fft", "hop"), [(1024, 256), (1024, 341), (1024, 512), (2048, 1024)])
@pytest.mark.parametrize("n_samples", [255, 511, 1023, 5 * 1024 - 1, 5 * 1024 - 300, 5 * 1024])
def test_masks_make_no_clicks_at_the_end(n_fft, hop, n_samples):
    """Where the last window has nearly faded out, undoing it must not magnify what it cut."""
    transformer = STFT(n_fft=n_fft, hop_length=hop)
    try:
        transformer.fit()
    except ParameterError:
        return
    (spectrogram,) = transformer.transform([noise(n_samples)])
    shape = (4, spectrogram.n_bins, 1 + n_samples // hop)
    masks = np.random.default_rng(1).uniform(0, 1, shape)
    assert np.abs(spectrogram.invert(masks)).max() < 2  # of a mixture that stays within 0.5


def test_it_is_a_scikit_learn_transformer():
    transformer = STFT(n_fft=512)
    assert clone(transformer).get_params() == transformer.get_params()
    assert repr(transformer) == "STFT(n_fft=512)"
    assert transformer.__sklearn_tags__().requires_fit is False


# --------------------------------------------------------------------------------- record


@given(lengths, leading)
def test_half_a_mask_gives_half_the_mixture(n_samples, channels):
    audio = noise(*channels, n_samples)
    spectrogram = spectrogram_of(audio)
    half = np.full((2, 513, 1 + n_samples // 256), 0.5)
    sources = spectrogram.invert(half)
    assert sources.dtype == np.float32
    assert sources.shape == (2, *audio.shape)
    np.testing.assert_allclose(sources, np.stack([audio, audio]) / 2, atol=1e-5)


@given(lengths)
def test_masks_that_sum_to_one_share_the_mixture(n_samples):
    audio = noise(n_samples)
    first = np.random.default_rng(1).uniform(0, 1, (513, 1 + n_samples // 256))
    sources = spectrogram_of(audio).invert(np.stack([first, 1 - first]))
    np.testing.assert_allclose(sources.sum(axis=0), audio, atol=1e-5)


@given(st.integers(1, 5000), st.sampled_from([8000, 22050, 44100, 48000]), leading)
def test_estimates_have_the_mixtures_own_rate_and_length(n_samples, rate, channels):
    audio = noise(*channels, n_samples)
    spectrogram = spectrogram_of(audio, rate)
    n_frames = spectrogram.magnitude.shape[-1]
    assert n_frames == 1 + spectrogram.audio.shape[-1] // 256
    sources = spectrogram.invert(np.ones((3, 513, n_frames)))
    assert sources.shape == (3, *audio.shape)
    assert np.isfinite(sources).all()


def test_a_low_sine_survives_another_rate():
    audio = np.sin(2 * np.pi * 440 * np.arange(44100) / 44100).astype(np.float32)
    spectrogram = spectrogram_of(audio, 44100)
    ones = np.ones((1, *spectrogram.magnitude.shape))
    middle = slice(2000, -2000)
    np.testing.assert_allclose(spectrogram.invert(ones)[0][middle], audio[middle], atol=1e-3)


def test_magnitudes_are_the_channels_rms():
    left = noise(4000)
    mono, stereo = spectrogram_of(left), spectrogram_of(np.stack([left, -left]))
    np.testing.assert_array_equal(mono.magnitude, np.abs(mono.stft))
    assert stereo.stft.shape == (2, 513, 16)
    np.testing.assert_allclose(stereo.magnitude, mono.magnitude, rtol=1e-5)


def test_sources_are_analysed_at_the_models_rate():
    sources = noise(2, 44100)
    spectrogram = spectrogram_of(sources.sum(axis=0), 44100)
    np.testing.assert_array_equal(
        spectrogram.analyse(sources), stft(resample(sources, 44100, RATE), 1024, 256)
    )
    np.testing.assert_allclose(
        spectrogram.analyse(sources).sum(axis=0), spectrogram.stft, atol=1e-3
    )


def test_masks_of_another_spectrogram_are_refused():
    with pytest.raises(AudioError) as caught:
        spectrogram_of(noise(5000)).invert(np.ones((2, 513, 21)))
    assert caught.value.expected == "shape (n_sources, 513, 20)"
    assert caught.value.got == "shape (2, 513, 21)"


def test_a_spectrogram_is_a_frozen_record():
    spectrogram = Spectrogram(Mixture(noise(100), RATE))
    with pytest.raises(AttributeError):
        spectrogram.n_fft = 5
    assert not hasattr(spectrogram, "__len__")
    assert (spectrogram.n_bins, spectrogram.frame_rate) == (513, 62.5)
