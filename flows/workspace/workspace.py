"""The workspace of a coordinator: its directories, its store and the lock on both."""

import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from climate_ref_prefect.diagnostics.controlled_vocabulary import Vocabulary, default_vocabulary
from climate_ref_prefect.flows.retry.retry_policy import RetryPolicy
from climate_ref_prefect.flows.retry.retry_rules import RetryPolicies, RetryRule, retry_policies
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.flows.workspace.directory_availability import GuardedDirectory
from climate_ref_prefect.flows.workspace.file_system_checks import check_file_systems
from climate_ref_prefect.flows.workspace.results_ownership import check_results_owner
from climate_ref_prefect.flows.workspace.writable_directory import make_writable
from climate_ref_prefect.store.lock_file import Holder, holder_of, locked_file
from climate_ref_prefect.store.port import GroupAddress, Recorder, Writer
from climate_ref_prefect.store.sql.recorder import SqlRecorder, SqlWriter
from climate_ref_prefect.store.sql.sql_store import Store, open_store

logger = logging.getLogger(__name__)


class Workspace:
    """
    The workspace of one coordinator: its directories, the right to write to a recorder, and the retry policies.

    Parameters
    ----------
    settings
        Where scratch and results are, what is kept there, and how long faults of either are waited for.
    recorder
        Where executions are recorded.
    writer
        As `recorder.coordinate` gives it.
    policies
        Decide on failures; none for what the settings say.
    """

    def __init__(
        self, settings: Settings, recorder: Recorder, writer: Writer, policies: RetryPolicies | None = None
    ) -> None:
        self.settings = settings
        self.recorder = recorder
        self.writer = writer
        self.policies = policies or retry_policies(settings)
        self.scratch = settings.scratch_directory
        self.results = settings.results_directory
        self.scratch_place = GuardedDirectory("scratch directory", self.scratch)
        if self.results == self.scratch:
            self.results_place = self.scratch_place
        else:
            self.results_place = GuardedDirectory("results directory", self.results)

    def policy_of(self, group: GroupAddress) -> RetryPolicy:
        """Return what decides on the failures of a group."""
        provider, diagnostic, _ = group
        return self.policies.of(provider, diagnostic)


class StoreWorkspace(Workspace):
    """
    A workspace on our own database, which planning and people read as well; made by `open_workspace`.

    Parameters
    ----------
    settings, writer, policies
        As for `Workspace`.
    recorder
        On the open store.
    """

    def __init__(self, settings: Settings, recorder: SqlRecorder, writer: SqlWriter, policies: RetryPolicies) -> None:
        super().__init__(settings, recorder, writer, policies)
        self.store = recorder.store
        self.vocabulary = recorder.vocabulary


@contextmanager
def open_workspace(
    settings: Settings,
    *,
    coordinating: bool,
    flow_run_id: str | None = None,
    retry_rules: Sequence[RetryRule] = (),
    vocabulary: Vocabulary | None = None,
    notify: Callable[[str], object] = logger.warning,
) -> Iterator[StoreWorkspace]:
    """
    Open the directories and the store, checking all of them before anything starts.

    Parameters
    ----------
    settings
        The settings, which name the directories and the database.
    coordinating
        Whether executions will be run, which only one coordinator may do at a time.
    flow_run_id
        The flow run, named to other processes that find the workspace locked.
    retry_rules
        Come before those of the site.
    vocabulary
        What results are checked against; None for that of the settings.
    notify
        Called with a sentence when the right to coordinate is in danger, and when it no longer is.

    Raises
    ------
    BadInputError
        If a directory cannot be made or written, its file system lacks something, the results directory belongs to
        another store, or the vocabulary, retry rules or database are invalid.
    CoordinatorBusyError
        If another coordinator has the workspace.
    """
    if vocabulary is None:
        vocabulary = Vocabulary.from_yaml(settings.vocabulary) if settings.vocabulary else default_vocabulary()
    policies = retry_policies(settings, retry_rules)
    make_writable(settings.home_directory, "state directory", "CLIMATE_REF_PREFECT_HOME")
    if not coordinating:
        with open_store(settings.store_url) as store:
            recorder = _recorder_on(store, settings, vocabulary)
            yield StoreWorkspace(settings, recorder, SqlWriter(recorder), policies)  # every write is refused
        return
    _make_ready(settings)
    holder = _this_process(settings, flow_run_id)
    home = settings.home_directory
    with (
        locked_file(_lock_path(home), holder, str(home)),
        open_store(settings.store_url) as store,
        (recorder := _recorder_on(store, settings, vocabulary)).coordinate(holder, notify) as writer,
    ):
        check_results_owner(settings.results_directory, store)
        yield StoreWorkspace(settings, recorder, writer, policies)


def _recorder_on(store: Store, settings: Settings, vocabulary: Vocabulary) -> SqlRecorder:
    return SqlRecorder(
        store, settings.results_directory, vocabulary, vocabulary_is_strict=settings.vocabulary_is_strict
    )


@contextmanager
def open_recorder_workspace(
    recorder: Recorder,
    settings: Settings,
    *,
    flow_run_id: str | None = None,
    retry_rules: Sequence[RetryRule] = (),
    notify: Callable[[str], object] = logger.warning,
) -> Iterator[Workspace]:
    """
    Open a workspace on any recorder, with other directories; `run_planned` runs executions there.

    Parameters
    ----------
    recorder
        Where executions are recorded; the database of the settings is not opened.
    settings
        `Settings(home=..., scratch=..., results=...)`: what is given there holds, whatever the environment says.
        Without `results`, results stay on scratch: that is for a recorder that publishes nothing.
    flow_run_id
        The flow run, named to other processes that find the recorder taken.
    retry_rules
        Come before those of the site.
    notify
        Called with a sentence when the right to coordinate is in danger, and when it no longer is.

    Raises
    ------
    BadInputError
        If a directory cannot be made or written, its file system lacks something, or the retry rules are invalid.
    CoordinatorBusyError
        If another coordinator has the recorder.
    """
    if settings.results is None:
        settings = settings.model_copy(update={"results": settings.scratch_directory})
    policies = retry_policies(settings, retry_rules)
    make_writable(settings.home_directory, "state directory", "CLIMATE_REF_PREFECT_HOME")
    _make_ready(settings)
    with recorder.coordinate(_this_process(settings, flow_run_id), notify) as writer:
        yield Workspace(settings, recorder, writer, policies)


def _make_ready(settings: Settings) -> None:
    """Make scratch and results, and check their file systems and that of the state directory."""
    make_writable(settings.scratch_directory, "scratch directory", "CLIMATE_REF_PREFECT_SCRATCH")
    make_writable(settings.results_directory, "results directory", "CLIMATE_REF_PREFECT_RESULTS", mode=0o750)
    check_file_systems(settings)


def lock_holder(settings: Settings) -> Holder | None:
    """Return the present coordinator of the state directory; None if there is none."""
    return holder_of(_lock_path(settings.home_directory))


def _lock_path(home: Path) -> Path:
    return home / "coordinator.lock"


def _this_process(settings: Settings, flow_run_id: str | None) -> Holder:
    return Holder(
        host=socket.gethostname(),
        pid=os.getpid(),
        flow_run_id=flow_run_id,
        since=time.time(),
        home=str(settings.home_directory),
    )
