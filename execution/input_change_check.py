"""Check that the input files of an execution have not changed since it was planned."""

import time
from pathlib import Path
from typing import Final

from climate_ref_prefect.diagnostics.errors import InputChangedError
from climate_ref_prefect.diagnostics.execution_definition import Dataset
from climate_ref_prefect.diagnostics.file_fingerprint import current_fingerprint
from climate_ref_prefect.execution.envelope import ExecutionEnvelope

_MENTIONED: Final = 3
_ADVICE: Final = (
    "Nothing is recorded; when the data are complete, the next solve plans it anew. If nothing was written, "
    "this node sees other sizes or times than the coordinator: see `check_inputs` among the limits of a transport."
)


def require_unchanged_inputs(envelope: ExecutionEnvelope, when: str) -> None:
    """
    Compare the files of each data set with the fingerprint that it was planned with.

    Data sets whose fingerprint was not made of files' names, sizes and times are left out; so are all of them
    where the transport's limits say so.

    Parameters
    ----------
    envelope
        Of the execution.
    when
        For the message: when this was looked at.

    Raises
    ------
    InputChangedError
        Naming the data sets that have changed, and what is known of their files.
    """
    if not envelope.limits.check_inputs:
        return
    changed = [dataset for dataset in envelope.definition.datasets if _has_changed(dataset)]
    if not changed:
        return
    names = ", ".join(dataset.instance_id for dataset in changed[:_MENTIONED])
    more = f" and {len(changed) - _MENTIONED} more" if len(changed) > _MENTIONED else ""
    raise InputChangedError(
        f"{when}, the files of {names}{more} were not what they were when it was planned: "
        f"{_state_of(changed[0])}. {_ADVICE}"
    )


def _has_changed(dataset: Dataset) -> bool:
    return dataset.fingerprint_of == "files" and current_fingerprint(dataset.files) != dataset.fingerprint


def _state_of(dataset: Dataset) -> str:
    """Say what is known of the files of a data set: those that are gone, else the one that was written last."""
    written: dict[Path, float] = {}
    for file in dataset.files:
        try:
            written[file] = file.stat().st_mtime
        except OSError as error:
            return f"{file} cannot be read ({error.strerror})"
    latest = max(written, key=lambda file: written[file])
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(written[latest]))
    return f"the one written last is {latest}, {latest.stat().st_size} bytes, {when}"
