"""Clip: a stretch of an audio file; and what else may stand where audio is asked for."""

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from msa_sk._arguments import check_excerpt, is_finite
from msa_sk.audio import as_audio, audio_info, check_rate, fit_length, read_audio, resample
from msa_sk.exceptions import AudioError


@dataclass(frozen=True, eq=False, repr=False)
class Clip:
    """A stretch of an audio file, read when asked.

    Parameters
    ----------
    path : path-like
    start : float, default=0.0
        In seconds.
    duration : float, default=None
        In seconds; None reaches to the end of the file.
    gain : float, default=1.0
        The samples are multiplied by it.
    channel : int or tuple of int, default=None
        One channel of the file, counted from 0, or several in this order; None keeps them all.
    """

    path: str | os.PathLike
    start: float = 0.0
    duration: float | None = None
    gain: float = 1.0
    channel: int | tuple[int, ...] | None = None

    def __post_init__(self):
        problem = None
        if not isinstance(self.path, str | os.PathLike):
            problem = ("path", "a path", repr(self.path))
        elif not (is_finite(self.start) and self.start >= 0):
            problem = ("start", "seconds from 0", repr(self.start))
        elif self.duration is not None and not (is_finite(self.duration) and self.duration > 0):
            problem = ("duration", "seconds above 0, or None", repr(self.duration))
        elif not is_finite(self.gain):
            problem = ("gain", "a finite factor", repr(self.gain))
        elif self.channel is not None and not _is_channel(self.channel):
            problem = ("channel", "a channel counted from 0, or None", repr(self.channel))
        if problem:
            name, expected, got = problem
            raise AudioError(f"Clip({name}=)", expected, got, "Correct the clip.")

    def __repr__(self) -> str:
        end = "" if self.duration is None else f"{self.start + self.duration:.1f}"
        channel = "" if self.channel is None else f"; channel {self.channel}"
        return f"Clip({Path(self.path).name}; {self.start:.1f}-{end} s{channel})"

    @property
    def sample_rate(self) -> int:
        """The file's sampling rate in Hz."""
        return audio_info(self.path).sample_rate

    @property
    def n_channels(self) -> int:
        """How many channels `read` gives, from the file's header where `channel` is None."""
        if self.channel is None:
            return audio_info(self.path).n_channels
        return len(self.channel) if isinstance(self.channel, tuple) else 1

    def read(self, sample_rate: int | None = None) -> np.ndarray:
        """Return the samples as float32, at the file's rate or at another one."""
        audio, _ = read_audio(self.path, self.start, self.duration, sample_rate)
        return self.shape_samples(audio)

    def shape_samples(self, audio: np.ndarray) -> np.ndarray:
        """Return samples of the file as the clip has them: its channels, its gain."""
        if self.channel is not None:
            channels = np.atleast_2d(audio)
            if np.max(self.channel) >= len(channels):
                raise AudioError(
                    repr(self),
                    f"a channel below {len(channels)}, as the file has so many",
                    str(self.channel),
                    "Count channels from 0.",
                )
            audio = channels[np.asarray(self.channel)]
        return audio if self.gain == 1 else audio * np.float32(self.gain)

    def n_samples(self, sample_rate: int | None = None) -> int:
        """Return how many samples `read` will give, from the file's header alone."""
        info = audio_info(self.path)
        whole = info.n_samples - round(self.start * info.sample_rate)
        n = whole if self.duration is None else round(self.duration * info.sample_rate)
        n = min(n, whole)
        return (
            n
            if sample_rate in (None, info.sample_rate)
            else max(1, round(n * sample_rate / info.sample_rate))
        )

    @property
    def seconds(self) -> float:
        """How long it lasts, from the file's header where `duration` is None."""
        if self.duration is not None:
            return self.duration
        info = audio_info(self.path)
        return info.n_samples / info.sample_rate - self.start

    def excerpt(self, start: float, duration: float) -> "Clip":
        """Return a stretch of this stretch; seconds. It ends where this one does.

        Raises
        ------
        ParameterError
            If `start` is below 0 or `duration` not above 0.
        AudioError
            If this stretch has ended at `start`.
        """
        check_excerpt(start, duration)
        return _excerpt(self, start, duration)


@lru_cache(maxsize=64)
def _excerpt(clip: Clip, start: float, duration: float) -> Clip:
    """Return a stretch of a clip: for a mixture and for its scene the same object.

    So data sets hold each clip once, and send it to workers once.
    """
    left = clip.seconds - start
    if left <= 0:
        raise _outside(repr(clip), clip.seconds, start)
    return Clip(clip.path, clip.start + start, min(duration, left), clip.gain, clip.channel)


#: What may stand where audio is asked for: samples, a file, a stretch of one, a sum of stretches.
Audio = np.ndarray | str | os.PathLike | Clip | tuple


def clips_of(audio: Audio) -> tuple[Clip, ...] | None:
    """Return audio that lies in files as clips; None for samples in memory."""
    if isinstance(audio, Clip):
        return (audio,)
    if isinstance(audio, str | os.PathLike):
        return (Clip(audio),)
    if isinstance(audio, tuple):
        return audio
    return None


def check_audio_field(audio: object, item: str) -> None:
    """Refuse what cannot be audio; samples and files are looked at when they are read."""
    if isinstance(audio, tuple) and not (audio and all(isinstance(c, Clip) for c in audio)):
        raise AudioError(item, "a tuple of Clips", repr(audio)[:80], "Wrap the paths: Clip(path).")
    if not isinstance(audio, str | os.PathLike | Clip | tuple) and not hasattr(audio, "__array__"):
        raise AudioError(
            item,
            "an array, a path, a Clip or a tuple of Clips",
            type(audio).__name__,
            "Pass numpy.asarray(samples).",
        )
    if hasattr(audio, "__array__") and np.ndim(audio) not in (1, 2):
        raise AudioError(
            item,
            "shape (n_samples,) or (n_channels, n_samples)",
            f"shape {np.shape(audio)}",
            "Make one Mixture for each recording.",
        )


def read_any(audio: Audio, item: str, sample_rate: int | None, own_rate: int | None) -> np.ndarray:
    """Read any audio as float32, at `sample_rate` or, where that is None, at its own rate."""
    if sample_rate is not None:
        sample_rate = check_rate(sample_rate, "read(sample_rate)")
    clips = clips_of(audio)
    if clips is None:
        samples = as_audio(audio, item)
        if sample_rate is None or own_rate is None or sample_rate == own_rate:
            return samples
        return resample(samples, own_rate, sample_rate)
    target = sample_rate or own_rate or clips[0].sample_rate
    parts = [clip.read(target) for clip in clips]
    if len(parts) == 1:
        return parts[0]
    n_samples = max(part.shape[-1] for part in parts)
    return sum(
        (fit_length(part, n_samples) for part in parts[1:]), start=fit_length(parts[0], n_samples)
    )


def excerpt_any(audio: Audio, sample_rate: int | None, start: float, duration: float) -> Audio:
    """Return a stretch of any audio; seconds. Of files, nothing is read."""
    clips = clips_of(audio)
    if clips is None:
        samples = np.asarray(audio)
        if sample_rate is None:
            raise AudioError(
                "excerpt",
                "a mixture with a sample_rate",
                "none",
                "Pass Mixture(audio, sample_rate=...).",
            )
        first = round(start * sample_rate)
        if first >= samples.shape[-1]:
            raise _outside("excerpt", samples.shape[-1] / sample_rate, start)
        return samples[..., first : first + max(1, round(duration * sample_rate))]
    # Of a sum, clips that have ended by then are silent.
    sounding = [clip for clip in clips if clip.seconds > start] or clips
    return tuple(clip.excerpt(start, duration) for clip in sounding)


def _outside(item: str, seconds: float, start: float) -> AudioError:
    return AudioError(
        item, f"a start before {seconds:g} s", f"{start:g} s", "Cut within its length."
    )


def _is_channel(value: object) -> bool:
    channels = value if isinstance(value, tuple) and value else (value,)
    return all(isinstance(one, int) and one >= 0 for one in channels)
