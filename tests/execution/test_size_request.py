"""What a provider server is asked for sizes arrives as it was, and does not grow with what executions share."""

import json
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from climate_ref_prefect.diagnostics.execution_definition import Dataset, ExecutionDefinition, ProviderReference
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint
from climate_ref_prefect.execution.worker.execute import ServerPool
from climate_ref_prefect.execution.worker.size_request import in_requests, read_size_request, write_size_request
from tests.diagnostics.strategies import definitions as any_definitions

PROVIDER = """
from climate_ref_prefect.diagnostics.data_requirement import DataRequirement
from climate_ref_prefect.diagnostics.diagnostic import Diagnostic
from climate_ref_prefect.diagnostics.provider import DiagnosticProvider
from climate_ref_prefect.diagnostics.resource_hint import ResourceHint

class ByKey(Diagnostic):
    slug = name = "by-key"
    data = DataRequirement(group_by=("source_id",))

    def resources_for(self, definition):
        return ResourceHint(memory_mb=int(definition.key))

    def run(self, definition, output_directory):
        raise NotImplementedError

provider = DiagnosticProvider("sized", "Sized", "1", [ByKey()])
"""


def dataset(number: int) -> Dataset:
    return Dataset(
        instance_id=f"CMIP6.CMIP.NONE.MODEL{number}",
        facets={"source_id": f"MODEL{number}"},
        files=(Path(f"/data/{number}.nc"),),
        fingerprint="0" * 64,
    )


def define(number: int, datasets: tuple[Dataset, ...]) -> ExecutionDefinition:
    return ExecutionDefinition(
        provider="sized",
        provider_version="1",
        diagnostic="by-key",
        diagnostic_version="1",
        key=str(number),
        selectors={},
        datasets=datasets,
    )


def ensemble_of(size: int) -> list[ExecutionDefinition]:
    """Return as many definitions, each with its own data set first, then all others."""
    datasets = [dataset(number) for number in range(size)]
    return [
        define(number + 1, (datasets[number], *datasets[:number], *datasets[number + 1 :])) for number in range(size)
    ]


@given(st.lists(any_definitions, max_size=5))
def test_definitions_arrive_as_they_were(definitions: list[ExecutionDefinition]) -> None:
    assert list(read_size_request(write_size_request(definitions))) == definitions


def test_what_is_shared_stays_shared() -> None:
    definitions = ensemble_of(20)
    arrived = list(read_size_request(write_size_request(definitions)))
    assert arrived == definitions
    assert len({id(dataset) for definition in arrived for dataset in definition.datasets}) == 20


def test_shared_data_sets_are_sent_once() -> None:
    request = json.loads(write_size_request(ensemble_of(50)))
    assert len(request["datasets"]) == 50


@given(st.lists(st.sampled_from([1, 70_000, 199_999, 200_000]), max_size=5))
def test_requests_hold_everything_in_order_and_none_is_too_large(counts: list[int]) -> None:
    one = dataset(0)
    definitions = [define(number + 1, (one,) * count) for number, count in enumerate(counts)]
    requests = list(in_requests(definitions))
    assert [definition for request in requests for definition in request] == definitions
    for request in requests:
        assert sum(len(definition.datasets) for definition in request[:-1]) < 200_000


@pytest.mark.parametrize("count", [0, 1, 1000, 1001, 2500])
def test_a_server_answers_for_each_definition_however_many_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    (tmp_path / "provider_by_key.py").write_text(PROVIDER)
    monkeypatch.syspath_prepend(tmp_path)
    definitions = [define(number + 1, (dataset(number),)) for number in range(count)]
    with closing(ServerPool()) as pool:
        server = pool.server(ProviderReference(target="provider_by_key:provider"), 1, 60.0)
        hints = server.sizes(definitions, 60.0)
    assert hints == [ResourceHint(memory_mb=number + 1) for number in range(count)]
