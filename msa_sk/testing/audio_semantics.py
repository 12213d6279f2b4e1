"""Checks of what comes out: sources and notes that mean what audio means."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from msa_sk._sklearn import get_tags
from msa_sk.exceptions import SilenceWarning
from msa_sk.records import Scene
from msa_sk.rolls import N_PITCHES
from msa_sk.testing.asserting import assert_same, recorded_warnings
from msa_sk.testing.scenes import toy_sources
from msa_sk.testing.subject import Subject

# Float32 rounding after a transform there and back, relative to the largest sample.
_ROUNDING = 1e-5


def _assert_sound(scene: Scene, shape: Sequence[int], rate: int, what: str) -> None:
    """Assert that a scene is finite float32, and as its mixture in rate, length and channels."""
    assert scene.sample_rate == rate, f"{what}: the sources are at {scene.sample_rate} Hz"
    for name in ("sources", "rolls"):
        part = getattr(scene, name)
        if part is None:
            continue
        assert part.dtype == np.float32, f"{what}: {name} are {part.dtype}, not float32"
        assert np.isfinite(part).all(), f"{what}: {name} are not finite"
    if scene.sources is not None:
        expected = (len(scene.instruments), *shape)
        assert scene.sources.shape == expected, (
            f"{what}: sources have shape {scene.sources.shape} instead of {expected}"
        )


def _times(scene: Scene, gains: Any) -> Scene:
    """Return a scene whose sources, where it has any, are multiplied."""
    if scene.sources is None:
        return scene
    return replace(scene, sources=scene.sources * np.float32(gains))


def check_output_is_like_input(subject: Subject) -> None:
    """Sources have their mixture's rate, length and channels; odd lengths, 44.1 kHz, stereo."""
    odd = 2 * (subject.rate // 2) + 1
    for rate, n_channels, n_samples in (
        (subject.rate, 1, odd),
        (subject.rate, 2, odd + 2),
        (44100, 1, 30011),
        (44100, 2, 30013),
        (11025, 3, 9001),
    ):
        sources = toy_sources(n_samples, rate)[0]
        if n_channels > 1:
            gains = np.linspace(1, 0.3, n_channels, dtype=np.float32)
            sources = sources[:, None] * gains[:, None]
        what = f"{n_samples} samples at {rate} Hz, {n_channels} channels"
        _assert_sound(subject.predict(sources, rate), sources.shape[1:], rate, what)


def check_few_samples(subject: Subject) -> None:
    """One sample, and a few, are mixtures like any other."""
    for n_samples in (1, 2, 100):
        sources = toy_sources(n_samples, subject.rate)[0]
        scene = subject.predict(sources)
        _assert_sound(scene, (n_samples,), subject.rate, f"{n_samples} samples")


def check_silence(subject: Subject) -> None:
    """A silent mixture warns and gives silent sources and no notes; the others do not care."""
    silent = subject.mixture(np.zeros((2, subject.rate + 1), np.float32))
    with recorded_warnings() as caught:
        scenes = subject.fitted.predict([subject.mixes[0], silent, subject.mixes[1]])
    kinds = [warning.category.__name__ for warning in caught]
    n_silence = sum(issubclass(warning.category, SilenceWarning) for warning in caught)
    assert n_silence == 1, f"one silent mixture should give one SilenceWarning, not {kinds}"
    _assert_sound(scenes[1], (subject.rate + 1,), subject.rate, "silence")
    if scenes[1].sources is not None:
        assert not scenes[1].sources.any(), "silence is separated into something that sounds"
    n_notes = sum(map(len, scenes[1].notes or ()))
    assert n_notes == 0, f"silence is transcribed as {n_notes} notes"
    expected = subject.predicted[:2]
    assert_same([scenes[0], scenes[2]], expected, "beside a silent mixture", _ROUNDING)


def check_scale_equivariance(subject: Subject) -> None:
    """A mixture that is 40 dB softer or louder gives sources that are so, and equal rolls."""
    sources = toy_sources(subject.rate, subject.rate)[0]
    expected = subject.predict(sources)
    for gain in (0.01, 100.0):
        scaled = subject.predict(sources * np.float32(gain))
        restored = _times(scaled, 1 / gain)
        assert_same([restored], [expected], f"a mixture times {gain:g}", _ROUNDING)


def check_sources_add_up(subject: Subject) -> None:
    """Where the tag `additive` says so, sources add up to the mixture at the model's rate."""
    additive = get_tags(subject.fitted).additive
    assert additive, "the tag says additive before fit, but not after a fit to all instruments"
    mono = toy_sources(subject.rate + 1, subject.rate)[0]
    for sources in (mono, np.stack([mono, 0.5 * mono], axis=1)):
        mixture = subject.mixture(sources)
        scene = subject.fitted.predict([mixture])[0]
        rest = np.abs(scene.residual(mixture)).max() / np.abs(mixture.audio).max()
        assert rest <= _ROUNDING, (
            f"the tag says additive, but the sources miss the mixture by {rest:.3g} of its peak"
        )


def check_antiphase_stereo(subject: Subject) -> None:
    """Stereo with one channel inverted is no silence: it is separated like any other."""
    sources = toy_sources(subject.rate, subject.rate)[0]
    same = np.stack([sources, sources], axis=1)
    opposite = np.stack([sources, -sources], axis=1)
    with recorded_warnings() as caught:
        scene = subject.predict(opposite)
    said = [str(warning.message) for warning in caught]
    assert not said, f"anti-phase stereo warns: {said}"
    expected = _times(subject.predict(same), [[1], [-1]])
    assert_same([scene], [expected], "anti-phase stereo, against in-phase stereo", _ROUNDING)


def check_extreme_audio_is_finite(subject: Subject) -> None:
    """Samples of 1e-30, a constant, and a single click give finite results."""
    n_samples = subject.rate // 2
    click = np.zeros((2, n_samples), np.float32)
    click[:, n_samples // 3] = 0.5
    extremes = {
        "samples of 1e-30": toy_sources(n_samples, subject.rate)[0] * np.float32(1e-30),
        "a constant": np.full((2, n_samples), 0.25, np.float32),
        "a single click": click,
    }
    for what, sources in extremes.items():
        _assert_sound(subject.predict(sources), (n_samples,), subject.rate, what)


def check_rolls_fit_mixture(subject: Subject) -> None:
    """Rolls are posteriors of 88 pitches, on the frames of a centred STFT."""
    for scene, mixture in zip(subject.predicted, subject.mixes, strict=True):
        if scene.rolls is None or scene.frame_rate is None:
            continue
        # Half a sample forgives that frame rates are no whole numbers.
        n_frames = 1 + int((mixture.n_samples + 0.5) * scene.frame_rate / mixture.rate)
        expected = (len(scene.instruments), N_PITCHES, n_frames)
        shape = scene.rolls.shape
        assert shape == expected, f"rolls have shape {shape} instead of {expected}"
        low, high = scene.rolls.min(), scene.rolls.max()
        assert 0 <= low <= high <= 1, f"rolls are no posteriors: {low:.3g} to {high:.3g}"


def check_notes_fit_mixture(subject: Subject) -> None:
    """No note ends later than one frame after its mixture."""
    for scene, mixture in zip(subject.predicted, subject.mixes, strict=True):
        latest = mixture.duration + (1 / scene.frame_rate if scene.frame_rate else 0)
        for name, notes in zip(scene.instruments, scene.notes or (), strict=True):
            end = notes.offset.max(initial=0)
            assert end <= latest, (
                f"a note of {name} ends at {end:.3f} s, the mixture at {mixture.duration:.3f} s"
            )
