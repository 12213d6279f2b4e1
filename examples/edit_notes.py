"""Mend a separation by its notes: a wrong score, one edit, and the stems before and after.

    python examples/edit_notes.py

Composes a song for piano and guitar and takes it apart with NMF that is told the notes, three of
which are given to the wrong instrument. Then one line gives them back. Writes the stems and MIDI
files of both states, the log of the edit, and the picture and the sounds of docs/editing.md, which
tells more.
"""

import argparse
from pathlib import Path

import numpy as np
import soundfile
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from msa_sk import EditSession, Mixture, NMFSeparator, Scene
from msa_sk.datasets import make_scenes
from msa_sk.display import log_spectrogram
from msa_sk.editing import move
from msa_sk.metrics import si_sdr

INSTRUMENTS = ("piano", "guitar")
COLOURS = {"piano": "#0072B2", "guitar": "#D55E00"}
TIMES, PITCHES = (1.0, 2.1), (70, 80)  # of the notes that go astray


def main() -> None:
    out = Path(parse().out)
    (mixture,), (truth,) = make_scenes(1, INSTRUMENTS, duration=7.0, random_state=6)
    wrong = move(truth, "guitar", "piano", times=TIMES, pitches=PITCHES)

    separator = NMFSeparator(score_informed=True).fit([mixture], [truth])
    session = EditSession(separator, mixture, wrong)
    before = session.scene
    after = session.move("piano", "guitar", times=TIMES, pitches=PITCHES)

    scenes = {"before": before, "after": after}
    for when, scene in scenes.items():
        scene.write(out / when)
        print(f"{when}: {levels(truth, scene)}; of the three notes {shares(truth, scene)}")
    session.save_log(out / "edits.json")
    draw(scenes).savefig(out / "editing.png")
    write_sounds(out / "editing", mixture, scenes)
    print(
        f"Written to {out.resolve()}: stems before and after, edits.json, editing.png, and what "
        "there is to hear in editing"
    )


def levels(truth: Scene, scene: Scene) -> str:
    """Return the SI-SDR of each stem."""
    found = {name: si_sdr(truth.source(name), scene.source(name)) for name in INSTRUMENTS}
    return ", ".join(f"{name} {level:.1f} dB" for name, level in found.items())


def shares(truth: Scene, scene: Scene) -> str:
    """Return how much of the guitar's true sound each stem has while the notes sound.

    A stem is taken for a sum of the true sources, times numbers that leave the least of it.
    """
    rate, notes = truth.sample_rate, truth.notes_of("guitar")
    notes = notes.select(notes.find(times=TIMES, pitches=PITCHES))
    while_on = slice(round(notes.onset.min() * rate), round(notes.offset.max() * rate))
    sources = np.stack([truth.source(name)[while_on] for name in INSTRUMENTS], axis=1)
    stems = np.stack([scene.source(name)[while_on] for name in INSTRUMENTS], axis=1)
    _, of_guitar = np.linalg.lstsq(sources, stems)[0]
    return ", ".join(
        f"{name} {share:.0%}" for name, share in zip(INSTRUMENTS, abs(of_guitar), strict=True)
    )


def write_sounds(folder: Path, mixture: Mixture, scenes: dict[str, Scene]) -> None:
    """Write a mixture and its stems as small files that a browser plays."""
    folder.mkdir(parents=True, exist_ok=True)
    sounds = {"mixture": mixture.read()}
    for when, scene in scenes.items():
        sounds |= {f"{name}_{when}": scene.source(name) for name in INSTRUMENTS}
    for name, audio in sounds.items():
        soundfile.write(folder / f"{name}.ogg", audio, mixture.rate, "VORBIS")


def draw(scenes: dict[str, Scene]) -> Figure:
    """Draw the notes and the stems of some states side by side, with a frame around the edit."""
    figure = Figure(figsize=(10, 7), dpi=80, layout="constrained")
    axes = figure.subplots(1 + len(INSTRUMENTS), len(scenes), sharex=True, sharey="row")
    for column, (title, scene) in zip(axes.T, scenes.items(), strict=True):
        column[0].set_title(title)
        column[-1].set_xlabel("time (s)")
        for name in INSTRUMENTS:
            notes = scene.notes_of(name)
            column[0].barh(
                notes.pitch,
                notes.offset - notes.onset,
                left=notes.onset,
                color=COLOURS[name],
                label=name,
            )
        frame(column[0], *PITCHES)
        for ax, name in zip(column[1:], INSTRUMENTS, strict=True):
            image = log_spectrogram(scene.source(name), scene.sample_rate)
            ax.pcolormesh(
                image.seconds, image.hz, image.db, vmin=image.db.max() - 60, rasterized=True
            )
            ax.set_yscale("log")
            frame(ax, 440 * 2 ** ((PITCHES[0] - 69) / 12), image.hz.max(), "white")
    for ax, label in zip(axes[:, 0], ("pitch", "piano (Hz)", "guitar (Hz)"), strict=True):
        ax.set_ylabel(label)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def frame(ax: Axes, low: float, high: float, color: str = "black") -> None:
    """Frame the time of the edit, from one pitch or frequency to another."""
    width = TIMES[1] - TIMES[0]
    ax.add_patch(Rectangle((TIMES[0], low), width, high - low, fill=False, color=color))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="edit-out", help="folder for what is written")
    return parser.parse_args()


if __name__ == "__main__":
    main()
