"""Pull out of a song what sounds like a two-second sound, at three breadths.

    python examples/pull_out.py --song song.wav --sound guitar.wav --start 1.5

A network learns, from composed songs or with ``--midi`` and ``--soundfont`` from rendered ones,
what belongs together: it is asked by an example, and answers with the sound itself, with its
group, and with its family. Training takes some minutes and is kept: with ``--model
pull-out-out/asked.msa`` the same network is asked again. Without a song and a sound both are
composed, so that the answer can be scored. ``--quick`` shows the way in half a minute; such a
network has learnt next to nothing.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import msa_sk
from msa_sk import STFT, Clip, HierarchicalQBE, Hierarchy, Mixture, QueryMixing, Scene, Spectrogram
from msa_sk.audio import rms, write_audio
from msa_sk.datasets import Excerpts, make_scenes, rare_leaves, render_scenes, scenes_along
from msa_sk.exceptions import MsaError
from msa_sk.metrics import si_sdr_improvement
from msa_sk.metrics.tables import markdown_table
from msa_sk.neural.allocator import keep_large_buffers

TREE = Hierarchy.from_dict(
    {
        "strings_and_keys": {
            "string_instruments": {"guitar": 24, "strings": 48},
            "keyboards": {"piano": 0, "organ": 16},
        },
        "bass_instruments": {"basses": {"bass": 33}},
        "wind_instruments": {"winds": {"flute": 73, "brass": 61}},
        "percussion_instruments": {"percussion": {"drums": "drums"}},
    }
)
SECONDS = 2.0  # of the example
N_PLAYERS = 4  # of a composed song
# The song where none is given, and what of it is asked for.
PLAYERS, LEAF = ("guitar", "piano", "bass", "flute"), "guitar"


def main() -> None:
    arguments = parse()
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    asked = msa_sk.load(arguments.model) if arguments.model else train(arguments, out)
    if not isinstance(asked, HierarchicalQBE):
        raise SystemExit(f"{arguments.model} is a {type(asked).__name__}, which is not asked.")

    song, truth = the_song(arguments)
    estimate = asked.predict([song])[0]
    estimate.write(out)
    write_audio(out / "the_rest.wav", estimate.residual(song), estimate.sample_rate)
    write_audio(out / "between_1_and_2.wav", estimate.blend(1.5), estimate.sample_rate)
    picture = out / "pull_out.png"
    draw(song, estimate, asked.transformer_).savefig(picture)

    print(describe(song, estimate, truth))
    print(f"{out}: level_1.wav to level_3.wav, between_1_and_2.wav, the_rest.wav, {picture.name}")


def train(arguments: argparse.Namespace, out: Path) -> HierarchicalQBE:
    """Return a network that was trained on songs, and save it."""
    keep_large_buffers()
    quick = arguments.quick
    tree, X, y = render(arguments, out) if arguments.midi else compose(arguments)
    n_mixes = 32 if quick else arguments.mixtures
    sampler = QueryMixing(tree, n_mixes=n_mixes, gain_db=6.0)
    asked = HierarchicalQBE(
        sampler=sampler,
        hidden_size=16 if quick else 128,
        sequence_length=32,
        query_length=32,
        max_epochs=1 if quick else 20,
        validation_fraction=0,
        transformer=STFT(sample_rate=arguments.rate),
        precision="auto",
        random_state=0,
    )
    print(f"training on {asked.max_epochs} x {n_mixes} mixtures of {len(X)} scenes", flush=True)
    model = asked.fit(X, y).save(out / "asked.msa")
    print(f"the network is in {model}", flush=True)
    return asked


def compose(arguments: argparse.Namespace) -> tuple[Hierarchy, list, list]:
    """Return composed scenes in which some of the leaves play together."""
    X, y = [], []
    for song in range(24 if arguments.quick else 300):
        names = np.random.default_rng(song).choice(TREE.leaves, N_PLAYERS, replace=False)
        (mixture,), scenes = make_scenes(
            1, names.tolist(), duration=4.0, sample_rate=arguments.rate, random_state=song
        )
        X.append(replace(mixture, group=song))
        y += scenes
    return TREE, X, y


def render(arguments: argparse.Namespace, out: Path) -> tuple[Hierarchy, list, list]:
    """Return excerpts of songs that MIDI files hold, and what they hold of figure 2.13."""
    tree = Hierarchy.slakh()
    files = sorted(path for path in Path(arguments.midi).rglob("*.mid*") if path.is_file())
    X, y = render_scenes(
        files,
        arguments.soundfont,
        tree,
        cache_dir=out / "stems",
        sample_rate=arguments.rate,
        require="any",
        n_jobs=2,
    )
    tree = tree.without(rare_leaves(tree, X, y, min_songs=4))
    rule = Excerpts.from_preset("chapter2", hierarchy=tree, duration=4.0, max_per_song=40)
    return tree, *rule.apply(X, y)


def the_song(arguments: argparse.Namespace) -> tuple[Mixture, Scene | None]:
    """Return a song with the example that it is asked by, and its levels where they are known."""
    sound = None
    if arguments.sound:
        rest = Mixture(arguments.sound).duration - arguments.start  # it may be shorter
        seconds = min(SECONDS, rest) if rest > 0 else SECONDS
        sound = Mixture(Clip(arguments.sound, start=arguments.start, duration=seconds))
    if arguments.song:
        return Mixture(arguments.song, query=sound), None
    rate = arguments.rate
    (song, _), scenes = make_scenes(2, PLAYERS, duration=8.0, sample_rate=rate, random_state=1000)
    if sound:
        return replace(song, query=sound), None
    sound = Mixture(scenes[1].source(LEAF), rate).excerpt(0.0, SECONDS)
    _, (truth,) = scenes_along(TREE, LEAF, [song], scenes[:1])
    return replace(song, query=sound), truth


def describe(song: Mixture, estimate: Scene, truth: Scene | None) -> str:
    """Return a table of the levels: how loud they are, and how good where the truth is known."""
    audio = song.read(estimate.sample_rate)
    rows = []
    for name in estimate.instruments:
        source = estimate.source(name)
        loudness = 20 * np.log10(max(rms(source), 1e-9) / max(rms(audio), 1e-9))
        better = si_sdr_improvement(truth.source(name), source, audio) if truth else None
        rows.append([name, f"{loudness:.1f}", "–" if better is None else f"{better:.1f}"])
    return markdown_table(["", "level (dB; the song: 0)", "SI-SDRi (dB)"], rows)


def draw(song: Mixture, estimate: Scene, transformer: STFT) -> Figure:
    """Draw the example, the song, and the three levels, the broadest first."""
    sounds = {"the example": song.query, "the song": song}
    for name in reversed(estimate.instruments):
        sounds[name.replace("_", " ")] = Mixture(estimate.source(name), estimate.sample_rate)
    figure = Figure(figsize=(8, 1.7 * len(sounds)), dpi=100, layout="constrained")
    axes = figure.subplots(len(sounds), 1)
    peak = None
    for axis, (title, sound) in zip(axes, sounds.items(), strict=True):
        seen = Spectrogram(sound, **transformer.get_params())
        level = 20 * np.log10(np.maximum(seen.magnitude, 1e-9))
        if sound is song.query or sound is song:  # what comes out of the song has its scale
            peak = level.max()
        extent = (0, sound.duration, 0, transformer.sample_rate / 2000)
        axis.imshow(level, origin="lower", aspect="auto", extent=extent, vmin=peak - 60, vmax=peak)
        axis.set_title(title, loc="left", fontsize=9)
        axis.set_ylabel("kHz", fontsize=8)
    axes[-1].set_xlabel("time (s)", fontsize=8)
    return figure


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--song", help="an audio file; default: a composed song")
    parser.add_argument("--sound", help="an audio file that holds the example")
    parser.add_argument("--start", type=float, default=0.0, help="s, where the example begins")
    parser.add_argument("--model", help="a network that was saved before, instead of training")
    parser.add_argument("--midi", help="folder of MIDI files to learn from, with --soundfont")
    parser.add_argument("--soundfont", help="an .sf2 or .sf3 file")
    parser.add_argument("--mixtures", type=int, default=300, help="of each of 20 passes")
    parser.add_argument("--rate", type=int, default=16000, help="Hz, of the network")
    parser.add_argument("--out", default="pull-out-out", help="folder for what is written")
    parser.add_argument("--quick", action="store_true", help="half a minute: only shows the way")
    arguments = parser.parse_args()
    if arguments.song and not arguments.sound:
        parser.error("--song needs --sound, the example of what to pull out of it")
    if bool(arguments.midi) != bool(arguments.soundfont):
        parser.error("--midi and --soundfont go together")
    return arguments


if __name__ == "__main__":
    try:
        main()
    except MsaError as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error
