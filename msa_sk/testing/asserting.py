"""What checks say: two results are the same, or a wrong input is refused with the right words."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from msa_sk.exceptions import InputError, MsaError
from msa_sk.records import Scene


@contextmanager
def refuses(action: str, *words: str, error: type[MsaError] = InputError) -> Iterator[None]:
    """Assert that the block raises this package's error, with all of these words in it."""
    raised = None
    try:
        yield
    except Exception as caught:
        raised = caught
    assert raised is not None, f"{action}: it is not refused"
    message = str(raised)
    if not isinstance(raised, error):
        kind = type(raised).__name__
        raise AssertionError(
            f"{action}: expected {error.__name__}, got {kind}: {message}"
        ) from raised
    missing = [word for word in words if word.lower() not in message.lower()]
    assert not missing, f"{action}: the error does not say {missing}, it says: {message}"


@contextmanager
def recorded_warnings() -> Iterator[list[warnings.WarningMessage]]:
    """Collect all warnings of the block, also where warnings are errors."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


def assert_same(
    actual: Sequence[Scene], expected: Sequence[Scene], what: str, tolerance: float = 0.0
) -> None:
    """Assert that scenes are equal.

    Parameters
    ----------
    actual, expected : sequence of Scene
    what : str
        What the message says is not the same.
    tolerance : float, default=0.0
        Allowed difference of sources and rolls, relative to their largest value. Where it
        is 0, all bytes must agree, notes included; notes are decoded from rolls, so that
        rounding may change them.
    """
    assert len(actual) == len(expected), f"{what}: {len(actual)} scenes instead of {len(expected)}"
    for i, (ours, theirs) in enumerate(zip(actual, expected, strict=True)):
        for name in ("instruments", "sample_rate", "frame_rate"):
            one, other = getattr(ours, name), getattr(theirs, name)
            assert one == other, f"{what}: {name} of scene {i} is {one} instead of {other}"
        for name in ("sources", "rolls"):
            problem = _difference(getattr(ours, name), getattr(theirs, name), tolerance)
            assert not problem, f"{what}: {name} of scene {i} {problem}"
        if tolerance == 0 or theirs.rolls is None:
            assert _note_rows(ours) == _note_rows(theirs), (
                f"{what}: the notes of scene {i} are others"
            )


def _difference(
    actual: np.ndarray | None, expected: np.ndarray | None, tolerance: float
) -> str | None:
    if actual is None or expected is None:
        return None if actual is expected else "are known in one only"
    if actual.shape != expected.shape:
        return f"have shape {actual.shape} instead of {expected.shape}"
    largest = np.abs(actual.astype(float) - expected).max(initial=0)
    allowed = tolerance * np.abs(expected).max(initial=0)
    # Not `largest > allowed`: NaN must not pass.
    return None if largest <= allowed else f"differ by {largest:.3g}, allowed is {allowed:.3g}"


def _note_rows(scene: Scene) -> list | None:
    if scene.notes is None:
        return None
    return [
        [one.tolist() for one in (notes.onset, notes.offset, notes.pitch, notes.velocity)]
        for notes in scene.notes
    ]
