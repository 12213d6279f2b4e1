"""Composing: who plays which notes when, in a song of a given seed.

A song is a form of four-bar sections (A A B A). A section is a chord progression with one
arrangement per instrument; an arrangement is a handful of layers (a melody, a bass line, a
strummed pattern), and a layer is a function of the section that gives events in beats. Only
the performance at the end knows seconds: it adds swing, and the unevenness of human hands.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle, islice, pairwise
from typing import NamedTuple

import numpy as np

from msa_sk.notes import Notes

_FORM = "AABA"
_BARS = 4  # per section
_SCALES = {"major": (0, 2, 4, 5, 7, 9, 11), "minor": (0, 2, 3, 5, 7, 8, 10)}

_TRIADS = {"major": (0, 4, 7), "minor": (0, 3, 7), "diminished": (0, 3, 6)}
_NUMERALS = {
    numeral: (root, _TRIADS[kind])
    for kind, roots in {
        "major": {"I": 0, "III": 3, "IV": 5, "V": 7, "VI": 8, "VII": 10},
        "minor": {"i": 0, "ii": 2, "iii": 4, "iv": 5, "v": 7, "vi": 9},
        "diminished": {"ii°": 2, "vii°": 11},
    }.items()
    for numeral, root in roots.items()
}
_PROGRESSIONS = {
    "major": (
        "I V vi IV",
        "I vi IV V",
        "vi IV I V",
        "I IV ii V",
        "I iii IV V",
        "I IV I V",
        "I VII IV I",
        "ii V I vi",
        "I IV iv I",
        "I V vi iii IV I IV V",
        "I vi ii V iii vi ii V",
    ),
    "minor": (
        "i VI III VII",
        "i VII VI V",
        "i iv V i",
        "i iv VII III",
        "i VI iv V",
        "i ii° V i",
        "i v VI VII",
        "i VII III VI iv i V V",
        "i iv VII III VI ii° V i",
    ),
}

# General MIDI percussion, and how long each drum rings in seconds
KICK, SNARE, CLOSED_HAT, OPEN_HAT, CRASH, RIDE = 36, 38, 42, 46, 49, 51
TOMS = (50, 48, 47, 45, 43, 41)
_RING = {KICK: 0.2, SNARE: 0.16, CLOSED_HAT: 0.06, OPEN_HAT: 0.3, CRASH: 0.9, RIDE: 0.4}
_RING |= dict.fromkeys(TOMS, 0.25)


class Event(NamedTuple):
    """A note as written: times in beats, loudness relative to the player's usual velocity."""

    beat: float
    length: float
    pitch: int
    accent: float = 0.0


class Chord(NamedTuple):
    """A chord and where it stands: pitch classes, root first, and the scale that goes with it."""

    beat: float
    length: float
    tones: tuple[int, ...]
    scale: tuple[int, ...]

    @property
    def end(self) -> float:
        return self.beat + self.length


class Section(NamedTuple):
    """Four bars: what the instruments agree on."""

    meter: int
    pulse: float  # seconds per beat
    chords: tuple[Chord, ...]
    density: float  # 0 is calm, 1 is busy

    @property
    def length(self) -> int:
        return self.meter * _BARS

    def chord_at(self, beat: float) -> Chord:
        return next(chord for chord in self.chords if chord.end > beat)


Layer = Callable[[Section, np.random.Generator], list[Event]]


def compose(instruments: Sequence[str], duration: float, rng: np.random.Generator) -> list[Notes]:
    """Compose a song.

    Parameters
    ----------
    instruments : sequence of str
        Keys of `ARRANGEMENTS`.
    duration : float
        In seconds; the song is as long or up to a section longer.
    rng : numpy.random.Generator

    Returns
    -------
    notes : list of Notes, one per instrument
    """
    mode = str(rng.choice(list(_SCALES)))
    tonic, meter = int(rng.integers(12)), int(rng.choice([3, 4], p=[0.2, 0.8]))
    pulse = 60 / rng.uniform(72, 148)
    swing = rng.choice([0.5, rng.uniform(0.56, 0.67)], p=[0.7, 0.3])
    unevenness = rng.uniform(0.002, 0.01)
    leaders = [name for name in instruments if ARRANGEMENTS[name].lead]
    leader = str(rng.choice(leaders)) if leaders else None

    n_sections = max(1, int(np.ceil(duration / (pulse * meter * _BARS))))
    form = list(islice(cycle(_FORM), n_sections))
    parts: dict[str, list[list[Event]]] = {}  # section letter: events of each instrument
    for letter in sorted(set(form)):
        section = _write_section(meter, pulse, tonic, mode, rng)
        parts[letter] = [_arrange(name, name == leader, section, rng) for name in instruments]

    notes = []
    for index in range(len(instruments)):
        events = [
            event._replace(beat=event.beat + number * meter * _BARS)
            for number, letter in enumerate(form)
            for event in parts[letter][index]
        ]
        notes.append(_perform(events, pulse, swing, unevenness, rng))
    return notes


def _write_section(
    meter: int, pulse: float, tonic: int, mode: str, rng: np.random.Generator
) -> Section:
    numerals = str(rng.choice(_PROGRESSIONS[mode])).split()
    length = meter * _BARS / len(numerals)
    with_seventh = rng.random() < 0.3
    chords = [
        Chord(i * length, length, *_spell(numeral, tonic, mode, with_seventh))
        for i, numeral in enumerate(numerals)
    ]
    return Section(meter, pulse, tuple(chords), float(rng.random()))


def _spell(
    numeral: str, tonic: int, mode: str, with_seventh: bool
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return a chord's pitch classes, and those of the scale to play over it."""
    root, triad = _NUMERALS[numeral]
    tones = [root + step for step in triad]
    if with_seventh:
        tones.append(root + (11 if numeral in ("I", "III", "IV", "VI") else 10))
    tones = [tone % 12 for tone in tones]
    # a borrowed tone displaces its neighbours in the scale, never the tonic
    borrowed = set(tones) - set(_SCALES[mode])
    neighbours = {(tone + step) % 12 for tone in borrowed for step in (-1, 1)} - {0}
    scale = (set(_SCALES[mode]) - neighbours) | set(tones)
    return (
        tuple((tonic + tone) % 12 for tone in tones),
        tuple(sorted((tonic + tone) % 12 for tone in scale)),
    )


def _arrange(name: str, leads: bool, section: Section, rng: np.random.Generator) -> list[Event]:
    arrangement = ARRANGEMENTS[name]
    choices = arrangement.lead if leads else arrangement.support
    layers = choices[rng.integers(len(choices))]
    # who accompanies listens for a bar; bass and drums, which never lead, play on
    pauses = arrangement.lead and not leads and rng.random() < 0.8
    pause = rng.integers(_BARS) if pauses else None
    return [
        event
        for layer in layers
        for event in layer(section, rng)
        if event.beat // section.meter != pause
    ]


def _perform(
    events: list[Event], pulse: float, swing: float, unevenness: float, rng: np.random.Generator
) -> Notes:
    """Turn written events into played notes."""
    written, length, pitch, accent = np.array(sorted(events), dtype=float).T
    whole = np.floor(written)
    part = np.interp(written - whole, [0, 0.5, 1], [0, swing, 1])
    onset = (whole + part) * pulse + rng.normal(0, unevenness, len(events))
    onset = np.maximum(onset, 0)
    offset = onset + length * pulse * rng.uniform(0.7, 0.98)
    velocity = rng.uniform(68, 88) + accent + rng.normal(0, 5, len(events))

    # a string or a key plays one note at a time: the next stroke ends the one before
    order = np.lexsort((onset, pitch))
    onset, offset, pitch, velocity = (x[order] for x in (onset, offset, pitch, velocity))
    following = np.append(np.where(pitch[1:] == pitch[:-1], onset[1:], np.inf), np.inf)
    offset = np.minimum(np.maximum(offset, onset + 0.06), following - 0.01)
    keep = offset - onset > 0.04
    velocity = np.clip(velocity, 20, 120).round()
    return Notes(onset[keep], offset[keep], pitch[keep], velocity[keep])


# The layers: each draws a pattern and plays it over the section's chords.


def _accent(beat: float, meter: int) -> float:
    return 8.0 if beat % meter == 0 else 2.0 if beat % 1 == 0 else -4.0


def _voicing(chord: Chord, low: int, n_voices: int) -> list[int]:
    """Stack the chord's tones upwards from a pitch."""
    return [p for p in range(low, low + 12 * n_voices) if p % 12 in chord.tones][:n_voices]


def _bass_pitch(pitch_class: int, low: int) -> int:
    return low + (pitch_class - low) % 12


def _strokes(
    section: Section, rng: np.random.Generator, density: float
) -> list[tuple[float, float]]:
    """Draw a rhythm on eighths, two bars that repeat; return (beat, length up to the next)."""
    eighths = np.arange(2 * section.meter)
    chance = density * np.where(eighths % 2, 0.6, 1.0)
    bars = [eighths[rng.random(len(eighths)) < chance] / 2 for _ in range(2)]
    beats = {bar * section.meter + beat for bar in range(_BARS) for beat in bars[bar % 2]}
    beats |= {chord.beat for chord in section.chords}
    return [(a, b - a) for a, b in pairwise([*sorted(beats), section.length])]


def _comp(
    section: Section,
    rng: np.random.Generator,
    low: int,
    n_voices: int = 3,
    hold: float = np.inf,
) -> list[Event]:
    """Block chords in a rhythm, each held for `hold` beats or up to the next."""
    low += int(rng.integers(-2, 3))
    hold = min(hold, rng.choice([0.5, 1.0, np.inf], p=[0.4, 0.4, 0.2]))
    return [
        Event(beat, min(length, hold), pitch, _accent(beat, section.meter) - 4)
        for beat, length in _strokes(section, rng, 0.2 + 0.4 * section.density)
        for pitch in _voicing(section.chord_at(beat), low, n_voices)
    ]


def _pad(section: Section, rng: np.random.Generator, low: int, n_voices: int = 3) -> list[Event]:
    """Chords held as long as they last."""
    low += int(rng.integers(-3, 4))
    return [
        Event(chord.beat, chord.length, pitch)
        for chord in section.chords
        for pitch in _voicing(chord, low, n_voices)
    ]


def _roots(section: Section, rng: np.random.Generator, low: int) -> list[Event]:
    """A left hand: the chord's root, perhaps with its octave, or the root and then its fifth."""
    with_octave, with_fifth = rng.random(2) < (0.2, 0.4)
    step = float(rng.choice([1.0, 2.0, np.inf]))
    hold = min(step, float(rng.choice([0.5, 1.0, 2.0, np.inf])))
    events = []
    for chord in section.chords:
        root = _bass_pitch(chord.tones[0], low)
        fifth = root + (chord.tones[2] - chord.tones[0]) % 12
        for i, beat in enumerate(np.arange(chord.beat, chord.end, min(step, chord.length))):
            pitch = fifth if with_fifth and i % 2 else root
            for octave in (0, 12) if with_octave else (0,):
                length = min(hold, chord.end - beat)
                events.append(Event(beat, length, pitch + octave, _accent(beat, section.meter)))
    return events


def _arpeggio(
    section: Section, rng: np.random.Generator, low: int, n_voices: int = 4, let_ring: bool = True
) -> list[Event]:
    """A chord one note after the other, in an order that stays."""
    low += int(rng.integers(-2, 3))
    step = float(rng.choice([0.5, 0.25], p=[0.75, 0.25]))
    up = list(range(n_voices))
    order = [up, up + up[-2:0:-1], [0, *rng.permutation(up[1:])]][rng.integers(3)]
    ring = float(rng.choice([step, 1.0, np.inf], p=[0.5, 0.3, 0.2])) if let_ring else step
    events = []
    for chord in section.chords:
        voices = _voicing(chord, low, n_voices)
        for i, beat in enumerate(np.arange(chord.beat, chord.end, step)):
            length = max(step, min(ring, chord.end - beat))
            pitch = voices[order[i % len(order)]]
            events.append(Event(beat, length, pitch, _accent(beat, section.meter)))
    return events


def _strum(section: Section, rng: np.random.Generator, low: int = 40) -> list[Event]:
    """Strums over the strings: down on the beat, up and lighter between the beats."""
    delay, n_strings = rng.uniform(0.008, 0.022) / section.pulse, int(rng.integers(3, 6))
    hold = float(rng.choice([0.5, 1.0, np.inf]))
    events = []
    for beat, length in _strokes(section, rng, 0.25 + 0.4 * section.density):
        chord = section.chord_at(beat)
        root = _bass_pitch(chord.tones[0], low)
        strings = [root, *_voicing(chord, root + 5, n_strings - 1)]
        down = beat % 1 == 0
        for i, pitch in enumerate(strings if down else strings[:-4:-1]):
            accent = _accent(beat, section.meter) - (4 if down else 8)
            events.append(Event(beat + i * delay, min(length, hold) - i * delay, pitch, accent))
    return events


def _bass_line(section: Section, rng: np.random.Generator, low: int = 28) -> list[Event]:
    """Roots and fifths in a rhythm, or a walk through the scale; it leads into each change."""
    walks = rng.random() < 0.35
    beats: Sequence[tuple[float, float]]
    if walks:
        beats = [(float(beat), 1.0) for beat in range(section.length)]
    else:
        beats = _strokes(section, rng, 0.3 + 0.6 * section.density)
    events: list[Event] = []
    for beat, length in beats:
        chord = section.chord_at(beat)
        root = _bass_pitch(chord.tones[0], low)
        following = section.chord_at((beat + length) % section.length)
        if beat == chord.beat:
            pitch = root
        elif beat + length == chord.end and following.tones[0] != chord.tones[0]:
            target = _bass_pitch(following.tones[0], low)
            steps = [p for p in range(target - 2, target + 3) if p % 12 in chord.scale]
            pitch = int(rng.choice([p for p in steps if p != target] or [root]))
        elif walks:
            near = [p for p in range(low - 3, low + 16) if p % 12 in chord.scale]
            pitch = int(rng.choice([p for p in near if 0 < abs(p - events[-1].pitch) <= 4]))
        else:
            fifth = root + (chord.tones[2] - chord.tones[0]) % 12
            pitch = int(rng.choice([root, fifth, root + 12], p=[0.6, 0.25, 0.15]))
        events.append(Event(beat, length, pitch, _accent(beat, section.meter)))
    return events


def _split(length: float, density: float, rng: np.random.Generator) -> list[float]:
    """Divide a stretch of beats again and again, as a melody's rhythm does."""
    if length < 1 or (length <= 2 and rng.random() > density):
        return [length]
    cut = np.round(2 * length * rng.choice([0.25, 0.5, 0.5, 0.75])) / 2
    cut = min(max(cut, 0.5), length - 0.5)
    return _split(cut, density, rng) + _split(length - cut, density, rng)


def _melody(
    section: Section,
    rng: np.random.Generator,
    low: int,
    high: int,
    busy: float = 1.0,
) -> list[Event]:
    """Motifs of one bar (a b a c): stepwise, with chord tones on the strong beats."""
    density = busy * (0.35 + 0.5 * section.density)
    motifs = []
    for _ in range(3):
        lengths = _split(section.meter, density, rng)
        steps = rng.choice([-5, -4, -2, -1, 0, 1, 2, 4, 5], size=len(lengths))
        sounds = rng.random(len(lengths)) > 0.15
        sounds[rng.integers(len(sounds))] = True
        motifs.append((lengths, steps, sounds))
    pitch, events = int(rng.integers(low + 4, high - 3)), []
    for bar, motif in enumerate([motifs[0], motifs[1], motifs[0], motifs[2]]):
        beat = float(bar * section.meter)
        for length, step, sounds in zip(*motif, strict=True):
            chord = section.chord_at(beat)
            allowed = chord.tones if beat % 2 == 0 or length >= 1.5 else chord.scale
            pitches = np.array([p for p in range(low, high + 1) if p % 12 in allowed])
            if step:
                pitches = pitches[pitches != pitch]
            pitch = int(pitches[np.argmin(np.abs(pitches - pitch - step))])
            if sounds:
                events.append(Event(beat, length, pitch, 8 + _accent(beat, section.meter)))
            beat += length
    return events


def _drum_kit(section: Section, rng: np.random.Generator) -> list[Event]:
    """Kick, snare and hats, two bars that repeat; a fill leads into the next section."""
    meter = section.meter
    kicks = [beat for beat, _ in _strokes(section, rng, 0.25 + 0.35 * section.density)]
    backbeats = [1, 3] if meter == 4 else [2]
    step = float(rng.choice([1.0, 0.5, 0.25], p=[0.2, 0.6, 0.2]))
    timekeeper = RIDE if rng.random() < 0.2 else CLOSED_HAT
    opens = rng.random() < 0.4
    fill = section.length - float(rng.choice([0, 1, 2], p=[0.2, 0.5, 0.3]))

    hits = [(beat, KICK, 0.0) for beat in kicks]
    for bar in range(0, section.length, meter):
        hits += [(bar + beat, SNARE, 6.0) for beat in backbeats]
        if rng.random() < section.density / 2:
            hits.append((bar + meter - 0.75, SNARE, -30.0))  # a ghost note
    for beat in np.arange(0, section.length, step):
        last = opens and (beat + step) % meter == 0
        hits.append((beat, OPEN_HAT if last else timekeeper, _accent(beat, meter) - 6))
    hits = [hit for hit in hits if hit[0] < fill]
    for i, beat in enumerate(np.arange(fill, section.length, 0.25)):
        drum = SNARE if rng.random() < 0.4 else TOMS[min(i, len(TOMS) - 1)]
        hits.append((beat, drum, rng.uniform(-10, 12)))
    if rng.random() < 0.6:
        hits.append((0.0, CRASH, 4.0))
    return [Event(beat, _RING[drum] / section.pulse, drum, accent) for beat, drum, accent in hits]


class Arrangement(NamedTuple):
    """What an instrument may play, as layers, when it has the melody and when it has not."""

    lead: tuple[tuple[Layer, ...], ...]
    support: tuple[tuple[Layer, ...], ...]


ARRANGEMENTS = {
    "piano": Arrangement(
        lead=(
            (partial(_melody, low=64, high=86), partial(_roots, low=38)),
            (partial(_melody, low=65, high=88), partial(_arpeggio, low=45)),
            (partial(_melody, low=67, high=86), partial(_comp, low=50)),
        ),
        support=(
            (partial(_comp, low=60), partial(_roots, low=36)),
            (partial(_comp, low=64), partial(_roots, low=40)),
            (partial(_arpeggio, low=60), partial(_roots, low=36)),
            (partial(_arpeggio, low=45, n_voices=6),),
            (partial(_melody, low=65, high=86, busy=0.5), partial(_roots, low=38)),
        ),
    ),
    "guitar": Arrangement(
        lead=(
            (partial(_melody, low=52, high=76),),
            (partial(_melody, low=60, high=84),),
            (partial(_melody, low=59, high=81), partial(_roots, low=40)),
        ),
        support=(
            (_strum,),
            (partial(_arpeggio, low=45, n_voices=5),),
            (partial(_comp, low=52, n_voices=2, hold=0.5),),
            (partial(_melody, low=43, high=64, busy=0.8),),
        ),
    ),
    "bass": Arrangement(lead=(), support=((_bass_line,),)),
    "drums": Arrangement(lead=(), support=((_drum_kit,),)),
    "strings": Arrangement(
        lead=(
            (partial(_melody, low=60, high=84, busy=0.7),),
            (partial(_melody, low=67, high=88, busy=0.7), partial(_pad, low=48, n_voices=2)),
        ),
        support=(
            (partial(_pad, low=48, n_voices=4),),
            (partial(_pad, low=58),),
            (partial(_melody, low=55, high=76, busy=0.6),),
        ),
    ),
    "organ": Arrangement(
        lead=((partial(_melody, low=62, high=86), partial(_pad, low=45)),),
        support=(
            (partial(_pad, low=50, n_voices=4),),
            (partial(_comp, low=55), partial(_roots, low=36)),
            (partial(_arpeggio, low=57, let_ring=False),),
        ),
    ),
    "flute": Arrangement(
        lead=((partial(_melody, low=67, high=93),),),
        support=((partial(_melody, low=67, high=88, busy=0.6),),),
    ),
    "brass": Arrangement(
        lead=((partial(_melody, low=55, high=77),),),
        support=(
            (partial(_comp, low=53, hold=0.5),),
            (partial(_melody, low=48, high=70, busy=0.6),),
        ),
    ),
}
