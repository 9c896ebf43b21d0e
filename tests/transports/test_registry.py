"""The registered transports, and the messages about those that cannot be used."""

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.transports import registry
from climate_ref_prefect.transports.port import Traits
from tests.distributions import install

MODULE = """
from typing import Any, Callable, ClassVar, Literal
from climate_ref_prefect.transports.base_transport import TransportModel
from climate_ref_prefect.transports.port import Traits

class Whole(TransportModel):
    kind: Literal["whole"] = "whole"
    @property
    def slots(self): return 1
    def submit(self, directory, resources): ...
    def wait(self, timeout_seconds): ...
    def cancel(self, submission): ...
    def close(self, timeout_seconds): ...

class Half(TransportModel):
    kind: Literal["half"] = "half"
    def submit(self, directory, resources): ...

class Misnamed(Whole):
    kind: Literal["other"] = "other"

class Unshown(Whole):
    kind: Literal["unshown"] = "unshown"
    traits: ClassVar[Traits] = Traits(fields_in_forms=True)
    hook: Callable[[int], int] = abs

class Place(Whole):
    kind: Literal["site"] = "site"

function = len
"""
NAMES = {
    "whole": "Whole",
    "half": "Half",
    "misnamed": "Misnamed",
    "unshown": "Unshown",
    "site": "Place",
    "function": "function",
    "missing": "Missing",
}


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Install a distribution with these modules and entry points for the time of a test."""

    def put(modules: Mapping[str, str], points: Mapping[str, str], name: str = "theirs") -> None:
        monkeypatch.syspath_prepend(str(install(tmp_path / name, name, modules, {registry.GROUP: points})))
        forget()

    def forget() -> None:
        registry._registered.cache_clear()
        registry._load.cache_clear()
        sys.modules.pop("their_module", None)

    yield put
    monkeypatch.undo()
    forget()


@pytest.fixture
def theirs(installed: Callable[..., None]) -> None:
    """Install one that is whole and some that are not."""
    installed({"their_module": MODULE}, {name: f"their_module:{target}" for name, target in NAMES.items()})


def test_ours_are_registered_like_those_of_others(theirs: None) -> None:
    assert {"inline", "local", "pbs", "slurm", "whole"} <= registry.usable_transports().keys()
    assert registry.transport_class("whole").__name__ == "Whole"


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("half", "Half does not implement cancel, close, slots, wait."),
        ("misnamed", 'Misnamed must have the field `kind: Literal["misnamed"] = "misnamed"`.'),
        ("unshown", "a form cannot show its fields: "),
        ("site", "`site` means a site profile; choose another name."),
        ("function", "is no subclass of TransportModel."),
        ("missing", "their_module:Missing cannot be imported: AttributeError: "),
    ],
)
def test_what_is_no_transport_is_named_with_the_reason(theirs: None, kind: str, words: str) -> None:
    with pytest.raises(BadInputError) as refused:
        registry.transport_class(kind)
    assert f"The transport `{kind}`, which theirs has registered, cannot be used: " in str(refused.value)
    assert words in str(refused.value)
    assert [str(one) for one in registry.unusable_transports() if one.kind == kind] != []
    assert "whole" in registry.usable_transports()


def test_an_import_that_ends_the_process_ends_nothing(installed: Callable[..., None]) -> None:
    installed({"their_module": "raise SystemExit(3)"}, {"ending": "their_module:Ending"})
    (unusable,) = registry.unusable_transports()
    assert (unusable.kind, unusable.distribution) == ("ending", "theirs")
    assert "SystemExit: 3" in unusable.reason


def test_of_two_that_have_one_name_neither_is_used(installed: Callable[..., None]) -> None:
    installed({"their_module": MODULE}, {"whole": "their_module:Whole"})
    installed({}, {"whole": "their_module:Whole"}, "others")
    (unusable,) = registry.unusable_transports()
    assert unusable.kind == "whole"
    assert sorted(unusable.distribution.split(" and ")) == ["others", "theirs"]
    assert "whole" not in registry.usable_transports()


def test_no_other_distribution_can_use_a_name_of_this_package(installed: Callable[..., None]) -> None:
    installed({"their_module": MODULE}, {"local": "their_module:Whole"})
    assert registry.transport_class("local").__module__ == "climate_ref_prefect.transports.this_machine.in_parallel"
    assert [str(one) for one in registry.unusable_transports()] == [
        "The transport `local`, which theirs has registered, cannot be used: climate-ref-prefect itself has a "
        "transport of this name."
    ]


def test_a_kind_that_is_not_there_is_refused_with_those_that_are() -> None:
    with pytest.raises(BadInputError, match=r"'slrum' \(is it `slurm`\?\); there are inline, local, pbs, slurm"):
        registry.transport_class("slrum")


@pytest.mark.parametrize(
    ("kind", "may_outlive"), [("inline", False), ("local", False), ("slurm", True), ("pbs", True), ("gone", True)]
)
def test_what_may_outlive_its_coordinator(kind: str, may_outlive: bool) -> None:  # noqa: FBT001 - of the table
    assert registry.traits_of(kind).may_outlive_coordinator is may_outlive


def test_of_what_is_unknown_nothing_is_assumed() -> None:
    assert registry.traits_of(None) == registry.traits_of("nonesuch") == Traits()
