"""What a provider server is asked for the resources of some executions. Data sets that they share are sent once."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from climate_ref_prefect.diagnostics.execution_definition import Dataset, ExecutionDefinition

_MOST_DEFINITIONS: Final = 1_000
_MOST_REFERENCES: Final = 200_000
"""Data sets of all definitions of a request together, each counted as often as it is referred to."""


def in_requests(definitions: Iterable[ExecutionDefinition]) -> Iterator[list[ExecutionDefinition]]:
    """Split definitions into lists for one request each, so that neither side holds all of them as text at once."""
    request: list[ExecutionDefinition] = []
    references = 0
    for definition in definitions:
        request.append(definition)
        references += len(definition.datasets)
        if len(request) >= _MOST_DEFINITIONS or references >= _MOST_REFERENCES:
            yield request
            request, references = [], 0
    if request:
        yield request


def write_size_request(definitions: Sequence[ExecutionDefinition]) -> bytes:
    """Return the request for some definitions, from which `read_size_request` makes them again."""
    # By identity: groups of one catalogue share their data sets, and comparing these would take longer than sending.
    positions: dict[int, int] = {}
    datasets: list[object] = []
    written = []
    for definition in definitions:
        for dataset in definition.datasets:
            if id(dataset) not in positions:
                positions[id(dataset)] = len(datasets)
                datasets.append(dataset.model_dump(mode="json"))
        fields = definition.model_dump(mode="json", exclude={"datasets"})
        written.append({**fields, "datasets": [positions[id(dataset)] for dataset in definition.datasets]})
    return json.dumps({"datasets": datasets, "definitions": written}).encode()


def read_size_request(request: bytes) -> Iterator[ExecutionDefinition]:
    """Yield the definitions of a request. Those that share a data set have the same object."""
    written = json.loads(request)
    datasets = [Dataset.model_validate(dataset) for dataset in written["datasets"]]
    for fields in written["definitions"]:
        own = tuple(datasets[position] for position in fields["datasets"])
        yield ExecutionDefinition.model_validate({**fields, "datasets": own})
