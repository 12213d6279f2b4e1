"""Scenes for people who have no data: composed and synthesised, from one seed."""

import secrets
from collections.abc import Sequence

import numpy as np
from sklearn.utils import check_random_state

from msa_sk._arguments import check_names, check_value
from msa_sk._sklearn import real, whole
from msa_sk.datasets._composer import compose
from msa_sk.datasets._synthesizer import INSTRUMENTS, synthesize
from msa_sk.exceptions import ParameterError
from msa_sk.records import Mixture, Scene, unknown_name

#: What `make_scenes` can play.
SYNTHETIC_INSTRUMENTS = tuple(INSTRUMENTS)

_PEAK = 0.8  # of a song, full scale being 1
_INTRO = 10.0  # seconds; an excerpt starts anywhere in them


def make_scenes(
    n_scenes: int = 16,
    instruments: Sequence[str] = ("piano", "guitar"),
    *,
    duration: float = 5.0,
    sample_rate: int = 16000,
    scenes_per_song: int = 1,
    level_db: float = 6.0,
    random_state: int | np.random.RandomState | None = None,
) -> tuple[list[Mixture], list[Scene]]:
    """Compose songs, play them on synthetic instruments, and return excerpts of them.

    A song has a key, a tempo, chord progressions, one instrument with the melody, parts for
    the others, and a specimen of each instrument (its body, brightness, tuning) of its own.
    Sources sound from a note's onset to at most 150 ms after its offset.

    Parameters
    ----------
    n_scenes : int, default=16
        Scene i does not depend on it: fewer scenes are the first of more scenes.
    instruments : sequence of str, default=("piano", "guitar")
        Among ``SYNTHETIC_INSTRUMENTS``: piano, guitar, bass, drums, strings, organ, flute,
        brass. The pitches of drums are General MIDI's percussion.
    duration : float, default=5.0
        Of a scene, in seconds, at least 0.1.
    sample_rate : int, default=16000
        In Hz, 8000 to 48000. The notes do not depend on it.
    scenes_per_song : int, default=1
        Consecutive excerpts of one composition; they share the mixture's ``group``.
    level_db : float, default=6.0
        The RMS levels of a song's instruments are at most this far apart, in dB.
    random_state : int, RandomState or None, default=None
        The same seed gives the same bytes; None gives new scenes at each call.

    Returns
    -------
    mixtures : list of Mixture
        ``audio`` is float32, of shape (n_samples,), and ``scene.sources.sum(axis=0)`` to the
        bit; it peaks below 1. ``group`` is the song: ``"song-000"``, ...
    scenes : list of Scene
        ``sources`` of shape (n_sources, n_samples), float32, and ``notes``. A note that is
        held over an excerpt's edge is cut there.

    Raises
    ------
    ParameterError
        Naming the parameter that is outside what is allowed.
    InstrumentError
        If an instrument is unknown (the closest known one is suggested) or listed twice.

    Examples
    --------
    >>> from msa_sk.datasets import make_scenes
    >>> mixes, scenes = make_scenes(4, ("piano", "bass"), scenes_per_song=2, random_state=0)
    >>> mixes[0]
    Mixture(5.0 s at 16 kHz; group 'song-000')
    >>> [mix.group for mix in mixes]
    ['song-000', 'song-000', 'song-001', 'song-001']
    >>> scenes[0].instruments, scenes[0].sources.shape
    (('piano', 'bass'), (2, 80000))
    """
    instruments = check_names(instruments, "make_scenes(instruments=)")
    for name in instruments:
        if name not in SYNTHETIC_INSTRUMENTS:
            raise unknown_name("make_scenes(instruments=)", name, SYNTHETIC_INSTRUMENTS)
    check_value(n_scenes, "make_scenes(n_scenes=)", whole(1))
    check_value(duration, "make_scenes(duration=)", real(0.1))
    check_value(sample_rate, "make_scenes(sample_rate=)", whole(8000, 48000))
    check_value(scenes_per_song, "make_scenes(scenes_per_song=)", whole(1))
    check_value(level_db, "make_scenes(level_db=)", real(0))
    entropy = _draw_entropy(random_state)

    mixtures: list[Mixture] = []
    scenes: list[Scene] = []
    for song in range(-(-n_scenes // scenes_per_song)):
        seed = np.random.SeedSequence(entropy, spawn_key=(song,))
        for scene in _make_song(
            seed, instruments, duration, sample_rate, scenes_per_song, level_db
        ):
            audio = scene.sources.sum(axis=0)
            mixtures.append(Mixture(audio, sample_rate, group=f"song-{song:03d}"))
            scenes.append(scene)
    return mixtures[:n_scenes], scenes[:n_scenes]


def _make_song(
    seed: np.random.SeedSequence,
    instruments: tuple[str, ...],
    duration: float,
    sample_rate: int,
    n_excerpts: int,
    level_db: float,
) -> list[Scene]:
    whole, *each = (np.random.default_rng(s) for s in seed.spawn(1 + len(instruments)))
    start = whole.uniform(0, _INTRO)
    level = whole.uniform(-level_db / 2, level_db / 2, len(instruments))
    parts = compose(instruments, start + n_excerpts * duration, whole)

    n_samples = round(duration * sample_rate)
    sources = np.stack(
        [
            synthesize(name, notes, start, n_excerpts * n_samples, sample_rate, rng)
            for name, notes, rng in zip(instruments, parts, each, strict=True)
        ]
    )
    rms = np.sqrt(np.mean(sources**2, axis=1))
    sources *= (10 ** (level / 20) / np.where(rms > 0, rms, 1))[:, None]
    loudest = max(np.abs(sources).max(), np.abs(sources.sum(axis=0)).max())
    sources *= _PEAK / loudest if loudest > 0 else 1

    seconds = n_samples / sample_rate
    return [
        Scene(
            instruments,
            sample_rate,
            sources[:, i * n_samples : (i + 1) * n_samples].astype(np.float32),
            tuple(notes.excerpt(start + i * seconds, seconds) for notes in parts),
        )
        for i in range(n_excerpts)
    ]


def _draw_entropy(random_state: int | np.random.RandomState | None) -> int:
    if random_state is None:  # scikit-learn would draw from the global generator
        return secrets.randbits(64)
    try:
        return int(check_random_state(random_state).randint(2**31 - 1))
    except ValueError as error:
        raise ParameterError(
            "make_scenes(random_state=)",
            "an int from 0, a RandomState or None",
            repr(random_state),
            "Pass random_state=0.",
        ) from error
