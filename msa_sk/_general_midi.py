"""General MIDI: which programs an instrument's name stands for."""

import re
from collections.abc import Sequence

from msa_sk._arguments import check_names
from msa_sk.records import unknown_name

DRUM_CHANNEL = 9  # that musicians count as 10

#: Every General MIDI program belongs to one of these families. "strings" are the bowed strings
#: and the string ensembles; harp, timpani and voices are on their own.
FAMILIES: dict[str, tuple[int, ...]] = {
    "piano": tuple(range(8)),
    "chromatic_percussion": tuple(range(8, 16)),
    "organ": tuple(range(16, 24)),
    "guitar": tuple(range(24, 32)),
    "bass": tuple(range(32, 40)),
    "strings": (*range(40, 46), *range(48, 52)),
    "harp": (46,),
    "timpani": (47,),
    "voice": (52, 53, 54),
    "orchestra_hit": (55,),
    "brass": tuple(range(56, 64)),
    "reed": tuple(range(64, 72)),
    "pipe": tuple(range(72, 80)),
    "synth_lead": tuple(range(80, 88)),
    "synth_pad": tuple(range(88, 96)),
    "synth_effects": tuple(range(96, 104)),
    "ethnic": tuple(range(104, 112)),
    "percussive": tuple(range(112, 120)),
    "sound_effects": tuple(range(120, 128)),
}

#: Single instruments: a name to ask for, and the programs that answer to it. The first program
#: is the one that is written.
INSTRUMENTS: dict[str, tuple[int, ...]] = {
    "electric_piano": (4, 5),
    "harpsichord": (6,),
    "celesta": (8,),
    "glockenspiel": (9,),
    "vibraphone": (11,),
    "marimba": (12,),
    "xylophone": (13,),
    "accordion": (21, 23),
    "harmonica": (22,),
    "acoustic_guitar": (24, 25),
    "electric_guitar": (27, 26, 28, 29, 30, 31),
    "acoustic_bass": (32,),
    "electric_bass": (33, 34, 35, 36, 37),
    "synth_bass": (38, 39),
    "violin": (40,),
    "viola": (41,),
    "cello": (42,),
    "contrabass": (43,),
    "choir": (52,),
    "vocals": (53, 52, 54),
    "trumpet": (56, 59),
    "trombone": (57,),
    "tuba": (58,),
    "horn": (60,),
    "saxophone": (65, 64, 66, 67),
    "sax": (65, 64, 66, 67),
    "oboe": (68,),
    "bassoon": (70,),
    "clarinet": (71,),
    "piccolo": (72,),
    "flute": (73,),
    "recorder": (74,),
    "banjo": (105,),
}
_PROGRAMS = FAMILIES | INSTRUMENTS
_FAMILY_OF = {program: name for name, programs in FAMILIES.items() for program in programs}
_FIRST_CHOICE = {"bass": 33, "strings": 48, "voice": 53, "brass": 61, "reed": 65, "pipe": 73}


def program_of(name: str) -> int | None:
    """Return the General MIDI program that an instrument is written with.

    A name that is not in the tables is looked up by its words, the last first
    (``"lead_guitar"`` is a guitar, ``"Violin 2"`` a violin); what remains unknown is a piano.

    Returns
    -------
    program : int from 0 to 127, or None for drums
    """
    words = re.sub(r"[\W\d_]+", " ", name.casefold()).split()
    for candidate in ["_".join(words), *reversed(words)]:
        if candidate == "drums":
            return None
        if candidate in _PROGRAMS:
            return _FIRST_CHOICE.get(candidate, _PROGRAMS[candidate][0])
    return 0


def family_of(program: int) -> str:
    """Return the family that a program belongs to."""
    return _FAMILY_OF[program]


def belongs_to(program: int, instrument: str) -> bool:
    """Tell whether a program is one of an instrument's."""
    return program in _PROGRAMS.get(instrument, ())


def check_known(
    instruments: Sequence[str], also: Sequence[str] = (), at_least: int = 1
) -> tuple[str, ...]:
    """Refuse instruments that are neither in the tables, nor drums, nor in `also`.

    Raises
    ------
    InstrumentError
        Naming the closest instrument that is known; see also `check_names`.
    """
    names = check_names(instruments, "instruments", at_least)
    known = [*filter(None, also), *_PROGRAMS, "drums"]
    for name in names:
        if name not in known:
            raise unknown_name("instruments", name, known)
    return names
