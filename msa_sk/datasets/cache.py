"""Resampled copies of audio files, from which training reads many times faster."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from msa_sk._arguments import check_folder
from msa_sk._files import atomic_path
from msa_sk._jobs import share_out
from msa_sk._validation import check_mixtures, check_scenes
from msa_sk.audio import audio_info, check_rate, read_audio
from msa_sk.clips import Audio, Clip, clips_of, read_any
from msa_sk.records import Mixture, Scene

_RESAMPLING = "soxr HQ 1"  # is part of the copies' names: change it when the samples change


def cache_resampled(
    X: Any,
    y: Any,
    cache_dir: str | os.PathLike,
    sample_rate: int = 16000,
    *,
    n_jobs: int | None = 1,
    verbose: int = 0,
) -> tuple[list[Mixture], list[Scene]]:
    """Copy audio files once at the rate of a model, and let mixtures and scenes read the copies.

    Decoding and resampling make up most of the time that reading takes, and are done once here
    instead of in every epoch. Cut excerpts before or after: files are copied whole.

    Parameters
    ----------
    X : list of Mixture
    y : list of Scene
    cache_dir : path-like
        Made if needed. Copies are kept here as float32 WAV, named by the file and a hash of its
        content. What is there already is not written again, so an interrupted run goes on where
        it stopped.
    sample_rate : int, default=16000
        Of the copies, in Hz.
    n_jobs : int or None, default=1
        How many files are copied at a time, as in joblib; each is in memory whole.
    verbose : int, default=0
        Above 0, show progress if standard error is a terminal.

    Returns
    -------
    X_cached : list of Mixture
        At `sample_rate`, with the same times, gains, notes and groups. WAV files that have the
        rate stay where they are; audio in memory is resampled.
    y_cached : list of Scene

    Raises
    ------
    InputError
        If `cache_dir` is a file.
    AudioError
        If a file cannot be read; copies made before that remain.

    Examples
    --------
    ::

        X, y = Slakh("slakh2100").load()
        X, y = cache_resampled(X, y, "slakh_16k", n_jobs=-1)
        X, y = Excerpts.from_preset("chapter3").apply(X, y)
    """
    rate = check_rate(sample_rate, "cache_resampled(sample_rate=)")
    mixtures = check_mixtures(X)
    scenes = check_scenes(y, mixtures)
    paths = sorted({os.fspath(clip.path) for clip in _clips_in(mixtures, scenes)})
    folder = check_folder(cache_dir, "cache_dir").absolute()
    copies = share_out(
        *(_copy, paths, folder, rate),
        label="resampling",
        unit="file",
        n_jobs=n_jobs,
        verbose=verbose,
    )
    moved = dict(zip(paths, copies, strict=True))
    clips: dict[Clip, Clip] = {}  # a mixture and its scene go on sharing clips

    def move(audio: Audio, item: str, own_rate: int | None) -> Audio:
        own = clips_of(audio)
        if own is None:
            return read_any(audio, item, rate, own_rate)
        for clip in own:
            if clip not in clips:
                clips[clip] = replace(clip, path=moved[os.fspath(clip.path)])
        return tuple(clips[clip] for clip in own)

    return (
        [_move_mixture(mixture, rate, move) for mixture in mixtures],
        [_move_scene(scene, rate, move) for scene in scenes],
    )


def write_float(path: Path, audio: np.ndarray, sample_rate: int) -> None:
    """Write float32 WAV without a time stamp: libsndfile would put one into the header.

    The folder is made if needed: it is a cache that somebody named.
    """
    from scipy.io import wavfile

    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        wavfile.write(temporary, sample_rate, audio.T)


def _copy(path: str, folder: Path, rate: int) -> str:
    """Return the file of a resampled copy, and write it unless it is there."""
    if audio_info(path).sample_rate == rate and Path(path).suffix.lower() == ".wav":
        return path
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    key = hashlib.sha256(repr((digest, rate, _RESAMPLING)).encode()).hexdigest()[:16]
    copy = folder / f"{Path(path).stem[:60]}-{key}.wav"
    if not copy.exists():
        write_float(copy, read_audio(path, sample_rate=rate)[0], rate)
    return os.fspath(copy)


def _clips_in(mixtures: Sequence[Mixture], scenes: Sequence[Scene]) -> Iterator[Clip]:
    for mixture in mixtures:
        hints = (mixture.sources or {}).values()
        for audio in (mixture.audio, *hints, *([] if mixture.query is None else [mixture.query])):
            yield from clips_of(audio) or ()
    for scene in scenes:
        for audio in () if scene.sources is None else scene.sources:
            yield from clips_of(audio) or ()


def _move_mixture(mixture: Mixture, rate: int, move: Callable) -> Mixture:
    item, own = repr(mixture), mixture.sample_rate
    hints = mixture.sources
    if hints is not None:
        hints = {name: move(audio, f"source {name!r}", own) for name, audio in hints.items()}
    query = None if mixture.query is None else move(mixture.query, f"query of {item}", own)
    audio = move(mixture.audio, item, own)
    return replace(mixture, audio=audio, sample_rate=rate, query=query, sources=hints)


def _move_scene(scene: Scene, rate: int, move: Callable) -> Scene:
    sources = scene.sources
    if sources is not None:
        moved = [move(audio, repr(scene), scene.sample_rate) for audio in sources]
        sources = np.stack(moved) if isinstance(sources, np.ndarray) else tuple(moved)
    return replace(scene, sample_rate=rate, sources=sources)
