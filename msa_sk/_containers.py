"""How many bytes of samples the header of an audio file declares, where it does.

libsndfile reads what is left of a file that was cut off, as if that were all.
"""

import os
from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO, Literal

_STREAMED = 2**32 - 4096  # sizes near the largest number stand for "not known yet"
_MOST_CHUNKS = 1000  # a file of zeros would have millions
_W64 = b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"


def samples_left(path: str | bytes | os.PathLike) -> tuple[int, int] | None:
    """Return the bytes of samples that a header declares, and those that the file has.

    Returns
    -------
    declared, left : int
        Of WAV, RF64, Wave64, AIFF, and MP3 with a Xing header; else None. More may be left
        than declared.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        magic = file.read(16)
        if magic[:4] in (b"RIFF", b"RF64") and magic[8:12] == b"WAVE":
            chunks, wanted = _chunks(file, 12, "little"), b"data"
        elif magic[:4] == b"FORM" and magic[8:12] in (b"AIFF", b"AIFC"):
            chunks, wanted = _chunks(file, 12, "big"), b"SSND"
        elif magic == _W64:
            chunks, wanted = _w64_chunks(file), b"data"
        else:
            return _xing(file, size)
        long_size = None
        for name, start, declared in islice(chunks, _MOST_CHUNKS):
            if name == b"ds64":
                long_size = int.from_bytes(_read_at(file, start + 8, 8), "little")
            elif name == wanted:
                is_known = magic == _W64 or declared < _STREAMED
                total = declared if is_known else long_size
                return None if total is None else (total, size - start)
    return None


def _chunks(
    file: BinaryIO, start: int, order: Literal["little", "big"]
) -> Iterator[tuple[bytes, int, int]]:
    """Give the name, the first byte and the size of each chunk."""
    while len(head := _read_at(file, start, 8)) == 8:
        size = int.from_bytes(head[4:], order)
        yield head[:4], start + 8, size
        start += 8 + size + size % 2


def _w64_chunks(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Do the same where names have 16 bytes and sizes, which count the head, have 8."""
    start = 40
    while len(head := _read_at(file, start, 24)) == 24:
        size = int.from_bytes(head[16:], "little")
        yield head[:4], start + 24, size - 24
        start += max(24, size + -size % 8)


def _xing(file: BinaryIO, size: int) -> tuple[int, int] | None:
    """Look into the first frame of an MP3 file, which may say how long the stream is."""
    start = 0
    head = _read_at(file, 0, 10)
    if head[:3] == b"ID3":  # its size has 7 bits in each byte
        start = 10 + sum(byte << 7 * k for k, byte in enumerate(reversed(head[6:])))
    frame = _read_at(file, start, 64)
    if frame[:1] != b"\xff":
        return None
    for tag in (b"Xing", b"Info"):
        at = frame.find(tag)
        if at > 0 and frame[at + 7] & 2:  # the number of bytes is there, after that of frames
            at += 12 if frame[at + 7] & 1 else 8
            return int.from_bytes(frame[at : at + 4], "big"), size - start
    return None


def _read_at(file: BinaryIO, start: int, n_bytes: int) -> bytes:
    try:
        file.seek(start)
    except (OSError, ValueError):  # no file has bytes there
        return b""
    return file.read(n_bytes)
