"""Errors and warnings of this package.

Every error says which item is wrong, what was expected, what came, and what to do about it.
"""

from sklearn.exceptions import NotFittedError as _SklearnNotFittedError


class MsaError(Exception):
    """Base class of all errors that msa_sk raises on purpose."""


class InputError(MsaError, ValueError):
    """Something that was passed in cannot be used.

    Parameters
    ----------
    item : str
        What is wrong, named so that the caller can find it (``"X[3]"``).
    expected, got : str
        What was needed and what came instead.
    remedy : str, default=""
        The next step, as a sentence.
    """

    def __init__(self, item: str, expected: str, got: str, remedy: str = ""):
        super().__init__(item, expected, got, remedy)
        self.item, self.expected, self.got, self.remedy = item, expected, got, remedy

    def __str__(self) -> str:
        got = self.got.removesuffix(".")  # it may be the sentence of another library
        return f"{self.item}: expected {self.expected}, got {got}. {self.remedy}".rstrip()

    def within(self, place: str) -> "InputError":
        """Return the same error, whose item is named after the place where it was found."""
        return self._about(f"{place}, {self.item}")

    def renamed(self, before: str, after: str) -> "InputError":
        """Return the same error about an argument that its caller knows by another name."""
        if not self.item.startswith(before):
            return self
        return self._about(after + self.item.removeprefix(before))

    def _about(self, item: str) -> "InputError":
        return type(self)(item, self.expected, self.got, self.remedy)


class AudioError(InputError):
    """Audio that is empty, not finite, of a wrong shape, or a file that cannot be read."""


class NotesError(InputError):
    """Notes that no instrument can play: an offset before its onset, a pitch of 200, ..."""


class MidiFormatError(InputError):
    """A file that is not MIDI, or is damaged."""


class InstrumentError(InputError):
    """An instrument that the scene or the estimator does not know."""


class ParameterError(InputError, TypeError):
    """An estimator's parameter is outside what it allows."""


class ModelFileError(InputError):
    """A saved model that is damaged, altered, too new, or not ours."""


class TrainingError(MsaError, ArithmeticError):
    """Training produced a loss or a gradient that is not finite."""


class MissingDependencyError(MsaError, ImportError):
    """An optional library is needed and not installed."""


class NotFittedError(MsaError, _SklearnNotFittedError):
    """The estimator has to be fitted first."""


class MsaWarning(UserWarning):
    """Base class of this package's warnings: legal but degenerate input."""


class SilenceWarning(MsaWarning):
    """Silent audio: the result is defined (see the message), but rarely what was meant."""


class NotesWarning(MsaWarning):
    """Notes were changed or left out to fit a format; the message says how many."""


class ValidationWarning(MsaWarning):
    """Training was to be judged on what is held out, and nothing is; the message says by what."""


class SkippedWarning(MsaWarning):
    """Training left examples out that could not be read or made a loss that is not finite."""


class ScoreWarning(MsaWarning):
    """A score does not seem to lie where its recording has it; the message says by how much."""


class ClippingWarning(MsaWarning):
    """Written audio was scaled down so that it does not clip."""
