from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.ref.hints.hint_for import hint_for, shipped_defaults
from climate_ref_prefect.ref.hints.hint_models import FALLBACK, DeclaredHint, HintRequest, MeasuredHistory
from climate_ref_prefect.ref.hints.hint_table import HintTable, read_hint_table
from climate_ref_prefect.ref.hints.sizing import declared_hint, hint_table

_PROVIDERS = ("example", "esmvaltool", "ilamb", "pmp")
_MEASURED = MeasuredHistory(executions=10, peak_memory_mb=10_000, wall_seconds=1200)


def table(directory: Path, text: str) -> HintTable:
    """Return the table of a file with a text."""
    file = directory / "hints.yaml"
    file.write_text(text, encoding="utf-8")
    return read_hint_table(file)


def test_the_first_rule_that_matches_decides_and_is_named(tmp_path: Path) -> None:
    rules = table(
        tmp_path,
        "- {match: other/*, memory_mb: 1}\n- {match: ours/big-*, memory_mb: 9000, queue: bigmem}\n"
        "- {match: '*/*', memory_mb: 500, cpu: 7}",
    )
    sized = hint_for(HintRequest(full_slug="ours/big-one"), rules)
    assert (sized.resources.memory_mb, sized.resources.queue, sized.resources.cpu) == (9000, "bigmem", FALLBACK.cpu)
    assert sized.reasons["memory_mb"] == "hints.yaml, rule 2 `ours/big-*`"
    assert sized.reasons["cpu"] == "default of this package for everything"


def test_terms_add_memory_and_time_by_data_sets_and_by_size(tmp_path: Path) -> None:
    rule = (
        "- {match: a/b, memory_mb: 1000, memory_mb_per_dataset: 10, memory_mb_per_input_gb: 100, wall_clock: PT1H, "
        "wall_clock_per_dataset: PT1M, wall_clock_per_input_gb: PT10S}"
    )
    request = HintRequest(full_slug="a/b", dataset_count=3, input_bytes=2_500_000_000)
    sized = hint_for(request, table(tmp_path, rule))
    assert sized.resources.memory_mb == 1000 + 512
    assert sized.resources.wall_clock == timedelta(hours=1, minutes=5)
    assert sized.reasons["memory_mb"] == "hints.yaml, rule 1 `a/b` (512 MiB of it for its data)"


def test_who_is_asked_first(tmp_path: Path) -> None:
    slug = "ilamb/lai-avh15c1"
    declared = DeclaredHint(memory_mb=2000, cpu=3)
    full = HintRequest(full_slug=slug, declared=declared, history=_MEASURED)
    by_table = hint_for(full, table(tmp_path, "- {match: ilamb/*, memory_mb: 1000}"))
    assert [by_table.resources.memory_mb, by_table.resources.cpu] == [1000, 3]
    assert hint_for(full).resources.memory_mb == 2000
    assert hint_for(HintRequest(full_slug=slug, history=_MEASURED)).resources.memory_mb == 13 * 1024
    shipped = hint_for(HintRequest(full_slug=slug))
    assert shipped.resources.memory_mb == 40960
    assert shipped.reasons["memory_mb"].startswith("defaults, rule ")
    assert shipped.reasons["memory_mb"].endswith("`ilamb/lai-avh15c1`, source")
    assert hint_for(HintRequest(full_slug="unknown/one")).resources == FALLBACK


@pytest.mark.parametrize("changed", [{"executions": 9}, {"failed": 1}])
def test_a_measurement_that_may_be_too_low_only_raises(changed: dict[str, int]) -> None:
    doubtful = _MEASURED.model_copy(update=changed)
    lower = hint_for(HintRequest(full_slug="ilamb/lai-avh15c1", history=doubtful))
    higher = hint_for(HintRequest(full_slug="unknown/one", history=doubtful))
    assert lower.resources.memory_mb == 40960
    assert higher.resources.memory_mb == 13 * 1024
    assert higher.reasons["memory_mb"].startswith("measured by REF (")
    assert higher.resources.wall_clock == FALLBACK.wall_clock


def test_time_is_three_times_what_was_measured_and_a_quarter_of_an_hour_at_least() -> None:
    assert hint_for(HintRequest(full_slug="a/b", history=_MEASURED)).resources.wall_clock == timedelta(hours=1)
    short = _MEASURED.model_copy(update={"wall_seconds": 2.0})
    assert hint_for(HintRequest(full_slug="a/b", history=short)).resources.wall_clock == timedelta(minutes=15)


def test_a_history_without_measurements_says_nothing() -> None:
    nothing = MeasuredHistory(executions=0, failed=4, peak_memory_mb=0, wall_seconds=0)
    assert hint_for(HintRequest(full_slug="a/b", history=nothing)).resources == FALLBACK


def test_every_default_says_what_it_rests_on() -> None:
    rules = shipped_defaults().rules
    assert [rule.match for rule in rules if not rule.basis or not rule.note] == []
    assert {rule.match.split("/")[0] for rule in rules} == set(_PROVIDERS)


@pytest.mark.parametrize("provider", _PROVIDERS)
def test_every_provider_of_ref_has_a_default_for_all_its_diagnostics(provider: str) -> None:
    found = shipped_defaults().first_match(f"{provider}/anything.with_odd-characters")
    assert found is not None
    assert found.rule.match == f"{provider}/*"


def test_no_default_hides_a_later_one() -> None:
    rules = shipped_defaults().rules
    literal = [rule.match.replace("[ns]am", "nam").replace("*", "any") for rule in rules]
    assert [shipped_defaults().first_match(slug) for slug in literal] == list(enumerate(rules, 1))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("memory_mb: 1", "must be a list: each rule begins with `- match: PROVIDER/DIAGNOSTIC`"),
        ("- {match: a/b, memory: 1}", "Rule 1 of the table of hints .*there is no field `memory`.*Its fields are"),
        ("- {match: a/*}\n- {match: b}", "Rule 2 of the table"),
        ("- {match: a/b, wall_clock: 30}", "an ISO 8601 duration is wanted"),
        ("- {match: a/b, memory_mb_per_dataset: 3}", "`memory_mb_per_dataset` adds to `memory_mb`, which is missing"),
        ("- {match: a/b, cpu: 1, cpu: 2}", "`cpu` is there twice"),
    ],
)
def test_a_wrong_table_is_refused_in_words(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(BadInputError, match=words):
        table(tmp_path, text)


def test_the_usual_table_is_read_where_it_is_there(tmp_path: Path) -> None:
    assert hint_table(None, tmp_path).rules == ()
    (tmp_path / "hints.yaml").write_text("- {match: a/b, cpu: 2}")
    assert len(hint_table(None, tmp_path).rules) == 1
    with pytest.raises(BadInputError, match=r"missing\.yaml cannot be read"):
        hint_table(tmp_path / "missing.yaml", tmp_path)


def test_a_diagnostic_declares_by_an_attribute() -> None:
    assert declared_hint(SimpleNamespace(), "a/b") is None
    assert declared_hint(SimpleNamespace(resource_hint={"wall_clock": "PT2H"}), "a/b") == DeclaredHint(
        wall_clock=timedelta(hours=2)
    )
    with pytest.raises(
        BadInputError,
        match=r"`resource_hint` of a/b is wrong: there is no field `memory`\. It may have: memory_mb, cpu",
    ):
        declared_hint(SimpleNamespace(resource_hint={"memory": 3}), "a/b")
