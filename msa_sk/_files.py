"""Writing files so that a file at its final name is complete."""

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary path beside `path`; move it there once the block has succeeded."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f"{_beginning(target)}{secrets.token_hex(8)}{target.suffix}"
    try:
        yield temporary
        with open(temporary, "rb+") as written:
            os.fsync(written.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def complete_folder(path: str | os.PathLike) -> Iterator[Path]:
    """Give a temporary folder; put its files at `path` once the block has succeeded.

    A folder that is new appears with all of them at once; into one that is there they move one
    by one, in the order in which they were written. If the block fails, all is as before.
    """
    target = Path(path)
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
        if not target.exists():
            os.replace(temporary, target)
        else:
            for file in files:
                os.replace(file, target / file.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_stale(path: str | os.PathLike) -> None:
    """Remove what killed writers of `path` left beside it; only its one writer may call this."""
    target = Path(path)
    for left in target.parent.glob(f"{_beginning(target)}*"):
        left.unlink(missing_ok=True)


def _beginning(target: Path) -> str:
    """Return how temporaries of this file begin; names may be as long as names can be."""
    return f".tmp-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:8]}-"
