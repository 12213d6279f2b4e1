"""Train on real songs and take recordings apart: MIDI files and a SoundFont in, stems out.

    pip install "msa_sk[render]"     # and the system library: apt install fluidsynth
    python examples/real_music.py --midi songs/ --soundfont gm.sf2 --audio recording.wav

Songs are rendered to stems, as they are and in other keys and with other pianos. Mixtures of
different songs' sources train Cerberus and NMF; both are scored on mixtures of songs that were
held out. Then each recording is separated and transcribed at its own rate, length and channels.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
from sklearn.model_selection import GroupShuffleSplit

from msa_sk import Cerberus, IdealMaskSeparator, NMFSeparator, attach_truth
from msa_sk.datasets import Excerpts, mix_incoherent, render_scenes
from msa_sk.exceptions import MsaError, MsaWarning
from msa_sk.metrics import compare
from msa_sk.neural.allocator import keep_large_buffers


def main() -> None:
    arguments = parse()
    out = Path(arguments.out)
    keep_large_buffers()

    files = sorted(path for path in Path(arguments.midi).rglob("*.mid*") if path.is_file())
    print(f"rendering {len(files)} songs; stems are kept in {out / 'stems'}", flush=True)
    train, test = split_songs(*render(files, out, arguments))
    X, y = excerpts_of(*train, 40, arguments)
    names = {mixture.group for mixture in train[0]}
    again = [path for path in files if {path.stem, str(path)} & names]
    programs = {"piano": range(8)} if "piano" in arguments.instruments else None
    for seed in range(4):
        version = render(again, out, arguments, programs=programs, transpose=5, random_state=seed)
        X_more, y_more = excerpts_of(*version, 10, arguments)
        X, y = X + X_more, y + y_more
    X_train, y_train = mix_incoherent(X, y, arguments.mixtures, random_state=0)
    X_test, y_test = mix_incoherent(*excerpts_of(*test, 10, arguments), 100, random_state=0)

    print(f"training on {len(X_train)} mixtures of {len(names)} songs", flush=True)
    systems = {
        "NMF": NMFSeparator(60, random_state=0).fit(X_train[:400], y_train[:400]),
        "Cerberus": Cerberus(
            dc_weight=0, max_epochs=1, validation_fraction=0, precision="auto", random_state=0
        ),
        "ideal ratio mask": IdealMaskSeparator(),
    }
    cerberus = systems["Cerberus"].fit(X_train, y_train)
    model = cerberus.save(out / "cerberus.msa")
    print(f"the model is in {model}; scoring it on {len(test[0])} songs it has not heard")
    X_test = attach_truth(X_test, y_test)
    systems["ideal ratio mask"].fit(X_test, y_test)
    print(compare(systems, X_test, y_test, metrics=["si_sdri", "frame_f1", "note_onset_f1"])
          .to_markdown(out / "table.md"))  # fmt: skip

    for folder in cerberus.predict_to_files(arguments.audio, out / "scenes", overwrite=True):
        print(f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")


def render(files: list[Path], out: Path, arguments: argparse.Namespace, **variation) -> tuple:
    """Return whole songs in which some of the instruments play."""
    with warnings.catch_warnings():
        if variation:  # said the first time
            warnings.simplefilter("ignore", MsaWarning)
        return render_scenes(
            files,
            arguments.soundfont,
            arguments.instruments,
            require="any",
            cache_dir=out / "stems",
            n_jobs=2,
            verbose=1,
            **variation,
        )


def split_songs(X: list, y: list) -> tuple[tuple[list, list], tuple[list, list]]:
    """Hold a fifth of the songs out."""
    groups = np.array([mixture.group for mixture in X])
    indices = next(GroupShuffleSplit(1, test_size=0.2, random_state=0).split(X, y, groups))
    train, test = (([X[i] for i in part], [y[i] for i in part]) for part in indices)
    return train, test


def excerpts_of(X: list, y: list, max_per_song: int, arguments: argparse.Namespace) -> tuple:
    """Cut out 5 s in which one instrument plays, of each song not more than some."""
    return Excerpts.from_preset(
        "chapter3",
        instruments=arguments.instruments,
        solo=True,
        max_per_song=max_per_song,
        random_state=0,
    ).apply(X, y)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--midi", required=True, help="folder of MIDI files, searched through")
    parser.add_argument("--soundfont", required=True, help="a General MIDI SoundFont (.sf2)")
    parser.add_argument("--audio", nargs="*", default=[], help="recordings to take apart")
    parser.add_argument("--instruments", nargs="+", default=["piano", "guitar"])
    parser.add_argument("--mixtures", type=int, default=9000, help="5 s each, to train on")
    parser.add_argument("--out", default="real-music-out", help="folder for what is written")
    return parser.parse_args()


if __name__ == "__main__":
    try:
        main()
    except MsaError as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error
