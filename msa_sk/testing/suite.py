"""The suite: which checks there are, which do not apply to whom and why, and how to run them."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import ModuleType
from typing import Any, NamedTuple

from threadpoolctl import threadpool_limits

from msa_sk.base import SceneEstimator
from msa_sk.testing import audio_semantics, contract, inputs, selection
from msa_sk.testing.sklearn_checks import SKLEARN_CHECKS
from msa_sk.testing.subject import Subject

Check = Callable[[Subject], None]


def _checks_of(module: ModuleType) -> dict[str, Check]:
    """Return what a module defines under names that start with ``check_``, in its order."""
    return {
        name: thing
        for name, thing in vars(module).items()
        if name.startswith("check_") and thing.__module__ == module.__name__
    }


#: Every check by name.
CHECKS: dict[str, Check] = {
    **SKLEARN_CHECKS,
    **_checks_of(contract),
    **_checks_of(inputs),
    **_checks_of(audio_semantics),
    **_checks_of(selection),
}


class Exemption(NamedTuple):
    """Checks that cannot apply to some estimators, and why."""

    reason: str
    applies: Callable[[Subject], bool]
    checks: tuple[str, ...]


#: The one table of exceptions.
EXEMPTIONS = (
    Exemption(
        "arrays and bare paths cannot hold what it is informed by",
        lambda subject: bool({"sources", "notes", "query"} & set(subject.needs)),
        ("check_arrays_and_paths_equal_mixtures", "check_fit_takes_arrays_and_files"),
    ),
    Exemption(
        "it learns levels of a hierarchy, and the sources of an array have no such names",
        lambda subject: "levels" in subject.needs,
        ("check_fit_takes_arrays_and_files",),
    ),
    Exemption(
        "it is blind: it reads no y, so nothing in y can be wrong",
        lambda subject: subject.tags.blind,
        (
            "check_lone_scene_is_refused",
            "check_missing_truth_is_refused",
            "check_unequal_lengths_are_refused",
            "check_wrong_length_of_sources_is_refused",
            "check_wrong_rate_is_refused",
        ),
    ),
    Exemption(
        "it is blind: it learns nothing before predict, so fit opens no file",
        lambda subject: subject.tags.blind,
        ("check_text_file_is_refused_by_fit",),
    ),
    Exemption(
        "its instruments have no names, or cannot be chosen",
        lambda subject: subject.tags.blind or "instruments" not in subject.parameters,
        (
            "check_unasked_instrument_stays_in_mixture",
            "check_unknown_instrument_is_refused",
            "check_wrong_number_of_sources_is_refused",
        ),
    ),
    Exemption(
        "its tags do not say additive: the sources need not add up to the mixture",
        lambda subject: not subject.tags.additive,
        ("check_sources_add_up",),
    ),
    Exemption(
        "it does not transcribe: there are no rolls and notes",
        lambda subject: not subject.tags.transcribes,
        ("check_notes_fit_mixture", "check_rolls_fit_mixture"),
    ),
    Exemption(
        "it has no parameter `transformer`: no STFT can go before it",
        lambda subject: "transformer" not in subject.parameters,
        ("check_pipeline_equals_transformer", "check_pipeline_is_searchable"),
    ),
)


def why_exempt(name: str, subject: Subject) -> str | None:
    """Return the reason why a check cannot apply to an estimator; None where it can.

    Parameters
    ----------
    name : str
        Of the check.
    subject : Subject
    """
    for exemption in EXEMPTIONS:
        if name in exemption.checks and exemption.applies(subject):
            return exemption.reason
    return None


def _run(check: Check, subject: Subject) -> None:
    """Run a check on one thread: small models are fastest so, and bytes may depend on it."""
    with threadpool_limits(1):
        check(subject)


def yield_checks(estimator: SceneEstimator) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the name of each check that applies to an estimator, and the check to be called.

    All of them share one fit of it.

    Parameters
    ----------
    estimator : SceneEstimator
        Not fitted, and small: it is fitted some twenty times, to four scenes of one second.
    """
    subject = Subject(estimator)
    for name, check in CHECKS.items():
        if why_exempt(name, subject) is None:
            yield name, partial(_run, check, subject)


def check_scene_estimator(estimator: SceneEstimator, only: str = "") -> dict[str, str]:
    """Run all checks on an estimator; the first that fails ends it.

    Parameters
    ----------
    estimator : SceneEstimator
        As in `yield_checks`.
    only : str, default=""
        Run the checks whose names contain this.

    Returns
    -------
    results : dict of str to str
        By name of the check, "passed" or the reason why it cannot apply.

    Raises
    ------
    AssertionError
        Saying which promise the estimator breaks.
    """
    subject = Subject(estimator)
    results = {}
    for name, check in CHECKS.items():
        if only not in name:
            continue
        reason = why_exempt(name, subject)
        if reason is None:
            try:
                _run(check, subject)
            except Exception as error:
                error.add_note(f"in {name} of {subject}")
                raise
        results[name] = reason or "passed"
    return results


def parametrize_with_checks(estimators: Sequence[SceneEstimator]) -> Any:
    """Make a pytest test of every check of every estimator.

    Checks that cannot apply are skipped with the reason. The test function takes the argument
    ``check`` and calls it::

        @parametrize_with_checks([MySeparator(n_layers=1)])
        def test_my_separator(check):
            check()

    Parameters
    ----------
    estimators : sequence of SceneEstimator
        As in `yield_checks`.
    """
    import pytest

    parameters = []
    for estimator in estimators:
        subject = Subject(estimator)
        for name, check in CHECKS.items():
            reason = why_exempt(name, subject)
            marks = [pytest.mark.skip(reason=reason)] if reason else []
            identity = f"{subject}-{name.removeprefix('check_')}"
            parameters.append(
                pytest.param(partial(_run, check, subject), marks=marks, id=identity)
            )
    return pytest.mark.parametrize("check", parameters)
