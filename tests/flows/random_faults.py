"""Faults for a solve on a private SLURM, one after another at random: processes are killed, jobs are cancelled."""

import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from climate_ref_prefect.execution.claim import Claim
from climate_ref_prefect.execution.execution_directory import ExecutionDirectory
from climate_ref_prefect.execution.host.process_identity import process_start
from climate_ref_prefect.testing.processes import Process
from tests.flows.cluster_provider import waits_for_walltime
from tests.flows.run_intervals import Life, read_lives
from tests.flows.slurm_site import jobs_in, pilot_of
from tests.slurm.cluster import SlurmCluster
from tests.slurm.programs import ClusterError

_END_SECONDS = 30.0
_RUNS_BETWEEN = 4
"""How many more runs begin before the next fault: so that there are faults from the first to the last of them."""


class Faults:
    """
    Makes faults in a thread of its own while it is entered.

    Parameters
    ----------
    cluster
        Whose jobs suffer.
    notes
        Where the runs of diagnostics are noted.
    at_most
        How often each fault is made.
    seed
        Of the order of the faults, and of whom they meet.
    """

    def __init__(self, cluster: SlurmCluster, notes: Path, at_most: Mapping[str, int], seed: int) -> None:
        self.made: Counter[str] = Counter()
        """How often each fault has affected a process."""
        self._cluster = cluster
        self._notes = notes
        self._chance = random.Random(seed)
        self._to_come = self._chance.sample(
            [name for name in at_most for _ in range(at_most[name])], k=sum(at_most.values())
        )
        self._expired: list[Life] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="faults")
        self._faults: Mapping[str, Callable[[], bool]] = {
            "pilot killed": lambda: self._kill(self._pilot_of),
            "supervisor killed": lambda: self._kill(self._supervisor_of),
            "child killed": lambda: self._kill(lambda life: life.process),
            "job cancelled": lambda: self._end_job(self._somebody(), self._cancel),
            "walltime over": self._expire,
            "pending job cancelled": self._cancel_pending,
        }

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(_END_SECONDS)

    def _work(self) -> None:
        due = 0
        while self._to_come and not self._over.wait(0.02):
            if len(read_lives(self._notes)) < due:
                continue
            name = self._to_come.pop()
            with suppress(ClusterError, ProcessLookupError):  # it ended by itself a moment ago
                if self._faults[name]():
                    self.made[name] += 1
                    due = len(read_lives(self._notes)) + _RUNS_BETWEEN
                    continue
            self._to_come.insert(self._chance.randrange(len(self._to_come) + 1), name)

    def _kill(self, choose: Callable[[Life], Process | None]) -> bool:
        life = self._somebody()
        process = choose(life) if life else None
        if process is None or not process.alive:
            return False
        os.kill(process.pid, signal.SIGKILL)
        return True

    def _end_job(self, life: Life | None, end: Callable[[int], None]) -> bool:
        claim = _claim_of(life) if life else None
        if claim is not None:
            end(int(claim.job_id))
        return claim is not None

    def _expire(self) -> bool:
        waiting = [life for life in self._at_work() if waits_for_walltime(*life.group) and life not in self._expired]
        self._expired += waiting[:1]
        return bool(waiting) and self._end_job(waiting[0], self._cluster.expire)

    def _cancel_pending(self) -> bool:
        pending = jobs_in(self._cluster, "PENDING")
        if pending:
            self._cancel(self._chance.choice(pending))
        return bool(pending)

    def _somebody(self) -> Life | None:
        others = [life for life in self._at_work() if not waits_for_walltime(*life.group)]
        return self._chance.choice(others) if others else None

    def _at_work(self) -> list[Life]:
        return [life for life in read_lives(self._notes) if life.at_work]

    def _supervisor_of(self, life: Life) -> Process | None:
        claim = _claim_of(life)
        return Process(claim.pid, claim.process_started) if claim else None

    def _pilot_of(self, life: Life) -> Process | None:
        claim = _claim_of(life)
        pid = pilot_of(self._cluster, int(claim.job_id)) if claim else None
        return None if pid is None else Process(pid, process_start(pid) or "")

    def _cancel(self, job: int) -> None:
        self._cluster.run("scancel", str(job))


def _claim_of(life: Life) -> Claim | None:
    return ExecutionDirectory(Path(life.directory)).read_claim()
