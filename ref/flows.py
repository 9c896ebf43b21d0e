"""
The flows `ref-solve`, `ref-plan` and `ref-recover`: climate-ref (REF) for who has no shell, and for notebooks.

REF's configuration is that of the process: `REF_CONFIGURATION` names the directory of its `ref.toml`. Their docstrings
have `Args`, as those of `climate_ref_prefect.flows.solve`, since Prefect shows the descriptions in its forms. Nothing
of climate-ref is imported before a flow runs.
"""

from typing import Annotated, TypeAlias

from prefect import flow
from prefect.states import Completed
from pydantic import Field

from climate_ref_prefect.flows.cancellation import cancelled_in_order
from climate_ref_prefect.flows.display.log_escaping import escaped_logs
from climate_ref_prefect.flows.report.fail_if import FailIf, in_state, reporting_flow
from climate_ref_prefect.flows.report.prefect_artifacts import create_artifact_table, create_solve_artifacts
from climate_ref_prefect.flows.retry.retry_rules import RetryRule
from climate_ref_prefect.flows.server.best_effort_calls import best_effort, short_retries
from climate_ref_prefect.ref import upstream
from climate_ref_prefect.ref.cli.make_ref_plan import RefPlan, make_ref_plan
from climate_ref_prefect.ref.flow_run_log import ref_log_in_flow_run
from climate_ref_prefect.ref.recover import RefRecoveryReport, recover_ref
from climate_ref_prefect.ref.run_solve import RefSolveReport, solve_with_ref
from climate_ref_prefect.ref.solve_request import AS_CONFIGURED, DatasetFilter, RefSolveRequest, RefTransportChoice

Limit: TypeAlias = Annotated[int, Field(gt=0)] | None


@reporting_flow("ref-solve")
def ref_solve(
    providers: list[str] | None = None,
    diagnostics: list[str] | None = None,
    exclude_diagnostics: list[str] | None = None,
    dataset_filters: list[DatasetFilter] | None = None,
    transport: RefTransportChoice = AS_CONFIGURED,
    *,
    limit: Limit = None,
    one_per_provider: bool = False,
    one_per_diagnostic: bool = False,
    rerun_failed: bool = False,
    timeout_seconds: int = 0,
    retry_rules: list[RetryRule] = [],  # noqa: B006 - Prefect shows the default in its form and never changes it
    fail_if: FailIf = "given_up",
) -> RefSolveReport:
    """
    Do what `ref solve` does: run whatever is due by REF's database, and record it there.

    Args:
        providers: Parts of slugs of REF's providers, as `ref solve --provider` takes them; none for all.
        diagnostics: Parts of slugs of diagnostics; none for all.
        exclude_diagnostics: Slugs, or `provider/diagnostic`, that are left out.
        dataset_filters: `facet=value`, for example `source_id=ACCESS-CM2`; values of one facet are alternatives.
        transport: Where executions run; `configured` is what `[executor.config]` in `ref.toml` says.
        limit: Most executions; none for all.
        one_per_provider: Whether to run one execution of each provider only.
        one_per_diagnostic: Whether to run one execution of each diagnostic only.
        rerun_failed: Whether to run again what has failed for good.
        timeout_seconds: Most seconds that the executions may take together; 0 for no limit.
        retry_rules: How often, and with what, executions of some diagnostics are tried again; they come before
            those of `ref.toml` and of the state directory, and the first that matches a diagnostic is the one.
        fail_if: When the flow run ends as Failed: something was `given_up`, `any` execution has not succeeded, `all`
            that ran have failed, or `none` for never. Callers in Python get the report in any case.
    """
    request = RefSolveRequest(
        providers=providers,
        diagnostics=diagnostics,
        exclude_diagnostics=exclude_diagnostics,
        dataset_filters=dataset_filters,
        limit=limit,
        one_per_provider=one_per_provider,
        one_per_diagnostic=one_per_diagnostic,
        rerun_failed=rerun_failed,
    )
    with short_retries(), escaped_logs(), ref_log_in_flow_run():
        return cancelled_in_order(lambda: in_state(_solve(request, transport, timeout_seconds, retry_rules), fail_if))


def _solve(
    request: RefSolveRequest, transport: RefTransportChoice, timeout_seconds: int, retry_rules: list[RetryRule]
) -> RefSolveReport:
    report = solve_with_ref(request, transport, timeout_seconds, retry_rules=retry_rules)
    upstream.logger.info(report.headline())
    with best_effort("tables and plots there"):
        create_solve_artifacts(report)
    return report


@flow(name="ref-plan", validate_parameters=True)
def ref_plan(
    providers: list[str] | None = None,
    diagnostics: list[str] | None = None,
    exclude_diagnostics: list[str] | None = None,
    dataset_filters: list[DatasetFilter] | None = None,
    transport: RefTransportChoice = AS_CONFIGURED,
    *,
    limit: Limit = None,
    one_per_provider: bool = False,
    one_per_diagnostic: bool = False,
    rerun_failed: bool = False,
) -> RefPlan:
    """
    Say what `ref-solve` with the same parameters would run, what each execution asks for, and who gave each number.

    Args:
        providers: Parts of slugs of REF's providers, as `ref solve --provider` takes them; none for all.
        diagnostics: Parts of slugs of diagnostics; none for all.
        exclude_diagnostics: Slugs, or `provider/diagnostic`, that are left out.
        dataset_filters: `facet=value`, for example `source_id=ACCESS-CM2`; values of one facet are alternatives.
        transport: Where executions would run; `configured` is what `[executor.config]` in `ref.toml` says.
        limit: Most executions; none for all.
        one_per_provider: Whether one execution of each provider would be run only.
        one_per_diagnostic: Whether one execution of each diagnostic would be run only.
        rerun_failed: Whether what has failed for good would be run again.
    """
    request = RefSolveRequest(
        providers=providers,
        diagnostics=diagnostics,
        exclude_diagnostics=exclude_diagnostics,
        dataset_filters=dataset_filters,
        limit=limit,
        one_per_provider=one_per_provider,
        one_per_diagnostic=one_per_diagnostic,
        rerun_failed=rerun_failed,
    )
    with short_retries(), escaped_logs(), ref_log_in_flow_run():
        plan = make_ref_plan(request, transport)
        upstream.logger.info(plan.headline())
        with best_effort("the table there"):
            create_artifact_table("ref-plan", plan.columns, plan.cells(), plan.headline())
    return plan


@flow(name="ref-recover", validate_parameters=True)
def ref_recover(
    transport: RefTransportChoice = AS_CONFIGURED,
    *,
    retry_rules: list[RetryRule] = [],  # noqa: B006 - as for ref_solve
) -> RefRecoveryReport:
    """
    Settle what a solve of REF that was killed has left: record results and classify failures. Starts nothing new.

    Args:
        transport: Where its executions were run; `configured` is what `[executor.config]` in `ref.toml` says.
        retry_rules: Decide about failures, as those of `ref-solve`.
    """
    with short_retries(), escaped_logs(), ref_log_in_flow_run():
        report = recover_ref(transport, retry_rules)
        upstream.logger.info(report.headline())
        with best_effort("the table there"):
            create_artifact_table("ref-recovery", report.columns, report.cells(), report.headline())
    return Completed(message=report.headline(), data=report)  # type: ignore[return-value]  # callers get the data
