"""One solve of REF on this package: coordinates from REF's start to the end of `join`, and settles what others left."""

import atexit
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

from prefect.exceptions import CancelledRun
from prefect.settings import PREFECT_API_URL

from climate_ref_prefect.diagnostics.errors import ClimateRefPrefectError
from climate_ref_prefect.diagnostics.execution_definition import ExecutionDefinition
from climate_ref_prefect.flows.display.log_escaping import escaped_logs
from climate_ref_prefect.flows.lifecycle.recover_unfinished import settle_leftovers
from climate_ref_prefect.flows.planning.plan import PlannedExecution
from climate_ref_prefect.flows.retry.retry_rules import RetryRule
from climate_ref_prefect.flows.run_planned import PlannedRun, run_planned
from climate_ref_prefect.flows.server.best_effort_calls import short_retries
from climate_ref_prefect.flows.server.local_server import StartingServer
from climate_ref_prefect.flows.server.proxy_settings import refuse_unusable_proxy
from climate_ref_prefect.flows.server.server_settings import server_lifetime_seconds
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.flows.workspace.workspace import Workspace, open_recorder_workspace
from climate_ref_prefect.ref import upstream
from climate_ref_prefect.ref.attempt_rows import AttemptHistory
from climate_ref_prefect.ref.failure_reasons import RefFailureReason
from climate_ref_prefect.ref.recorder import RefRecorder, marked_as_ours
from climate_ref_prefect.ref.solve_flow_run import in_flow_run, is_in_flow_run
from climate_ref_prefect.ref.writer import RefWriter
from climate_ref_prefect.store.errors import CoordinatorBusyError
from climate_ref_prefect.store.port import GroupAddress, address_of
from climate_ref_prefect.transports.port import Transport

_CLOSE_SECONDS: Final = 10.0
_NOT_WAITED: Final = (
    "the solve ended without waiting for them, by `ref solve --no-wait` or an error, so that nothing was run"
)
_KILLED: Final = "its solve had ended before it was started, or between two attempts"


class SolveSession:
    """
    Coordinates on REF's database for one solve.

    Parameters
    ----------
    config
        REF's configuration.
    database
        REF's `Database`, in whose session its solve makes executions.
    settings
        Directories of the workspace.
    transport
        Where executions run, unopened.
    retry_rules
        Come before those of the state directory.

    Raises
    ------
    CoordinatorBusyError
        If another solve coordinates there. What REF has taken from that one is given back.
    """

    def __init__(
        self,
        config: Any,
        database: Any,
        settings: Settings,
        transport: Transport,
        retry_rules: Sequence[RetryRule] = (),
    ) -> None:
        self._recorder = RefRecorder(config)
        self._settings = settings
        self._transport = transport
        self._retry_rules = retry_rules
        self._server: StartingServer | None = None
        self._stack = ExitStack()
        self._stack.callback(self._recorder.database.close)
        try:
            self._workspace = self._stack.enter_context(self._coordinate())
            self._stack.enter_context(marked_as_ours(database.session))
            self._stack.enter_context(_sigterm_as_exception())
            self._stack.callback(self._stop_server)
            self._settle()
        except BaseException:
            self._stack.close()
            raise
        self._is_open = True
        atexit.register(self._end_without_join)

    def expect(self, definition: ExecutionDefinition, execution_id: int, output_directory: Path) -> None:
        """Take an execution that REF has made; the server that shows it starts meanwhile."""
        self._recorder.expect(definition, execution_id, output_directory)
        self._start_server()

    def run(self, planned: Sequence[PlannedExecution], timeout_seconds: float) -> None:
        """Run executions until all are recorded, and end the session; see `PrefectExecutor.join`."""
        try:
            if planned:
                ran = self._run(planned, timeout_seconds)
                upstream.logger.info(f"Of {len(planned)} executions {ran.succeeded} succeeded, in {ran.seconds:.1f} s")
                self._recover_what_has_ended()
            self._give_up(
                RefFailureReason.NOT_STARTED,
                "the solve made them and did not hand them over (`ref solve --no-execute`)",
            )
        except BaseException as error:
            is_fault = isinstance(error, Exception) and not isinstance(error, CancelledRun)
            reason = None if is_fault else RefFailureReason.CANCELLED
            self._give_up(reason, f"the solve was stopped before: {type(error).__name__} {error}".rstrip())
            raise
        finally:
            self.close()

    def end_early(self, detail: str) -> None:
        """End a session whose `run` never came, and say why; safe to repeat, and after `run`."""
        if self._is_open:
            self._give_up(RefFailureReason.CANCELLED, detail)
            self.close()

    def close(self) -> None:
        """End the session; safe to repeat."""
        self._is_open = False
        atexit.unregister(self._end_without_join)
        self._stack.close()

    @contextmanager
    def _coordinate(self) -> Iterator[Workspace]:
        try:
            with open_recorder_workspace(
                self._recorder, self._settings, retry_rules=self._retry_rules, notify=upstream.logger.warning
            ) as workspace:
                yield workspace
        except CoordinatorBusyError:
            restored = self._recorder.undo_reaping()
            if restored:
                upstream.logger.info(f"{len(restored)} executions of the other solve are in progress again")
            raise

    @property
    def _writer(self) -> RefWriter:
        writer = self._workspace.writer
        assert isinstance(writer, RefWriter)  # noqa: S101 - its recorder gives no other
        return writer

    def _settle(self) -> None:
        """Give every execution of a solve that was killed its end, before REF looks at what is to be run."""
        if restored := self._writer.restore_reaped():
            upstream.logger.info(f"{len(restored)} executions that have been in progress for long are looked into")
        self._recover_unfinished()
        if left := self._writer.abandon_unstarted(None, _KILLED):
            upstream.logger.info(
                f"{len(left)} executions of a solve that had ended were not running; they are run again"
            )

    def _recover_what_has_ended(self) -> None:
        """Finalise what ran on in batch jobs of a killed solve and has ended meanwhile; this solve has succeeded."""
        try:
            self._recover_unfinished()
        except ClimateRefPrefectError as error:
            upstream.logger.warning(f"What an earlier solve has left is settled by the next one: {error}")

    def _recover_unfinished(self) -> None:
        """Finalise what another solve has left unfinished and what has ended of it; leave alone what still runs."""
        if not self._recorder.unfinished():
            return
        transport = self._transport.unopened()

        def recover() -> None:
            with escaped_logs(), short_retries():
                transport.open(self._recorder.database.identity())
                try:
                    left = settle_leftovers(self._workspace, transport)
                finally:
                    transport.close(_CLOSE_SECONDS)
            upstream.logger.info(f"{left.settled} executions of an earlier solve are settled")
            for label in left.elsewhere:
                upstream.logger.warning(f"{label} may still run, and is left alone: a later solve settles it")

        with self._server_answers():
            in_flow_run("ref-recover", recover)

    def _run(self, planned: Sequence[PlannedExecution], timeout_seconds: float) -> PlannedRun:
        transport = self._transport.unopened()
        histories = self._recorder.attempt_histories([item.definition for item in planned])
        deadline = time.monotonic() + timeout_seconds if timeout_seconds > 0 else None

        def watch() -> None:
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(f"Not all executions ended within {timeout_seconds:g} s (`--timeout`).")

        def run() -> PlannedRun:
            with escaped_logs():
                transport.open(self._recorder.database.identity())
                continued = [self._continued(item, histories, transport) for item in planned]
                return run_planned(self._workspace, transport, continued, watch=watch)

        with self._server_answers():
            return in_flow_run("ref-executions", run)

    def _continued(
        self, item: PlannedExecution, histories: Mapping[GroupAddress, AttemptHistory], transport: Transport
    ) -> PlannedExecution:
        """Continue where earlier solves have stopped: with the attempts that they counted, and what it grew to."""
        address = address_of(item.definition)
        history, resources = histories[address], item.resources
        if history.last_given is not None:
            policy = self._workspace.policy_of(address)
            resources = policy.continued(resources, history.last_failure, history.last_given, transport.check)
        before = {"counts": history.counts, "previous_failure": history.last_failure}
        return item.model_copy(update={**before, "resources": resources, "granted": resources})

    @contextmanager
    def _server_answers(self) -> Iterator[None]:
        if is_in_flow_run():
            yield
            return
        if api_url := PREFECT_API_URL.value():
            refuse_unusable_proxy(api_url)
            yield
            return
        self._start_server()
        assert self._server is not None  # noqa: S101 - it has just been started
        with self._server.answering():
            yield

    def _start_server(self) -> None:
        if self._server is None and not PREFECT_API_URL.value() and not is_in_flow_run():
            lifetime_seconds = server_lifetime_seconds(self._settings.server_lifetime)
            self._server = StartingServer(self._settings.home_directory, lifetime_seconds=lifetime_seconds)

    def _stop_server(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.stop()

    def _give_up(self, reason: RefFailureReason | None, detail: str) -> None:
        """Leave nothing in progress that does not run, whatever has happened; see `RefWriter.abandon_unstarted`."""
        try:
            left = self._writer.abandon_unstarted(reason, detail)
        except ClimateRefPrefectError as error:
            upstream.logger.warning(f"What was not started is left to the next solve, which settles it: {error}")
        else:
            if left:
                upstream.logger.warning(f"{len(left)} executions are not under way: {detail}. The next solve runs them")

    def _end_without_join(self) -> None:
        """End a session that nobody has waited for, at the end of the process."""
        self.end_early(_NOT_WAITED)


@contextmanager
def _sigterm_as_exception() -> Iterator[None]:
    """Let SIGTERM end a solve as an exception does, so that everything is stopped and recorded."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return

    def end(number: int, _: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
