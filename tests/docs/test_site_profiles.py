"""The reference of site profiles has every field with its default, and the pages on them tell what the code does."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from climate_ref_prefect.execution.envelope import WorkerLimits
from climate_ref_prefect.transports.batch.pool.job import Job
from climate_ref_prefect.transports.batch.pool.termination import meta_of
from climate_ref_prefect.transports.batch.schedulers.pbs.output_parser import read_record
from climate_ref_prefect.transports.batch.schedulers.pbs.transport import PbsTransport
from climate_ref_prefect.transports.batch.schedulers.slurm.transport import SlurmTransport
from climate_ref_prefect.transports.batch.settings.job_sizing import JobSize
from climate_ref_prefect.transports.site_profiles import read_profile
from tests.docs.pages import DOCS, pages
from tests.packaging.checkout import ROOT

PAGE = DOCS / "reference" / "site-profiles.md"
BATCH = DOCS / "explanation" / "batch.md"
_ROW = re.compile(r"(?<!\\)\|")


def models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Yield a model and those that its fields hold, but for the limits that every transport has."""
    yield model
    for field in model.model_fields.values():
        for held in _held(field.annotation):
            if held is not WorkerLimits:
                yield from models(held)


def _held(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _held(part)


def fields() -> Iterator[Any]:
    """Yield every field that a profile of a batch site may have, with its model."""
    seen = set()
    for model in (*models(SlurmTransport), *models(PbsTransport)):
        for name, field in model.model_fields.items():
            owner = next(base for base in reversed(model.__mro__) if name in getattr(base, "__annotations__", {}))
            if (owner.__name__, name) not in seen:
                seen.add((owner.__name__, name))
                yield pytest.param(model, name, field, id=f"{owner.__name__}-{name}")


def sections(page: Path) -> dict[str, dict[str, list[str]]]:
    """Return the rows of a page's tables by the model that its text names before them, and by their first cells."""
    found: dict[str, dict[str, list[str]]] = {}
    rows: dict[str, list[str]] = {}
    for line in page.read_text().splitlines():
        named = re.match(r"`climate_ref_prefect\.[\w.]+\.(\w+)`", line)
        if named:
            rows = found[named[1]] = {}
        elif line.startswith("| `"):
            first, *others = (cell.strip() for cell in _ROW.split(line)[1:-1])
            rows[first.strip("`")] = others
    return found


def told(field: FieldInfo) -> str:
    """Return how the page tells a default."""
    default = field.get_default()
    if default is PydanticUndefined:
        return "must be given"
    if default is None or default in ((), frozenset()):
        return "none"
    if default == sys.executable:
        return "the coordinator's own"
    annotation: Any = field.annotation
    written: object = TypeAdapter[Any](annotation).dump_python(default, mode="json")
    if isinstance(written, float) and written.is_integer():
        written = int(written)
    return f"`{written if isinstance(written, str) else json.dumps(written)}`"


@pytest.mark.parametrize(("model", "name", "field"), list(fields()))
def test_the_reference_has_every_field_with_its_default(model: type[BaseModel], name: str, field: FieldInfo) -> None:
    rows: dict[str, list[str]] = {}
    for one in reversed(model.__mro__):
        rows |= sections(PAGE).get(one.__name__, {})
    default, _, meaning = rows[name]
    assert meaning
    if isinstance(field.get_default(), BaseModel):
        assert re.match(r"\[\w+\]\(", default)
    elif name == "kind":
        assert default == "must be given"
    else:
        assert default == told(field)


def test_the_reference_has_no_field_that_is_none() -> None:
    known = {model.__name__: set(model.model_fields) for model in (*models(SlurmTransport), *models(PbsTransport))}
    known["BatchTransport"] = known["SlurmTransport"] & known["PbsTransport"]
    assert sections(PAGE).keys() == known.keys()
    assert {
        name: sorted(set(rows) - known[name]) for name, rows in sections(PAGE).items() if set(rows) - known[name]
    } == {}


def profiles() -> Iterator[Any]:
    """Yield every site profile that a page shows."""
    for page in pages():
        for text in re.findall(r"^```yaml\n(kind: .*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL):
            yield pytest.param(text, id=page)


@pytest.mark.parametrize("text", list(profiles()))
def test_what_pages_show_is_a_profile(text: str, tmp_path: Path) -> None:
    profile = tmp_path / "site.yaml"
    profile.write_text(text)
    assert isinstance(read_profile(profile), SlurmTransport)


def test_four_pages_show_one() -> None:
    assert len(list(profiles())) == 4


def test_batch_names_all_that_a_job_adds_to_the_telemetry() -> None:
    size = JobSize(cpu=1, memory_mb=1, walltime_seconds=60, queue="workq")
    used = {"mem": "10kb", "cput": "00:00:01", "walltime": "00:00:02"}
    times = {"qtime": "Mon Nov 23 10:00:00 2026", "stime": "Mon Nov 23 10:00:09 2026"}
    record = read_record("27", {"job_state": "F", "exec_host": "node3/0", "resources_used": used, **times})
    meta = meta_of(Job("", size, "PBS", submitted_at=0.0, job_id="27", record=record))
    assert {"job_id", "node", "queue", "queue_wait_seconds", "job_peak_rss_mb"} <= meta.keys()
    text = BATCH.read_text()
    assert [name for name in meta if f"`{name}`" not in text] == []
