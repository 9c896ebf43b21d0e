"""The commands `climate-ref-prefect ref init`, `ref plan` and `ref doctor`."""

from typing import Annotated

import typer

from climate_ref_prefect.flows.cli.console import PlainConsole
from climate_ref_prefect.flows.cli.errors_and_exit_codes import FAILED

app = typer.Typer(no_args_is_help=True, help="climate-ref (REF) on this package.")

Transport = Annotated[
    str | None, typer.Option(help="Where executions run: `local`, `inline`, or a site profile's name or path.")
]
Names = Annotated[list[str] | None, typer.Option(help="Part of a slug, as `ref solve` takes it; all if left out.")]


@app.command()
def init(transport: Transport = None) -> None:
    """Have REF's `ref.toml` name this package's executor, and write a commented table of hints."""
    from climate_ref_prefect.ref.cli.initialise import initialise  # noqa: PLC0415 - importing climate-ref takes seconds

    _only_errors_on_console()
    for line in initialise(transport):
        PlainConsole().print(line)


@app.command()
def plan(provider: Names = None, diagnostic: Names = None, *, rerun_failed: bool = False) -> None:
    """Say what `ref solve` would run, what each execution asks for, and who gave each number; run nothing."""
    from climate_ref_prefect.ref.cli.make_ref_plan import make_ref_plan  # noqa: PLC0415 - importing climate-ref takes seconds
    from climate_ref_prefect.ref.solve_request import RefSolveRequest  # noqa: PLC0415

    _only_errors_on_console()
    request = RefSolveRequest(providers=provider, diagnostics=diagnostic, rerun_failed=rerun_failed)
    planned = make_ref_plan(request)
    PlainConsole().print(planned)
    if not planned.ok:
        raise typer.Exit(FAILED)


@app.command()
def doctor(
    wait_seconds: Annotated[float, typer.Option(min=1, help="How long a job at a batch site may take to start.")] = 600,
) -> None:
    """Check REF's configuration, its database and providers, and the place where executions run."""
    from climate_ref_prefect.flows.cli.doctor import print_findings  # noqa: PLC0415
    from climate_ref_prefect.ref.cli.examine_configuration import examine_configuration  # noqa: PLC0415 - importing climate-ref takes seconds

    _only_errors_on_console()
    if not print_findings(examine_configuration(wait_seconds), PlainConsole()):
        raise typer.Exit(FAILED)


def _only_errors_on_console() -> None:
    from climate_ref_prefect.ref.cli.ref_configuration import only_errors_on_console  # noqa: PLC0415 - all transports

    only_errors_on_console()
