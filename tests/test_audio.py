"""Audio files in and out, resampling, and the gate for samples."""

import os

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given
from hypothesis import strategies as st

from msa_sk.audio import (
    as_audio,
    audio_info,
    check_rate,
    fit_length,
    read_audio,
    resample,
    rms,
    write_audio,
)
from msa_sk.exceptions import AudioError

RATE = 16000


def noise(*shape, seed=0, peak=0.9):
    samples = np.random.default_rng(seed).uniform(-peak, peak, shape)
    return samples.astype(np.float32)


# ------------------------------------------------------------------------------- the rate


@pytest.mark.parametrize("rate", [1000, 8000, 44100.0, np.int64(48000), np.float32(16000), 384000])
def test_whole_rates_are_ints(rate):
    checked = check_rate(rate, "rate")
    assert checked == rate
    assert type(checked) is int


@pytest.mark.parametrize(
    "rate", [1, 0, -16000, 7999.9, 655350, np.nan, np.inf, True, None, "16000", [16000], 1e30]
)
def test_silly_rates_are_refused(rate):
    with pytest.raises(AudioError) as caught:
        check_rate(rate, "Mixture(sample_rate=)")
    error = caught.value
    assert error.item == "Mixture(sample_rate=)"
    assert error.expected == "a sampling rate in whole Hz from 1000 to 384000"
    assert error.got == repr(rate)
    assert error.remedy


# ------------------------------------------------------------------------------- the gate

SAMPLES = noise(2, 200)


@pytest.mark.parametrize(
    "same",
    [
        SAMPLES.astype(np.float64),
        SAMPLES.astype(">f4"),
        SAMPLES.astype(">f8"),
        np.asfortranarray(SAMPLES),
        SAMPLES[:, ::-1].copy()[:, ::-1],
        np.repeat(SAMPLES, 3, axis=1)[:, ::3],
        SAMPLES.tolist(),
        torch.tensor(SAMPLES),
        torch.tensor(SAMPLES, requires_grad=True),
    ],
    ids=["f8", ">f4", ">f8", "fortran", "negative", "strided", "list", "torch", "grad"],
)
def test_samples_of_any_layout_are_the_same(same):
    audio = as_audio(same, "x")
    assert audio.dtype == np.float32
    assert audio.dtype.isnative
    np.testing.assert_array_equal(audio, SAMPLES)


def test_read_only_and_mapped_samples_are_taken(tmp_path):
    frozen = SAMPLES.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(as_audio(frozen, "x"), SAMPLES)
    np.save(tmp_path / "x.npy", SAMPLES)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    np.testing.assert_array_equal(as_audio(mapped, "x"), SAMPLES)


def test_half_precision_is_exact():
    half = SAMPLES.astype(np.float16)
    np.testing.assert_array_equal(as_audio(half, "x"), half.astype(np.float64))


@pytest.mark.parametrize(
    ("dtype", "low", "zero", "high"),
    [
        (np.int8, -128, 0, 64),
        (np.int16, -(2**15), 0, 2**14),
        (">i2", -(2**15), 0, 2**14),
        (np.int32, -(2**31), 0, 2**30),
        (np.uint8, 0, 128, 192),
        (np.uint16, 0, 2**15, 2**15 + 2**14),
    ],
)
def test_integers_are_scaled_by_the_range_of_their_type(dtype, low, zero, high):
    integers = np.array([low, zero, high], dtype)
    assert as_audio(integers, "x").tolist() == [-1.0, 0.0, 0.5]
    assert integers.tolist() == [low, zero, high]


@given(st.integers(-(2**15), 2**15 - 1))
def test_every_16_bit_sample_keeps_its_value(value):
    assert as_audio(np.array([value], np.int16), "x")[0] * 2**15 == value


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_first_sample_that_is_not_finite_is_named(bad, dtype):
    samples = np.zeros((2, 50), dtype)
    samples[1, 17] = samples[1, 30] = bad
    with pytest.raises(
        AudioError,
        match=f"X\\[3\\]: expected finite samples, got {bad} at sample "
        "17 of channel 1. Repair or leave out",
    ):
        as_audio(samples, "X[3]")
    with pytest.raises(AudioError, match=r"at sample 17\. "):
        as_audio(samples[1], "X[3]")


def test_what_spectra_cannot_hold_is_refused():
    loud = np.full((2, 9), -1e34, np.float32)
    assert as_audio(loud, "x") is loud
    loud[1, 4] = 1e38
    message = (
        r"^X\[3\]: expected samples up to 1e\+34, got 1e\+38 at sample 4 of channel 1. Divide"
    )
    with pytest.raises(AudioError, match=message):
        as_audio(loud, "X[3]")


def test_what_float32_cannot_hold_is_refused():
    with pytest.raises(AudioError, match=r"finite samples, got 1e\+300 at sample 1"):
        as_audio(np.array([0.0, 1e300]), "x")


@pytest.mark.parametrize(
    ("values", "expected", "got", "remedy"),
    [
        (np.zeros((500, 2)), "at most 32 channels", "shape (500, 2)", "audio.T"),
        (np.zeros(0), "at least one sample", "shape (0,)", "Leave empty"),
        (np.zeros((2, 0)), "at least one sample", "shape (2, 0)", "Leave empty"),
        (np.zeros((0, 9)), "at least one sample", "shape (0, 9)", "Leave empty"),
        (np.float32(1), "shape (n_samples,) or (n_channels, n_samples)", "shape ()", "one"),
        (np.zeros((1, 2, 9)), "shape (n_samples,)", "shape (1, 2, 9)", "one mixture"),
        (np.zeros(9, complex), "an array of real numbers", "dtype complex128", "floats"),
        (np.zeros(9, bool), "an array of real numbers", "dtype bool", "floats"),
        (np.zeros(9, object), "an array of real numbers", "dtype object", "floats"),
        ("text", "an array of real numbers", "dtype <U4", "floats"),
    ],
)
def test_what_is_no_audio_is_refused(values, expected, got, remedy):
    with pytest.raises(AudioError) as caught:
        as_audio(values, "X[0]")
    error = caught.value
    assert error.item == "X[0]"
    assert expected in error.expected
    assert error.got == got
    assert remedy in error.remedy


# ------------------------------------------------------------------------------ the files


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".WAV"])
@pytest.mark.parametrize(("subtype", "bits"), [("PCM_16", 16), ("PCM_24", 24)])
@pytest.mark.parametrize("shape", [(1,), (777,), (1, 50), (2, 777), (6, 50)])
def test_files_are_read_back_to_their_depth(tmp_path, suffix, subtype, bits, shape):
    audio = noise(*shape)
    path = write_audio(tmp_path / f"x{suffix}", audio, 44100, subtype)
    assert path == tmp_path / f"x{suffix}"
    back, rate = read_audio(path)
    assert rate == 44100
    assert back.dtype == np.float32
    mono = shape[0] if len(shape) == 1 or shape[0] == 1 else 0
    assert back.shape == (audio.reshape(-1).shape if mono else shape)
    assert np.abs(back - audio).max() <= 2.0 ** (1 - bits)


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_float_files_keep_what_is_louder_than_full_scale(tmp_path, subtype):
    audio = 3 * noise(2, 500)
    back, _ = read_audio(write_audio(tmp_path / "x.wav", audio, RATE, subtype))
    np.testing.assert_array_equal(back, audio)


def test_the_header_is_read_alone(tmp_path):
    path = write_audio(tmp_path / "x.flac", noise(2, 321), 22050)
    assert audio_info(path) == (22050, 2, 321)
    assert audio_info(os.fspath(path)).n_samples == 321


def test_a_stretch_equals_the_slice(tmp_path):
    audio = noise(2, 4 * RATE)
    path = write_audio(tmp_path / "x.wav", audio, RATE, "FLOAT")
    stretch, _ = read_audio(path, start=1.25, duration=0.5)
    np.testing.assert_array_equal(stretch, audio[:, 20000:28000])
    rest, _ = read_audio(path, start=3.5)
    np.testing.assert_array_equal(rest, audio[:, 56000:])


def test_reading_at_another_rate_resamples(tmp_path):
    audio = noise(2, 4410)
    path = write_audio(tmp_path / "x.wav", audio, 44100, "FLOAT")
    back, rate = read_audio(path, sample_rate=RATE)
    assert rate == RATE
    np.testing.assert_array_equal(back, resample(audio, 44100, RATE))


@pytest.mark.parametrize(
    ("start", "duration", "got"),
    [
        (2.0, None, "2 s to the end"),
        (0.5, 0.6, "0.5 s to 1.1 s"),
        (5.0, 1.0, "5 s to 6 s"),
        (0.0, 1e-9, "0 s to 1e-09 s"),
    ],
)
def test_a_stretch_outside_the_file_is_refused(tmp_path, start, duration, got):
    path = write_audio(tmp_path / "x.wav", noise(RATE), RATE)
    with pytest.raises(AudioError) as caught:
        read_audio(path, start, duration)
    assert caught.value.item == str(path)
    assert caught.value.expected == "a stretch within its 1.000 s"
    assert caught.value.got == got


@pytest.mark.parametrize("read", [audio_info, read_audio])
@pytest.mark.parametrize("kind", ["missing", "folder", "text", "empty", "noise", "header"])
def test_what_is_no_audio_file_is_refused(tmp_path, capfd, read, kind):
    path = tmp_path / "x.wav"
    if kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("dear reader, this is no music\n" * 50)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "noise":
        path.write_bytes(np.random.default_rng(0).bytes(5000))
    elif kind == "header":
        path.write_bytes(b"RIFF\xff\xff\xff\xffWAVEfmt ")
    with pytest.raises(AudioError) as caught:
        read(path)
    assert caught.value.item == str(path)
    assert caught.value.expected == "an audio file"
    if kind in ("missing", "folder"):
        assert caught.value.got == {"missing": "nothing there", "folder": "a directory"}[kind]
    assert caught.value.remedy
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_a_file_that_ends_before_its_header_says_is_refused(tmp_path, suffix):
    whole = write_audio(tmp_path / f"whole{suffix}", noise(20 * RATE), RATE)
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(AudioError, match=rf"cut\{suffix}: expected"):
        read_audio(cut)


def test_a_file_with_nan_in_it_is_refused(tmp_path):
    audio = noise(100)
    audio[42] = np.nan
    soundfile.write(tmp_path / "x.wav", audio, RATE, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"x\.wav: expected finite samples, got nan at sample 42"):
        read_audio(tmp_path / "x.wav")


@pytest.mark.parametrize(
    "name", ["04 絆ふぉーえばー.wav", "ű.wav", 'it\'s "quoted".wav', "two\nlines.wav", "-x.wav"]
)
def test_any_name_will_do(tmp_path, name):
    audio = noise(100)
    path = write_audio(tmp_path / name, audio, RATE, "FLOAT")
    np.testing.assert_array_equal(read_audio(path)[0], audio)


@pytest.mark.parametrize("name", ["x.mp3", "x", "x.wav.txt"])
def test_only_wav_and_flac_are_written(tmp_path, name):
    with pytest.raises(AudioError, match=r"expected a name that ends in \.wav or \.flac"):
        write_audio(tmp_path / name, noise(10), RATE)
    assert [*tmp_path.iterdir()] == []


def test_what_would_clip_is_not_written(tmp_path):
    with pytest.raises(AudioError, match=r"expected samples within \[-1, 1\], got 1.500"):
        write_audio(tmp_path / "x.wav", np.array([0.0, -1.5]), RATE)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("name", "subtype"), [("x.wav", "NONSENSE"), ("x.flac", "FLOAT"), ("x.flac", "VORBIS")]
)
def test_a_sample_format_that_the_file_cannot_have_is_refused(tmp_path, name, subtype):
    with pytest.raises(AudioError, match=subtype):
        write_audio(tmp_path / name, noise(10), RATE, subtype)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("where", ["os.replace", "os.fsync", "soundfile.SoundFile.write"])
def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch, where):
    path = write_audio(tmp_path / "x.wav", noise(100), RATE)
    before = path.read_bytes()

    def fail(*args, **kwargs):
        raise OSError("No space left on device")

    def half(file, data):
        os.truncate(file.name, 4)
        fail()

    monkeypatch.setattr(where, half if where == "soundfile.SoundFile.write" else fail)
    with pytest.raises(OSError, match="No space"):
        write_audio(path, noise(100, seed=1), RATE)
    assert path.read_bytes() == before
    assert [*tmp_path.iterdir()] == [path]


# ----------------------------------------------------------------- resampling and the rest


@given(
    st.integers(1, 3000),
    st.sampled_from([(16000, 44100), (44100, 16000), (48000, 8000), (22050, 16000), (8000, 8001)]),
    st.sampled_from([(), (1,), (2,), (3, 2)]),
)
def test_resampling_gives_the_exact_length(n_samples, rates, leading):
    audio = noise(*leading, n_samples)
    before = audio.copy()
    result = resample(audio, *rates)
    assert result.dtype == np.float32
    assert result.shape == (*leading, max(1, round(n_samples * rates[1] / rates[0])))
    assert np.isfinite(result).all()
    np.testing.assert_array_equal(audio, before)
    assert resample(audio, *rates, n_samples=777).shape == (*leading, 777)


@given(st.integers(1, 3000))
def test_resampling_there_and_back_restores_the_length(n_samples):
    audio = noise(n_samples)
    back = resample(resample(audio, 44100, 16000), 16000, 44100, n_samples)
    assert back.shape == audio.shape


def test_resampling_keeps_a_sine():
    def sine(rate):
        return np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32)

    middle = slice(2000, -2000)
    result = resample(np.stack([sine(44100), 0 * sine(44100)]), 44100, 16000)
    np.testing.assert_allclose(result[0, middle], sine(16000)[middle], atol=1e-4)
    assert not result[1].any()


def test_the_same_rate_changes_nothing():
    audio = noise(2, 100)
    np.testing.assert_array_equal(resample(audio, RATE, RATE), audio)


@given(st.integers(1, 50), st.integers(1, 50))
def test_fit_length_cuts_or_pads_with_silence(n_samples, wanted):
    audio = noise(2, n_samples)
    fitted = fit_length(audio, wanted)
    common = min(n_samples, wanted)
    assert fitted.shape == (2, wanted)
    np.testing.assert_array_equal(fitted[:, :common], audio[:, :common])
    assert not fitted[:, common:].any()


def test_rms_of_known_signals():
    assert rms(np.full((2, 100), -0.5, np.float32)) == 0.5
    assert rms(np.array([3.0, -4.0], np.float32)) == pytest.approx(np.sqrt(12.5))
    assert rms(np.zeros(5, np.float32)) == 0
    loud = np.full(10, 1e30, np.float32)  # its square overflows single precision
    assert rms(loud) == pytest.approx(1e30)
    assert rms(np.full(10, 1e-30, np.float32)) == pytest.approx(1e-30)
