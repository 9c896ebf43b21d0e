"""Retry rules of the site and of a flow's parameter, in solves on a real Prefect server."""

from collections import Counter

import pytest

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.flows.retry.retry_rules import RetryRule
from tests.flows.temporary_site import Site

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]

RULES = """
- {match: flows/os-error, name: once, max_attempts: 1}
- {match: flows/own-*, failures: {diagnostic_error: retry}, max_attempts: 2}
- {match: flows/stuck, name: later, failures: {timeout: next solve}, growth_factor: 4}
"""


def test_rules_decide_and_are_shown(site: Site) -> None:
    site.add_models("ModelA")
    site.home.mkdir()
    (site.home / "retry.yaml").write_text(RULES)
    given = [RetryRule(match="flows/os-error", name="twice", max_attempts=2)]
    report = site.solve("good", "os-error", "own-error", "stuck", retry_rules=given).report
    assert Counter(row.diagnostic for row in report.executions) == {
        "good": 1,
        "os-error": 2,
        "own-error": 2,
        "stuck": 1,
    }
    rules = {
        "flows/good": "default",
        "flows/os-error": "twice",
        "flows/own-error": "flows/own-*",
        "flows/stuck": "later",
    }
    assert report.retry_rules == rules
    assert {line.diagnostic: line.retry_rule for line in report.summary()} == rules
    assert "<td>twice</td>" in report._repr_html_()
    messages = {row.diagnostic: row.failure_message or "" for row in report.executions}
    assert "given up after 2 attempts, by the retry rule 'twice'" in messages["os-error"]
    assert "left to the next solve by the retry rule 'later'" in messages["stuck"]
    assert site.dirty() == {"stuck/ModelA"}
    first, second = site.solve("stuck").report.executions[-1], site.attempts("stuck")[-1]
    assert (first.execution_id, second.wall_clock_seconds) == (second.execution_id, 2.0)


@pytest.mark.parametrize("text", ["- {match: flows/good, failures: {cancelled: retry}}", "- {match: flows/good"])
def test_a_file_that_is_wrong_starts_nothing(site: Site, text: str) -> None:
    site.add_models("ModelA")
    site.home.mkdir()
    (site.home / "retry.yaml").write_text(text)
    with pytest.raises(BadInputError, match="retry rules"):
        site.solve("good")
    assert not site.attempts()
