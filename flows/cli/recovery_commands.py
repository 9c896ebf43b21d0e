"""The commands `recover` and `reingest`: they start the flows that settle executions and record repaired results."""

from typing import Annotated

import typer

from climate_ref_prefect.execution.failure_kinds import FailureKind
from climate_ref_prefect.flows.cli.console import PlainConsole
from climate_ref_prefect.flows.cli.errors_and_exit_codes import FAILED, report_cancellation, report_unreachable_server
from climate_ref_prefect.flows.cli.options import RetryRulesFile, TransportName, prefect_server, retry_rules_from_file

Numbers = Annotated[list[int] | None, typer.Argument(help="Numbers of executions; or choose them by options.")]
ProviderNames = Annotated[list[str] | None, typer.Option("--provider", help="Slug of a provider; all if left out.")]
DiagnosticNames = Annotated[list[str] | None, typer.Option("--diagnostic", help="Slug; all if left out.")]
Kinds = Annotated[
    list[FailureKind] | None,
    typer.Option(
        "--kind", metavar="KIND", help="vocabulary_mismatch, publish_failed or invalid_result; all of them if left out."
    ),
]
FailedOnly = Annotated[bool, typer.Option("--failed/--all", help="Only what has failed, or successes, too.")]


def recover(transport: TransportName = "local", retry_rules: RetryRulesFile = None) -> None:
    """Settle the executions of a coordinator that died; run nothing."""
    from climate_ref_prefect.flows.replay_abandoned import replay_abandoned  # noqa: PLC0415 - importing Prefect takes seconds
    from climate_ref_prefect.flows.transport_parameter import transport_named  # noqa: PLC0415 - imports Dask for batch sites

    rules = retry_rules_from_file(retry_rules)
    place = transport_named(transport, None, None)
    with prefect_server(), report_cancellation(), report_unreachable_server():
        report = replay_abandoned(place, retry_rules=rules)
    PlainConsole().print(report)


def reingest(
    execution_ids: Numbers = None,
    providers: ProviderNames = None,
    diagnostics: DiagnosticNames = None,
    kinds: Kinds = None,
    *,
    failed_only: FailedOnly = True,
) -> None:
    """Publish and ingest results again: what failed there and is mended now becomes a success."""
    from climate_ref_prefect.flows import reingest as flows  # noqa: PLC0415 - importing Prefect takes seconds

    request = (execution_ids or [], providers or None, diagnostics or None, kinds or None)
    flows.check_request(*request)
    with prefect_server(), report_cancellation(), report_unreachable_server():
        report = flows.reingest(*request, failed_only=failed_only)
    PlainConsole().print(report)
    if not report.ok:
        raise typer.Exit(FAILED)
