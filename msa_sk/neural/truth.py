"""Whether there is the truth that each head of a network learns from, and what it leaves out."""

from collections.abc import Mapping, Sequence

import numpy as np

from msa_sk.exceptions import InputError
from msa_sk.records import Scene
from msa_sk.rolls import in_rolls, warn_of_left_out


def check_taught(scenes: Sequence[Scene], parts: Mapping[str, str], has_all: bool) -> None:
    """Refuse scenes of which none knows what a head learns from.

    Parameters
    ----------
    scenes : sequence of Scene
        To train on.
    parts : mapping of str to {"sources", "notes"}
        By the weight of each head that has to learn, the part of a Scene that it learns from.
    has_all : bool
        Whether the estimator has all weights of Cerberus, so that each may be 0.

    Raises
    ------
    InputError
    """
    untaught = {
        weight: part
        for weight, part in parts.items()
        if all(getattr(scene, part) is None for scene in scenes)
    }
    if not untaught:
        return
    missing = next(iter(untaught.values()))
    weights = [weight for weight, part in untaught.items() if part == missing]
    zero = ", ".join(f"{weight}=0" for weight in weights)
    without = f", or set {zero}" if has_all else ""
    if not has_all and len(untaught) < len(parts):
        without = f", or use a Cerberus with {zero}"
    raise InputError(
        "y",
        f"a scene to train on whose {missing} are known, for {' and '.join(weights)}",
        "none",
        f"Give {missing}{without}.",
    )


def warn_of_lost_notes(scenes: Sequence[Scene], instruments: Sequence[str], name: str) -> None:
    """Warn, once for all scenes, of notes of some instruments that rolls do not have."""
    lost = {
        f"{instrument!r} in {name}[{i}]": int(np.sum(~in_rolls(notes)))
        for i, scene in enumerate(scenes)
        for instrument, notes in zip(scene.instruments, scene.notes or (), strict=False)
        if instrument in instruments
    }
    places = [place for place, n_notes in lost.items() if n_notes]
    if places:
        of = ", the first of" if len(places) > 1 else " of"
        warn_of_left_out(sum(lost.values()), f"{of} {places[0]},")
