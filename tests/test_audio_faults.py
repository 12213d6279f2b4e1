"""Audio files that users of such systems have really met: read as they are, or refused by name.

Tests are numbered as in the project's list of faults, A1 to A23: those about files. Those about
samples are in test_audio.py, those about estimators in msa_sk.testing.
"""

import os
import struct
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import soundfile

from msa_sk import Mixture
from msa_sk.audio import MAX_CHANNELS, audio_info, read_audio, write_audio
from msa_sk.exceptions import AudioError, ParameterError
from msa_sk.streams import read_blocks

RATE = 16000

FORMATS = {  # suffix: (container, sample format, largest error)
    "u8.wav": ("WAV", "PCM_U8", 2**-7),
    "16.wav": ("WAV", "PCM_16", 2**-15),
    "24.wav": ("WAV", "PCM_24", 2**-23),
    "32.wav": ("WAV", "PCM_32", 2**-24),  # as exact as float32 is
    "float.wav": ("WAV", "FLOAT", 0),
    "double.wav": ("WAV", "DOUBLE", 0),
    "x.wav": ("WAVEX", "PCM_24", 2**-23),
    "rf64.wav": ("RF64", "PCM_24", 2**-23),
    "w64": ("W64", "PCM_24", 2**-23),
    "aiff": ("AIFF", "PCM_16", 2**-15),
    "16.flac": ("FLAC", "PCM_16", 2**-15),
    "24.flac": ("FLAC", "PCM_24", 2**-23),
    "ogg": ("OGG", "VORBIS", 0.05),
    "mp3": ("MP3", "MPEG_LAYER_III", 0.05),
}
# Ogg declares no length: what is left of it is read.
WITH_LENGTH = [name for name in FORMATS if name != "ogg"]


def tones(n_samples=2 * RATE):
    """Return two channels of tones, which lossy formats keep well."""
    times = np.arange(n_samples) / RATE
    return np.stack([0.5 * np.sin(2 * np.pi * f * times) for f in (440, 1000)]).astype(np.float32)


@pytest.fixture
def make(tmp_path):
    """Return a function that writes a file of a kind and returns its path and its bytes."""

    def make(name, audio=None):
        container, subtype, _ = FORMATS[name]
        path = tmp_path / f"file.{name}"
        audio = tones() if audio is None else audio
        soundfile.write(path, audio.T, RATE, subtype=subtype, format=container)
        return path, bytearray(path.read_bytes())

    return make


def refused(path, expected, got="", read=read_audio):
    """Refuse a file within a second; the message names it."""
    start = time.process_time()
    with pytest.raises(AudioError, match=expected) as caught:
        read(path)
    assert time.process_time() - start < 1
    assert caught.value.item == str(path)
    assert got in caught.value.got
    assert caught.value.remedy


def test_a1_files_without_samples_are_refused(make):
    path, _ = make("16.wav", np.zeros((2, 0), np.float32))
    refused(path, "expected at least one sample, got none")
    refused(path, "expected at least one sample, got none", read=audio_info)


def test_a2_one_sample_is_enough(tmp_path):
    path = write_audio(tmp_path / "x.wav", np.array([0.5]), RATE)
    assert read_audio(path)[0].tolist() == [0.5]
    assert read_audio(path, sample_rate=44100)[0].shape == (3,)


@pytest.mark.parametrize("scale", [1e-30, 1e-40, 100.0, 1e30])
def test_a9_quiet_and_loud_floats_stay_what_they_are(tmp_path, scale):
    audio = tones(100) * np.float32(scale)
    np.testing.assert_array_equal(
        read_audio(write_audio(tmp_path / "x.wav", audio, RATE, "FLOAT"))[0], audio
    )


@pytest.mark.parametrize("name", FORMATS)
def test_a11_every_format_is_read_to_its_depth(make, name):
    path, _ = make(name)
    audio, rate = read_audio(path)
    assert (rate, audio.shape) == (RATE, (2, 2 * RATE))
    inner = slice(2000, -2000) if name in ("ogg", "mp3") else slice(None)
    assert np.abs(audio - tones())[:, inner].max() <= FORMATS[name][2]
    assert audio_info(path) == (RATE, 2, 2 * RATE)
    stretch, _ = read_audio(path, 0.5, 0.25)
    np.testing.assert_allclose(stretch, audio[:, RATE // 2 : 3 * RATE // 4], atol=1e-6)


@pytest.mark.parametrize("name", ["mp3", "ogg", "24.flac"])
def test_stretches_and_blocks_of_packed_files_equal_the_whole(make, name):
    path, _ = make(name, tones(20 * RATE))  # more than one block
    whole, _ = read_audio(path)
    for start in (0.0, 0.01, 0.25, 1.234, 17.0):
        first, stretch = round(start * RATE), read_audio(path, start, 1.5)[0]
        np.testing.assert_allclose(stretch, whole[:, first : first + 24000], atol=1e-6)
    blocks = np.concatenate(list(read_blocks(Mixture(path))), axis=-1)
    np.testing.assert_allclose(blocks, whole, atol=1e-6)


def test_a11_24_bits_are_written_by_default(tmp_path):
    for suffix in ("wav", "flac"):
        path = write_audio(tmp_path / f"x.{suffix}", tones(), RATE)
        assert soundfile.info(path).subtype == "PCM_24"


@pytest.mark.parametrize("rate", [0, 1, 999, 655350, 2**31 - 1])
def test_a16_silly_rates_in_a_header_are_refused(make, rate):
    path, content = make("16.wav")
    content[24:28] = struct.pack("<I", rate)
    path.write_bytes(content)
    refused(path, "a sampling rate in whole Hz" if rate else "an audio file")


@pytest.mark.parametrize("name", WITH_LENGTH)
@pytest.mark.parametrize("share", [0.3, 0.98])
def test_a17_what_was_cut_off_is_refused_quietly(make, capfd, name, share):
    path, content = make(name)
    path.write_bytes(content[: int(len(content) * share)])
    refused(path, "as its header says, got .*: it was cut off|lost sync")
    assert capfd.readouterr().err == ""


def test_a17_the_rest_of_a_cut_off_mixture_is_not_taken_for_it(make):
    path, content = make("24.flac")
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(AudioError):
        Mixture(path).read()


def test_a17_a_stream_of_unknown_length_is_read(make):
    path, content = make("16.wav")
    at = content.index(b"data") + 4
    content[at : at + 4] = b"\xff" * 4  # as programs do that write into a pipe
    path.write_bytes(content)
    assert read_audio(path)[0].shape == (2, 2 * RATE)


def test_a17_chunks_around_the_samples_do_no_harm(make):
    path, content = make("16.wav")
    odd = b"junk" + struct.pack("<I", 3) + b"abc\0"
    at = content.index(b"data")
    path.write_bytes(content[:at] + odd + content[at:] + odd)
    assert read_audio(path)[0].shape == (2, 2 * RATE)
    tagged = b"ID3\x04\0\0" + bytes([0, 0, 1, 0]) + bytes(128)
    path, content = make("mp3")
    path.write_bytes(tagged + content)
    assert read_audio(path)[0].shape == (2, 2 * RATE)
    path.write_bytes(tagged + content[: len(content) // 2])
    refused(path, "it was cut off")


def test_a18_flipped_bits_in_flac_are_found(make, capfd):
    path, content = make("16.flac")
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)
    refused(path, "an audio file")
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a18_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.wav")
    refused(tmp_path / "pipe.wav", "an audio file, got no regular file")


def test_a19_a_thousand_channels_are_refused(make):
    path, content = make("16.wav")
    content[22:24] = struct.pack("<H", 1000)
    path.write_bytes(content)
    refused(path, f"at most {MAX_CHANNELS} channels, got 1000")


def test_a19_more_samples_than_a_file_can_hold_are_refused(make):
    path, content = make("16.flac")
    content[21] |= 0x0F
    content[22:26] = b"\xff" * 4  # 2^36 - 1 samples
    path.write_bytes(content)
    refused(path, "an audio file", got=f"{2**36 - 1} samples in {len(content)} bytes")
    path, content = make("w64")
    at = content.index(b"data") + 16
    content[at : at + 8] = struct.pack("<q", 2**63 - 1)
    path.write_bytes(content)
    refused(path, "as its header says")


def run(code, *arguments):
    """Run code in a process of its own, which must end by itself."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="memory cannot be limited")
def test_a20_an_hour_of_silence_in_a_small_file_is_refused_where_memory_is_short(tmp_path):
    path = tmp_path / "hour.flac"
    with soundfile.SoundFile(path, "w", 44100, 2, "PCM_16") as file:
        for _ in range(60):
            file.write(np.zeros((60 * 44100, 2), np.int16))
    assert path.stat().st_size < 1e6
    assert audio_info(path).n_samples == 3600 * 44100
    out = run(
        """
        import resource, sys
        import numpy, soundfile, soxr
        from msa_sk.audio import read_audio
        from msa_sk.exceptions import AudioError

        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 500 * 2**20,) * 2)
        try:
            read_audio(sys.argv[1])
        except AudioError as error:
            print(error)
        print(read_audio(sys.argv[1], 1800.0, 5.0)[0].shape)
        """,
        path,
    )
    assert "expected samples that fit into memory, got 158760000 of 2 channels. Read it in" in out
    assert "(2, 220500)" in out


@pytest.mark.skipif(sys.platform != "linux", reason="names are text here")
@pytest.mark.parametrize("name", [b"\xff\xfe.wav", b"a" * 251 + b".wav", "űさ.wav".encode()])
def test_a21_any_name_that_the_system_takes_is_written_and_read(tmp_path, name):
    path = os.fsdecode(os.path.join(os.fsencode(tmp_path), name))
    audio = tones(100)
    write_audio(path, audio, RATE, "FLOAT")
    assert os.listdir(os.fsencode(tmp_path)) == [name]
    np.testing.assert_array_equal(read_audio(path)[0], audio)
    np.testing.assert_array_equal(Mixture(path).read(), audio)


def test_a21_names_that_no_file_can_have_are_refused(tmp_path):
    refused(tmp_path / ("a" * 300 + ".wav"), "an audio file, got nothing there")
    with pytest.raises(
        ParameterError, match="expected a path, got .*Leave the null character out"
    ):
        read_audio(f"{tmp_path}/x\0.wav")


def test_a23_two_thousand_damaged_files_end_in_typed_errors(make, tmp_path):
    kinds = ["24.wav", "16.flac", "ogg", "mp3", "w64"]
    paths = [make(kind, tones(2000))[0] for kind in kinds]
    out = run(
        """
        import sys, warnings
        from pathlib import Path
        import numpy as np
        from msa_sk.audio import read_audio
        from msa_sk.exceptions import AudioError

        rng, read, refused = np.random.default_rng(0), 0, 0
        damaged = Path(sys.argv[1])
        for whole in sys.argv[2:]:
            content = np.frombuffer(Path(whole).read_bytes(), np.uint8)
            for _ in range(400):
                one = content.copy()
                reach = 100 if rng.random() < 0.5 else len(one)  # headers are short
                at = rng.integers(0, reach, rng.integers(1, 8))
                one[at] = rng.integers(0, 256, len(at))
                if rng.random() < 0.3:
                    one = one[: rng.integers(0, len(one))]
                damaged.write_bytes(one.tobytes())
                try:
                    audio, rate = read_audio(damaged)
                except AudioError:
                    refused += 1
                else:
                    assert np.isfinite(audio).all() and audio.shape[-1] > 0
                    read += 1
        print(read, refused)
        """,
        tmp_path / "damaged",
        *paths,
    )
    read, refused = map(int, out.split())
    assert read + refused == 2000
    assert min(read, refused) > 200
