"""`make demo`: real diagnostics on real data, recorded by a Prefect server that is started for it."""

from pathlib import Path

from rich.console import Console

from climate_ref_prefect.flows.report.solve_report import SolveReport
from climate_ref_prefect.flows.server.local_server import local_server
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.flows.solve import solve
from climate_ref_prefect.flows.transport_choice import TransportChoice


def run_demo(settings: Settings, transport: TransportChoice, console: Console) -> bool:
    """Run the demo, and print its results and where they are. Returns whether everything succeeded."""
    console.print("Starting a Prefect server ...")
    with local_server(settings.home_directory) as server:
        console.print(f"Watch it at {server.ui_url}")
        report: SolveReport = solve(data="sample", providers=["demo"], transport=transport)
    console.print(report)
    _say_where(report, console)
    return report.ok


def _say_where(report: SolveReport, console: Console) -> None:
    results = Path(report.results_directory)
    plots = sorted(results.glob("**/*.png"))
    console.print(f"Results: {results} ({len(plots)} plots)")
    for plot in _one_of_each(plots, results):
        console.print(f"  {plot}")
    console.print("See every task run in Prefect's UI with:  make ui")


def _one_of_each(plots: list[Path], results: Path) -> list[Path]:
    first = {plot.relative_to(results).parts[:2]: plot for plot in reversed(plots)}
    return [first[diagnostic] for diagnostic in sorted(first)]
