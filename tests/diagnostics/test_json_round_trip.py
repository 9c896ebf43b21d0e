"""Values cross a boundary as JSON: what is read must be what was written, and nothing else is accepted."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from climate_ref_prefect.diagnostics.base_models import SCHEMA_VERSION, Document, FrozenModel
from climate_ref_prefect.diagnostics.data_requirement import DataRequirement
from climate_ref_prefect.diagnostics.errors import SchemaMismatchError
from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition, ProviderReference
from climate_ref_prefect.diagnostics.execution_result import SeriesCollection
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.envelope import ExecutionEnvelope
from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.execution.outcome import ExecutionFailure, ExecutionOutcome, Telemetry
from tests.diagnostics import strategies

DOCUMENTS: tuple[type[Document], ...] = (ExecutionEnvelope, Telemetry, ExecutionOutcome, SeriesCollection)

values = st.one_of(
    strategies.resource_hints,
    strategies.definitions,
    strategies.envelopes,
    strategies.telemetries,
    strategies.outcomes,
    strategies.failures,
    strategies.metric_bundles(),
    strategies.output_bundles,
    strategies.series(),
    strategies.collections,
    strategies.results,
    strategies.provider_descriptions,
)
documents = st.one_of(strategies.envelopes, strategies.telemetries, strategies.outcomes, strategies.collections)


@given(values)
def test_a_value_survives_json(value: FrozenModel) -> None:
    again = type(value).model_validate_json(value.model_dump_json())
    assert again == value
    assert again.model_dump_json() == value.model_dump_json()


@given(documents)
def test_a_document_survives_its_own_json(document: Document) -> None:
    assert type(document).from_json(document.to_json()) == document
    assert type(document).from_json(document.to_json().encode()) == document


@given(values, strategies.names.map(lambda name: f"x_{name}"))
def test_fields_that_do_not_exist_are_refused(value: FrozenModel, name: str) -> None:
    written: dict[str, Any] = {**value.model_dump(mode="json"), name: 1}
    with pytest.raises(ValidationError, match=name):
        type(value).model_validate(written)


@given(values)
def test_values_cannot_be_changed(value: FrozenModel) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(value, next(iter(type(value).model_fields)), None)


@pytest.mark.parametrize("kind", DOCUMENTS)
@pytest.mark.parametrize("found", [0, SCHEMA_VERSION + 1, "1", None, True])
def test_another_schema_version_is_named_together_with_ours(kind: type[Document], found: object) -> None:
    # All but the version would be refused too: it has to be looked at first.
    text = f'{{"schema_version": {json.dumps(found)}, "from_the_future": 1}}'
    with pytest.raises(SchemaMismatchError, match=rf"{kind.__name__}.*{found!r}.* {SCHEMA_VERSION}\.") as caught:
        kind.from_json(text)
    assert (caught.value.found, caught.value.expected) == (found, SCHEMA_VERSION)


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_a_document_without_a_version_is_a_mismatch(kind: type[Document]) -> None:
    with pytest.raises(SchemaMismatchError, match="None"):
        kind.from_json("{}")
    with pytest.raises(SchemaMismatchError, match="None"):
        kind.from_json("[]")


@pytest.mark.parametrize("text", ["", "{", '{"schema_version": 1', b"\xff", "[" * 100_000])
def test_half_a_document_is_a_validation_error(text: str | bytes) -> None:
    with pytest.raises(ValidationError, match="Invalid JSON"):
        Telemetry.from_json(text)


@given(st.binary(max_size=40) | st.text(max_size=40))
def test_garbage_is_refused_in_one_of_two_ways(garbage: bytes | str) -> None:
    with pytest.raises((ValidationError, SchemaMismatchError)):
        ExecutionOutcome.from_json(garbage)


@given(st.integers(max_value=0))
def test_hints_of_nothing_are_refused(none: int) -> None:
    for field in ("memory_mb", "cpu"):
        with pytest.raises(ValidationError, match=field):
            ResourceHint.model_validate({field: none})
    with pytest.raises(ValidationError, match="wall_clock"):
        ResourceHint(wall_clock=timedelta(microseconds=none % -10_000_000))


@pytest.mark.parametrize("queue", ["", "a b", "-x", "a\n", "a;rm", "$HOME", "a,b", "é"])
def test_a_queue_is_a_plain_word(queue: str) -> None:
    with pytest.raises(ValidationError, match="queue"):
        ResourceHint(queue=queue)


@pytest.mark.parametrize("fragment", ["", "/a", "..", "a/../b", "a/..", ".a", "a b", "a\n", "a;b"])
def test_a_fragment_stays_below_its_root(fragment: str) -> None:
    with pytest.raises(ValidationError, match="fragment"):
        ExecutionEnvelope.model_validate({"fragment": fragment})


@pytest.mark.parametrize("target", ["", "module", "module:", ":attribute", "a b:c", "a:b.c", "os;x:y", "/a.py:b"])
def test_a_provider_reference_is_module_and_attribute(target: str) -> None:
    with pytest.raises(ValidationError, match="target"):
        ProviderReference(target=target)


@given(strategies.definitions, strategies.definitions)
def test_input_hash_follows_versions_and_fingerprints(one: Any, other: Any) -> None:
    assert one.input_hash == one.model_copy(update={"datasets": tuple(reversed(one.datasets))}).input_hash
    newer = one.model_copy(update={"diagnostic_version": one.diagnostic_version + "x"})
    changed = one.model_copy(
        update={"datasets": tuple(d.model_copy(update={"fingerprint": d.fingerprint + "x"}) for d in one.datasets)}
    )
    assert len({one.input_hash, newer.input_hash, changed.input_hash}) == 3
    same_inputs = _inputs(one) == _inputs(other)
    assert (one.input_hash == other.input_hash) == same_inputs


PLAIN = {
    "provider": "p.1_a",
    "provider_version": "1",
    "diagnostic": "emp-gleamgpcp2.3",
    "diagnostic_version": "2",
    "key": "k",
    "selectors": {},
}
DATA = [{"instance_id": "CMIP6.a", "facets": {}, "files": ["/a.nc"], "fingerprint": "f"}]


def test_the_hash_of_inputs_without_a_payload_is_the_one_that_older_stores_have() -> None:
    definition = ExecutionDefinition.model_validate({**PLAIN, "datasets": DATA})
    assert definition.input_hash == "98ee29d3ca2cc25053ddb42cd4e44e43627c3d3c9c34bda6ba72e10614381429"


def test_a_payload_is_an_input_of_its_own() -> None:
    payloads: list[Any] = [None, {}, [], 0, "", {"a": 1, "b": 2}, {"a": 1}, "payload"]
    definitions = [ExecutionDefinition.model_validate({**PLAIN, "datasets": DATA, "payload": one}) for one in payloads]
    assert len({definition.input_hash for definition in definitions}) == len(payloads)
    without_data = [ExecutionDefinition.model_validate({**PLAIN, "payload": one}) for one in payloads[1:]]
    assert not {one.input_hash for one in without_data} & {one.input_hash for one in definitions}
    turned = ExecutionDefinition.model_validate({**PLAIN, "payload": {"b": 2, "a": 1}})
    assert turned.input_hash == without_data[4].input_hash
    assert ExecutionDefinition.model_validate_json(turned.model_dump_json()).input_hash == turned.input_hash


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "neither a data set nor a payload"),
        ({"payload": {"a": float("nan")}}, "payload"),
        ({"payload": {"a": object()}}, "payload"),
        ({"payload": 1, "diagnostic": "_hidden"}, "diagnostic"),
        ({"payload": 1, "diagnostic": ".."}, "diagnostic"),
        ({"payload": 1, "provider": "a/b"}, "provider"),
    ],
)
def test_a_definition_that_is_none_is_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        ExecutionDefinition.model_validate({**PLAIN, **fields})


def test_another_output_directory_is_absolute() -> None:
    fields = {
        "execution_id": 1,
        "fragment": "p/d/1",
        "provider": {"target": "m:a"},
        "definition": {**PLAIN, "payload": 1},
        "resources": {},
    }
    assert ExecutionEnvelope.model_validate(fields).output_directory is None
    assert ExecutionEnvelope.model_validate({**fields, "output_directory": "/o"}).output_directory == Path("/o")
    with pytest.raises(ValidationError, match="not absolute"):
        ExecutionEnvelope.model_validate({**fields, "output_directory": "o"})


def _inputs(definition: Any) -> Any:
    data = sorted((d.instance_id, d.fingerprint) for d in definition.datasets)
    return (definition.provider_version, definition.diagnostic_version, data)


def test_an_error_that_names_a_file_of_odd_bytes_can_be_written() -> None:
    name = b"caf\xe9.nc".decode(errors="surrogateescape")
    failure = ExecutionFailure(kind=FailureKind.SYSTEM_ERROR, message=f"no such file: {name}", details=name)
    outcome = ExecutionOutcome(execution_id=1, failure=failure)
    again = ExecutionOutcome.from_json(outcome.to_json())
    assert again == outcome
    assert again.failure is not None
    assert again.failure.details == r"caf\udce9.nc"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"group_by": ()}, "group_by"),
        ({"group_by": ("source_id",), "filters": {"table_id": ()}}, "table_id"),
        ({"group_by": ("source_id",), "at_least": 0}, "at_least"),
        ({"group_by": ("source_id",), "ensemble_by": ("source_id",)}, "with_ensemble is not set"),
        ({"group_by": ("source_id",), "with_ensemble": True, "ensemble_by": ("table_id",)}, "table_id"),
    ],
)
def test_a_requirement_that_cannot_be_met_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DataRequirement.model_validate(fields)
