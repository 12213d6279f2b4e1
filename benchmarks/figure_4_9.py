"""Figures 4.8 and 4.9: notes are moved to the other instrument, and their sound goes along.

Mixtures of piano and guitar, as in table 4.1, are separated by the true score and the residual
variant; then a note is given to the other instrument in an `EditSession`. Within the note, and
within one bin either side of its harmonics 1 to 10 where no other note that sounds meanwhile has
one of its own, the energy of the stem that it goes to, over that of the stem that it leaves, is
compared before and after. 50 such edits are drawn at random from all folds, of notes of 0.1 s or
more that have a bin of their own. The picture has three notes of the guitar in a row that are
moved to the piano: those in the middle of a mixture that is drawn from the first fold; one that
shares all its bins is not measured. The interval of the median draws the songs of the piano and
those of the guitar.

The bar, asserted for the size small and above: the ratio rises by 6 dB or more in the median.

``python -m benchmarks.figure_4_9 --size tiny|small|paper [--seed 0]``; what table 4.1 has trained
is not trained again.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from joblib import Parallel, delayed

from benchmarks._chapter3 import Fold, Size, plan
from benchmarks._chapter4 import NETWORKS, PAIR, SIZES, folds_of, mixtures_of
from benchmarks._fits import bootstrap
from benchmarks._report import finish, parse_arguments, rows_table
from benchmarks._songs import songs_in
from benchmarks.figure_4_7 import draw_notes, draw_spectrogram
from msa_sk import STFT, EditSession, Mixture, Notes, Scene
from msa_sk.display.scenes import log_spectrogram

N_EDITS = 50
N_SHOWN = 3
N_HARMONICS = 10
SHORTEST = 0.1  # seconds
BAR_DB = 6.0
TINY = 1e-12  # of energy: a stem may be silent there


def main(argv: Sequence[str] | None = None) -> None:
    arguments = parse_arguments(__doc__, argv)
    size, start = SIZES[arguments.size], time.monotonic()
    folds = folds_of("piano and guitar", size)
    n_edits = N_EDITS if arguments.size != "tiny" else 4
    shares = np.diff(np.linspace(0, n_edits, len(folds) + 1).round().astype(int))
    parts = Parallel(n_jobs=2)(
        delayed(move_some)(fold, size, arguments.seed, int(n))
        for fold, n in zip(folds, shares, strict=True)
    )
    rows = [row for part in parts for row in part]
    rises = np.array([row["rise_db"] for row in rows])
    songs, mixed_with = ([row[kind] for row in rows] for kind in ("song", "mixed_with"))
    low, high = bootstrap(lambda i: float(np.median(rises[i])), songs, mixed_with)
    median = {
        "median_of": "rise of the ratio of the stems' energies (dB)",
        "median": float(np.median(rises)),
        "low": low,
        "high": high,
        "above_0": float((rises > 0).mean()),
        "n_edits": len(rows),
        "n_piano_songs": len(set(songs)),
        "n_guitar_songs": len(set(mixed_with)),
    }
    session, chosen = three_notes(folds[0], size, arguments.seed)
    before = session.scene
    after = session.move("guitar", "piano", indices=chosen)
    shown = [
        {"shown": f"pitch {note.pitch[0]} at {note.onset[0]:.2f} s", "rise_db": rise}
        for note in (before.notes_of("guitar").select([i]) for i in chosen)
        for rise in [rise_of(before, after, note, "guitar", "piano")]
    ]
    path = finish(
        "figure_4_9",
        __doc__,
        arguments,
        [median, *rows, *shown],
        start,
        [rows_table([median]), "The notes of the picture:\n", rows_table(shown)],
    )
    draw(before, after, chosen, path.with_suffix(".png"))
    assert arguments.size == "tiny" or median["median"] >= BAR_DB, f"{median}"


def sessions(fold: Fold, size: Size, seed: int) -> Iterator[tuple[Mixture, EditSession]]:
    """Give a fold's test mixtures, in random order, separated by their true score."""
    separator = plan("residual", fold, size, seed, PAIR, NETWORKS).fit()
    X, _ = mixtures_of("piano and guitar", fold, size)
    for i in np.random.default_rng(seed).permutation(len(X)):
        yield X[i], EditSession(separator, X[i])


def move_some(fold: Fold, size: Size, seed: int, n_edits: int) -> list[dict[str, Any]]:
    """Move one note of each of some mixtures to the other instrument."""
    rng, rows = np.random.default_rng(seed), []
    for mixture, session in sessions(fold, size, seed):
        before = session.scene
        source = PAIR[rng.integers(2)]
        target = PAIR[1 - PAIR.index(source)]
        notes = before.notes_of(source)
        for i in rng.permutation(len(notes)):
            note = notes.select([i])
            long_enough = note.offset[0] - note.onset[0] >= SHORTEST
            if long_enough and len(own_bins(before, source, note)):
                after = session.move(source, target, indices=[int(i)])
                rise = rise_of(before, after, note, source, target)
                (song,), (other,) = songs_in([([mixture], [])])
                row = {"song": song, "mixed_with": other, "from": source}
                rows.append({**row, "pitch": int(note.pitch[0]), "rise_db": rise})
                break
        if len(rows) == n_edits:
            break
    return rows


def three_notes(fold: Fold, size: Size, seed: int) -> tuple[EditSession, list[int]]:
    """Return a session, and three notes in a row from the middle of its guitar."""
    for _, session in sessions(fold, size, seed):
        n_notes = len(session.scene.notes_of("guitar"))
        if n_notes >= N_SHOWN:
            first = (n_notes - N_SHOWN) // 2
            return session, list(range(first, first + N_SHOWN))
    raise AssertionError("no mixture has three notes of the guitar")


def harmonic_bins(pitch: float, n_bins: int, width: float) -> np.ndarray:
    """Return the bins within one of a pitch's harmonics 1 to 10; `width` is that of a bin, Hz."""
    harmonics = 440 * 2 ** ((pitch - 69) / 12) * np.arange(1, N_HARMONICS + 1)
    centres = np.round(harmonics / width).astype(int)
    bins = np.unique(centres[:, None] + np.arange(-1, 2))
    return bins[(bins >= 0) & (bins < n_bins)]


def own_bins(scene: Scene, player: str, note: Notes) -> np.ndarray:
    """Return the bins of a player's note that no other note has which sounds meanwhile."""
    pattern = STFT().fit()
    grid = pattern.n_bins, pattern.sample_rate / pattern.n_fft
    shared: list[np.ndarray] = [np.zeros(0, int)]
    for name, notes in zip(scene.instruments, scene.notes, strict=True):
        meanwhile = (notes.onset < note.offset[0]) & (notes.offset > note.onset[0])
        if name == player:
            meanwhile &= (notes.onset != note.onset[0]) | (notes.pitch != note.pitch[0])
        shared += [harmonic_bins(p, *grid) for p in notes.pitch[meanwhile]]
    return np.setdiff1d(harmonic_bins(note.pitch[0], *grid), np.concatenate(shared))


def rise_of(before: Scene, after: Scene, note: Notes, source: str, target: str) -> float | None:
    """Return by how many dB the target's energy over the source's rises where a note sounds.

    None where it shares all its bins.
    """
    bins = own_bins(before, source, note)
    if not len(bins):
        return None
    ratios = []
    for scene in (before, after):
        there, here = (energy(scene, name, note, bins) for name in (target, source))
        ratios.append(10 * np.log10((there + TINY) / (here + TINY)))
    return float(ratios[1] - ratios[0])


def energy(scene: Scene, name: str, note: Notes, bins: np.ndarray) -> float:
    """Return the energy of a stem in some bins, while a note sounds."""
    (seen,) = STFT().fit_transform([Mixture(scene.source(name), scene.sample_rate)])
    first, last = (round(t * seen.frame_rate) for t in (note.onset[0], note.offset[0]))
    return float((seen.magnitude[bins, first : max(last, first + 1)] ** 2).sum())


def draw(before: Scene, after: Scene, chosen: Sequence[int], path: Path) -> None:
    """Draw the rolls and the stems, before and after; the notes that move are red."""
    moved = before.notes_of("guitar").select(chosen)
    stems = [
        [log_spectrogram(scene.source(name), scene.sample_rate) for name in PAIR]
        for scene in (before, after)
    ]
    loudest = max(picture.db.max() for pair in stems for picture in pair)
    figure, axes = plt.subplots(
        2, 4, figsize=(14, 6), sharex=True, sharey="row", layout="constrained"
    )
    for k, (scene, title) in enumerate(((before, "before"), (after, "after"))):
        for i, name in enumerate(PAIR):
            above, below = axes[:, 2 * k + i]
            draw_notes(above, scene.notes_of(name), "C0")
            if (name, k) in (("guitar", 0), ("piano", 1)):
                draw_notes(above, moved, "C3")
            above.set_title(f"{name}, {title}")
            draw_spectrogram(below, stems[k][i], loudest)
            below.set_xlabel("s")
    axes[0, 0].set_ylabel("pitch (MIDI)")
    axes[1, 0].set_ylabel("Hz")
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
