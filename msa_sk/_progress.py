"""How far a long work has come: on a terminal, with the time left; elsewhere nothing."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TypeVar

Item = TypeVar("Item")


def progress(
    items: Iterable[Item], total: int, label: str, unit: str, verbose: bool = True
) -> Iterator[Item]:
    """Give the items and move a bar; a terminal that goes away takes only the bar with it."""
    if not (verbose and sys.stderr is not None and sys.stderr.isatty()):
        yield from items
        return
    from tqdm import tqdm

    gone = (OSError, ValueError, AttributeError)
    with suppress(*gone):
        bar = tqdm(total=total, desc=label, unit=unit, leave=False)
    for item in items:
        yield item
        with suppress(*gone):
            bar.update()
    with suppress(*gone):
        bar.close()
