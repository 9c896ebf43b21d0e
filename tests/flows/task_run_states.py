"""In which states the task runs of a solve ended, held against what the store says of its attempts."""

from climate_ref_prefect.execution.failure_kinds import FAILURE_RULES, FailureKind
from tests.flows.temporary_site import Site, Solved
from tests.prefect_server import task_runs


def assert_runs_ended_as_recorded(site: Site, solved: Solved) -> None:
    """Hold that each run ended in the state of its failure, or as Completed, and that Prefect retried none."""
    runs = [run for run in task_runs(solved.flow_run_id) if run.name.startswith("run ")]
    shown = {run.name.rpartition("#")[2].partition(",")[0]: run for run in runs}
    compared = 0
    for row in site.attempts():
        kind = FailureKind(row.failure_kind) if row.failure_kind else None
        run = shown.get(str(row.execution_id))
        if run is None or (kind and FAILURE_RULES[kind].has_results):
            continue  # refused before it ran, or its results were afterwards
        expected = FAILURE_RULES[kind].prefect_state if kind else "Completed"
        assert (run.state_name, run.run_count) == (expected, 1)
        compared += 1
    assert compared
