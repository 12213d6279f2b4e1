"""Choose the loss weights of Cerberus: a grid search, its picture, and what the choice is worth.

    python examples/search_weights.py --n-jobs 2

Composes songs for piano and guitar, trains a small network for a short time for each pair of
weights and each fold, and prints and draws what they score. Then the best pair and the default one
train for longer on all of these songs, and are compared with NMF on songs that none of them has
heard. docs/loss_weights.md says how to read the picture; ``--quick`` shows the way in a minute.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, GroupKFold, GroupShuffleSplit

from msa_sk import STFT, Cerberus, NMFSeparator
from msa_sk.datasets import make_scenes
from msa_sk.display import SearchDisplay
from msa_sk.metrics import SceneScorer, compare
from msa_sk.metrics.tables import markdown_table
from msa_sk.neural.allocator import keep_large_buffers

METRICS = ["si_sdri", "note_onset_f1"]

# Only proportions matter, so mi_weight stays at 1: Adam divides gradients by their size, and three
# times all weights train the same network but for the clipping of long gradients.
GRID = {"dc_weight": [0, 0.1, 1], "tr_weight": [0.1, 0.3, 1, 3]}
QUICK_GRID = {"dc_weight": [0, 0.1], "tr_weight": [0.3, 1]}

RATE = 8000  # half the samples, half the time


def main() -> None:
    arguments = parse()
    quick, out = arguments.quick, Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    keep_large_buffers()
    start = time.monotonic()

    X, y = make_scenes(
        16 if quick else 400, sample_rate=RATE, scenes_per_song=2, random_state=arguments.seed
    )
    songs = np.array([mixture.group for mixture in X])
    splitter = GroupShuffleSplit(1, test_size=0.2, random_state=arguments.seed)
    train, test = next(splitter.split(X, y, songs))
    X_train, y_train = [X[i] for i in train], [y[i] for i in train]
    X_test, y_test = [X[i] for i in test], [y[i] for i in test]
    print(f"{len(X_train)} scenes to learn from, {len(X_test)} of other songs to test on")

    grid = QUICK_GRID if quick else GRID
    print(f"searching {grid}", flush=True)
    search = GridSearchCV(
        Cerberus(
            mi_weight=1,
            hidden_size=64,
            max_epochs=2 if quick else 3,
            lr=4e-3,
            validation_fraction=0,
            transformer=STFT(sample_rate=RATE, n_fft=512, hop_length=128),
            precision="auto",
            random_state=arguments.seed,
        ),
        grid,
        scoring=SceneScorer(METRICS),
        refit=best_of_both,
        cv=GroupKFold(2 if quick else 3),
        n_jobs=arguments.n_jobs,
    ).fit(X_train, y_train, groups=songs[train])
    print(f"\n{table_of(search)}\n")
    picture = out / "loss_weights.png"
    SearchDisplay.from_estimator(search, "dc_weight", "tr_weight").plot().figure_.savefig(picture)
    minutes = (time.monotonic() - start) / 60
    print(f"{picture}: the same as heat maps; after {minutes:.1f} minutes", flush=True)

    best = search.best_estimator_
    longer = clone(best).set_params(max_epochs=4 if quick else 8)
    systems = {
        "NMF": NMFSeparator(transformer=best.transformer, random_state=0),
        "default weights, longer": clone(longer).set_params(dc_weight=0.1, tr_weight=1),
        "chosen weights, longer": longer,
    }
    fitted = Parallel(n_jobs=arguments.n_jobs)(
        delayed(system.fit)(X_train, y_train) for system in systems.values()
    )
    systems = dict(zip(systems, fitted, strict=True)) | {"chosen weights": best}
    print("On songs that no system has heard:\n")
    print(compare(systems, X_test, y_test, metrics=METRICS).to_markdown(out / "table.md"))
    print(f"Done in {(time.monotonic() - start) / 60:.1f} minutes.")


def best_of_both(results: dict) -> int:
    """Return the candidate whose two ranks add up to the least."""
    return int(np.argmin(sum(results[f"rank_test_{metric}"] for metric in METRICS)))


def table_of(search: GridSearchCV) -> str:
    """Return all candidates as Markdown: means over folds, and their standard deviations."""
    results = search.cv_results_
    weights = list(search.best_params_)
    rows = []
    for i, candidate in enumerate(results["params"]):
        scores = [
            f"{results[f'mean_test_{metric}'][i]:.3f} ± {results[f'std_test_{metric}'][i]:.3f}"
            for metric in METRICS
        ]
        chosen = "x" if i == search.best_index_ else ""
        rows.append([*(f"{candidate[name]:g}" for name in weights), *scores, chosen])
    return markdown_table([*weights, *METRICS, "chosen"], rows)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n-jobs", type=int, default=2, help="trainings at a time")
    parser.add_argument("--out", default="search-weights-out", help="folder for what is written")
    parser.add_argument("--seed", type=int, default=0, help="other seeds compose other songs")
    parser.add_argument("--quick", action="store_true", help="a minute: only shows the way")
    return parser.parse_args()


if __name__ == "__main__":
    main()
