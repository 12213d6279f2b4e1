"""What is passed besides records: numbers, names of instruments, paths."""

import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from msa_sk._sklearn import InvalidParameterError, validate_parameter_constraints
from msa_sk.exceptions import InputError, InstrumentError, ParameterError

_SECONDS = "Pass a stretch in seconds."


def check_value(value: Any, item: str, *allowed: Any, remedy: str = "Change it.") -> None:
    """Refuse a value that is nothing of what is allowed.

    Parameters
    ----------
    value : object
    item : str
        Its name in messages.
    *allowed : constraints
        Of scikit-learn: `whole`, `real`, a type, None, ...
    remedy : str, default="Change it."

    Raises
    ------
    ParameterError
    """
    try:
        validate_parameter_constraints({item: list(allowed)}, {item: value}, "")
    except InvalidParameterError as error:
        _, expected = str(error).removesuffix(f". Got {value!r} instead.").split(" must be ", 1)
        raise ParameterError(item, expected, repr(value)[:80], remedy) from error


def check_excerpt(start: Any, duration: Any) -> None:
    """Refuse a stretch of time that begins before 0 or does not last; seconds.

    Data sets are cut into 100,000 excerpts: this is quicker than `check_value`.

    Raises
    ------
    ParameterError
    """
    if not (is_finite(start) and start >= 0):
        raise ParameterError("excerpt(start)", "seconds from 0", repr(start), _SECONDS)
    if not (is_finite(duration) and duration > 0):
        raise ParameterError("excerpt(duration)", "seconds above 0", repr(duration), _SECONDS)


def is_finite(value: object) -> bool:
    """Tell a finite number from all else."""
    return isinstance(value, float | int | np.floating | np.integer) and math.isfinite(value)


def check_names(names: Any, item: str, at_least: int = 1) -> tuple[str, ...]:
    """Return names of instruments, each of which is there once.

    Parameters
    ----------
    names : iterable of str
    item : str
        What messages call them.
    at_least : int, default=1
        0 allows none at all.

    Raises
    ------
    InstrumentError
        Also if one string comes instead of several.
    """
    is_one = isinstance(names, str)
    several = tuple(names) if isinstance(names, Iterable) and not is_one else (None,)
    if not all(isinstance(name, str) for name in several):
        remedy = f"Pass {[names] if is_one else ['piano', 'guitar']}."
        raise InstrumentError(item, "a sequence of names", repr(names)[:80], remedy)
    if len(several) < at_least:
        raise InstrumentError(item, "at least one name", "none", "Name an instrument.")
    if len(set(several)) < len(several):
        raise InstrumentError(item, "each name once", repr(several), "Leave out the doubles.")
    return several


def check_song(song: Any, item: str) -> None:
    """Refuse what cannot name a song, for songs are told apart by their hashes.

    Raises
    ------
    InputError
    """
    try:
        hash(song)
    except TypeError as error:
        remedy = "Pass a str, an int or a tuple of these."
        raise InputError(item, "a hashable name of the song", repr(song)[:80], remedy) from error


def check_path(path: Any, item: str = "path") -> Path:
    """Return what names a file or a folder as a Path.

    Raises
    ------
    ParameterError
    """
    text = os.fspath(path) if isinstance(path, str | os.PathLike) else None
    if not isinstance(text, str) or text == "":
        raise ParameterError(item, "a path", repr(path)[:80], "Pass a str or a pathlib.Path.")
    if "\0" in text:
        raise ParameterError(item, "a path", repr(text)[:80], "Leave the null character out.")
    return Path(path)


def check_folder(path: Any, item: str = "path") -> Path:
    """Return the path of a folder to write into, which is there or can be made.

    Raises
    ------
    ParameterError
        If it is no path.
    InputError
        If it, or a folder that it would be in, is a file.
    """
    folder = check_path(path, item)
    with making(folder):
        for place in (folder, *folder.parents):
            if place.is_dir():
                break
            if place.exists():
                raise InputError(str(place), "a folder", "a file", "Choose another place.")
    return folder


def check_file(path: Any, item: str = "path") -> Path:
    """Return the path of a file to write, in a folder that is there.

    A folder that somebody names is made (`check_folder`); one in which a file is to be is not,
    for that it is missing tells a slip of the pen.

    Raises
    ------
    ParameterError
        If it is no path.
    InputError
        If it is a folder or a device, or the folder that it would be in is not there, or a file.
    """
    file = check_path(path, item)
    with making(file):
        if file.is_symlink():  # what replaces a file would replace the link
            file = file.resolve()
        if file.is_dir():
            raise InputError(str(file), "the name of a file", "a folder", "Name a file in it.")
        if file.exists() and not file.is_file():
            raise InputError(str(file), "the name of a file", "a device", "Choose another path.")
    folder = check_folder(file.parent)
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    if missing:
        place, remedy = str(missing[-1]), f"Make it, or check the path {file}."
        raise InputError(place, "a folder that is there", "nothing there", remedy)
    return file


@contextmanager
def making(path: Path) -> Iterator[None]:
    """Say of what the system refuses within the block that it is the place that is wrong.

    Raises
    ------
    InputError
    """
    try:
        yield
    except OSError as error:
        raise InputError(
            str(path),
            "a place where files can be made",
            error.strerror or str(error),
            "Choose another place, or see who may write there.",
        ) from error


def check_absent(folder: Path) -> None:
    """Refuse a folder that is there.

    Raises
    ------
    InputError
    """
    if folder.exists():
        raise InputError(
            str(folder),
            "a folder that does not exist yet",
            "one that does",
            "Choose another, or pass overwrite=True.",
        )
