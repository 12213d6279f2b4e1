"""Mixtures of any length by blocks: read, summed and resampled, bit for bit as if in one piece."""

import math
import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from msa_sk.audio import as_audio, check_stretch, fit_length, read_samples, reading
from msa_sk.clips import Clip, clips_of
from msa_sk.records import Mixture

_BLOCK = 2**17  # samples


class ResampleStream:
    """Resample what comes in pieces, as `msa_sk.audio.resample` does the whole.

    Parameters
    ----------
    rate, new_rate : int
        In Hz.
    n_samples : int
        How many will have come out in the end: the rest is cut, or zeros.
    """

    def __init__(self, rate: int, new_rate: int, n_samples: int):
        self.rates = (rate, new_rate)
        self.n_left = n_samples
        self._stream: Any = None

    def push(self, block: np.ndarray, last: bool = False) -> np.ndarray:
        """Return what is ready; (..., n_samples) in and out. The last gives all that is left."""
        if self.rates[0] != self.rates[1]:
            block = self._resampled(block, last)
        block = block[..., : self.n_left]
        if last:
            block = fit_length(block, self.n_left)
        self.n_left -= block.shape[-1]
        return block

    def _resampled(self, block: np.ndarray, last: bool) -> np.ndarray:
        import soxr

        n_channels = math.prod(block.shape[:-1])
        if self._stream is None:
            self._stream = soxr.ResampleStream(*self.rates, n_channels, "float32", "HQ")
        columns = np.ascontiguousarray(block.reshape(n_channels, block.shape[-1]).T)
        ready = self._stream.resample_chunk(columns, last=last)
        return ready.T.reshape(*block.shape[:-1], len(ready))


def read_blocks(mixture: Mixture, sample_rate: int | None = None) -> Iterator[np.ndarray]:
    """Give the samples that `Mixture.read` returns, block by block.

    Parameters
    ----------
    mixture : Mixture
    sample_rate : int, default=None
        In Hz; None is the mixture's own. Clips of other rates are brought to that one first,
        and then, all together, to this.

    Returns
    -------
    blocks : iterator of ndarray of float32, shape (n_samples,) or (n_channels, n_samples)

    Raises
    ------
    AudioError
        As `Mixture.read` does, at the block that is wrong.
    """
    rate, n_samples = mixture.rate, mixture.n_samples
    clips = clips_of(mixture.audio)
    if clips is None:
        samples = as_audio(mixture.audio, repr(mixture))
        blocks = (samples[..., i : i + _BLOCK] for i in range(0, n_samples, _BLOCK))
    else:
        parts = (_sized(_clip_blocks(clip, rate), n_samples) for clip in clips)
        blocks = (sum(part[1:], start=part[0]) for part in zip(*parts, strict=True))
    if sample_rate in (None, rate):
        return blocks
    wanted = max(1, round(n_samples * sample_rate / rate))
    return _resampled(blocks, rate, sample_rate, wanted)


def _clip_blocks(clip: Clip, rate: int) -> Iterator[np.ndarray]:
    blocks = (clip.shape_samples(block) for block in _file_blocks(clip))
    if rate == clip.sample_rate:
        return blocks
    return _resampled(blocks, clip.sample_rate, rate, clip.n_samples(rate))


def _file_blocks(clip: Clip) -> Iterator[np.ndarray]:
    first, n_samples = check_stretch(clip.path, clip.start, clip.duration)
    with reading(clip.path) as file:
        for start in range(0, n_samples, _BLOCK):
            size = min(_BLOCK, n_samples - start)
            where = f"{os.fspath(clip.path)} from {(first + start) / file.samplerate:.1f} s"
            yield read_samples(file, first + start, size, where)


def _sized(blocks: Iterable[np.ndarray], n_samples: int) -> Iterator[np.ndarray]:
    """Give blocks of equal size, cut or filled up with zeros to so many samples in all."""
    held, n_left = next(blocks := iter(blocks)), n_samples
    while n_left:
        size = min(_BLOCK, n_left)
        while held.shape[-1] < size and (more := next(blocks, None)) is not None:
            held = np.concatenate([held, more], axis=-1)
        yield fit_length(held, size)
        held = held[..., size:]
        n_left -= size


def _resampled(
    blocks: Iterable[np.ndarray], rate: int, new_rate: int, n_samples: int
) -> Iterator[np.ndarray]:
    stream = ResampleStream(rate, new_rate, n_samples)
    for block in blocks:
        yield stream.push(block)
    yield stream.push(block[..., :0], last=True)
