"""The payload: what of REF's execution definition travels to a worker, inside a definition of this package."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import JsonValue, ValidationError

from climate_ref_prefect.diagnostics.base_models import FrozenModel
from climate_ref_prefect.diagnostics.errors import UnreadableDocumentError
from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition
from climate_ref_prefect.ref import upstream

_OUTPUT_DIRECTORY: Final = "output_directory"


class RefPayload(FrozenModel):
    """REF's definition as plain JSON, and what a worker must know to run it as REF would."""

    definition: Mapping[str, JsonValue]
    """As REF serialises it, but without its output directory: that one is new for each of REF's executions."""

    dataset_hash: str
    """REF's hash of the data sets."""

    log_level: str
    measure_resources: bool
    configuration: str
    """Directory of `ref.toml`, absolute."""

    software: str
    """
    Where REF keeps the environments of conda providers, absolute: a relative path in `ref.toml`, or in a variable,
    would mean another directory in the worker.
    """


def payload_of(ref_definition: Any, config: Any) -> RefPayload:
    """
    Return the payload of one of REF's definitions.

    Parameters
    ----------
    ref_definition
        REF's `ExecutionDefinition`.
    config
        REF's configuration.
    """
    wire = json.loads(json.dumps(upstream.to_wire(ref_definition)))  # its tuples become lists, as for any reader
    del wire[_OUTPUT_DIRECTORY]
    return RefPayload(
        definition=wire,
        dataset_hash=ref_definition.datasets.hash,
        log_level=config.log_level,
        measure_resources=config.executor.measure_resources,
        configuration=str(upstream.configuration_directory()),
        software=str(config.paths.software),
    )


def read_payload(definition: ExecutionDefinition) -> RefPayload:
    """
    Return the payload of a definition.

    Raises
    ------
    UnreadableDocumentError
        If it has none, or one that this version cannot read.
    """
    try:
        return RefPayload.model_validate(definition.payload)
    except ValidationError as error:
        raise UnreadableDocumentError(
            f"The payload of {definition.label} is not one of REF's executions as this version writes them: {error}"
        ) from error


def ref_definition_of(payload: RefPayload, output_directory: Path) -> Any:
    """Return REF's definition again, with the directory that it is to write to."""
    return upstream.from_wire({**payload.definition, _OUTPUT_DIRECTORY: str(output_directory)})


def input_hash_of(definition: ExecutionDefinition) -> str:
    """
    Return a hash that is the same for the same inputs, versions of provider and diagnostic included.

    REF's own hash says which data sets those are; the rest of its definition may differ from solve to solve.
    """
    dataset_hash = definition.payload.get("dataset_hash") if isinstance(definition.payload, dict) else None
    if not isinstance(dataset_hash, str):
        return definition.input_hash
    parts = (definition.provider_version, definition.diagnostic_version, dataset_hash)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
