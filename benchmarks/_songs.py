"""The songs that benchmarks learn from and test on, rendered from the shared MIDI files."""

import os
import warnings
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import mido
import numpy as np
from sklearn.model_selection import StratifiedKFold

from msa_sk._files import atomic_path
from msa_sk._general_midi import DRUM_CHANNEL
from msa_sk.datasets import Excerpts, render_scenes
from msa_sk.exceptions import MsaWarning

Songs = tuple[list, list]  # mixtures and scenes


def render(
    instruments: Sequence[str],
    stems: str | os.PathLike,
    n_songs: int | None = None,
    require: str = "any",
    families: Sequence[Sequence[int]] = (),
    kept: Collection[int] = (),
    **variation: Any,
) -> Songs:
    """Return songs that hold any, or all, of some instruments; stems are kept in a folder.

    Parameters
    ----------
    instruments : sequence of str
    stems : path-like
        The folder.
    n_songs : int, default=None
        How many MIDI files to look at; None looks at all.
    require : {"any", "all"}, default="any"
    families, kept
        As of `recast`. If there are no families, songs stay as they are.
    **variation
        ``programs``, ``transpose`` and ``random_state`` of `render_scenes`.

    Raises
    ------
    SystemExit
        If the variable ``MSA_SK_DATA`` is not set.
    """
    folder = os.environ.get("MSA_SK_DATA")
    if not folder:
        raise SystemExit("Set MSA_SK_DATA to the folder that holds midi/ and soundfonts/.")
    files = sorted(Path(folder).glob("midi/*/*.mid"))[:n_songs]
    # By its name a song, and what it is recast as, is for training or for tests.
    assert len({file.stem for file in files}) == len(files), "two songs have one name"
    assert len({file.read_bytes() for file in files}) == len(files), "a song is there twice"
    soundfont = next(Path(folder).glob("soundfonts/*.sf2"))
    if families:
        seed = variation["random_state"]
        what = zlib.crc32(repr((families, kept, seed)).encode())
        place = Path(stems) / f"recast-{what:08x}"
        files = [recast(file, place, families, kept, seed) for file in files]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MsaWarning)  # songs without the instruments
        return render_scenes(
            files, soundfont, instruments, require=require, cache_dir=stems, n_jobs=2, **variation
        )


def casts(
    instruments: Sequence[str],
    stems: str | os.PathLike,
    n_songs: int | None,
    families: Sequence[Sequence[int]],
    kept: Collection[int],
    n_casts: int,
) -> list[Songs]:
    """Return the same songs recast, each time otherwise and in other keys.

    Parameters
    ----------
    instruments, stems, n_songs
        As of `render`.
    families, kept
        As of `recast`.
    n_casts : int
    """
    return [
        render(
            instruments,
            stems,
            n_songs,
            families=families,
            kept=kept,
            transpose=5,
            random_state=seed,
        )
        for seed in range(n_casts)
    ]


def recast(
    song: Path,
    folder: Path,
    families: Sequence[Sequence[int]],
    kept: Collection[int],
    random_state: int,
) -> Path:
    """Write a song with other instruments, and return the path, of the same name.

    Each channel is given to a family drawn at random, and to one of its programs: so a hundred
    songs teach instruments that few of them have, and in registers in which few have them.

    Parameters
    ----------
    song, folder : Path
    families : sequence of sequence of int
        Programs.
    kept : collection of int
        Programs that stay as they are, as drums do.
    random_state : int
    """
    random = np.random.default_rng([random_state, zlib.crc32(song.stem.encode())])
    file = mido.MidiFile(song, clip=True)
    drawn = [families[random.integers(len(families))] for _ in range(16)]
    programs = [int(random.choice(family)) for family in drawn]
    for track in file.tracks:
        for i, message in enumerate(track):
            if message.type != "program_change" or message.channel == DRUM_CHANNEL:
                continue
            if message.program not in kept:
                track[i] = message.copy(program=programs[message.channel])
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / song.name) as temporary:
        file.save(temporary)
    return folder / song.name


def folds(
    songs: Songs, versions: Sequence[Songs], n_folds: int, evenly: Sequence[str] = ("piano",)
) -> Iterator[tuple[list[Songs], Songs]]:
    """Give songs to train on, with their versions, and songs to test on.

    There are as many songs that hold all of `evenly` in each fold.
    """
    holds = [set(evenly) <= set(scene.instruments) for scene in songs[1]]
    splitter = StratifiedKFold(n_folds, shuffle=True, random_state=0)  # one scene per song
    for train, test in splitter.split(holds, holds):
        names = {songs[0][i].group for i in train}
        yield [of_songs(names, part) for part in (songs, *versions)], select(test, songs)


def of_songs(names: set[str], songs: Songs) -> Songs:
    """Return those that have some names."""
    return select([i for i, mixture in enumerate(songs[0]) if mixture.group in names], songs)


def without(names: set[str], songs: Songs) -> Songs:
    """Return those that have none of some names."""
    return select([i for i, mixture in enumerate(songs[0]) if mixture.group not in names], songs)


def select(chosen: Iterable[int], songs: Songs) -> Songs:
    """Return those at some places."""
    X, y = songs
    return [X[i] for i in chosen], [y[i] for i in chosen]


def songs_in(tests: Iterable[Songs]) -> tuple[list[str], list[str]]:
    """Return the song of each mixture; where two are mixed, that of the piano, and the other."""
    parts = [str(mixture.group).split(" + ") for X, _ in tests for mixture in X]
    are_mixed = any(len(names) > 1 for names in parts)
    return [names[-1] for names in parts], [names[0] for names in parts] if are_mixed else []


def solos(songs: Songs, instruments: Sequence[str], max_per_song: int) -> Songs:
    """Return excerpts of 5 s of single instruments, evenly from all songs (section 3.3.3)."""
    rules = Excerpts.from_preset(
        "chapter3", instruments=instruments, solo=True, max_per_song=max_per_song, random_state=0
    )
    return rules.apply(*songs)


def solos_of_each(songs: Songs, instruments: Sequence[str], max_per_song: int) -> Songs:
    """Return the same, of each instrument as many of a song as if it had no other."""
    parts = [solos(songs, [name], max_per_song) for name in instruments]
    X, y = (sum(each, []) for each in zip(*parts, strict=True))
    return X, y
