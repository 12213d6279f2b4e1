"""How fast songs are rendered to stems, beside pretty_midi.

The songs and the SoundFont are those of the folder MSA_SK_DATA. Ours are the stems of
`render_scenes`, two songs at a time; pretty_midi plays the same instruments one by one through
`Instrument.fluidsynth`. Both synthesise at 48 kHz, where the samples do not alias, and resample.

Claimed and asserted, from the size small upwards: all stems of songs are rendered at least 40
times as fast as the songs last, and at least as fast as by pretty_midi.

``python -m benchmarks.rendering --size tiny|small [--seed 0]``
"""

import os
import tempfile
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks._report import parse_arguments, race, write_report
from msa_sk.datasets import render_scenes
from msa_sk.exceptions import MsaWarning
from msa_sk.midi import FAMILIES

INSTRUMENTS = ("piano", "guitar", "bass", "drums", "strings")
RATE = 16000


class Size(NamedTuple):
    """How much there is to do."""

    n_songs: int
    n_runs: int


SIZES = {"tiny": Size(2, 1), "small": Size(12, 3)}


def main() -> None:
    arguments = parse_arguments(__doc__)
    if arguments.size not in SIZES:
        raise SystemExit(f"{arguments.size}: this benchmark has the sizes {', '.join(SIZES)}.")
    size, start = SIZES[arguments.size], time.monotonic()
    files, soundfont = some_songs(size.n_songs, arguments.seed)
    figures, (X, y), peer_stems = race(
        lambda: render(files, soundfont), lambda: render_with_peer(files, soundfont), size.n_runs
    )
    seconds = sum(X)
    row = {
        "work": f"{len(X)} songs, {seconds:.0f} s, {y} stems at {RATE} Hz",
        "against": f"pretty_midi, {peer_stems} instruments",
        **figures,
        "times real time": seconds / figures["ours"],
        "pretty_midi, times real time": seconds / figures["peer"],
    }
    path = write_report(
        "rendering",
        arguments,
        [row],
        time.monotonic() - start,
        packages=("pyfluidsynth", "pretty_midi"),
        note="Median seconds over turns taken alternately; ratio: how many times faster ours is.",
    )
    print(path.with_suffix(".md").read_text(encoding="utf-8"))
    if arguments.size != "tiny":
        assert row["times real time"] >= 40, row
        assert row["ratio"] >= 1, row


def some_songs(n_songs: int, seed: int) -> tuple[list[Path], Path]:
    """Return MIDI files, drawn at random, and the SoundFont."""
    folder = os.environ.get("MSA_SK_DATA")
    if not folder:
        raise SystemExit("Set MSA_SK_DATA to the folder that holds midi/ and soundfonts/.")
    soundfont = next(Path(folder).glob("soundfonts/*.sf2"))
    files = sorted(Path(folder).glob("midi/*/*.mid"))
    order = np.random.default_rng(seed).permutation(len(files))
    return [files[i] for i in order[:n_songs]], soundfont


def render(files: list[Path], soundfont: Path) -> tuple[list[float], int]:
    """Render all stems anew; return the songs' durations and the number of stems."""
    with tempfile.TemporaryDirectory() as cache, warnings.catch_warnings():
        warnings.simplefilter("ignore", MsaWarning)  # of what some songs hold
        X, y = render_scenes(
            files,
            soundfont,
            INSTRUMENTS,
            require="any",
            cache_dir=cache,
            sample_rate=RATE,
            n_jobs=2,
        )
        return [mixture.duration for mixture in X], sum(len(scene.instruments) for scene in y)


def render_with_peer(files: list[Path], soundfont: Path) -> int:
    """Let pretty_midi play each instrument; return how many there were."""
    import pretty_midi
    import soxr

    wanted = {program for name in INSTRUMENTS for program in FAMILIES.get(name, ())}
    n_played = 0
    for path in files:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pretty_midi's, of how files are made
            song = pretty_midi.PrettyMIDI(str(path))
        for instrument in song.instruments:
            if instrument.is_drum or instrument.program in wanted:
                audio = instrument.fluidsynth(fs=3 * RATE, synthesizer=str(soundfont))
                soxr.resample(audio, 3 * RATE, RATE)
                n_played += 1
    return n_played


if __name__ == "__main__":
    main()
