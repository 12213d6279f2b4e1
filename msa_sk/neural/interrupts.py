"""Ctrl-C, put off until it does no harm."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Interrupt:
    """Whether Ctrl-C was pressed within `deferred_interrupt`."""

    asked = False

    def __call__(self, number: int, frame: object) -> None:
        if self.asked:  # for the second time: at once
            raise KeyboardInterrupt
        self.asked = True


@contextmanager
def deferred_interrupt() -> Iterator[Interrupt]:
    """Note the first Ctrl-C instead of raising it amid a step, half of which would be done.

    Where Ctrl-C has been given another meaning, or does not reach this thread, nothing changes.
    """
    interrupt = Interrupt()
    is_usual = (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if is_usual:
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield interrupt
    finally:
        if is_usual:
            signal.signal(signal.SIGINT, signal.default_int_handler)
