"""In which state a flow run ends whose executions have not all succeeded, and how callers get the report even so."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, Self, TypeAlias, TypeVar

from prefect import Flow
from prefect.context import FlowRunContext
from prefect.states import Completed, Failed

from climate_ref_prefect.flows.report.solve_report import ExecutionsFailedError, ExecutionsReport

P = ParamSpec("P")
Report = TypeVar("Report", bound=ExecutionsReport)
FailIf: TypeAlias = Literal["given_up", "any", "all", "none"]
"""
When a flow run ends in the state Failed: something was given up or could not be planned, which no other solve runs by
itself; anything has not succeeded; nothing has succeeded of what was run; or never.
"""


class ReportingFlow(Flow[P, Report]):
    """A flow whose callers get its report whatever the state of its flow run; see `in_state`."""

    if not TYPE_CHECKING:  # The signatures are those of `Flow`.

        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            """Run the flow. With `return_state=True` the state is returned, as of any flow."""
            try:
                return super().__call__(*args, **kwargs)
            except ExecutionsFailedError as error:
                return error.report

        def with_options(self, **options: Any) -> Self:
            """Return a flow with other options, which returns its report in the same way."""
            other = super().with_options(**options)
            other.__class__ = type(self)  # Prefect makes a plain `Flow`.
            return other


def reporting_flow(name: str) -> Callable[[Callable[P, Report]], ReportingFlow[P, Report]]:
    """Make a function a flow that validates its parameters and returns a report by `in_state`."""
    return lambda function: ReportingFlow(function, name=name, validate_parameters=True)


def in_state(report: Report, fail_if: FailIf) -> Report:
    """
    Return a report in the state that the flow run ends in. Prefect, and then `ReportingFlow`, take it out again.

    In a flow of somebody else's, which has called the function of a `ReportingFlow`, it is returned as it is.

    Parameters
    ----------
    report
        What was run.
    fail_if
        When the state is Failed.
    """
    context = FlowRunContext.get()
    if context is None or not isinstance(context.flow, ReportingFlow):
        return report
    message = report.headline()
    if _is_failed(report, fail_if):
        return Failed(message=message, data=ExecutionsFailedError(report))  # type: ignore[return-value]
    return Completed(message=message, data=report)  # type: ignore[return-value]


def _is_failed(report: ExecutionsReport, fail_if: FailIf) -> bool:
    match fail_if:
        case "given_up":
            return report.has_given_up
        case "any":
            return not report.ok
        case "all":
            return bool(report.failed) and not report.succeeded
        case "none":
            return False
