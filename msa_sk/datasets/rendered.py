"""Multitrack scenes from MIDI files and a SoundFont.

Every stem is played by a synthesizer of its own, dry, and the mixture is the sum of its stems:
one synthesizer for all instruments would not give stems that add up.
"""

import hashlib
import os
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, product
from pathlib import Path
from typing import Any

import numpy as np

from msa_sk._arguments import check_folder, check_names, check_path, check_value
from msa_sk._general_midi import DRUM_CHANNEL, check_known
from msa_sk._jobs import share_out
from msa_sk._sklearn import whole
from msa_sk._validation import check_random
from msa_sk.audio import check_rate
from msa_sk.clips import Clip
from msa_sk.datasets._fluidsynth import GAIN, SoundFont, play
from msa_sk.datasets._reader import some_of
from msa_sk.datasets.cache import write_float
from msa_sk.exceptions import (
    InputError,
    InstrumentError,
    MissingDependencyError,
    MsaError,
    MsaWarning,
    NotesWarning,
    ParameterError,
)
from msa_sk.hierarchy import Hierarchy
from msa_sk.midi import Part, merge_notes, read_parts
from msa_sk.notes import Notes
from msa_sk.records import Mixture, Scene

TAIL = 1.0  # s, in which the last note dies away
MAX_SECONDS = 3600.0
_RENDERING = "1"  # is part of the cache's keys: count it up when the sound changes
_MAX_RATE = 96_000


@dataclass(frozen=True)
class _Plan:
    """What is the same for all songs of one call."""

    soundfont: SoundFont
    instruments: tuple[str, ...]
    hierarchy: Hierarchy | None
    n_required: int
    min_notes: int
    doubles: str
    programs: Mapping[str, Sequence[int]]
    transpose: int
    seed: int
    sample_rate: int
    cache_dir: Path
    on_error: str


@dataclass(frozen=True)
class _Voice:
    """One stem of a song: an instrument, its notes and the file they were rendered to."""

    instrument: str
    notes: Notes
    path: Path


@dataclass(frozen=True)
class _Song:
    digest: str
    voices: list[list[_Voice]]  # for each instrument, the stems to choose from; none if left out
    repairs: list[str]


def render_scenes(
    midi_files: Sequence[str | os.PathLike],
    soundfont: str | os.PathLike,
    instruments: Sequence[str] | Hierarchy = ("piano", "guitar"),
    *,
    cache_dir: str | os.PathLike,
    sample_rate: int = 16000,
    require: str = "all",
    min_notes: int = 1,
    doubles: str = "sum",
    programs: Mapping[str, Sequence[int]] | None = None,
    transpose: int = 0,
    random_state: int | np.random.RandomState | None = None,
    n_jobs: int | None = 1,
    on_error: str = "warn",
    verbose: int = 0,
) -> tuple[list[Mixture], list[Scene]]:
    """Render whole songs, one mixture and scene each, to stems on disk.

    A stem holds all tracks of an instrument, each with its own program, as a hierarchy sorts
    them or General MIDI does (`msa_sk.midi.FAMILIES` and `INSTRUMENTS`; channel 10 is
    ``"drums"``), in mono, with velocities, volume, expression, pan, pitch bend and pedals as
    the file has them. Banks, reverb and chorus are left out. The notes are those of the file,
    at the times rendered; they end with their keys, also where a pedal lets them sound on.

    Parameters
    ----------
    midi_files : sequence of path-like
        One song each.
    soundfont : path-like
        A General MIDI SoundFont (.sf2 or .sf3).
    instruments : sequence of str or Hierarchy, default=("piano", "guitar")
        The instruments of the scenes; the rest of a song is left out. Of a hierarchy they are
        the leaves that have programs; few songs hold them all, so ask for ``require="any"``.
    cache_dir : path-like
        Made if needed. Stems are kept here as float32 WAV, named by song, instrument and a hash
        of all that went into them. What is there already is not rendered again, so an
        interrupted run goes on where it stopped.
    sample_rate : int, default=16000
        Of the stems, in Hz.
    require : {"all", "any"}, default="all"
        Keep songs in which all instruments play, or at least one: then a scene lists those
        that do.
    min_notes : int, default=1
        An instrument plays in a song if it has so many notes.
    doubles : {"sum", "split"}, default="sum"
        Whether several players of an instrument make one stem or, as in chapter 4 of the
        dissertation, one scene for each choice of a player per instrument.
    programs : mapping of str to sequence of int, default=None
        Programs (0 to 127) to draw from for each track of an instrument, so that the same song
        sounds otherwise: ``{"piano": range(8)}``. Tracks of others keep theirs.
    transpose : int, default=0
        Each song is transposed by a number of semitones drawn between minus this and this, all
        instruments but drums alike, as far as pitches stay within MIDI's.
    random_state : int, RandomState or None, default=None
        What `programs` and `transpose` draw with. The songs of several renderings keep their
        groups, so that their union can be split by song.
    n_jobs : int or None, default=1
        How many songs are rendered at a time, as in joblib.
    on_error : {"warn", "raise"}, default="warn"
        Leave out a song that cannot be read or rendered, or stop at it.
    verbose : int, default=0
        Above 0, show progress if standard error is a terminal.

    Returns
    -------
    X : list of Mixture
        The audio is a tuple of Clips, whose sum the mixture is. Nothing is read until asked.
        The group is the song's file name without its suffix (the path, if two share a name).
    y : list of Scene

    Raises
    ------
    MissingDependencyError
        If something has to be rendered, and FluidSynth or pyfluidsynth is not installed.
    InstrumentError
        If an instrument is not in the tables, or `programs` names one that is not asked for.
    ParameterError
        If an option is none of those listed.
    InputError
        If the SoundFont cannot be used, or no song is left.
    MidiFormatError
        With ``on_error="raise"``, if a song cannot be read.

    Warns
    -----
    MsaWarning
        With the number of songs left out, and why; copies of another file are left out too.
    NotesWarning
        With the songs whose notes had to be repaired.

    Examples
    --------
    Mixtures of one song each, in five-second excerpts::

        files = sorted(Path("midi").glob("*.mid"))
        X, y = render_scenes(files, "gm.sf2", ("piano", "guitar"), cache_dir="stems")
        X, y = Excerpts.from_preset("chapter3").apply(X, y)

    More of them to train on, in other keys and with other pianos::

        more = render_scenes(
            files,
            "gm.sf2",
            ("piano", "guitar"),
            cache_dir="stems",
            programs={"piano": range(8)},
            transpose=5,
            random_state=0,
        )
        X, y = X + more[0], y + more[1]

    See `msa_sk.datasets.mix_incoherent` for mixtures of different songs.
    """
    files = _check_files(midi_files)
    names = _check_options(instruments, require, doubles, on_error)
    rate = check_rate(sample_rate, "render_scenes(sample_rate=)")
    if rate > _MAX_RATE:
        raise InputError("sample_rate", f"at most {_MAX_RATE} Hz", f"{rate} Hz", "Lower it.")
    check_value(min_notes, "min_notes", whole(0))
    check_value(transpose, "transpose", whole(0, 127), remedy="Pass semitones.")
    n_required = len(names) if require == "all" else 1
    plan = _Plan(
        SoundFont(soundfont),
        names,
        instruments if isinstance(instruments, Hierarchy) else None,
        n_required,
        min_notes,
        doubles,
        _check_programs(programs, names),
        transpose,
        int(check_random(random_state).randint(2**31)),
        rate,
        check_folder(cache_dir, "cache_dir").absolute(),
        on_error,
    )
    songs = share_out(
        *(_render_song, files, plan),
        label="rendering",
        unit="song",
        n_jobs=n_jobs,
        verbose=verbose,
    )
    groups = _group_names(files)
    X, y, seen = [], [], set()
    failures, repairs, n_copies, n_other = [], [], 0, 0
    for path, group, song in zip(files, groups, songs, strict=True):
        if isinstance(song, Exception):
            failures.append(f"{path.name} ({song})")
            continue
        if song.digest in seen:
            n_copies += 1
        elif not song.voices:
            n_other += 1
        else:
            repairs += song.repairs
            for voices in product(*song.voices):
                stems = tuple(Clip(voice.path) for voice in voices)
                played = tuple(voice.instrument for voice in voices)
                notes = tuple(voice.notes for voice in voices)
                X.append(Mixture(stems, rate, group=group))
                y.append(Scene(played, rate, stems, notes))
        seen.add(song.digest)
    if failures and len(failures) == len(files):
        got = f"none: {some_of(failures)}"
        raise InputError("midi_files", "a song that can be rendered", got, "Repair them.")
    _report(len(files), failures, n_copies, n_other, repairs, f"{require} of {', '.join(names)}")
    if not X:
        raise InputError(
            "midi_files",
            f"a song in which {require} of {list(names)} play",
            f"none among {len(files)}"
            + (f", of which {len(failures)} failed: {some_of(failures)}" if failures else ""),
            "Ask for other instruments, or require='any'.",
        )
    return X, y


def _check_files(midi_files: Any) -> list[Path]:
    if isinstance(midi_files, str | os.PathLike) or not isinstance(midi_files, Iterable):
        raise InputError(
            "midi_files",
            "a sequence of paths",
            repr(midi_files),
            "List the files: sorted(Path(folder).glob('*.mid')).",
        )
    return [check_path(path, f"midi_files[{i}]") for i, path in enumerate(midi_files)]


def _check_options(
    instruments: Sequence[str] | Hierarchy, require: str, doubles: str, on_error: str
) -> tuple[str, ...]:
    for name, value, allowed in (
        ("require", require, ("all", "any")),
        ("doubles", doubles, ("sum", "split")),
        ("on_error", on_error, ("warn", "raise")),
    ):
        if value not in allowed:
            raise ParameterError(name, f"one of {allowed}", repr(value), "Choose one of them.")
    if not isinstance(instruments, Hierarchy):
        return check_known(instruments)
    leaves = [leaf for leaf, programs in instruments.programs.items() if programs]
    for leaf in leaves:
        if Path(leaf).name != leaf:
            raise InstrumentError(
                "hierarchy", "leaves that can name a file", repr(leaf), "Rename it."
            )
    return check_names(leaves, "leaves with programs")


def _check_programs(
    programs: Mapping[str, Sequence[int]] | None, names: Sequence[str]
) -> dict[str, tuple[int, ...]]:
    remedy = "Pass them as {'piano': range(8)}."
    check_value(programs, "programs", Mapping, None, remedy=remedy)
    for name, choice in (programs or {}).items():
        item = f"programs[{name!r}]"
        if name not in names:
            raise InstrumentError("programs", f"names among {list(names)}", repr(name), remedy)
        check_value(choice, item, "array-like", remedy=remedy)
        if not len(choice):
            raise ParameterError(item, "at least one program", "none", remedy)
        for program in choice:
            check_value(program, item, whole(0, 127), remedy=remedy)
    return {name: tuple(choice) for name, choice in (programs or {}).items()}


def _group_names(files: list[Path]) -> list[str]:
    stems = [path.stem for path in files]
    return stems if len(set(stems)) == len(stems) else [str(path) for path in files]


def _report(
    n_files: int,
    failures: list[str],
    n_copies: int,
    n_other: int,
    repairs: list[str],
    wanted: str,
) -> None:
    reasons = []
    if n_other:
        reasons.append(f"{n_other} do not hold {wanted}")
    if n_copies:
        reasons.append(f"{n_copies} are copies of another file")
    if failures:
        reasons.append(f"{len(failures)} failed: {some_of(failures)}")
    if reasons:
        n_out = n_other + n_copies + len(failures)
        warnings.warn(
            f"{n_out} of {n_files} songs were left out: " + ", ".join(reasons) + ".",
            MsaWarning,
            stacklevel=3,
        )
    if repairs:
        warnings.warn(
            f"{len(repairs)} songs were repaired: " + " ".join(repairs),
            NotesWarning,
            stacklevel=3,
        )


# ------------------------------------------------------------------------------------ one song


def _render_song(path: Path, plan: _Plan) -> _Song | Exception:
    """Render the stems of a song that are not in the cache; return an error as a result."""
    try:
        with warnings.catch_warnings(record=True) as repairs:
            warnings.simplefilter("always", NotesWarning)
            parts = read_parts(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        cast = _vary(_cast(parts, plan), digest, plan)
        if len(cast) < plan.n_required:
            return _Song(digest, [], [])
        duration = max(part.notes.offset.max() for part in parts) + TAIL
        if duration > MAX_SECONDS:
            raise InputError(
                str(path), f"at most {MAX_SECONDS:.0f} s", f"{duration:.0f} s", "Cut it."
            )
        voices = [
            [
                _Voice(
                    instrument,
                    merge_notes([part.notes for part in own]),
                    _stem(path, digest, instrument, own, duration, plan),
                )
                for own in players
            ]
            for instrument, players in cast.items()
        ]
        return _Song(digest, voices, [str(repair.message) for repair in repairs])
    except MissingDependencyError:
        raise
    except (MsaError, OSError) as error:
        if plan.on_error == "raise":
            raise
        return error


def _stem(
    song: Path, digest: str, instrument: str, parts: Sequence[Part], duration: float, plan: _Plan
) -> Path:
    """Return the file of a stem, and render it unless it is there."""
    settings = (plan.soundfont.digest, plan.sample_rate, GAIN, TAIL, _RENDERING)
    # Within one song, the sum of its pitches tells by how much a part is transposed.
    played = [
        (part.track, part.channel, part.program, int(part.notes.pitch.sum())) for part in parts
    ]
    key = hashlib.sha256(repr((digest, settings, played)).encode()).hexdigest()[:16]
    stem = plan.cache_dir / f"{song.stem[:60]}-{instrument}-{key}.wav"
    if not stem.exists():
        audio = play(parts, plan.soundfont, plan.sample_rate, duration)
        write_float(stem, audio, plan.sample_rate)
    return stem


def _cast(parts: Sequence[Part], plan: _Plan) -> dict[str, list[list[Part]]]:
    """Return, for every instrument that plays, its players, each with what he plays."""
    cast: dict[str, dict[Any, list[Part]]] = {name: {} for name in plan.instruments}
    for part in parts:
        instrument = _instrument_of(part, plan)
        if instrument is not None:
            player = (part.track, part.channel) if plan.doubles == "split" else None
            cast[instrument].setdefault(player, []).append(part)
    enough = {
        name: [own for own in players.values() if _n_notes(own) >= plan.min_notes]
        for name, players in cast.items()
    }
    return {name: players for name, players in enough.items() if players}


def _vary(
    cast: dict[str, list[list[Part]]], digest: str, plan: _Plan
) -> dict[str, list[list[Part]]]:
    """Give parts other programs and the song another key, as far as the plan says so."""
    random = np.random.default_rng([plan.seed, int(digest[:16], 16)])
    pitches = [
        pitch
        for players in cast.values()
        for part in chain(*players)
        if part.channel != DRUM_CHANNEL
        for pitch in (part.notes.pitch.min(), part.notes.pitch.max())
    ]
    low, high = min(pitches, default=0), max(pitches, default=127)
    shift = random.integers(-min(plan.transpose, low), min(plan.transpose, 127 - high) + 1)

    def varied(part: Part, programs: Sequence[int]) -> Part:
        notes = part.notes
        if part.channel != DRUM_CHANNEL:
            notes = Notes(notes.onset, notes.offset, notes.pitch + shift, notes.velocity)
        return replace(part, program=int(random.choice(programs)), notes=notes)

    return {
        name: [
            [varied(part, plan.programs.get(name, (part.program,))) for part in own]
            for own in players
        ]
        for name, players in cast.items()
    }


def _instrument_of(part: Part, plan: _Plan) -> str | None:
    if plan.hierarchy is not None:
        return plan.hierarchy.leaf_of("drums" if part.channel == DRUM_CHANNEL else part.program)
    return next((name for name in plan.instruments if part.plays(name)), None)


def _n_notes(parts: Sequence[Part]) -> int:
    return sum(len(part.notes) for part in parts)
