"""Writing files so that a file at its final name is complete."""

import hashlib
import os
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from msa_sk._arguments import check_absent, check_file, check_folder


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary path beside `path`; move it there once the block has succeeded.

    Raises
    ------
    ParameterError, InputError
        As `check_file` does, before the block.
    """
    target = check_file(path)
    temporary = target.parent / f"{_beginning(target)}{secrets.token_hex(8)}{target.suffix}"
    try:
        yield temporary
        with open(temporary, "rb+") as written:
            os.fsync(written.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


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

    Raises
    ------
    InputError
        If the folder is there by then, made by another writer, and is not to be overwritten.
    """
    target = check_folder(path)
    home = target if target.exists() else target.parent
    home.mkdir(parents=True, exist_ok=True)
    temporary = home / f"{_beginning(target)}{secrets.token_hex(8)}"
    temporary.mkdir()
    try:
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
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Wait for whoever is in such a block with the same folder.

    Nobody waits where folders cannot be locked: on Windows, and on some network disks.
    """
    with ExitStack() as stack:
        with suppress(ImportError, OSError):
            import fcntl

            handle = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, handle)
            fcntl.flock(handle, fcntl.LOCK_EX)
            stack.callback(fcntl.flock, handle, fcntl.LOCK_UN)  # forks may hold it open
        yield


def remove_stale(path: str | os.PathLike) -> None:
    """Remove what killed writers of `path` left beside it; only its one writer may call this."""
    target = Path(path)
    for left in target.parent.glob(f"{_beginning(target)}*"):
        left.unlink(missing_ok=True)


def _beginning(target: Path) -> str:
    """Return how temporaries of this file begin; names may be as long as names can be."""
    return f".tmp-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:8]}-"
