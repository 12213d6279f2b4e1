"""What the caller has set in torch stays outside."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch

_AUTOCASTS = ("cpu", "cuda", "mps")


class _SinglePrecision:
    """A block in which new tensors are float32.

    torch's default is that of all threads: the first one that comes in sets it, and the last one
    that goes out restores it.
    """

    def __init__(self) -> None:
        self._lock, self._n_inside = threading.Lock(), 0

    def __enter__(self) -> None:
        with self._lock:
            if self._n_inside == 0:
                self._outside = torch.get_default_dtype()
                torch.set_default_dtype(torch.float32)
            self._n_inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._n_inside -= 1
            if self._n_inside == 0:
                torch.set_default_dtype(self._outside)


_single_precision = _SinglePrecision()


@contextmanager
def usual_torch() -> Iterator[None]:
    """Compute as torch does by default within the block; afterwards all is as it was.

    New tensors are float32 and on the processor, operations know their gradients, and nothing is
    cast to another precision.
    """
    with ExitStack() as stack:
        stack.enter_context(_single_precision)
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for kind in _AUTOCASTS:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        if torch.get_default_device().type != "cpu":  # else each call of torch would take longer
            stack.enter_context(torch.device("cpu"))
        yield
