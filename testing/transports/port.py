"""The port's own methods: the last part of the contract."""

from pathlib import Path

from climate_ref_prefect.diagnostics.definition import WorkerLimits
from climate_ref_prefect.testing.executions import Prepare
from climate_ref_prefect.testing.transports.contract_driver import (
    Allowances,
    collect,
)
from climate_ref_prefect.transports.port import Submission, Transport


class PortContract:
    """The port's methods keep to their words where nothing is wrong, too."""

    def test_it_is_a_transport_of_a_short_name_with_room(self, narrow: Transport) -> None:
        assert isinstance(narrow, Transport)
        assert narrow.name.isidentifier()
        assert narrow.slots >= 1
        assert narrow.outcome_patience_seconds >= 0
        assert isinstance(narrow.limits, WorkerLimits)

    def test_a_submission_is_plain_json_and_can_be_kept(
        self, narrow: Transport, prepare: Prepare, allowances: Allowances
    ) -> None:
        submission = narrow.submit(*prepare("noop"))
        assert submission.transport == narrow.name
        assert Submission.model_validate_json(submission.model_dump_json()) == submission
        assert [ended.submission for ended in collect(narrow, 1, allowances)] == [submission]

    def test_waiting_for_nothing_ends_in_time(self, narrow: Transport) -> None:
        assert narrow.wait(0.05) == []

    def test_what_it_does_not_know_is_ignored_and_not_explained(
        self, narrow: Transport, tmp_path: Path, prepare: Prepare
    ) -> None:
        unknown = Submission(transport=narrow.name, directory=tmp_path / "nowhere")
        narrow.cancel(unknown)
        assert narrow.explain(unknown) is None
        assert narrow.wait(0.05) == []

    def test_check_gives_no_more_than_is_asked_for(self, narrow: Transport, prepare: Prepare) -> None:
        _, resources = prepare("noop")
        given = narrow.check(resources)
        assert (given.cpu, given.memory_mb) <= (resources.cpu, resources.memory_mb)
