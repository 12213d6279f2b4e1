"""New mixtures from the sources of others."""

import warnings
from collections.abc import Hashable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching
from sklearn.utils import check_random_state

from msa_sk._validation import check_instruments, check_mixtures, check_scenes
from msa_sk.audio import as_audio, rms
from msa_sk.clips import Audio, clips_of
from msa_sk.exceptions import InputError, MsaWarning, ParameterError, SilenceWarning
from msa_sk.records import Mixture, Scene

LEVEL_DB = -25.0  # RMS of a source, relative to full scale, before its random offset


def mix_incoherent(
    X: Sequence[Mixture],
    y: Sequence[Scene],
    n_mixes: int,
    *,
    instruments: Sequence[str] | None = None,
    gain_db: float = 6.0,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[list[Mixture], list[Scene]]:
    """Mix sources that come from different songs.

    Each mixture has one source per instrument, drawn from all scenes that list it, never two
    of one song. The sources are brought to one RMS level (-25 dB relative to full scale) and
    then moved by up to half of `gain_db` up or down.

    Parameters
    ----------
    X : list of Mixture
        Their groups say which song they are of; one without a group is a song of its own.
    y : list of Scene
        With sources; with one or several instruments each. Excerpts of one duration are
        best: sources are cut to the shortest one in their mixture.
    n_mixes : int
        How many mixtures to make.
    instruments : sequence of str, default=None
        What to mix; None takes the sorted union of the names in `y`.
    gain_db : float, default=6.0
        How far apart the levels may be, in dB.
    random_state : int, RandomState or None, default=None
        Seeds the draw.

    Returns
    -------
    X_mixed : list of Mixture
        Sources in files stay there: a mixture is then a tuple of Clips with gains. A group is
        the names of all its songs, joined: it cannot keep each of them out of another group,
        so split the songs into training and test first, and mix within each part.
    y_mixed : list of Scene
        With the notes of the sources, where all are known.

    Raises
    ------
    InputError
        If a scene has no sources, or sampling rates differ.
    ParameterError
        If `n_mixes` is below 1 or `gain_db` below 0.

    Warns
    -----
    MsaWarning
        If there are too few songs; then two sources may be of one song.
    SilenceWarning
        With the number of silent sources, whose level cannot be set.

    Examples
    --------
    Piano and guitar of different songs, from all songs that hold one of them::

        X, y = render_scenes(
            files, "gm.sf2", ("piano", "guitar"), require="any", cache_dir="stems"
        )
        X, y = Excerpts.from_preset("chapter3", solo=True).apply(X, y)
        X, y = mix_incoherent(X, y, n_mixes=1000, random_state=0)
    """
    _check_numbers(n_mixes, gain_db)
    mixtures = check_mixtures(X)
    scenes = check_scenes(y, mixtures)
    names = check_instruments(instruments, scenes)
    _check_mixable(scenes)
    rng = check_random_state(random_state)
    titles = [f"X[{i}]" if m.group is None else str(m.group) for i, m in enumerate(mixtures)]
    songs = np.unique(titles, return_inverse=True)[1]
    pools = [
        np.array([i for i, scene in enumerate(scenes) if name in scene.instruments])
        for name in names
    ]
    may_repeat = not _can_differ([songs[pool] for pool in pools])
    if may_repeat:
        warnings.warn(
            f"{len(set(titles))} songs are too few to take {', '.join(names)} from "
            "different ones: some mixtures have two sources of one song.",
            MsaWarning,
            stacklevel=2,
        )

    level = cache(lambda i, name: rms(scenes[i].source(name)))
    duration = cache(lambda i: mixtures[i].duration)
    n_silent = 0
    X_mixed, y_mixed = [], []
    for _ in range(n_mixes):
        picks = _draw(pools, songs, rng, may_repeat)
        offsets = rng.uniform(-gain_db / 2, gain_db / 2, len(names))
        sources = []
        for name, i, offset in zip(names, picks, offsets, strict=True):
            n_silent += level(i, name) == 0
            gain = 10 ** ((LEVEL_DB + offset) / 20) / (level(i, name) or 1.0)
            sources.append(_amplify(scenes[i].sources[scenes[i].instruments.index(name)], gain))
        scene = Scene(names, scenes[0].sample_rate, tuple(sources))
        if all(scenes[i].notes is not None for i in picks):
            notes = [scenes[i].notes_of(name) for name, i in zip(names, picks, strict=True)]
            scene = replace(scene, notes=tuple(notes))
        if len({duration(i) for i in picks}) > 1:
            scene = scene.excerpt(0.0, min(duration(i) for i in picks))
        scene = replace(scene, sources=_stack(scene.sources))
        X_mixed.append(mix_of(scene, " + ".join(titles[i] for i in picks)))
        y_mixed.append(scene)
    if n_silent:
        warnings.warn(
            f"{n_silent} sources in {n_mixes} mixtures are silent.", SilenceWarning, stacklevel=2
        )
    return X_mixed, y_mixed


def mix_of(scene: Scene, group: Hashable = None) -> Mixture:
    """Return the mixture that a scene's sources make; nothing is read if they lie in files."""
    clips = [clips_of(source) for source in scene.sources]
    if None in clips:
        audio: Any = sum(scene.source(name) for name in scene.instruments)
    else:
        audio = tuple(clip for own in clips for clip in own or ())
    return Mixture(audio, scene.sample_rate, group=group)


def _check_numbers(n_mixes: int, gain_db: float) -> None:
    if not isinstance(n_mixes, int | np.integer) or n_mixes < 1:
        raise ParameterError("n_mixes", "an int from 1", repr(n_mixes), "Ask for a mixture.")
    if not 0 <= gain_db < np.inf:
        raise ParameterError("gain_db", "decibels from 0", repr(gain_db), "0 keeps levels equal.")


def _check_mixable(scenes: Sequence[Scene]) -> None:
    rate = scenes[0].sample_rate
    for i, scene in enumerate(scenes):
        if scene.sources is None:
            raise InputError(f"y[{i}]", "a scene with sources", "None", "Leave it out.")
        if scene.sample_rate != rate:
            raise InputError(
                f"y[{i}]", f"{rate} Hz, as y[0]", f"{scene.sample_rate} Hz", "Use one rate."
            )


def _can_differ(songs: Sequence[np.ndarray]) -> bool:
    """Tell whether every instrument can come from another song, given those that hold it."""
    holds = np.zeros((len(songs), max(map(max, songs)) + 1), bool)
    for row, own in zip(holds, songs, strict=True):
        row[own] = True
    return bool((maximum_bipartite_matching(csr_array(holds), perm_type="column") >= 0).all())


def _draw(
    pools: Sequence[np.ndarray], songs: np.ndarray, rng: np.random.RandomState, may_repeat: bool
) -> list[int]:
    """Draw one scene from each pool, of different songs unless they `may_repeat`."""
    while True:
        picks = [-1] * len(pools)
        used: list[int] = []
        for k in rng.permutation(len(pools)):
            free = pools[k] if may_repeat else pools[k][~np.isin(songs[pools[k]], used)]
            if not len(free):
                break  # the songs left hold no such instrument: draw anew
            picks[k] = int(free[rng.randint(len(free))])
            used.append(songs[picks[k]])
        else:
            return picks


def _amplify(audio: Audio, gain: float) -> Audio:
    clips = clips_of(audio)
    if clips is None:
        return as_audio(audio, "source") * np.float32(gain)
    return tuple(replace(clip, gain=clip.gain * gain) for clip in clips)


def _stack(sources: Any) -> Any:
    """Return sources in memory as one array, if they have one shape."""
    shapes = {np.shape(source) for source in sources if clips_of(source) is None}
    in_memory = all(clips_of(source) is None for source in sources)
    return np.stack(sources) if in_memory and len(shapes) == 1 else sources
