"""Change a separation by its notes: edits of a scene's notes, and a session that hears them.

>>> from msa_sk import Notes, Scene
>>> from msa_sk.editing import move
>>> guitar = Notes([0.0, 1.0], [1.0, 2.0], [60, 64])
>>> scene = Scene(("piano", "guitar"), 16000, notes=(Notes(), guitar))
>>> move(scene, "guitar", "piano", times=(0.5, 1.5)).notes_of("piano")
Notes(1 note; pitch 64 to 64; 1.00 to 2.00 s)
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from msa_sk._arguments import check_path, making
from msa_sk._files import atomic_path
from msa_sk._sklearn import get_tags
from msa_sk._validation import check_mixtures
from msa_sk.exceptions import InputError, InstrumentError, NotesError
from msa_sk.notes import Notes
from msa_sk.records import Mixture, Scene, unknown_name
from msa_sk.retouch import Retouch
from msa_sk.score import score_of
from msa_sk.windowed import WindowedEstimator


def move(scene: Scene, instrument: str, to: str, **chosen: Any) -> Scene:
    """Return a scene in which another instrument plays some notes.

    Parameters
    ----------
    scene : Scene
        With notes. Its sources stay as they are, and rolls are left out.
    instrument, to : str
        Who plays them, and who shall.
    **chosen
        Which notes, as in `Notes.find`: ``times=``, ``pitches=``, ``indices=``; all, where
        nothing is said.

    Raises
    ------
    InstrumentError
        If the scene does not have an instrument, or both are the same.
    NotesError
        If there is no such note.
    ParameterError
        If a range is none.
    """
    if instrument == to:
        raise InstrumentError("move(to)", "another instrument", repr(to), "Name who shall play.")
    target, notes = scene.notes_of(to), scene.notes_of(instrument)
    found = _choose(notes, instrument, **chosen)
    changes = {instrument: notes.without(found), to: target.joined(notes.select(found))}
    return _with_notes(scene, changes)


def delete(scene: Scene, instrument: str, **chosen: Any) -> Scene:
    """Return a scene without some notes; parameters and errors as in `move`."""
    notes = scene.notes_of(instrument)
    return _with_notes(scene, {instrument: notes.without(_choose(notes, instrument, **chosen))})


def add(
    scene: Scene, instrument: str, *, onset: Any, offset: Any, pitch: Any, velocity: Any = None
) -> Scene:
    """Return a scene with further notes.

    Parameters
    ----------
    scene : Scene
        As in `move`.
    instrument : str
    onset, offset, pitch : number, or array-like of shape (n_notes,)
        As in `Notes`.
    velocity : number, or array-like of shape (n_notes,), default=None
        As in `Notes`.

    Raises
    ------
    InstrumentError
        If the scene does not have the instrument.
    NotesError
        If they are no notes.
    """
    columns = [onset, offset, pitch] + ([] if velocity is None else [velocity])
    notes = Notes(*(np.atleast_1d(column) for column in columns))
    return _with_notes(scene, {instrument: scene.notes_of(instrument).joined(notes)})


def shift(scene: Scene, instrument: str, seconds: float, **chosen: Any) -> Scene:
    """Return a scene in which some notes come so many seconds later; see `move`, `Notes.shifted`.

    As in `move`, with a NotesError where a note would begin before 0 s.
    """
    return _changed(scene, instrument, lambda notes: notes.shifted(seconds), chosen)


def stretch(
    scene: Scene, instrument: str, factor: float, *, start: float | None = None, **chosen: Any
) -> Scene:
    """Return a scene in which some notes last longer; see `move` and `Notes.stretched`.

    As in `move`, with a NotesError where a note would begin before 0 s.
    """
    return _changed(scene, instrument, lambda notes: notes.stretched(factor, start), chosen)


def transpose(scene: Scene, instrument: str, semitones: int, **chosen: Any) -> Scene:
    """Return a scene in which some notes are so much higher; see `move`, `Notes.transposed`.

    As in `move`, with a NotesError where a pitch would leave 0 to 127.
    """
    return _changed(scene, instrument, lambda notes: notes.transposed(semitones), chosen)


#: What a log may hold, by name.
OPERATIONS: dict[str, Callable[..., Scene]] = {
    operation.__name__: operation for operation in (move, delete, add, shift, stretch, transpose)
}


def _changed(
    scene: Scene, instrument: str, change: Callable[[Notes], Notes], chosen: dict[str, Any]
) -> Scene:
    notes = scene.notes_of(instrument)
    found = _choose(notes, instrument, **chosen)
    picked = notes.select(found)
    try:
        changed = notes.without(found).joined(change(picked))
    except NotesError as error:
        raise error.within(f"of the {len(picked)} chosen notes of {instrument}") from error
    return _with_notes(scene, {instrument: changed})


def _choose(notes: Notes, instrument: str, **chosen: Any) -> np.ndarray:
    """Return which notes were asked for; there must be some."""
    found = notes.find(**chosen)
    if not found.any():
        said = ", ".join(f"{name}={value}" for name, value in chosen.items())
        raise NotesError(
            f"the notes of {instrument}",
            f"some with {said}" if said else "some",
            f"none of {notes!r}",
            "A note is found by its onset: widen the range.",
        )
    return found


def _with_notes(scene: Scene, changes: dict[str, Notes]) -> Scene:
    notes = tuple(changes.get(name, scene.notes_of(name)) for name in scene.instruments)
    return replace(scene, notes=notes, rolls=None, frame_rate=None)


class EditSession:
    """A mixture whose separation changes with its notes.

    Each edit changes notes, as the function of its name in `msa_sk.editing` does, and separates
    again the windows that it touches (`window_seconds` of the separator: shorter ones are
    quicker). What comes out is what a fresh ``separator.predict`` gives for the mixture with these
    notes: to the bit where that is one window, else to 1e-6 of full scale. It depends on the
    notes alone: an edit that is undone, or done again, or replayed from a log, gives the same
    bytes on the same machine. The mixture is read once, at first: what becomes of its array or its
    file later is not heard.

    Parameters
    ----------
    separator : WindowedEstimator or Pipeline
        Fitted, and informed by a score, as `ScoreInformedSeparator` and
        ``NMFSeparator(score_informed=True)`` are; or a Pipeline that ends with one. It must stay
        as it is.
    mixture : Mixture
        The steps of a Pipeline before the last transform it once.
    scene : Scene, default=None
        Whose notes to begin with, as of a transcriber. None takes those of the mixture; after a
        transcriber in a Pipeline these are the ones that it finds.

    Raises
    ------
    InputError
        If what separates is not informed by a score, there are no notes, or they do not fit.
    NotFittedError
        If the separator, or a step before it, is not fitted.

    Examples
    --------
    >>> from msa_sk import EditSession, NMFSeparator
    >>> from msa_sk.datasets import make_scenes
    >>> mixes, scenes = make_scenes(1, random_state=0)
    >>> separator = NMFSeparator(score_informed=True).fit(mixes, scenes)
    >>> session = EditSession(separator, mixes[0], scenes[0])
    >>> stems = session.move("guitar", "piano", times=(1, 2)).sources
    >>> session
    EditSession(1 edit; Scene(guitar, piano; 5.0 s at 16 kHz; 48 notes))
    """

    def __init__(
        self,
        separator: WindowedEstimator | Pipeline,
        mixture: Mixture,
        scene: Scene | None = None,
    ):
        *earlier, separator = _steps_of(separator)
        mixtures = [mixture]
        for step in earlier:
            mixtures = step.transform(mixtures)
        (mixture,) = check_mixtures(mixtures, separator.sample_rate_, "mixtures")
        if scene is not None:
            mixture = replace(mixture, notes=_notes_in(scene))
        self._retouch = Retouch(separator, mixture)
        names = tuple(dict.fromkeys([*separator.instruments_, *(mixture.notes or ())]))
        # The notes after each edit, those to begin with before them.
        self._scores = [Scene(names, mixture.rate, notes=score_of(mixture, names))]
        self._edits: list[dict[str, Any]] = []
        self._n_done = 0
        self._scene = self._separate(self._scores[0])

    def __repr__(self) -> str:
        s = "" if self._n_done == 1 else "s"
        return f"EditSession({self._n_done} edit{s}; {self.scene!r})"

    @property
    def scene(self) -> Scene:
        """The separation as it is now, with its notes."""
        return self._scene

    @property
    def notes(self) -> dict[str, Notes]:
        """The notes as they are now, also of instruments that stay in the mixture."""
        return _notes_in(self._scores[self._n_done])

    @property
    def log(self) -> list[dict[str, Any]]:
        """The edits in effect, as dicts for JSON: ``operation``, and what it was given."""
        return _as_json(self._edits[: self._n_done])

    def move(self, instrument: str, to: str, **chosen: Any) -> Scene:
        """Let another instrument play some notes; as `msa_sk.editing.move`."""
        return self._do(move, instrument=instrument, to=to, **chosen)

    def delete(self, instrument: str, **chosen: Any) -> Scene:
        """Leave some notes out; as `msa_sk.editing.delete`."""
        return self._do(delete, instrument=instrument, **chosen)

    def add(self, instrument: str, **notes: Any) -> Scene:
        """Add notes; as `msa_sk.editing.add`."""
        return self._do(add, instrument=instrument, **notes)

    def shift(self, instrument: str, seconds: float, **chosen: Any) -> Scene:
        """Let some notes come later; as `msa_sk.editing.shift`."""
        return self._do(shift, instrument=instrument, seconds=seconds, **chosen)

    def stretch(self, instrument: str, factor: float, **chosen: Any) -> Scene:
        """Let some notes last longer; as `msa_sk.editing.stretch`."""
        return self._do(stretch, instrument=instrument, factor=factor, **chosen)

    def transpose(self, instrument: str, semitones: int, **chosen: Any) -> Scene:
        """Let some notes be higher; as `msa_sk.editing.transpose`."""
        return self._do(transpose, instrument=instrument, semitones=semitones, **chosen)

    def undo(self) -> Scene:
        """Take the last edit back.

        Raises
        ------
        InputError
            If there is none.
        """
        return self._go(self._n_done - 1, "undo")

    def redo(self) -> Scene:
        """Do the edit again that was undone last.

        Raises
        ------
        InputError
            If there is none, or another edit has followed.
        """
        return self._go(self._n_done + 1, "redo")

    def save_log(self, path: str | os.PathLike) -> Path:
        """Write `log` to a JSON file, which `replay` reads."""
        with atomic_path(check_path(path)) as temporary, making(Path(path)):
            temporary.write_text(json.dumps(self.log, indent=1) + "\n", encoding="utf-8")
        return Path(path)

    def replay(self, log: Sequence[dict[str, Any]] | str | os.PathLike) -> Scene:
        """Do the edits of a log; only the last state is separated.

        Parameters
        ----------
        log : list of dict, or path-like
            As `log` gives them, or `save_log` wrote them.

        Returns
        -------
        scene : Scene

        Raises
        ------
        InputError
            If the log is none, or an edit cannot be done: it is named, and none is done.
        """
        edits = [_as_json(edit) for edit in _read_log(log)]
        scores = [self._scores[self._n_done]]
        for i, edit in enumerate(edits):
            try:
                scores.append(_apply(scores[-1], edit))
            except InputError as error:
                raise error.within(f"log[{i}]") from error
        return self._take(edits, scores[1:])

    def _do(self, operation: Callable[..., Scene], **given: Any) -> Scene:
        known = {name: value for name, value in given.items() if value is not None}
        edit = _as_json({"operation": operation.__name__, **known})
        return self._take([edit], [_apply(self._scores[self._n_done], edit)])

    def _take(self, edits: Sequence[dict[str, Any]], scores: Sequence[Scene]) -> Scene:
        if scores:
            scene = self._separate(scores[-1])  # or it is refused, and nothing has changed
            self._edits[self._n_done :] = edits
            self._scores[self._n_done + 1 :] = scores
            self._n_done, self._scene = len(self._edits), scene
        return self._scene

    def _go(self, n_done: int, action: str) -> Scene:
        if not 0 <= n_done < len(self._scores):
            raise InputError(f"{action}()", f"an edit to {action}", "none", "See `log`.")
        self._scene = self._separate(self._scores[n_done])
        self._n_done = n_done
        return self._scene

    def _separate(self, score: Scene) -> Scene:
        return self._retouch.separate(_notes_in(score))


def replay(
    separator: WindowedEstimator | Pipeline,
    mixture: Mixture,
    scene: Scene | None,
    log: Sequence[dict[str, Any]] | str | os.PathLike,
) -> Scene:
    """Return the scene that a session ended with, from its log.

    Parameters
    ----------
    separator, mixture, scene
        As in `EditSession`.
    log : list of dict, or path-like
        As in `EditSession.replay`.

    Returns
    -------
    scene : Scene
    """
    return EditSession(separator, mixture, scene).replay(log)


def _steps_of(separator: Any) -> list[Any]:
    """Return what transforms a mixture, and last the system that separates it by its notes."""
    *earlier, system = _flat(separator) or [separator]
    if not isinstance(system, WindowedEstimator) or not get_tags(system).score_informed:
        raise InputError(
            "EditSession(separator)",
            "a system that is informed by a score, alone or last in a Pipeline",
            repr(system)[:80],
            "Use ScoreInformedSeparator, or NMFSeparator(score_informed=True); after a search, "
            "its best_estimator_.",
        )
    system._check_fitted()
    return [*(step for step in earlier if step not in (None, "passthrough")), system]


def _flat(system: Any) -> list[Any]:
    """Return the steps of a Pipeline and of those in it; anything else is one."""
    if not isinstance(system, Pipeline):
        return [system]
    return [part for _, step in system.steps for part in _flat(step)]


def _notes_in(scene: Any) -> dict[str, Notes]:
    if not isinstance(scene, Scene):
        raise InputError(
            "EditSession(scene)",
            "a Scene with notes",
            type(scene).__name__,
            "Pass what predict of a transcriber returns, one of the list.",
        )
    return {name: scene.notes_of(name) for name in scene.instruments}


def _as_json(value: Any) -> Any:
    """Return what JSON keeps of a value: numbers and arrays of numpy are plain ones then."""

    def plain(one: Any) -> Any:
        if isinstance(one, np.ndarray | np.generic):
            return one.tolist()
        raise InputError(
            "an edit", "numbers, names and lists", repr(one)[:80], "Pass what JSON can hold."
        )

    try:
        return json.loads(json.dumps(value, default=plain))
    except (ValueError, RecursionError) as error:  # such as a list that holds itself
        raise InputError(
            "an edit", "numbers, names and lists", str(error), "Pass what JSON can hold."
        ) from error


def _read_log(log: Any) -> list[dict[str, Any]]:
    name = "log"
    if isinstance(log, str | os.PathLike):
        name = os.fspath(log)
        try:
            log = json.loads(Path(log).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise InputError(
                name, "a log of edits in JSON", str(error), "Pass what save_log has written."
            ) from error
    if not isinstance(log, list) or not all(isinstance(edit, dict) for edit in log):
        raise InputError(
            name, "a list of dicts", repr(log)[:80], "Pass the log of a session, or its file."
        )
    return log


def _apply(score: Scene, edit: dict[str, Any]) -> Scene:
    """Return the notes after an edit of a log."""
    given = dict(edit)
    name = given.pop("operation", None)
    if not isinstance(name, str) or name not in OPERATIONS:
        raise unknown_name("operation", name, list(OPERATIONS), InputError)
    try:
        return OPERATIONS[name](score, **given)
    except InputError:
        raise
    except TypeError as error:
        what = f"what msa_sk.editing.{name} takes"
        raise InputError(name, what, str(error), "Check the names.") from error
