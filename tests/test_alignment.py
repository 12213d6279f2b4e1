"""Scores that lie where their recordings have them, and such that do not."""

import re
import warnings
from dataclasses import replace

import numpy as np
import pytest

from msa_sk import STFT, Mixture, Notes
from msa_sk.alignment import score_fit, warn_of_misfit
from msa_sk.datasets import make_scenes
from msa_sk.exceptions import ScoreWarning

RATE = 8000
SEEN = STFT(sample_rate=RATE, n_fft=512, hop_length=128)


@pytest.fixture(scope="module")
def songs():
    """Return four mixtures of 8 s, as magnitudes too, and their scores."""
    X, y = make_scenes(4, duration=8.0, sample_rate=RATE, random_state=1)
    magnitudes = [spectrogram.magnitude for spectrogram in SEEN.transform(X)]
    scores = [dict(zip(scene.instruments, scene.notes, strict=True)) for scene in y]
    return X, magnitudes, scores


def moved(score, seconds):
    """Return a score moved in time, without what would begin before 0."""
    found = {}
    for name, notes in score.items():
        kept = notes.select(notes.onset + seconds >= 0)
        found[name] = Notes(kept.onset + seconds, kept.offset + seconds, kept.pitch)
    return found


def fits(magnitudes, scores, seconds=0.0, **options):
    return [
        score_fit(magnitude, moved(score, seconds), SEEN, **options)
        for magnitude, score in zip(magnitudes, scores, strict=True)
    ]


def lags(*args, **options):
    return [fit and fit.lag for fit in fits(*args, **options)]


@pytest.mark.parametrize("seconds", [0.0, 0.05, -0.05])
def test_right_scores_are_right(songs, seconds):
    assert lags(*songs[1:], seconds) == [0.0] * 4


@pytest.mark.parametrize("duration", [1.5, 3.0])
def test_short_and_repetitive_pieces_are_right_too(duration):
    X, y = make_scenes(12, duration=duration, sample_rate=RATE, random_state=5)
    magnitudes = [spectrogram.magnitude for spectrogram in SEEN.transform(X)]
    scores = [dict(zip(scene.instruments, scene.notes, strict=True)) for scene in y]
    found = lags(magnitudes, scores)
    assert set(found) <= {0.0, None}
    assert found.count(0.0) > 3


@pytest.mark.parametrize("seconds", [-1.9, -0.5, -0.2, 0.2, 0.5, 1.9])
def test_shifts_are_found(songs, seconds):
    np.testing.assert_allclose(lags(*songs[1:], seconds), -seconds, atol=0.04)


def test_a_few_seconds_tell_as_a_rule():
    """Onsets fall between frames, and pitches get louder a little before or after."""
    X, y = make_scenes(12, duration=5.0, sample_rate=RATE, random_state=5)
    magnitudes = [spectrogram.magnitude for spectrogram in SEEN.transform(X)]
    scores = [dict(zip(scene.instruments, scene.notes, strict=True)) for scene in y]
    for seconds in (-0.3, 0.3):
        found = np.array(lags(magnitudes, scores, seconds), float)
        assert (np.abs(found + seconds) < 0.04).sum() >= 11
    assert lags(magnitudes, scores) == [0.0] * 12


def test_the_level_of_the_recording_does_not_matter(songs):
    _, magnitudes, scores = songs
    quiet = [1e-6 * magnitude for magnitude in magnitudes]
    assert lags(quiet, scores, 0.5) == lags(magnitudes, scores, 0.5)


def test_what_fits_nowhere_is_not_said_to_be_shifted(songs):
    _, magnitudes, scores = songs
    assert lags(magnitudes, scores[1:] + scores[:1]) == [0.0] * 4
    assert lags([0 * one for one in magnitudes], scores) == [0.0] * 4


def test_scores_of_other_songs_and_tempi_are_told():
    """As a rule: music of one key and metre fits a little everywhere."""
    X, y = make_scenes(12, duration=8.0, sample_rate=RATE, random_state=7)
    magnitudes = [spectrogram.magnitude for spectrogram in SEEN.transform(X)]
    scores = [dict(zip(scene.instruments, scene.notes, strict=True)) for scene in y]

    def n_clear(told):
        return sum(fit.clear is not False for fit in fits(magnitudes, told))

    assert n_clear(scores) == 12
    assert n_clear(scores[1:] + scores[:1]) <= 6
    for factor in (0.8, 0.9, 1.1):
        played = [
            {name: notes.stretched(factor, 0.0) for name, notes in score.items()}
            for score in scores
        ]
        assert n_clear(played) <= 6, factor


def test_a_misfit_is_warned_of(songs):
    X, magnitudes, scores = songs
    windows = [(0, magnitudes[0])]
    with pytest.warns(ScoreWarning, match=r"get no louder .* of this recording, at its tempo"):
        warn_of_misfit(X[0], scores[1], windows, SEEN)
    early = {name: notes.excerpt(0.0, 1.5) for name, notes in scores[0].items()}
    with pytest.warns(ScoreWarning, match=r"from 0\.\d+ to 1\.50 s, and more than half"):
        warn_of_misfit(X[0], early, windows, SEEN)
    late = {name: notes.select(notes.onset > 6) for name, notes in scores[0].items()}
    with pytest.warns(ScoreWarning, match=r"from 6\.\d+ to .* more than half"):
        warn_of_misfit(X[0], late, windows, SEEN)
    warn_of_misfit(X[0], late, windows, SEEN, complete=False)
    warn_of_misfit(X[0], {"piano": Notes()}, windows, SEEN)
    warn_of_misfit(X[0], scores[0], windows, SEEN)


@pytest.mark.parametrize("factor", [0.99, 1.01])
def test_another_tempo_is_told_by_lags_that_grow(factor):
    """As a rule: music that repeats itself may fit anywhere."""
    X, y = make_scenes(6, duration=60.0, sample_rate=RATE, random_state=2)
    said = []
    for mixture, scene in zip(X, y, strict=True):
        score = dict(zip(scene.instruments, scene.notes, strict=True))
        played = {name: notes.stretched(factor, 0.0) for name, notes in score.items()}
        windows = [(0, SEEN.transform([mixture])[0].magnitude)]
        warn_of_misfit(mixture, score, windows, SEEN)  # nothing to say
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warn_of_misfit(mixture, played, windows, SEEN)
        said += [
            re.search("another tempo: .* factor of (.*) they", str(w.message)) for w in caught
        ]
    factors = [float(found[1]) for found in said if found]
    assert len(factors) >= 5
    np.testing.assert_allclose(factors, 1 / factor, atol=0.001)


def test_of_shifts_that_fit_alike_the_least_is_told():
    """Eight notes go round and round, so that a score a bar too late fits as well."""
    onset, rate = 0.25 * np.arange(120), SEEN.sample_rate
    pitch = np.tile([60, 64, 67, 72, 62, 65, 69, 71], 15)
    time = np.arange(0, 30, 1 / rate)
    sound = np.zeros(len(time))
    for start, one in zip(onset, pitch, strict=True):
        since = time - start
        tone = np.sin(2 * np.pi * 440 * 2 ** ((one - 69) / 12) * since) * np.exp(-8 * since)
        sound += np.where(since >= 0, tone, 0)
    mixture = Mixture(sound.astype("f4"), rate)
    windows = [(0, SEEN.transform([mixture])[0].magnitude)]
    late = {"piano": Notes(onset + 0.3, onset + 0.5, pitch)}
    with pytest.warns(ScoreWarning, match=r"0\.\d\d s too late: moved by -0\.(29|3\d) s"):
        warn_of_misfit(mixture, late, windows, SEEN)


def test_sound_that_gets_softer_wherever_notes_begin_tells_nothing(songs):
    X, _, scores = songs
    late = np.concatenate([np.zeros(8 * RATE, "f4"), X[0].read()])
    mixture = Mixture(late, RATE)
    windows = [(0, SEEN.transform([mixture])[0].magnitude)]
    with pytest.warns(ScoreWarning):
        warn_of_misfit(mixture, scores[0], windows, SEEN)
    steady = Mixture(np.ones(8 * RATE, "f4"), RATE)
    windows = [(0, SEEN.transform([steady])[0].magnitude)]
    with pytest.warns(ScoreWarning, match="do not seem to be those of this sound"):
        warn_of_misfit(steady, scores[0], windows, SEEN)


def test_one_stretch_in_which_nothing_fits_is_no_misfit(songs):
    X, magnitudes, scores = songs
    windows = [(k * 500, magnitude) for k, magnitude in enumerate([*magnitudes, magnitudes[0]])]
    told = {name: Notes() for name in scores[0]}
    for k, score in enumerate([*scores[:3], scores[2], scores[0]]):  # the fourth is of another
        told = {name: told[name].joined(score[name].shifted(8.0 * k)) for name in told}
    assert score_fit(magnitudes[3], scores[2], SEEN).clear is False
    warn_of_misfit(X[0], told, windows, SEEN)


def test_what_windows_have_twice_is_counted_once():
    """One note lasts a little more than half of the noise; the overlap lies outside of it."""
    noise = np.random.default_rng(0).normal(size=10 * RATE)
    magnitude = SEEN.transform([Mixture(noise.astype("f4"), RATE)])[0].magnitude
    note = {"piano": Notes([4.4], [8.0], [60])}  # which may go on sounding for 2 s
    windows = [(0, magnitude[:, :300]), (100, magnitude[:, 100:])]
    warn_of_misfit(Mixture(noise, RATE), note, windows, SEEN)


def test_few_notes_tell_nothing(songs):
    _, magnitudes, scores = songs
    few = [{"piano": score["piano"].select(slice(5))} for score in scores]
    chord = {"piano": Notes(np.full(40, 1.5), np.full(40, 2.0), range(40, 80))}
    too_high = {"piano": Notes(range(7), range(1, 8), [120] * 7)}
    for scores in (few, [chord] * 4, [too_high] * 4, [{}] * 4):
        assert lags(magnitudes, scores, 0.5) == [None] * 4


def test_a_stretch_is_compared_with_its_stretch_of_the_score(songs):
    _, magnitudes, scores = songs
    later = [magnitude[:, 125:] for magnitude in magnitudes]
    assert lags(later, scores, first=125) == [0.0] * 4
    np.testing.assert_allclose(lags(later, scores, 0.5, first=125), -0.5, atol=0.04)
    np.testing.assert_allclose(lags(later, scores, -1.5), -0.5, atol=0.04)  # 2 s were cut off


def test_the_first_window_with_enough_notes_is_asked(songs):
    X, magnitudes, scores = songs
    mixture, magnitude = X[0], magnitudes[0]
    silence = np.zeros((SEEN.n_bins, 250))
    late = {name: moved({name: notes}, 4.5)[name] for name, notes in scores[0].items()}
    windows = [(0, silence), (250, magnitude)]  # the sound begins at 4 s, and notes at 4.5 s
    with pytest.warns(ScoreWarning, match=r"0\.\d\d s too late: moved by -0\.\d\d s"):
        warn_of_misfit(mixture, late, windows, SEEN)
    warn_of_misfit(mixture, moved(scores[0], 4.0), windows, SEEN)
    warn_of_misfit(replace(mixture, notes={}), {}, windows, SEEN)


def test_of_few_notes_the_next_window_is_asked(songs):
    X, magnitudes, scores = songs
    windows = [(0, magnitudes[0]), (500, magnitudes[0])]  # the same 8 s again
    for score, warned in ((scores[0], []), (scores[1], [ScoreWarning])):
        told = {
            name: notes.select(slice(7)).joined(notes.shifted(8.0))
            for name, notes in score.items()
        }
        found = score_fit(magnitudes[0], told, SEEN)
        assert (found.lag, found.clear, found.tells) == (0, None, False)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warn_of_misfit(X[0], told, windows, SEEN)
        assert [one.category for one in caught] == warned
