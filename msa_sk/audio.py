"""Audio files in and out, resampling, and the one gate that every array of samples passes.

Audio is ``(n_samples,)`` or ``(n_channels, n_samples)``, float32, full scale at 1.
"""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from msa_sk._arguments import check_path, check_value
from msa_sk._containers import samples_left
from msa_sk._files import atomic_path
from msa_sk._sklearn import real
from msa_sk.exceptions import AudioError

if TYPE_CHECKING:
    from soundfile import SoundFile

MAX_CHANNELS = 32
MIN_RATE, MAX_RATE = 1000, 384_000
LOUDEST = 1e34  # of a sample: spectra of what is louder overflow single precision

_MAX_WAV = 2**32 - 2**16  # bytes of samples: sizes in a WAV file have 32 bits
_MAX_PACKED = 2**14  # samples in a byte: silence in FLAC has half as many
_MP3_LEAD = 16 * 1152  # samples: after a jump, frames that lean on those before are silent
_READ_REMEDY = "Convert it to WAV or FLAC, or leave it out."


class AudioInfo(NamedTuple):
    """What a file's header says."""

    sample_rate: int
    n_channels: int
    n_samples: int


def check_rate(rate: object, item: str) -> int:
    """Return a sampling rate in Hz as an int, or refuse it."""
    expected = f"a sampling rate in whole Hz from {MIN_RATE} to {MAX_RATE}"
    if isinstance(rate, bool) or not isinstance(rate, int | float | np.integer | np.floating):
        raise AudioError(item, expected, repr(rate), "Pass the rate as a number.")
    if not (MIN_RATE <= rate <= MAX_RATE) or rate != int(rate):
        raise AudioError(item, expected, repr(rate), "Check where the rate was read.")
    return int(rate)


def as_audio(values: object, item: str) -> np.ndarray:
    """Return samples as a finite float32 array, or refuse them.

    Parameters
    ----------
    values : array-like of shape (n_samples,) or (n_channels, n_samples)
        Floats are taken as they are; integers are divided by their type's range
        (int16 by 2**15, int32 by 2**31; uint8 is centred at 128 first).
    item : str
        The name under which an error reports the array.

    Returns
    -------
    audio : ndarray of float32, same shape
        A new array unless `values` is float32 already; never modified by this package.

    Raises
    ------
    AudioError
        If the array is empty, holds NaN, infinity or more than 1e34, is no number, has another
        number of axes, or more than 32 channels (it is then most likely transposed).
    """
    if hasattr(values, "detach"):  # a torch tensor, perhaps one that requires grad
        values = values.detach().cpu()
    array = np.asarray(values)
    shape_wanted = "shape (n_samples,) or (n_channels, n_samples)"
    if array.dtype.kind not in "fiu":
        raise AudioError(
            item,
            "an array of real numbers",
            f"dtype {array.dtype}",
            "Pass the samples as floats or integers.",
        )
    if array.dtype.kind in "iu" and array.dtype.itemsize > 4:
        raise AudioError(
            item,
            "integers of at most 32 bits, as audio files have",
            f"dtype {array.dtype}",
            "Convert the samples to their own type or to float.",
        )
    if array.ndim not in (1, 2):
        raise AudioError(
            item, shape_wanted, f"shape {array.shape}", "Pass one mixture per element."
        )
    if array.ndim == 2 and array.shape[0] > MAX_CHANNELS:
        raise AudioError(
            item,
            f"at most {MAX_CHANNELS} channels in {shape_wanted}",
            f"shape {array.shape}",
            "Is it transposed? Pass audio.T.",
        )
    if array.size == 0:
        raise AudioError(
            item, "at least one sample", f"shape {array.shape}", "Leave empty recordings out."
        )
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # what float32 cannot hold is reported as infinite
            audio = array.astype(np.float32, copy=False)
        if not (audio.min() >= -LOUDEST and audio.max() <= LOUDEST):  # NaN is neither
            raise _beyond(array, audio, item)
        return audio
    if array.dtype.kind == "u":
        half = 2.0 ** (8 * array.dtype.itemsize - 1)
        return ((array.astype(np.float64) - half) / half).astype(np.float32)
    return (array / 2.0 ** (8 * array.dtype.itemsize - 1)).astype(np.float32)


def _beyond(array: np.ndarray, audio: np.ndarray, item: str) -> AudioError:
    """Return the error for samples that are not finite, or too loud, and where it is so."""
    finite = np.isfinite(audio)
    expected, remedy = "finite samples", "Repair or leave out this recording."
    where = np.unravel_index(finite.argmin(), audio.shape)
    if finite.all():
        expected, remedy = f"samples up to {LOUDEST:g}", "Divide it by its peak: full scale is 1."
        where = np.unravel_index(np.abs(audio).argmax(), audio.shape)
    channel = f" of channel {where[0]}" if array.ndim == 2 else ""
    return AudioError(item, expected, f"{array[where]:g} at sample {where[-1]}{channel}", remedy)


def audio_info(path: str | os.PathLike) -> AudioInfo:
    """Read the header of an audio file.

    Raises
    ------
    ParameterError
        If it is no path.
    AudioError
        If there is no such file, or it is not audio, or ends before its header says.
    """
    check_path(path)
    try:
        found = os.stat(path)
    except (OSError, ValueError):  # a name may hold what no name can
        raise _no_file(path, "nothing there") from None
    if not stat.S_ISREG(found.st_mode):
        got = "a directory" if stat.S_ISDIR(found.st_mode) else "no regular file"
        raise _no_file(path, got)
    return _header(os.fspath(path), found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=4096)
def _header(path: str, mtime_ns: int, size: int) -> AudioInfo:
    """Read a header once for each version of a file: excerpts ask for it again and again."""
    _check_whole(path)
    with reading(path) as file:
        rate, n_channels, n_samples = file.samplerate, file.channels, file.frames
    if n_channels > MAX_CHANNELS:
        raise AudioError(path, f"at most {MAX_CHANNELS} channels", str(n_channels), _READ_REMEDY)
    if n_samples > size * _MAX_PACKED:
        raise AudioError(
            path, "an audio file", f"{n_samples} samples in {size} bytes", _READ_REMEDY
        )
    if n_samples < 1:
        raise AudioError(path, "at least one sample", "none", "Leave empty recordings out.")
    return AudioInfo(check_rate(rate, path), n_channels, n_samples)


def _check_whole(path: str) -> None:
    """Refuse a file that was cut off, of which libsndfile reads what is left."""
    found = samples_left(path)
    if found is not None and found[1] < found[0]:
        raise _cut_off(path, f"{found[0]} bytes of samples", str(found[1]))


def read_audio(
    path: str | os.PathLike,
    start: float = 0.0,
    duration: float | None = None,
    sample_rate: int | None = None,
) -> tuple[np.ndarray, int]:
    """Read a file, or a stretch of it.

    Parameters
    ----------
    path : path-like
        WAV, FLAC, OGG, MP3 and whatever else libsndfile reads.
    start, duration : float, default=0.0, None
        In seconds; None reads to the end.
    sample_rate : int, default=None
        Resample to this rate in Hz; None keeps the file's.

    Returns
    -------
    audio : ndarray of float32, shape (n_samples,) or (n_channels, n_samples)
    sample_rate : int

    Raises
    ------
    AudioError
        If the file is missing, not audio, or the stretch reaches past its end.
    """
    if sample_rate is not None:
        sample_rate = check_rate(sample_rate, "sample_rate")
    first, n_samples = check_stretch(path, start, duration)
    with reading(path) as file:
        audio, rate = read_samples(file, first, n_samples, str(path)), file.samplerate
    if sample_rate is not None and sample_rate != rate:
        return resample(audio, rate, sample_rate), sample_rate
    return audio, rate


def check_stretch(
    path: str | os.PathLike, start: float, duration: float | None
) -> tuple[int, int]:
    """Return the first sample and the number of samples of a stretch of a file; seconds.

    Raises
    ------
    AudioError
        If the file is missing, not audio, or the stretch reaches past its end.
    """
    info = audio_info(path)
    check_value(start, "read_audio(start)", real(0), remedy="Pass seconds.")
    check_value(duration, "read_audio(duration)", real(0), None, remedy="Pass seconds.")
    first = round(start * info.sample_rate)
    n_samples = info.n_samples - first if duration is None else round(duration * info.sample_rate)
    # Times that were rounded at a lower rate may reach past the end, by a millisecond at most.
    excess = first + n_samples - info.n_samples
    n_samples -= max(0, excess)
    if first < 0 or n_samples <= 0 or excess > max(1, info.sample_rate // MIN_RATE):
        length = info.n_samples / info.sample_rate
        stretch = f"{start:g} s to " + (
            "the end" if duration is None else f"{start + duration:g} s"
        )
        raise AudioError(
            str(path), f"a stretch within its {length:.3f} s", stretch, "Shorten the clip."
        )
    return first, n_samples


@contextmanager
def reading(path: str | os.PathLike) -> Iterator["SoundFile"]:
    """Open a file, and say which one it is that libsndfile cannot read."""
    import soundfile

    try:
        with soundfile.SoundFile(_native(path)) as file:
            yield file
    except (soundfile.LibsndfileError, RuntimeError) as error:
        got = getattr(error, "error_string", str(error))
        raise AudioError(str(path), "an audio file", got, _READ_REMEDY) from error


def read_samples(file: "SoundFile", first: int, n_samples: int, item: str) -> np.ndarray:
    """Return so many samples of an open file, from the `first` on, or refuse it.

    Returns
    -------
    audio : ndarray of float32, shape (n_samples,) or (n_channels, n_samples)
    """
    lead = min(first, _MP3_LEAD) if file.format == "MP3" else 0
    file.seek(first - lead)
    try:
        audio = file.read(lead + n_samples, dtype="float32", always_2d=True)[lead:]
    except MemoryError as error:
        got = f"{n_samples} of {file.channels} channels"
        raise AudioError(
            item, "samples that fit into memory", got, "Read it in parts: Clip(path, start, ...)."
        ) from error
    if len(audio) < n_samples:
        raise _cut_off(item, f"{n_samples} samples", str(len(audio)))
    return as_audio(np.ascontiguousarray(audio.T) if file.channels > 1 else audio[:, 0], item)


def write_audio(
    path: str | os.PathLike, audio: np.ndarray, sample_rate: int, subtype: str = "PCM_24"
) -> Path:
    """Write a WAV or FLAC file, whole or not at all.

    Parameters
    ----------
    path : path-like
        The suffix, .wav or .flac, chooses the format.
    audio : ndarray of shape (n_samples,) or (n_channels, n_samples)
    sample_rate : int
        In Hz.
    subtype : str, default="PCM_24"
        libsndfile's name of the sample format.

    Raises
    ------
    AudioError
        If the suffix is another, the file cannot have the sample format, or an integer
        format would clip.
    InputError
        If the path is a folder, or its folder is not there.
    """
    import soundfile

    path = check_path(path)
    if path.suffix.lower() not in (".wav", ".flac"):
        raise AudioError(
            str(path),
            "a name that ends in .wav or .flac",
            path.suffix or "none",
            "Rename the output.",
        )
    if subtype not in soundfile.available_subtypes(path.suffix[1:]):
        raise AudioError(
            str(path),
            f"a sample format from {sorted(soundfile.available_subtypes(path.suffix[1:]))}",
            repr(subtype),
            "Choose one of them, or another suffix.",
        )
    sample_rate = check_rate(sample_rate, "sample_rate")
    audio = as_audio(audio, str(path))
    if subtype.startswith("PCM") and np.abs(audio).max() > 1:
        raise AudioError(
            str(path),
            "samples within [-1, 1]",
            f"{np.abs(audio).max():.3f}",
            "Scale the audio, or write subtype='FLOAT'.",
        )
    n_channels = 1 if audio.ndim == 1 else len(audio)
    with atomic_path(path) as temporary:
        write_blocks(temporary, [audio], sample_rate, n_channels, audio.shape[-1], subtype)
    return path


def write_blocks(
    path: Path,
    blocks: Iterable[np.ndarray],
    sample_rate: int,
    n_channels: int,
    n_samples: int,
    subtype: str,
) -> None:
    """Write a WAV or FLAC file block by block; what is too long for WAV as RF64.

    Parameters
    ----------
    path : Path
        A temporary one: the file grows, and who makes it removes it after an error.
    blocks : iterable of ndarray of shape (n_samples,) or (n_channels, n_samples)
    sample_rate : int
        In Hz.
    n_channels, n_samples : int
        Of the whole.
    subtype : str
        libsndfile's name of the sample format.

    Raises
    ------
    AudioError
        If the file cannot be so long in this sample format, or has not become whole: the disk
        may be full.
    """
    import soundfile

    container = path.suffix[1:].upper()
    if container == "WAV" and n_samples * n_channels * sample_bytes(subtype) > _MAX_WAV:
        container = "RF64"
        if subtype not in soundfile.available_subtypes(container):
            raise AudioError(
                str(path), "less than 4 GB", f"more, as {subtype}", "Write 'PCM_24' or 'FLOAT'."
            )
    try:
        with soundfile.SoundFile(
            _native(path), "w", sample_rate, n_channels, subtype, format=container
        ) as file:
            for block in blocks:
                file.write(block.T)
        written = soundfile.info(_native(path)).frames
    # soundfile asserts that all was written.
    except (soundfile.LibsndfileError, AssertionError, RuntimeError) as error:
        raise _not_whole(path, str(error)) from error
    if written != n_samples:
        raise _not_whole(path, f"{written} samples")


def sample_bytes(subtype: str) -> int:
    """Return how many bytes a sample takes at most."""
    sizes = {"PCM_16": 2, "PCM_24": 3, "PCM_U8": 1, "DOUBLE": 8}
    return sizes.get(subtype, 4)


def _not_whole(path: Path, got: str) -> AudioError:
    return AudioError(
        str(path),
        "all samples written",
        got or "fewer",
        "See whether the disk is full; nothing of it was kept.",
    )


def resample(
    audio: np.ndarray, rate: int, new_rate: int, n_samples: int | None = None
) -> np.ndarray:
    """Resample along the last axis.

    Parameters
    ----------
    audio : ndarray of shape (..., n_samples)
    rate, new_rate : int
        In Hz.
    n_samples : int, default=None
        Cut or zero-pad the result to this length; None gives round(n_samples x ratio), at
        least one sample.

    Returns
    -------
    resampled : ndarray of float32, shape (..., n_samples)
    """
    import soxr

    if rate != new_rate:
        channels = audio.reshape(-1, audio.shape[-1])
        wanted = max(1, round(audio.shape[-1] * new_rate / rate))
        columns = soxr.resample(np.ascontiguousarray(channels.T), rate, new_rate, quality="HQ")
        resampled = fit_length(columns.T.astype(np.float32, copy=False), wanted)
        audio = resampled.reshape(*audio.shape[:-1], wanted)
    return audio if n_samples is None else fit_length(audio, n_samples)


def rms(audio: np.ndarray) -> float:
    """Return the root mean square over all samples and channels."""
    return float(np.sqrt(np.mean(np.square(audio, dtype=np.float64))))


def fit_length(audio: np.ndarray, n_samples: int) -> np.ndarray:
    """Cut or zero-pad the last axis to `n_samples`."""
    missing = n_samples - audio.shape[-1]
    if missing <= 0:
        return audio[..., :n_samples]
    return np.pad(audio, [(0, 0)] * (audio.ndim - 1) + [(0, missing)])


def _native(path: str | os.PathLike) -> str | bytes:
    """Return a name as the system has it: where that is bytes, they may be no UTF-8."""
    return os.fspath(path) if os.name == "nt" else os.fsencode(path)


def _cut_off(item: str, declared: str, got: str) -> AudioError:
    return AudioError(
        item,
        f"{declared}, as its header says",
        f"{got}: it was cut off",
        "Copy it again, or save what is left of it anew.",
    )


def _no_file(path: str | os.PathLike, got: str) -> AudioError:
    return AudioError(os.fspath(path), "an audio file", got, "Check the path.")
