"""Separate and transcribe composed scenes: data, two systems, a search, one table, files.

Needs no download and no GPU; run it with ``make demo`` or ``python examples/demo.py``.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, GroupKFold, GroupShuffleSplit

from msa_sk import Cerberus, IdealMaskSeparator, MixtureBaseline, NMFSeparator, attach_truth
from msa_sk.datasets import make_scenes
from msa_sk.display import LearningCurveDisplay, RollDisplay, SceneDisplay
from msa_sk.metrics import Comparison, SceneScorer, compare
from msa_sk.neural.allocator import keep_large_buffers

INSTRUMENTS = ("piano", "guitar", "bass", "drums")
COLUMNS = {
    "si_sdri": "SI-SDRi (dB)",
    "sdr": "SDR (dB)",
    "note_onset_f1": "note-onset F1",
    "frame_f1": "frame F1",
}


def main() -> None:
    arguments = parse()
    quick, out = arguments.quick, Path(arguments.out)
    keep_large_buffers()
    clock = Clock()

    clock.say("composing and synthesising songs")
    X, y = make_scenes(
        16 if quick else 400, INSTRUMENTS, scenes_per_song=2, random_state=arguments.seed
    )
    songs = [mixture.group for mixture in X]
    splitter = GroupShuffleSplit(1, test_size=0.1, random_state=arguments.seed)
    train, test = next(splitter.split(X, y, songs))
    X_train, y_train = [X[i] for i in train], [y[i] for i in train]
    X_test, y_test = [X[i] for i in test], [y[i] for i in test]
    groups = [songs[i] for i in train]
    print(f"  {len(X_train)} scenes to learn from, {len(X_test)} of other songs to test on")

    clock.say("learning spectra of each instrument: NMF")
    nmf = NMFSeparator(random_state=0).fit(X_train, y_train)

    clock.say("searching two loss weights of Cerberus with short trainings")
    part = slice(0, 8 if quick else 80)
    search = GridSearchCV(
        Cerberus(
            max_epochs=1 if quick else 5,
            validation_fraction=0,
            precision="auto",
            random_state=0,
        ),
        {"dc_weight": [0.0, 0.1], "tr_weight": [0.5, 2.0]},
        scoring=SceneScorer(["si_sdri", "frame_f1"]),
        refit="si_sdri",
        cv=GroupKFold(2),
    ).fit(X_train[part], y_train[part], groups=groups[part])
    results = search.cv_results_
    for i, weights in enumerate(results["params"]):
        si_sdri, frame_f1 = (results[f"mean_test_{name}"][i] for name in ("si_sdri", "frame_f1"))
        print(f"  {weights}: SI-SDRi {si_sdri:.2f} dB, frame F1 {frame_f1:.3f}")

    clock.say(f"training Cerberus with the best of them, {search.best_params_}")
    cerberus = clone(search.best_estimator_).set_params(max_epochs=2 if quick else 9)
    cerberus.set_params(validation_fraction=0.1).fit(X_train, y_train)

    clock.say("scoring on songs that no system has heard")
    systems = {
        "unprocessed mixture": MixtureBaseline(),
        "NMF": nmf,
        "Cerberus": cerberus,
        "ideal ratio mask": IdealMaskSeparator(),
    }
    X_informed = attach_truth(X_test, y_test)  # which only the ideal mask looks at
    for name in ("unprocessed mixture", "ideal ratio mask"):
        systems[name].fit(X_informed, y_test)
    comparison = compare(systems, X_informed, y_test, metrics=list(COLUMNS))
    table = one_table(comparison)
    print(f"\n{table}\n")

    clock.say("writing stems, MIDI and pictures")
    scene = cerberus.predict(X_test[:1])[0]
    files = scene.write(out)
    (out / "table.md").write_text(table + "\n")
    cerberus.save(out / "cerberus.msa")
    pictures = {
        "spectrograms.png": SceneDisplay.from_predictions(y_test[0], scene, X_test[0]),
        "piano_rolls.png": RollDisplay.from_predictions(y_test[0], scene),
        "learning_curve.png": LearningCurveDisplay.from_estimator(cerberus),
    }
    for name, display in pictures.items():
        display.plot().figure_.savefig(out / name, dpi=100)

    print(f"""
Done in {clock.minutes():.1f} minutes. In {out.resolve()}:
  {", ".join(path.name for path in files)}: the first test song, taken apart
  {", ".join(pictures)}: what it looks like beside the truth, and how training went
  table.md, cerberus.msa: the table above, and the model: msa_sk.load("{out}/cerberus.msa")
Next: examples/real_music.py does the same with rendered songs and any recording of yours; or
change INSTRUMENTS at the top of this file, or the grid, and run it again.""")


def one_table(comparison: Comparison) -> str:
    """Return systems by instruments by metrics as Markdown."""
    songs = comparison.songs
    lines = [
        f"Means over {len(songs)} scenes of {len(set(songs))} held-out songs.",
        "",
        "| system | instrument | " + " | ".join(COLUMNS.values()) + " |",
        "| --- | --- |" + " ---: |" * len(COLUMNS),
    ]
    for system in comparison.evaluations:
        for instrument in (*INSTRUMENTS, "mean"):
            cells = []
            for metric in COLUMNS:
                which = "all" if instrument == "mean" else instrument
                values = comparison.values(system, metric, which)
                values = values[np.isfinite(values)]
                digits = 3 if metric.endswith("f1") else 1
                cells.append(f"{values.mean():.{digits}f}" if len(values) else "–")
            lines.append(f"| {system} | {instrument} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


class Clock:
    """Says what happens, and when."""

    def __init__(self):
        self.start = time.monotonic()

    def minutes(self) -> float:
        return (time.monotonic() - self.start) / 60

    def say(self, what: str) -> None:
        print(f"[{self.minutes():4.1f} min] {what}", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default="demo-out", help="folder for what is written")
    parser.add_argument("--seed", type=int, default=0, help="other seeds compose other songs")
    parser.add_argument("--quick", action="store_true", help="a minute of it: only shows the way")
    return parser.parse_args()


if __name__ == "__main__":
    main()
