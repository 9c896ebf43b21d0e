"""`climate-ref-prefect ref init`: have `ref.toml` name this package's executor, and write a table of hints."""

import shutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from climate_ref_prefect.ref import upstream
from climate_ref_prefect.ref.cli.ref_configuration import (
    EXECUTOR,
    configuration_file,
    executor_settings,
    load_configuration,
)
from climate_ref_prefect.ref.executor_settings import ExecutorSettings
from climate_ref_prefect.ref.hints.hint_for import DEFAULTS_FILE
from climate_ref_prefect.ref.hints.sizing import TABLE_FILE, hint_table

BACKUP: Final = "ref.toml.before-climate-ref-prefect"
_LIMITS: Final = ("cpu", "memory_mb")
_HEADER: Final = """\
# Hints: what executions of REF's diagnostics need. The first rule whose `match` fits is asked before the diagnostic
# itself, before what REF has measured, and before the defaults, which follow here as comments. For example:
#
# - match: esmvaltool/cloud-*
#   memory_mb: 16000
#   memory_mb_per_input_gb: 1000
#   cpu: 4
#   wall_clock: PT6H
#
# `climate-ref-prefect ref plan` shows which rule gave each number.

"""


def initialise(transport: str | None) -> Iterator[str]:
    """
    Write both files, and yield what was done, for people.

    Parameters
    ----------
    transport
        Where executions run; None for what is configured already, or `local`.

    Raises
    ------
    BadInputError
        If what is configured, or the transport, is invalid. Nothing is written then.
    """
    config = load_configuration()
    settings = executor_settings(config)
    if transport is not None and transport != settings.transport:
        settings = settings.model_copy(update={"transport": transport, **dict.fromkeys(_LIMITS)})
    workspace = settings.workspace_settings(config, upstream.configuration_directory())
    settings.open_transport(workspace)
    hint_table(settings.hints, workspace.home_directory)
    yield from _write_executor(configuration_file(), transport)
    yield from _write_table((settings.hints or workspace.home_directory / TABLE_FILE).expanduser())
    yield "Look with `climate-ref-prefect ref doctor` and `climate-ref-prefect ref plan`, then run `ref solve`."


def _write_executor(file: Path, transport: str | None) -> Iterator[str]:
    tomlkit: Any = import_module("tomlkit")  # REF's own; it keeps what people have written
    document = tomlkit.parse(file.read_text(encoding="utf-8")) if file.exists() else tomlkit.document()
    executor = document.setdefault("executor", tomlkit.table())
    if executor.get("executor") != EXECUTOR:
        if file.exists():
            shutil.copy2(file, file.with_name(BACKUP))
            yield f"{file.with_name(BACKUP)} is a copy of what was there, for the way back."
        executor["executor"] = EXECUTOR
        # What another executor was told means nothing to this one, which refuses it.
        executor["config"] = tomlkit.table()
        executor["config"]["transport"] = transport or "local"
    elif transport is not None:
        yield from _change_transport(executor.setdefault("config", tomlkit.table()), transport)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(tomlkit.dumps(document), encoding="utf-8")
    yield f"{file} names this executor."


def _change_transport(options: Any, transport: str) -> Iterator[str]:
    """Name another transport in the table of options; the limits of the one before are not its own."""
    present = options.get("transport", ExecutorSettings.model_fields["transport"].default)
    if present != transport:
        for name in [limit for limit in _LIMITS if limit in options]:
            yield f"`{name} = {options.pop(name)}` limited the transport that was there before, and is left out."
    options["transport"] = transport


def _write_table(file: Path) -> Iterator[str]:
    if file.exists():
        yield f"The table of hints {file} is there already, and is left as it is."
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    lines = DEFAULTS_FILE.read_text(encoding="utf-8").splitlines()
    commented = [line if line.startswith("#") or not line else f"# {line}" for line in lines]
    file.write_text(_HEADER + "\n".join([*commented, ""]), encoding="utf-8")
    yield f"{file} is a table of hints in which everything is a comment."
