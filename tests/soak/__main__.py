"""
Disturbs coordinators at random and checks what they have brought home.

    .venv/bin/python -m tests.soak --seeds 20 --executions 100

Needs root, which may mount small file systems, and the programs of PostgreSQL.
Even seeds are on PostgreSQL, odd ones on SQLite.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from climate_ref_prefect.flows.server.local_server import local_server
from tests.postgres import running_postgres
from tests.soak.campaign import Outcome, disturb_local
from tests.soak.command_forks import preloaded_command


def table(outcomes: list[Outcome]) -> Table:
    """Return a row for each campaign."""
    shown = Table("seed", "database", "attempts", "starts", "faults", "seconds", "invariants broken", title="Soak")
    for one in outcomes:
        faults = ", ".join(f"{name} {count}" for name, count in sorted(one.faults.items()))
        cells = (one.seed, one.database, one.attempts, one.starts, faults, f"{one.seconds:.0f}", len(one.broken))
        shown.add_row(*map(str, cells))
    return shown


def tell(outcome: Outcome, log: Path) -> None:
    """Print what came of a campaign, and where something is wrong, the end of what its coordinators have printed."""
    print(f"seed {outcome.seed}: {len(outcome.broken)} invariants broken", *outcome.broken, sep="\n  ", flush=True)
    if outcome.broken:
        print(f"The end of what its coordinators printed:\n{log.read_text()[-8000:]}", flush=True)


def main() -> int:
    """Run the campaigns, print a table and return 0 if no invariant was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="Disturb coordinators at random.")
    parser.add_argument("--seeds", type=int, default=3, help="campaigns to run")
    parser.add_argument("--first-seed", type=int, default=1, help="seed of the first; the others follow")
    parser.add_argument("--executions", type=int, default=60, help="groups to bring home in each")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long scratch is full")
    options = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("the soak mounts small file systems: run it as root")
    outcomes = []
    with tempfile.TemporaryDirectory(prefix="soak-") as directory:
        root = Path(directory)
        os.environ["PREFECT_HOME"] = str(root / "prefect")
        with local_server(root / "server") as server, running_postgres() as postgres:
            os.environ.update(server.variables)
            with preloaded_command() as command:
                for number in range(options.seeds):
                    seed = options.first_seed + number
                    place = root / str(seed)
                    outcome = disturb_local(
                        place, command, postgres, seed=seed, executions=options.executions, seconds=options.seconds
                    )
                    outcomes.append(outcome)
                    tell(outcome, place / "coordinator.log")
    Console(width=200).print(table(outcomes))
    return int(any(outcome.broken for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
