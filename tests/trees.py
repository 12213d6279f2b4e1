"""Small trees in the true layouts of data sets."""

import csv
import json

import numpy as np
import soundfile
import yaml

from msa_sk import Notes
from msa_sk.audio import write_audio
from msa_sk.midi import write_midi

RATE = 8000
SECONDS = 0.5


def in_folder(path):
    """Return a path, whose folder is there by then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def write_noise(path, seed, n_channels=None, rate=RATE, seconds=SECONDS):
    shape = (round(seconds * rate),) if n_channels is None else (n_channels, round(seconds * rate))
    audio = np.random.default_rng(seed).uniform(-0.2, 0.2, shape)
    return write_audio(in_folder(path), audio.astype(np.float32), rate, "PCM_16")


def write_sum(path, parts):
    audio = sum(soundfile.read(part, dtype="float32")[0] for part in parts)
    return write_audio(in_folder(path), audio.T, RATE, "PCM_16")


def write_notes(path, *pitches):
    """Write notes that begin at 0.0, 0.1, ... s and last 50 ms."""
    onset = np.arange(len(pitches)) / 10
    return write_midi(in_folder(path), {"piano": Notes(onset, onset + 0.05, pitches)})


# name: program, drums?, rendered?, loudness. One is not rendered, one rendered and silent.
SLAKH_STEMS = {
    "S00": (30, False, True, -12.8),
    "S01": (128, True, True, -27.1),
    "S02": (26, False, True, -16.6),
    "S03": (103, False, False, None),
    "S04": (1, False, True, -np.inf),
    "S05": (40, False, True, -20.0),
}


def make_slakh_track(place, suffix=".flac", says_rendered=True):
    stems, parts = {}, []
    for i, (name, (program, is_drum, is_rendered, loudness)) in enumerate(SLAKH_STEMS.items()):
        stems[name] = {
            "audio_rendered": is_rendered and says_rendered,
            "inst_class": "what its program says",
            "is_drum": is_drum,
            "midi_program_name": "likewise",
            "midi_saved": is_rendered and says_rendered,
            "plugin_name": "some.nkm",
            "program_num": program,
        }
        if is_rendered:
            stems[name]["integrated_loudness"] = float(loudness)
            parts.append(write_noise(place / "stems" / f"{name}{suffix}", i))
            write_notes(place / "MIDI" / f"{name}.mid", 60 + i, 72 + i)
    write_sum(place / f"mix{suffix}", parts)
    write_notes(place / "all_src.mid", 99)
    (place / "metadata.yaml").write_text(yaml.safe_dump({"UUID": "0", "stems": stems}))


def make_slakh(root):
    for place in (
        "train/Track00001",
        "train/Track00002",
        "validation/Track01501",
        "test/Track01876",
        "omitted/Track00049",
    ):
        make_slakh_track(root / place)


def make_musdb(root):
    for place in ("train/A - B", "train/ANiMAL - Rockshow", "test/C - D"):
        names = ("vocals", "drums", "bass", "other")
        parts = [write_noise(root / place / f"{n}.wav", i, 2) for i, n in enumerate(names)]
        write_sum(root / place / "mixture.wav", parts)


def make_maps(root):
    for piece, piano in (
        ("alb_se3", "AkPnBcht"),
        ("alb_se3", "ENSTDkAm"),
        ("bk_xmas1", "ENSTDkCl"),
    ):
        path = root / piano / "MUS" / f"MAPS_MUS-{piece}_{piano}.wav"
        write_noise(path, 0, 2)
        write_notes(path.with_suffix(".mid"), 60, 64)
        path.with_suffix(".txt").write_text("OnsetTime\tOffsetTime\tMidiPitch\n0.1\t0.2\t60\n")
        write_noise(root / piano / "ISOL" / "NO" / f"MAPS_ISOL_NO_F_S0_M21_{piano}.wav", 0)


MAESTRO_COLUMNS = [
    "canonical_composer",
    "canonical_title",
    "split",
    "year",
    "midi_filename",
    "audio_filename",
    "duration",
]


def make_maestro(root):
    titles = ("Sonata No. 1, Op. 1", "Sonata No. 1, Op. 1", "Étude", "Waltz")
    rows = []
    for i, (title, split) in enumerate(
        zip(titles, ("train", "train", "validation", "test"), strict=True)
    ):
        name = f"2018/MIDI-Unprocessed_{i}"
        write_noise(root / f"{name}.wav", i, 2)
        write_notes(root / f"{name}.midi", 60 + i)
        rows.append(
            ["Frédéric Chopin", title, split, "2018", f"{name}.midi", f"{name}.wav", "0.5"]
        )
    with open(root / "maestro-v3.0.0.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([MAESTRO_COLUMNS, *rows])


def make_mir1k(root):
    for name in ("abjones_1_01", "abjones_1_02", "amy_2_01", "Ani_1_01"):
        write_noise(root / "Wavfile" / f"{name}.wav", 0, 2)
    write_noise(root / "UndividedWavfile" / "Ani_1.wav", 1, 2)


def jams(strings):
    annotations = [
        {
            "namespace": "note_midi",
            "annotation_metadata": {"data_source": str(i)},
            "data": [
                {"time": time, "duration": 0.1, "value": value, "confidence": None}
                for time, value in notes
            ],
        }
        for i, notes in enumerate(strings)
    ]
    contour = {"namespace": "pitch_contour", "data": {"time": [0.0], "value": [{}]}}
    return json.dumps({"annotations": [contour, *annotations], "file_metadata": {}})


def make_guitarset(root):
    for title in ("00_BN1-129-Eb_comp", "00_BN1-129-Eb_solo", "03_Funk3-98-A_comp"):
        path = in_folder(root / "annotation" / f"{title}.jams")
        path.write_text(jams([[], [(0.2, 51.04)], [], [(0.0, 63.6)], [], [(0.1, 70.0)]]))
        write_noise(root / "audio_mono-mic" / f"{title}_mic.wav", 0)
        write_noise(root / "audio_mono-pickup_mix" / f"{title}_mix.wav", 1)


def make_folder(root):
    for i, song in enumerate(("first song", "second song")):
        place = root / song
        parts = [write_noise(place / f"{n}.wav", j) for j, n in enumerate(("piano", "guitar"))]
        write_notes(place / "piano.mid", 60, 62)
        write_notes(place / "guitar.mid", 50)
        if i == 0:
            write_sum(place / "mixture.wav", parts)
    (root / "notes.txt").write_text("not a song")
    (root / "empty").mkdir()
