"""An option of the C library that makes training on the CPU faster."""

import ctypes
import sys

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def keep_large_buffers() -> bool:
    """Let glibc keep freed memory for the next step instead of giving it back to the system.

    A training step frees and asks for the same large buffers again and again, and the system
    clears each page every time. The change holds for the whole process until it ends, whose
    resident memory then stays at its peak; call it before training, in a process of your own.

    Returns
    -------
    changed : bool
        False where the C library is not glibc: then nothing has changed.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    largest = 2**31 - 1
    options = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, largest), (_M_TOP_PAD, 2**28))
    return all([bool(mallopt(option, value)) for option, value in options])
