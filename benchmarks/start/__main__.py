"""
How long `climate-ref-prefect solve` takes for one no-op, against an earlier commit, in turns; and many starts at once.

    .venv/bin/python -m benchmarks.start                 # against commit 737fb9b, five turns
    .venv/bin/python -m benchmarks.start --at-once 6     # six fresh state directories, on busy processors

Both sides run on the packages that are installed here, so that their own code is what differs. The exit code is 1 if a
ratio is larger than it should be, or if not every one of many starts succeeds.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks.overhead.against import ROOT, check_out
from benchmarks.overhead.ours import make_tree

_LIFETIME: Final = "CLIMATE_REF_PREFECT_SERVER_LIFETIME"
_MAIN: Final = """
try:
    from climate_ref_prefect.flows.cli.main import main
except ImportError:
    from climate_ref_prefect.flows.command import main
main()
"""
_BUSY: Final = "while True: pass"
BOUNDS: Final[Mapping[str, float]] = {"fresh state directory": 1.0, "no server runs": 0.7, "a server runs": 0.4}
"""How much of the earlier commit's time each may take; that one always starts a server."""
Seconds = dict[str, float]


class Side:
    """
    One version of this project, with state directories of its own.

    Parameters
    ----------
    checkout
        Its files.
    root
        Where its data and state directories lie.
    cache
        The user's cache directory.
    """

    def __init__(self, checkout: Path, root: Path, cache: Path) -> None:
        self._checkout = checkout
        self._root = root
        self._cache = cache

    def start(self, home: str, count: int, lifetime: str = "PT0S") -> "subprocess.Popen[bytes]":
        """Start a solve that finds `count` no-ops, most of which may be up to date."""
        root = self._root / home
        data = make_tree(root / "data", count)
        options = ["--data", str(data), "--provider", "benchmarks.overhead.ours_provider:noop", "--cpu", "2"]
        return self._command(root, lifetime, "solve", *options)

    def solve(self, home: str, count: int, lifetime: str = "PT0S") -> float:
        """Return the seconds that such a solve takes."""
        began = time.monotonic()
        _wait(self.start(home, count, lifetime), self._root)
        return time.monotonic() - began

    def stop_server(self, home: str) -> None:
        """End the server that stays."""
        _wait(self._command(self._root / home, "PT0S", "server", "--stop"), self._root)

    def _command(self, root: Path, lifetime: str, *arguments: str) -> "subprocess.Popen[bytes]":
        own = {
            "PYTHONPATH": f"{self._checkout / 'src'}{os.pathsep}{self._checkout}",
            "XDG_CACHE_HOME": str(self._cache),
        }
        home = {
            "CLIMATE_REF_PREFECT_HOME": str(root / "home"),
            "PREFECT_HOME": str(root / "prefect"),
            _LIFETIME: lifetime,
        }
        inherited = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
        with (self._root / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-P", "-c", _MAIN, *arguments],
                env={**inherited, **own, **home},
                cwd=self._root,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )


def _wait(process: "subprocess.Popen[bytes]", root: Path) -> None:
    if process.wait():
        raise SystemExit(f"A command ended with code {process.returncode}:\n{(root / 'log').read_text()[-4000:]}")


def turn(number: int, now: Side, before: Side) -> tuple[Seconds, Seconds]:
    """Measure both sides once, and return the seconds of each case."""
    fresh = f"fresh-{number}"
    first, second, third = range(2 + 3 * number, 5 + 3 * number)
    old = {"fresh state directory": before.solve(fresh, 1)}
    new = {"fresh state directory": now.solve(fresh, 1)}
    old["no server runs"] = before.solve("used", first)
    new["no server runs"] = now.solve("used", first)
    now.solve("used", second, "PT1H")
    old["a server runs"] = before.solve("used", second)
    new["a server runs"] = now.solve("used", third, "PT1H")
    now.stop_server("used")
    return new, old


def compare(commit: str, turns: int) -> bool:
    """Measure in turns, print the table, and return whether all ratios are as they should be."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        for name in ("now", "before"):
            (root / name).mkdir()
        now = Side(ROOT, root / "now", root / "cache")
        before = Side(check_out(commit), root / "before", root / "cache")
        for side in (before, now):  # This makes the first no-op, the compiled modules, and the template.
            side.solve("used", 1)
        measured = []
        for number in range(turns):
            measured.append(turn(number, now, before))
            print(json.dumps({"turn": number + 1, "now": measured[-1][0], "before": measured[-1][1]}), flush=True)
    ratios = {case: statistics.median(new[case] / old[case] for new, old in measured) for case in BOUNDS}
    Console(width=120).print(_table(commit, measured, ratios))
    return all(ratios[case] <= bound for case, bound in BOUNDS.items())


def _table(commit: str, measured: Sequence[tuple[Seconds, Seconds]], ratios: Mapping[str, float]) -> Table:
    shown = Table(
        "one no-op", "now, s", f"{commit}, s", "ratio, median", "at most", title="`solve`, wall time, medians"
    )
    for case, bound in BOUNDS.items():
        medians = [f"{statistics.median(turn[side][case] for turn in measured):.1f}" for side in (0, 1)]
        shown.add_row(case, *medians, f"{ratios[case]:.2f}", f"{bound:g}")
    return shown


@contextmanager
def _busy_processors() -> Iterator[None]:
    with ExitStack() as stack:
        for _ in os.sched_getaffinity(0):
            loop = stack.enter_context(subprocess.Popen([sys.executable, "-c", _BUSY]))
            stack.callback(loop.kill)
        yield


def start_at_once(count: int) -> bool:
    """Start solves in fresh state directories, all at once on busy processors; return whether all succeed."""
    with tempfile.TemporaryDirectory() as directory, _busy_processors():
        side = Side(ROOT, Path(directory), Path(directory, "cache"))
        began = time.monotonic()
        solves = [side.start(f"home-{number}", 1) for number in range(count)]
        codes = [solve.wait() for solve in solves]
        print(json.dumps({"at_once": count, "codes": codes, "seconds": round(time.monotonic() - began, 1)}))
        if any(codes):
            print((Path(directory) / "log").read_text()[-8000:], file=sys.stderr)
    return not any(codes)


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description="Time the start of a solve.")
    parser.add_argument("--against", metavar="COMMIT", default="737fb9b", help="the earlier commit")
    parser.add_argument("--turns", type=int, default=5, help="how often each case is measured")
    parser.add_argument("--at-once", type=int, default=0, metavar="NUMBER", help="start so many at once instead")
    options = parser.parse_args()
    good = start_at_once(options.at_once) if options.at_once else compare(options.against, options.turns)
    sys.exit(not good)


if __name__ == "__main__":
    main()
