"""Scores that mixtures bring along, for systems that are informed by one."""

from collections.abc import Sequence

from msa_sk.exceptions import InputError, NotesError
from msa_sk.notes import LATE, Notes
from msa_sk.records import Mixture, unknown_name


def score_of(
    mixture: Mixture, instruments: Sequence[str], others: bool = False
) -> tuple[Notes, ...]:
    """Return the notes that a mixture brings along, in the order of `instruments`.

    An instrument that the score does not list has no notes: it is silent.

    Parameters
    ----------
    mixture : Mixture
    instruments : sequence of str
    others : bool, default=False
        Whether the score may have further instruments, which are left out.

    Raises
    ------
    InputError
        If there is no score.
    InstrumentError
        If it has an instrument that is not among these, unless `others` may be there.
    NotesError
        If a note begins after the mixture has ended, saying by how much.
    """
    if mixture.notes is None:
        raise InputError(
            "Mixture(notes=)",
            "a score: a dict of instrument to Notes",
            "None",
            "Write one, read one by read_midi, or let a Pipeline transcribe before.",
        )
    for name, notes in mixture.notes.items():
        if name not in instruments and not others:
            raise unknown_name("Mixture(notes=)", name, instruments)
        late = notes.onset.max(initial=0) - mixture.duration
        if late > LATE:
            raise NotesError(
                f"Mixture(notes=)[{name!r}]",
                f"notes that begin before the mixture ends, at {mixture.duration:.2f} s",
                f"one that begins {late:.2f} s later",
                "Check that the score is that of this recording, and in seconds.",
            )
    return tuple(mixture.notes.get(name, Notes()) for name in instruments)
