"""The port's own methods: the last part of the contract."""

from pathlib import Path

import pytest
from pydantic import TypeAdapter

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.execution.envelope import WorkerLimits
from climate_ref_prefect.execution.worker.execute import ServerPool
from climate_ref_prefect.testing.executions import Prepare
from climate_ref_prefect.testing.transports.contract_driver import (
    Allowances,
    collect,
)
from climate_ref_prefect.transports.port import Submission, Transport


class PortMethodsContract:
    """The port's methods do what they promise if nothing is wrong, too."""

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

    def test_another_with_the_same_settings_is_open_for_itself(
        self, narrow: Transport, prepare: Prepare, allowances: Allowances
    ) -> None:
        submission = narrow.submit(*prepare("noop"))
        another = narrow.unopened()
        assert another is not narrow
        assert (another.name, another.limits, another.slots) == (narrow.name, narrow.limits, narrow.slots)
        another.close(allowances.close_seconds)
        assert [ended.submission for ended in collect(narrow, 1, allowances)] == [submission]

    def test_it_can_what_its_traits_say(self, narrow: Transport, prepare: Prepare) -> None:
        _, resources = prepare("noop")
        if narrow.traits.renders_jobs:
            assert narrow.render(resources)
        else:
            with pytest.raises(BadInputError):
                narrow.render(resources)
        if narrow.traits.fields_in_forms:
            assert TypeAdapter(type(narrow)).json_schema()
        if narrow.traits.usable_by_name:
            assert type(narrow)().name == narrow.name

    def test_servers_that_it_is_given_are_ended_with_it(
        self, narrow: Transport, prepare: Prepare, allowances: Allowances
    ) -> None:
        servers = ServerPool()
        narrow.take_servers(servers)
        submission = narrow.submit(*prepare("noop"))
        assert [ended.submission for ended in collect(narrow, 1, allowances)] == [submission]
        narrow.close(allowances.close_seconds)
        assert servers.closed
