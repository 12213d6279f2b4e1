"""Every check of `msa_sk.testing` is shown to catch an estimator that is broken on purpose."""

import pytest
from broken_estimators import FAULTS, Crossover
from broken_estimators.contract import ReturnsNothing

from msa_sk.testing import (
    CHECKS,
    EXEMPTIONS,
    Subject,
    all_estimators,
    check_scene_estimator,
    parametrize_with_checks,
    tiny_estimators,
    why_exempt,
    yield_checks,
)


@pytest.fixture(scope="module")
def intact():
    return Subject(tiny_estimators(Crossover)[0])


@pytest.mark.parametrize("name", CHECKS)
def test_intact_estimator_passes(name, intact):
    assert why_exempt(name, intact) is None
    CHECKS[name](intact)


@pytest.mark.parametrize(
    ("name", "cls", "words"),
    [pytest.param(*fault, id=f"{fault[0][6:]}-{fault[1].__name__}") for fault in FAULTS],
)
def test_broken_estimator_is_caught(name, cls, words):
    subject = Subject(tiny_estimators(cls)[0])
    with pytest.raises(AssertionError) as caught:
        CHECKS[name](subject)
    message = str(caught.value)
    assert [word for word in words if word.lower() not in message.lower()] == [], message


def test_every_check_has_its_broken_estimator():
    assert {name for name, _, _ in FAULTS} == set(CHECKS)
    assert len(CHECKS) >= 25


def test_every_exemption_is_used_and_says_why():
    subjects = [Subject(one) for _, cls in all_estimators() for one in tiny_estimators(cls)]
    for exemption in EXEMPTIONS:
        assert set(exemption.checks) <= set(CHECKS)
        assert len(exemption.reason.split()) > 5
        assert any(map(exemption.applies, subjects)), exemption.reason


def test_suite_reports_what_passed_and_what_does_not_apply():
    baseline = dict(all_estimators())["MixtureBaseline"](sample_rate=8000)
    results = check_scene_estimator(baseline, only="pipeline")
    reason = "it has no parameter `transformer`: no STFT can go before it"
    assert results == dict.fromkeys(
        ["check_pipeline_equals_transformer", "check_pipeline_is_searchable"], reason
    )
    assert check_scene_estimator(baseline, only="silence") == {"check_silence": "passed"}


def test_suite_names_the_check_that_failed():
    with pytest.raises(AssertionError, match="fit returns None") as caught:
        check_scene_estimator(tiny_estimators(ReturnsNothing)[0], only="returns_self")
    assert caught.value.__notes__ == ["in check_fit_returns_self of ReturnsNothing"]


def test_yielded_checks_are_those_that_apply():
    baseline = dict(all_estimators())["MixtureBaseline"](sample_rate=8000)
    yielded = dict(yield_checks(baseline))
    assert set(CHECKS) - set(yielded) == {
        "check_notes_fit_mixture",
        "check_pipeline_equals_transformer",
        "check_pipeline_is_searchable",
        "check_rolls_fit_mixture",
        "check_sources_add_up",
    }
    assert yielded["check_pickle"]() is None


def test_parametrized_checks_are_named_and_skipped_with_a_reason():
    blind = next(
        one for one in tiny_estimators(dict(all_estimators())["NMFSeparator"]) if one.blind
    )
    parameters = {p.id: p for p in parametrize_with_checks([blind]).args[1]}
    assert len(parameters) == len(CHECKS)
    (skip,) = parameters["NMFSeparator(blind=True)-wrong_rate_is_refused"].marks
    assert skip.kwargs["reason"] == "it is blind: it reads no y, so nothing in y can be wrong"
    assert not parameters["NMFSeparator(blind=True)-silence"].marks
