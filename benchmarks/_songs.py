"""The songs that benchmarks learn from and test on, rendered from the shared MIDI files."""

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from sklearn.model_selection import StratifiedKFold

from msa_sk.datasets import Excerpts, render_scenes
from msa_sk.exceptions import MsaWarning

Songs = tuple[list, list]  # mixtures and scenes


def render(
    instruments: Sequence[str],
    stems: str | os.PathLike,
    n_songs: int | None = None,
    require: str = "any",
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
    soundfont = next(Path(folder).glob("soundfonts/*.sf2"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MsaWarning)  # songs without the instruments
        return render_scenes(
            files, soundfont, instruments, require=require, cache_dir=stems, n_jobs=2, **variation
        )


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
