"""New mixtures from the sources of others: how sources are changed and put together."""

import os
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from msa_sk.audio import as_audio, audio_info
from msa_sk.clips import Audio, Clip, clips_of, excerpt_any
from msa_sk.notes import Notes
from msa_sk.records import Mixture, Scene


class Change(NamedTuple):
    """What is done to a source before it is mixed."""

    gain: float = 1.0  # 0 is silence, a negative one turns the polarity
    swap: bool = False  # the left and the right channel


class Part(NamedTuple):
    """A source of a scene, and what is done to it."""

    mixture: Mixture
    scene: Scene
    instrument: str
    change: Change = Change()

    @property
    def audio(self) -> Audio:
        """The source, not changed."""
        return self.scene.sources[self.scene.instruments.index(self.instrument)]

    @property
    def seconds(self) -> float:
        """How long the source lasts."""
        clips = clips_of(self.audio)
        if clips is None:
            return np.asarray(self.audio).shape[-1] / self.scene.sample_rate
        return max(clip.seconds for clip in clips)


def mix_of(scene: Scene, group: Hashable = None) -> Mixture:
    """Return the mixture that a scene's sources make; nothing is read if they lie in files."""
    clips = [clips_of(source) for source in scene.sources]
    if None in clips:
        audio: Any = sum(scene.source(name) for name in scene.instruments)
    else:
        audio = tuple(clip for own in clips for clip in own or ())
    return Mixture(audio, scene.sample_rate, group=group)


def change_audio(audio: Audio, change: Change) -> Audio:
    """Return a source changed; of one in files nothing but a header is read."""
    if change == Change():
        return audio
    clips = clips_of(audio)
    if clips is None:
        samples = as_audio(audio, "source")
        if change.swap and samples.ndim == 2 and len(samples) == 2:
            samples = samples[::-1]
        return samples * np.float32(change.gain)
    return _change_clips(clips, change)


def mix_parts(parts: Sequence[Part], group: Hashable = None) -> tuple[Mixture, Scene]:
    """Mix sources, of different songs perhaps; the shortest one's mixture says how long.

    Hints (`Mixture.notes`, `Mixture.sources`) stay where all mixtures have one for their source.
    """
    names = [part.instrument for part in parts]
    rate = parts[0].scene.sample_rate
    seconds = [part.seconds for part in parts]
    length = None if len(set(seconds)) == 1 else min(seconds)

    def cut_audio(audio: Audio, change: Change) -> Audio:
        audio = change_audio(audio, change)
        return audio if length is None else excerpt_any(audio, rate, 0.0, length)

    def cut_notes(notes: Notes, change: Change) -> Notes:
        notes = _change_notes(notes, change)
        return notes if length is None else notes.excerpt(0.0, length)

    sources = _stack([cut_audio(part.audio, part.change) for part in parts])
    notes = None
    if all(part.scene.notes is not None for part in parts):
        notes = tuple(cut_notes(p.scene.notes_of(p.instrument), p.change) for p in parts)
    scene = Scene(tuple(names), rate, sources, notes)
    hints: dict[str, Any] = {}
    for field, cut in (("notes", cut_notes), ("sources", cut_audio)):
        known = [getattr(part.mixture, field) or {} for part in parts]
        if all(name in own for name, own in zip(names, known, strict=True)):
            hints[field] = {
                p.instrument: cut(own[p.instrument], p.change)
                for p, own in zip(parts, known, strict=True)
            }
    return replace(mix_of(scene, group), **hints), scene


def remix(mixture: Mixture, scene: Scene, changes: Sequence[Change]) -> tuple[Mixture, Scene]:
    """Change the sources of a scene within its mixture; what else is in there stays."""
    if all(change == Change() for change in changes):
        return mixture, scene
    by_name = dict(zip(scene.instruments, changes, strict=True))
    new = [change_audio(*pair) for pair in zip(scene.sources, changes, strict=True)]
    notes = scene.notes
    if notes is not None:
        notes = tuple(_change_notes(*pair) for pair in zip(notes, changes, strict=True))
    hints: dict[str, Any] = {}
    for field, change in (("notes", _change_notes), ("sources", change_audio)):
        own = getattr(mixture, field)
        if own is not None:
            hints[field] = {n: change(hint, by_name.get(n, Change())) for n, hint in own.items()}
    audio = _audio_with(new, mixture, scene, changes)
    return (
        replace(mixture, audio=audio, sample_rate=scene.sample_rate, **hints),
        Scene(scene.instruments, scene.sample_rate, _stack(new), notes),
    )


def _audio_with(
    new: Sequence[Audio], mixture: Mixture, scene: Scene, changes: Sequence[Change]
) -> Audio:
    """Return the audio of a mixture in which new sources stand for the old ones."""
    own, old = clips_of(mixture.audio), [clips_of(source) for source in scene.sources]
    if own is None or None in old:
        changed = Scene(scene.instruments, scene.sample_rate, tuple(new))
        both = [(changed.source(name), scene.source(name)) for name in scene.instruments]
        return mixture.read(scene.sample_rate) + sum(after - before for after, before in both)
    if Counter(map(_place, own)) == Counter(_place(clip) for clips in old for clip in clips or ()):
        return tuple(clip for clips in new for clip in clips_of(clips) or ())
    audio = own
    for before, after, change in zip(old, new, changes, strict=True):
        if change.swap:
            audio += _change_clips(before or (), Change(-1.0)) + tuple(clips_of(after) or ())
        elif change.gain != 1:
            audio += _change_clips(before or (), Change(change.gain - 1))
    return audio


def _place(clip: Clip) -> tuple:
    """Return what two clips of the same samples have in common."""
    return os.fspath(clip.path), clip.start, clip.duration, clip.gain, clip.channel


def _change_clips(clips: Sequence[Clip], change: Change) -> tuple[Clip, ...]:
    return tuple(
        replace(clip, gain=clip.gain * change.gain, channel=_swapped(clip))
        if change.swap
        else replace(clip, gain=clip.gain * change.gain)
        for clip in clips
    )


def _swapped(clip: Clip) -> Any:
    """Return the channels of a clip with left and right swapped, if it has these."""
    if clip.channel is None and audio_info(clip.path).n_channels == 2:
        return (1, 0)
    return None if clip.channel == (1, 0) else clip.channel


def _change_notes(notes: Notes, change: Change) -> Notes:
    return notes if change.gain else Notes()


def _stack(sources: Sequence[Any]) -> Any:
    """Return sources in memory as one array, if they have one shape."""
    shapes = {None if clips_of(source) else np.shape(source) for source in sources}
    return np.stack(sources) if len(shapes) == 1 and None not in shapes else tuple(sources)
