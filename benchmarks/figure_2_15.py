"""Figure 2.15: where the queries of unseen songs lie in the space of the query network.

Anchors of examples of the leaves that are asked for, of 10 s each as in the paper (section 2.4.1)
and from songs as they are, by the network for all levels of table 2.3 (QBE + HC), drawn by t-SNE
and coloured by their parent at level 2. Each query of a song that the network has not heard is
given the parent of the nearest query of the songs that it learnt from; counted is the balanced
accuracy: the mean over parents of the share that is right. Beside it the same of an untrained
network, and of the mean over frames of the log spectrum. Each dimension is brought to variance 1.
"Behind" is by how much the trained network is better. Intervals are over songs.

The bars, asserted for the size small and above: an accuracy of 70 %, and more than both others.

``python -m benchmarks.figure_2_15 --size tiny|small|paper [--seed 0]``; what table 2.3 has trained
is not trained again.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.manifold import TSNE
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks._chapter2 import SIZES, Fold, Pool, make_folds, plan
from benchmarks._fits import bootstrap
from benchmarks._report import finish, parse_arguments
from msa_sk import STFT, HierarchicalQBE
from msa_sk.records import Mixture

TRAINED, UNTRAINED, SPECTRUM = "QBE + HC", "untrained network", "mean log spectrum"
BAR = 0.7
SECONDS = 10.0
PER_SONG = 4  # queries of a leaf
FLOOR = 1e-3  # of magnitudes, relative to the loudest: -60 dB, as in eq. 2.5


class Queries(NamedTuple):
    """Examples of leaves."""

    sounds: list[Any]
    leaves: list[str]
    songs: list[str]


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parse_arguments(__doc__, argv)
    size, start = SIZES[arguments.size], time.monotonic()
    folds = make_folds(size)
    heard = make_folds(size._replace(seconds=SECONDS, n_versions=0))
    guesses: dict[str, list[str]] = {TRAINED: [], UNTRAINED: [], SPECTRUM: []}
    truth: list[str] = []
    songs: list[str] = []
    anchors = []
    for fold, whole in zip(folds, heard, strict=True):
        known, asked = (queries_of(pool, fold.asked) for pool in (whole.train, whole.test))
        (training,) = plan(TRAINED, fold, size, arguments.seed)
        network = training.fit()
        ways = {
            TRAINED: network.embed,
            UNTRAINED: untrained(network, fold.train).embed,
            SPECTRUM: mean_log_spectra,
        }
        for name, place in ways.items():
            places = place(known.sounds), place(asked.sounds)
            nearest = make_pipeline(StandardScaler(), KNeighborsClassifier(1))
            nearest.fit(places[0], parents_of(fold, known))
            guesses[name] += nearest.predict(places[1]).tolist()
            if name == TRAINED:
                anchors.append(places[1])
        truth += parents_of(fold, asked)
        songs += asked.songs
        print(f"fold {fold.number}: {len(known.sounds)} and {len(asked.sounds)} queries")
    found = {name: np.array(guess) for name, guess in guesses.items()}
    rows = [row_of(name, np.array(truth), found, songs) for name in found]
    path = finish("figure_2_15", __doc__, arguments, rows, start)
    shown = queries_of(heard[0].test, folds[0].asked)
    draw(anchors[0], shown, folds[0], path.with_suffix(".png"))
    if arguments.size != "tiny":
        check(rows)


def queries_of(pool: Pool, leaves: Sequence[str]) -> Queries:
    """Return examples of leaves that are heard, some of each song and leaf."""
    found, counts = Queries([], [], []), Counter[tuple[str, str]]()
    for i in np.random.default_rng(0).permutation(len(pool.mixtures)):
        scene, song = pool.scenes[i], str(pool.mixtures[i].group)
        for leaf in sorted(pool.heard[i].intersection(leaves)):
            if counts[song, leaf] < PER_SONG:
                counts[song, leaf] += 1
                found.sounds.append(scene.sources[scene.instruments.index(leaf)])
                found.leaves.append(leaf)
                found.songs.append(song)
    return found


def parents_of(fold: Fold, queries: Queries) -> list[str]:
    """Return the parent of each query's leaf."""
    return [fold.tree.path(leaf)[1] for leaf in queries.leaves]


def untrained(network: HierarchicalQBE, pool: Pool) -> HierarchicalQBE:
    """Return the same network with the weights that training begins with.

    A step of no length settles the scale of its inputs.
    """
    start = clone(network).set_params(lr=1e-30, max_epochs=1, sampler__n_mixes=64, checkpoint=None)
    return start.fit(pool.mixtures, pool.scenes)


def mean_log_spectra(sounds: Sequence[Any]) -> np.ndarray:
    """Return the mean over frames of each sound's log magnitudes, (n_sounds, n_bins)."""
    spectra = []
    for seen in STFT().fit_transform([Mixture(sound) for sound in sounds]):
        magnitude = seen.magnitude
        level = magnitude / magnitude.max()
        spectra.append(np.log(np.maximum(level, FLOOR)).mean(axis=1))
    return np.stack(spectra)


def row_of(
    name: str, truth: np.ndarray, guesses: Mapping[str, np.ndarray], songs: Sequence[str]
) -> dict[str, Any]:
    """Return the balanced accuracy of guesses, and what the trained network's is above it."""

    def accuracy(chosen: np.ndarray, way: str = name) -> float:
        right, parents = guesses[way][chosen] == truth[chosen], truth[chosen]
        return float(np.mean([right[parents == parent].mean() for parent in np.unique(parents)]))

    def behind(chosen: np.ndarray) -> float:
        return accuracy(chosen, TRAINED) - accuracy(chosen)

    everything = np.arange(len(truth))
    low, high = bootstrap(accuracy, songs)
    behind_low, behind_high = bootstrap(behind, songs)
    return {
        "places": name,
        "balanced_accuracy": accuracy(everything),
        "low": low,
        "high": high,
        "behind": behind(everything),
        "behind_low": behind_low,
        "behind_high": behind_high,
        "n_parents": len(np.unique(truth)),
        "n_songs": len(set(songs)),
        "n_queries": len(truth),
    }


def check(rows: Sequence[dict[str, Any]]) -> None:
    """Assert what the benchmark claims."""
    found = {row["places"]: row["balanced_accuracy"] for row in rows}
    least = max(BAR, found[UNTRAINED], found[SPECTRUM])
    assert found[TRAINED] >= least, f"balanced accuracies: {found}"


def draw(anchors: np.ndarray, queries: Queries, fold: Fold, path: Path) -> None:
    """Draw anchors by t-SNE: a colour for each parent, a marker for each of its leaves."""
    scaled = StandardScaler().fit_transform(anchors)
    perplexity = min(30, (len(scaled) - 1) / 3)
    points = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(scaled)
    leaves = np.array(queries.leaves)
    figure, axis = plt.subplots(figsize=(9, 6), layout="constrained")
    for i, parent in enumerate(fold.tree.levels["level_2"]):
        own = [leaf for leaf in np.unique(leaves) if fold.tree.path(leaf)[1] == parent]
        if own:
            axis.scatter([], [], s=0, label=f"$\\bf{{{parent.replace('_', '~')}}}$")
        for leaf, marker in zip(own, "o^sxv", strict=False):
            axis.scatter(
                *points[leaves == leaf].T,
                s=16,
                color=f"C{i}",
                marker=marker,
                alpha=0.7,
                label=leaf.replace("_", " "),
            )
    axis.set(xticks=[], yticks=[])
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
