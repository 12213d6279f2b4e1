"""Writing files so that a file at its final name is complete."""

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from msa_sk._arguments import check_absent, check_file, check_folder, making


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary path beside `path`; move it there once the block has succeeded.

    Raises
    ------
    ParameterError, InputError
        As `check_file` and `begin_file` do, before the block.
    """
    target = check_file(path)
    temporary = begin_file(target)
    try:
        yield temporary
        with open(temporary, "rb+") as written:
            os.fsync(written.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def begin_file(target: Path) -> Path:
    """Make an empty temporary file beside a path, and return where it is.

    Raises
    ------
    InputError
        If no file can be made there.
    """
    temporary = target.parent / f"{_beginning(target)}{secrets.token_hex(8)}{target.suffix}"
    with making(target):
        temporary.touch(exist_ok=False)
    return temporary


@contextmanager
def complete_folder(
    path: str | os.PathLike,
    outdated: Callable[[Path], Collection[str]] = lambda folder: (),
    overwrite: bool = True,
) -> Iterator[Path]:
    """Give a temporary folder; put its files at `path` once the block has succeeded.

    A folder that is new appears with all of them at once, and those that it is in are made; into
    one that is there they move one by one, in the order in which they were written, after the
    files that ``outdated(folder)`` names have gone. If the block fails, all is as before. Of
    several writers, in this process or others, each puts all of its files there before the next.
    What those have left that were killed is removed.

    Raises
    ------
    InputError
        If no folder can be made there, or it is there by then, made by another writer, and is
        not to be overwritten.
    """
    target = check_folder(path)
    with _working_folder(target) as temporary:
        yield temporary
        files = sorted(temporary.iterdir(), key=lambda file: file.stat().st_mtime_ns)
        for file in files:
            with open(file, "rb+") as written:
                os.fsync(written.fileno())
        with _alone_in(target.parent):
            if not overwrite:
                check_absent(target)
            if not target.exists():
                os.replace(temporary, target)
                return
            for name in set(outdated(target)).difference(file.name for file in files):
                (target / name).unlink(missing_ok=True)
            for file in files:
                os.replace(file, target / file.name)


@contextmanager
def _working_folder(target: Path) -> Iterator[Path]:
    """Give a temporary folder in `target`, or beside it where it is new; it goes afterwards.

    A process that works in one holds it locked: by that others know it from those that were left.
    """
    home = target if target.exists() else target.parent
    temporary = home / f"{_beginning(target)}{secrets.token_hex(8)}"
    with ExitStack() as stack:
        with making(target):
            home.mkdir(parents=True, exist_ok=True)
            with _alone_in(target.parent):  # nobody shall see it before it is locked
                _remove_abandoned(target)
                temporary.mkdir()
                stack.callback(shutil.rmtree, temporary, ignore_errors=True)
                stack.enter_context(_alone_in(temporary))
        yield temporary


def _remove_abandoned(target: Path) -> None:
    """Remove temporary folders in which nobody works any more."""
    for home in (target.parent, target):
        for left in home.glob(f"{_beginning(target)}*"):
            with _alone_in(left, wait=False) as is_alone:
                if is_alone:
                    shutil.rmtree(left, ignore_errors=True)


@contextmanager
def _alone_in(folder: Path, wait: bool = True) -> Iterator[bool]:
    """Wait for whoever is in such a block with the same folder, or do not; tell who is alone.

    Nobody waits, or is, where folders cannot be locked: on Windows, and on some network disks.
    """
    with ExitStack() as stack:
        is_alone = False
        with suppress(ImportError, OSError):
            import fcntl

            handle = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, handle)
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            stack.callback(fcntl.flock, handle, fcntl.LOCK_UN)  # forks may hold it open
            is_alone = True
        yield is_alone


def remove_stale(path: str | os.PathLike) -> None:
    """Remove what killed writers of `path` left beside it; only its one writer may call this."""
    target = Path(path)
    for left in target.parent.glob(f"{_beginning(target)}*"):
        left.unlink(missing_ok=True)


def _beginning(target: Path) -> str:
    """Return how temporaries of this file begin; names may be as long as names can be."""
    return f".tmp-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:8]}-"
