"""The pages that say how to write a transport, or one to another scheduler, name all that these must have."""

import inspect
import re
from pathlib import Path

import pytest

from climate_ref_prefect.transports.base_transport import TransportModel
from climate_ref_prefect.transports.batch.batch_transport import BatchTransport
from climate_ref_prefect.transports.batch.schedulers import scheduler_port
from climate_ref_prefect.transports.batch.schedulers.scheduler_port import BatchScheduler, JobRecord, SchedulerJobState
from climate_ref_prefect.transports.port import Traits, Transport
from tests.docs.pages import DOCS
from tests.packaging.checkout import ROOT

PAGE = DOCS / "how-to" / "write-a-transport.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"


def members(protocol: type) -> set[str]:
    return {name for name in vars(protocol) if not name.startswith("_")}


def of_a_scheduler() -> set[str]:
    """Return what somebody who adds a batch scheduler has to write, as the interfaces say."""
    errors = {one.__name__ for _, one in inspect.getmembers(scheduler_port, inspect.isclass) if is_own_error(one)}
    declared = {name for name in BatchTransport.__class_vars__ if not hasattr(BatchTransport, name)}
    abstract = BatchTransport.__abstractmethods__
    return {*members(BatchScheduler), *errors, *abstract, *declared, "kind", "new_mark", "refusable_fields"}


def is_own_error(one: type) -> bool:
    return issubclass(one, Exception) and one.__module__ == scheduler_port.__name__


def test_of_a_scheduler_everything_is_known() -> None:
    expected = {"submit", "mark_in", "marked_jobs", "SubmissionInDoubtError", "sized", "check_path", "job_variables"}
    assert expected <= of_a_scheduler()


@pytest.mark.parametrize("page", [PAGE, CONTRIBUTING], ids=lambda page: str(page.name))
def test_what_a_scheduler_must_have_is_on_the_page(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [name for name in sorted(of_a_scheduler()) if f"`{name}`" not in text and f"`{name}()`" not in text] == []


def test_what_a_record_of_a_job_says_is_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert [name for name in JobRecord.model_fields if f"`{name}`" not in text] == []
    assert [state.name for state in SchedulerJobState if state.name not in text] == []
    assert f"`{SchedulerJobState.__name__}`" in text


def test_what_a_transport_must_or_may_have_is_in_its_table() -> None:
    must, _, may = PAGE.read_text(encoding="utf-8").partition("Everything else has a default")
    fields, port = set(TransportModel.model_fields), members(Transport)
    assert rows_of(must) & port == TransportModel.__abstractmethods__
    assert rows_of(may) & port >= port - TransportModel.__abstractmethods__ - fields - {"traits"}
    assert [name for name in sorted(fields) if f"`{name}`" not in may] == []


def test_every_trait_is_in_the_table_with_its_default() -> None:
    lines = [[cell.strip(" `") for cell in line.split("|")[1:3]] for line in PAGE.read_text("utf-8").splitlines()]
    shown = {cells[0]: cells[1] for cells in lines if len(cells) > 1}
    traits = {name: "yes" if field.default else "no" for name, field in Traits.model_fields.items()}
    assert {name: shown.get(name) for name in traits} == traits


def rows_of(text: str) -> set[str]:
    """Return the names in backquotes at the beginnings of the rows of tables."""
    first_cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("|")]
    return {name for cell in first_cells for name in re.findall(r"`(\w+)`", cell)}
