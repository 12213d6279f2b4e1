"""Figure 4.7: one excerpt on the way from no notes to the true ones, step by step.

The residual variant of table 4.1 separates an excerpt by five scores on the way to the truth, as
in figure 4.5: of the first fold the excerpt in which the piano plays most notes. The picture has
the roll that it is told of the piano, the notes that are still missing in gray, and below it what
comes out as the piano.

Nothing is claimed but that all runs.

``python -m benchmarks.figure_4_7 --size tiny|small|paper [--seed 0]``; what the tables have
trained is not trained again.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.ticker import MaxNLocator

from benchmarks._chapter3 import plan
from benchmarks._chapter4 import BAND, NETWORKS, SIZES, folds_of, mixtures_of
from benchmarks._report import finish, parse_arguments
from benchmarks.figure_4_5 import separate
from msa_sk import Mixture, Notes, Scene
from msa_sk.display.scenes import log_spectrogram
from msa_sk.metrics import interpolate_notes, roll_distance, si_sdr_improvement

N_STEPS = 5
SHOWN = "piano"
DYNAMICS_DB = 60


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parse_arguments(__doc__, argv)
    size, start = SIZES[arguments.size], time.monotonic()
    fold = folds_of("four instruments", size)[0]
    separator = plan("residual", fold, size, arguments.seed, BAND, NETWORKS).fit()
    X, y = mixtures_of("four instruments", fold, size)
    mixture, truth = max(
        zip(X, y, strict=True),
        key=lambda pair: len(pair[1].notes_of(SHOWN)) if SHOWN in pair[1].instruments else 0,
    )
    steps = interpolate_notes(truth, None, N_STEPS, random_state=0)
    outputs = separate(separator, mixture, steps)
    rows = [
        {
            "step": k,
            "distance": roll_distance(
                {SHOWN: truth.notes_of(SHOWN)}, {SHOWN: step[SHOWN]}
            ).normalised,
            "si_sdri": float(
                si_sdr_improvement(truth.source(SHOWN), output.source(SHOWN), mixture.read())
            ),
            "song": str(mixture.group),
        }
        for k, (step, output) in enumerate(zip(steps, outputs, strict=True))
    ]
    path = finish("figure_4_7", __doc__, arguments, rows, start)
    draw([step[SHOWN] for step in steps], outputs, rows, mixture, path.with_suffix(".png"))


def draw(
    notes: Sequence[Notes],
    outputs: Sequence[Scene],
    rows: Sequence[dict[str, Any]],
    mixture: Mixture,
    path: Path,
) -> None:
    """Draw each step's roll, and the spectrogram of what comes out."""
    figure, axes = plt.subplots(
        2, len(rows), figsize=(14, 5), sharex=True, sharey="row", layout="constrained"
    )
    pictures = [log_spectrogram(one.source(SHOWN), mixture.rate) for one in outputs]
    loudest = max(picture.db.max() for picture in pictures)
    for (above, below), told, row, picture in zip(axes.T, notes, rows, pictures, strict=True):
        draw_notes(above, notes[-1], "lightgray")
        draw_notes(above, told, "C3")
        name = "the truth" if row["step"] == N_STEPS else f"step {row['step']}"
        above.set_title(f"{name}: {row['si_sdri']:.1f} dB")
        draw_spectrogram(below, picture, loudest)
        below.set_xlabel("s")
    axes[0, 0].set_ylabel("pitch (MIDI)")
    axes[1, 0].set_ylabel("Hz")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def draw_notes(axis: Any, notes: Notes, color: str) -> None:
    """Draw notes as bars."""
    axis.barh(notes.pitch, notes.offset - notes.onset, 0.9, notes.onset, color=color)
    axis.yaxis.set_major_locator(MaxNLocator(integer=True))


def draw_spectrogram(axis: Any, picture: Any, loudest: float) -> None:
    """Draw a spectrogram, down to 60 dB below the loudest bin of all that are compared."""
    axis.pcolormesh(
        *(picture.seconds, picture.hz, picture.db),
        vmin=loudest - DYNAMICS_DB,
        vmax=loudest,
        cmap="magma",
        rasterized=True,
    )
    axis.set_yscale("log")


if __name__ == "__main__":
    main()
