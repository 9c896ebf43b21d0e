"""The command `climate-ref-prefect`: calls the flows and the store from a shell."""
# ruff: noqa: E402 - the search path first: each other import could find one of the user's own scripts

from climate_ref_prefect.execution.host.python_search_path import look_into_current_directory_last

look_into_current_directory_last()

import atexit
import gc
import logging
import os
import signal
import socket
import sys
from pkgutil import resolve_name
from typing import Annotated, Literal, NoReturn

import typer

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.flows.cli.console import PlainConsole
from climate_ref_prefect.flows.cli.errors_and_exit_codes import (
    FAILED,
    report_cancellation,
    report_errors,
    report_unreachable_server,
)
from climate_ref_prefect.flows.cli.options import (
    RetryRulesFile,
    TransportName,
    existing_settings,
    retry_rules_from_file,
)
from climate_ref_prefect.flows.cli.print_log import print_log
from climate_ref_prefect.flows.cli.recovery_commands import recover, reingest
from climate_ref_prefect.flows.cli.results_commands import providers as list_providers
from climate_ref_prefect.flows.cli.results_commands import show, values
from climate_ref_prefect.flows.cli.server_command import server
from climate_ref_prefect.flows.cli.standard_streams import usable_standard_streams
from climate_ref_prefect.flows.display.log_escaping import RUN_LOGGERS, EscapingFilter
from climate_ref_prefect.flows.display.tables import add_row, console_table
from climate_ref_prefect.flows.display.text_escaping import one_line
from climate_ref_prefect.flows.display.traceback_filter import HideTraceback
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.store.query_results import ExecutionRow

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Run Climate-REF diagnostics on Prefect.",
)
database = typer.Typer(no_args_is_help=True, help="The database.")
app.add_typer(database, name="db")
# By its name, because no module may import one of a floor above its own; it imports nothing of climate-ref by itself.
app.add_typer(resolve_name("climate_ref_prefect.ref.cli.commands:app"), name="ref")
console = PlainConsole()

Data = Annotated[str, typer.Option(help="Directory with a CMIP6 tree, or `sample`.")]
Providers = Annotated[list[str], typer.Option("--provider", help="Installed provider, or module:attribute.")]
Diagnostics = Annotated[list[str] | None, typer.Option("--diagnostic", help="Slug; all if left out.")]
Cpu = Annotated[int | None, typer.Option(min=1, help="Processors that `local` may use; all if left out.")]
MemoryMb = Annotated[int | None, typer.Option(min=1, help="MiB that `local` may use; all if left out.")]
Rescan = Annotated[bool, typer.Option("--rescan", help="List every directory of the data again.")]
RerunOption = Annotated[Literal["none", "failed", "all"], typer.Option(help="What to run although it is settled.")]


@app.command()
def solve(  # noqa: PLR0917 - they are options, given by name
    data: Data = "sample",
    providers: Providers = ["demo"],  # noqa: B006 - typer shows it and never changes it
    diagnostics: Diagnostics = None,
    transport: TransportName = "local",
    cpu: Cpu = None,
    memory_mb: MemoryMb = None,
    rerun: RerunOption = "none",
    retry_rules: RetryRulesFile = None,
    *,
    rescan: Rescan = False,
) -> None:
    """Run whatever is not up to date."""
    from climate_ref_prefect.flows.cli.solve_command import solve_where_needed  # noqa: PLC0415 - only for what plans
    from climate_ref_prefect.flows.planning.solve_request import SolveRequest  # noqa: PLC0415
    from climate_ref_prefect.flows.transport_parameter import transport_named  # noqa: PLC0415

    rules = retry_rules_from_file(retry_rules)
    place = transport_named(transport, cpu, memory_mb)
    request = SolveRequest(data, providers, diagnostics, place, rerun, rescan=rescan)
    report = solve_where_needed(request, rules)
    console.print(report)
    if not report.ok:
        raise typer.Exit(FAILED)


@app.command()
def plan(  # noqa: PLR0917 - they are options, given by name
    data: Data = "sample",
    providers: Providers = ["demo"],  # noqa: B006 - typer shows it and never changes it
    diagnostics: Diagnostics = None,
    transport: TransportName = "local",
    cpu: Cpu = None,
    memory_mb: MemoryMb = None,
    rerun: RerunOption = "none",
    retry_rules: RetryRulesFile = None,
    *,
    rescan: Rescan = False,
    keys: Annotated[bool, typer.Option("--keys", help="List each execution with the key of its group.")] = False,
) -> None:
    """Say what `solve` would run, and how much of what; run nothing."""
    from climate_ref_prefect.flows.planning.plan_solve import plan_only  # noqa: PLC0415 - SQLAlchemy takes long
    from climate_ref_prefect.flows.transport_parameter import transport_named  # noqa: PLC0415

    place = transport_named(transport, cpu, memory_mb)
    planned = plan_only(
        data,
        list(providers),
        diagnostics,
        place,
        rerun,
        retry_rules=retry_rules_from_file(retry_rules),
        rescan=rescan,
    )
    if keys:
        for item in planned.executions:
            console.print(f"{item.definition.provider} {item.definition.diagnostic} {item.definition.key}")
    console.print(planned)
    if planned.broken:
        raise typer.Exit(FAILED)


@app.command()
def status(limit: Annotated[int, typer.Option(min=0, help="How many executions to list.")] = 20) -> None:
    """Show running executions and the results of the latest ones."""
    from climate_ref_prefect.flows.server.server_description import running_server, server_home  # noqa: PLC0415
    from climate_ref_prefect.flows.workspace.workspace import lock_holder  # noqa: PLC0415
    from climate_ref_prefect.store.sql.sql_store import open_store  # noqa: PLC0415 - SQLAlchemy takes long

    settings = existing_settings()
    holder = lock_holder(settings)
    with open_store(settings.store_url) as store:
        counts, rows = store.counts(), store.executions(limit=limit)
    running = f"process {holder.pid} on {holder.host} coordinates" if holder else "no coordinator runs"
    server_directory = server_home(settings.home_directory)
    found = running_server(server_directory)
    console.print(
        f"{settings.home_directory}: {running}. Executions: {counts.unfinished} unfinished, "
        f"{counts.successful} successful, {counts.failed_retryable} failed and retryable, "
        f"{counts.failed_for_good} failed for good. Groups: {counts.groups}, of which {counts.dirty_groups} to be run."
    )
    if found is not None:
        console.print(f"Prefect's UI: {found.ui(server_directory)}; {found.lifetime}. Automations are off there.")
    table = console_table("execution", "attempt", "status", "seconds", "MiB", "message")
    for row in rows:
        add_row(table, _cells(row))
    console.print(table)


@app.command()
def log(execution: Annotated[int, typer.Argument(help="Number of the execution.")]) -> None:
    """Print what an execution printed and logged."""
    from climate_ref_prefect.flows.results.executions_by_number import executions_by_number  # noqa: PLC0415 - for this command
    from climate_ref_prefect.store.sql.sql_store import open_store  # noqa: PLC0415 - SQLAlchemy takes long

    settings = existing_settings()
    with open_store(settings.store_url) as store:
        (row,) = executions_by_number(store, [execution])
    print_log(settings, row)


@app.command()
def cancel() -> None:
    """Stop the coordinator of this state directory, and with it all that it runs; `solve` takes it up again."""
    from climate_ref_prefect.flows.workspace.workspace import lock_holder  # noqa: PLC0415

    settings = existing_settings()
    holder = lock_holder(settings)
    if holder is None:
        console.print(f"No coordinator works on {settings.home_directory}: there is nothing to cancel.")
        return
    if holder.host != socket.gethostname():
        raise BadInputError(
            f"The coordinator is process {holder.pid} on {holder.host}: run `climate-ref-prefect cancel` there, "
            f"or cancel its flow run {holder.flow_run_id} in Prefect's UI."
        )
    os.kill(holder.pid, signal.SIGTERM)
    console.print(
        f"Asked process {holder.pid} to stop. Its executions are stopped, too, and the next solve runs them again."
    )


@app.command()
def demo(
    cpu: Cpu = None,
    transport: TransportName = "local",
) -> None:
    """Run the demo provider on real data, with a Prefect server of its own that records it."""
    from climate_ref_prefect.flows.cli.demo import run_demo  # noqa: PLC0415
    from climate_ref_prefect.flows.transport_parameter import transport_named  # noqa: PLC0415

    place = transport_named(transport, cpu, None)
    with report_cancellation(), report_unreachable_server():
        ok = run_demo(Settings(), place, console)
    if not ok:
        raise typer.Exit(FAILED)


@app.command()
def doctor(
    transport: Annotated[str, typer.Option(help="Name of a transport or a site profile, or a path.")],
    providers: Providers = ["demo"],  # noqa: B006 - typer shows it and never changes it
    wait_seconds: Annotated[float, typer.Option(min=1, help="How long a job may take to start.")] = 600,
) -> None:
    """Check a site before the first real run: scheduler, directories, a job, what its node sees, TLS, network."""
    from climate_ref_prefect.flows.cli.doctor import run_doctor  # noqa: PLC0415
    from climate_ref_prefect.flows.transport_parameter import transport_named  # noqa: PLC0415 - imports Dask for batch sites

    if not run_doctor(Settings(), transport_named(transport, None, None), providers, wait_seconds, console):
        raise typer.Exit(FAILED)


@app.command()
def render(
    transport: Annotated[str, typer.Option(help="A site profile of a batch scheduler.")],
    providers: Providers = ["demo"],  # noqa: B006 - typer shows it and never changes it
    diagnostics: Diagnostics = None,
) -> None:
    """Print the job script for each diagnostic's declared hint; submit nothing."""
    from climate_ref_prefect.flows.cli.render_job_scripts import render as job_scripts  # noqa: PLC0415
    from climate_ref_prefect.flows.transport_parameter import transport_named  # noqa: PLC0415 - imports Dask for batch sites

    for label, script in job_scripts(transport_named(transport, None, None), providers, diagnostics):
        console.print(f"# {label}\n{script}")


app.command()(show)
app.command()(values)
app.command("providers")(list_providers)
app.command()(recover)
app.command()(server)
app.command()(reingest)


@database.command()
def upgrade() -> None:
    """Migrate the database to the schema of this version."""
    from climate_ref_prefect.store.sql.schema_migration import upgrade_database  # noqa: PLC0415

    console.print(f"The database is at revision {upgrade_database(Settings().store_url)}.")


@database.command()
def claim_results() -> None:
    """Have the results directory belong to this store from now on, where no other one uses it any more."""
    from climate_ref_prefect.flows.workspace.results_ownership import take_results  # noqa: PLC0415
    from climate_ref_prefect.store.sql.sql_store import open_store  # noqa: PLC0415 - SQLAlchemy takes long

    settings = existing_settings()
    settings.results_directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    with open_store(settings.store_url) as store:
        take_results(settings.results_directory, store)
        console.print(f"The results directory {settings.results_directory} belongs to {store.name} now.")


def main() -> NoReturn:
    """Run the command. Expected errors are reported in a line, with exit code 1, or 2 for bad input."""
    # At its end Python would search all that is imported for unreachable objects, which takes half a second.
    atexit.register(gc.freeze)
    # Prefect would retry for a minute, several times, which is too long if the server is gone.
    os.environ.setdefault("PREFECT_CLIENT_MAX_RETRIES", "3")
    # These lines contain messages of diagnostics, in which brackets are not markup.
    os.environ["PREFECT_LOGGING_MARKUP"] = "false"
    for name in RUN_LOGGERS:
        logging.getLogger(name).addFilter(HideTraceback())
        logging.getLogger(name).addFilter(EscapingFilter())
    if logging.lastResort is not None:  # Prints log messages outside of Prefect.
        logging.lastResort.addFilter(EscapingFilter())
    with usable_standard_streams(), report_errors():
        app()
    sys.exit(0)


def _cells(row: ExecutionRow) -> tuple[str, ...]:
    return (
        f"{row.label} #{row.execution_id}",
        str(row.attempt),
        row.outcome,
        "" if row.duration_seconds is None else f"{row.duration_seconds:.2f}",
        "" if row.peak_rss_mb is None else f"{row.peak_rss_mb:.0f}",
        one_line(row.failure_message or ""),
    )
