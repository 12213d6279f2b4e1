"""How far a long work has come: on a terminal, with the time left; elsewhere nothing."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, TypeVar

Item = TypeVar("Item")

#: What is raised where a terminal has gone away, or never was.
GONE = (OSError, ValueError, AttributeError)


def progress(
    items: Iterable[Item], total: int, label: str, unit: str, verbose: bool = True
) -> Iterator[Item]:
    """Give the items and move a bar; a terminal that goes away takes only the bar with it."""
    if not (verbose and on_terminal()):
        yield from items
        return
    from tqdm import tqdm

    bar: Any = None
    with suppress(*GONE):
        bar = tqdm(total=total, desc=label, unit=unit, leave=False)
    for item in items:
        yield item
        with suppress(*GONE):
            bar.update()
    with suppress(*GONE):
        bar.close()


def say(text: str, verbose: bool = True) -> None:
    """Write a line, on a terminal; elsewhere nothing."""
    if verbose and on_terminal():
        with suppress(*GONE):
            print(text, file=sys.stderr)


def on_terminal() -> bool:
    """Tell whether there is somebody to read standard error."""
    try:
        return sys.stderr.isatty()
    except GONE:
        return False
