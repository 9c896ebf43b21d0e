"""A database of REF without any data, and what REF's solve writes to it before it calls an executor."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.finished_execution import FinishedExecution
from climate_ref_prefect.execution.outcome import ExecutionOutcome
from climate_ref_prefect.execution.output_manifest import manifest
from climate_ref_prefect.ref import upstream
from climate_ref_prefect.ref.recorder import RefRecorder, marked_as_ours
from climate_ref_prefect.ref.result_document import RESULT_FILE
from climate_ref_prefect.ref.writer import RefWriter
from climate_ref_prefect.store.lock_file import Holder
from climate_ref_prefect.store.port import AllocatedExecution, Allocation
from climate_ref_prefect.testing.recorders.example_values import SCALARS, envelope_of


def ref_config(directory: Path, database_url: str | None = None) -> Any:
    """Return a configuration of REF whose directories and database lie in a directory."""
    os.environ[upstream.CONFIGURATION_VARIABLE] = str(directory)
    os.environ["REF_IGNORE_DATASETS_URL"] = ""
    config = upstream.Config.default()
    if database_url:
        config.db.database_url = database_url
    return config


class RefSolve:
    """What REF's solve does to its database, on a session of its own."""

    def __init__(self, config: Any) -> None:
        self.config = config
        self.database = upstream.Database.from_config(config, run_migrations=False)

    def make_execution(self, definition: ExecutionDefinition) -> tuple[int, Path]:
        """Make the rows of an execution; return its number and where REF wants its files."""
        session = self.database.session
        with session.begin():
            provider = self._get(upstream.Provider, slug=definition.provider, name="p", version="1")
            session.flush()
            diagnostic = self._get(
                upstream.Diagnostic, slug=definition.diagnostic, name="d", provider_id=provider.id, promoted_version=1
            )
            session.flush()
            group = self._get(
                upstream.ExecutionGroup, key=definition.key, diagnostic_id=diagnostic.id, diagnostic_version=1
            )
            group.dirty = True
            session.flush()
            row = upstream.Execution(execution_group_id=group.id, dataset_hash="a", output_fragment="_pending")
            session.add(row)
            session.flush()
            row.output_fragment = f"{definition.provider}/{definition.diagnostic}/{row.id}"
            number, fragment = row.id, row.output_fragment
        return number, Path(self.config.paths.scratch).resolve() / fragment

    def _get(self, model: Any, **values: Any) -> Any:
        session = self.database.session
        known = {name: value for name, value in values.items() if name not in ("name", "version", "promoted_version")}
        row = session.query(model).filter_by(**known).one_or_none()
        if row is None:
            row = model(**values)
            session.add(row)
        return row

    def row(self, execution_id: int) -> Any:
        """Return what REF's database says of an execution: result, reason, and whether its group is dirty."""
        session = self.database.session
        session.expire_all()
        with session.begin():
            row = session.get(upstream.Execution, execution_id)
            return row.successful, row.failure_reason, row.execution_group.dirty


class RecorderAfterRef(RefRecorder):
    """The recorder, where REF makes an execution for whatever is allocated that has none."""

    def __init__(self, solve: RefSolve) -> None:
        super().__init__(solve.config)
        self.solve = solve

    @contextmanager
    def coordinate(self, holder: Holder, notify: Callable[[str], object] = print) -> Iterator[RefWriter]:
        with super().coordinate(holder, notify), marked_as_ours(self.solve.database.session):
            yield WriterAfterRef(self)


class WriterAfterRef(RefWriter):
    """The writer, where REF makes an execution before it is allocated."""

    def __init__(self, recorder: RecorderAfterRef) -> None:
        super().__init__(recorder.database, recorder._rows, recorder._executions)
        self._recorder = recorder

    def allocate(self, batch: Sequence[Allocation]) -> tuple[AllocatedExecution, ...]:
        for allocation in batch:
            if allocation.replaces is None:
                self._recorder.expect(
                    allocation.definition, *self._recorder.solve.make_execution(allocation.definition)
                )
        return super().allocate(batch)


def leave_ref_results(scratch: Path, allocated: AllocatedExecution) -> FinishedExecution:
    """Leave what a worker leaves of a success of one of REF's executions."""
    directory = ExecutionDirectory(scratch / allocated.fragment)
    envelope = envelope_of(allocated)
    output = directory.output_of(envelope)
    output.mkdir(parents=True)
    directory.write_envelope(envelope)
    for name, text in documents(output).items():
        (output / name).write_text(text, encoding="utf-8")
    names = [name for name in documents(output) if name != "out.log"]
    outcome = ExecutionOutcome(
        execution_id=allocated.execution_id, manifest=manifest(output, names=names), has_bundles=False
    )
    directory.write_outcome(outcome)
    return FinishedExecution(envelope=envelope, outcome=outcome, directory=directory.path)


def documents(output: Path) -> dict[str, str]:
    """Return the texts of the files that a success leaves, by their names."""
    metrics = {
        "DIMENSIONS": {
            "json_structure": ["metric", "statistic"],
            "metric": {"tas": {}},
            "statistic": {name: {} for name in SCALARS},
        },
        "RESULTS": {"tas": dict(SCALARS)},
    }
    outputs = {
        "index": "index.html",
        "provenance": {"environment": {}, "modeldata": [], "obsdata": {}, "log": "out.log"},
        "data": {"values": {"filename": "values.txt", "long_name": "values", "description": "values"}},
        "plots": {},
        "html": {},
        "metrics": None,
    }
    return {
        "diagnostic.json": json.dumps(metrics),
        "output.json": json.dumps(outputs),
        "values.txt": "1.5\n",
        RESULT_FILE: json.dumps(wire_result(output)),
        "out.log": "what it has logged\n",
    }


def wire_result(output: Path) -> dict[str, Any]:
    """Return a success of REF in its own JSON, whose files lie in a directory."""
    return {
        "__ref_type__": "execution_result",
        "definition": _definition(output),
        "output_bundle_filename": "output.json",
        "metric_bundle_filename": "diagnostic.json",
        "successful": True,
        "retryable": False,
        "series_filename": None,
        "resource_usage": None,
    }


def _definition(output: Path) -> dict[str, Any]:
    return {
        "diagnostic_full_slug": "suite/mean",
        "key": "any",
        "datasets": {},
        "output_directory": str(output),
        "root_directory": str(output.parents[2]),
    }
