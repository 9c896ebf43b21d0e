"""The commands `show`, `values` and `providers`: what was computed, and what can be."""

import sys
from typing import Annotated

import typer

from climate_ref_prefect.diagnostics.provider import installed_providers
from climate_ref_prefect.flows.cli.console import PlainConsole
from climate_ref_prefect.flows.cli.errors_and_exit_codes import FAILED
from climate_ref_prefect.flows.cli.options import existing_settings
from climate_ref_prefect.flows.results.value_formats import ValueFormat

What = Annotated[str | None, typer.Argument(help="Number of an execution, or slug of a diagnostic; all if left out.")]
Diagnostics = Annotated[list[str] | None, typer.Option("--diagnostic", help="Slug; all if left out.")]
Where = Annotated[list[str] | None, typer.Option("--where", metavar="FACET=VALUE", help="Only these values.")]
Format = Annotated[ValueFormat, typer.Option("--format", help="For people, or for other programs.")]
Names = Annotated[list[str] | None, typer.Argument(help="Installed provider, or module:attribute; all if left out.")]


def show(what: What = None) -> None:
    """Show what was computed: of every diagnostic, of one, or of one execution."""
    from climate_ref_prefect.flows.results.overview import overview  # noqa: PLC0415 - for this command alone
    from climate_ref_prefect.store.sql.sql_store import open_store  # noqa: PLC0415 - SQLAlchemy takes long

    with open_store(existing_settings().store_url) as store:
        report = overview(store, what)
    PlainConsole().print(report)


def values(diagnostics: Diagnostics = None, where: Where = None, form: Format = "table") -> None:
    """Print the numbers of the latest success of each group."""
    from climate_ref_prefect.flows.results import value_formats  # noqa: PLC0415 - for this command alone
    from climate_ref_prefect.flows.results.recorded_values import chosen_values  # noqa: PLC0415 - the same
    from climate_ref_prefect.store.sql.sql_store import open_store  # noqa: PLC0415 - SQLAlchemy takes long

    with open_store(existing_settings().store_url) as store:
        found = chosen_values(store, diagnostics, where or [])
    match form:
        case "table":
            PlainConsole().print(value_formats.values_table(found))
        case "csv":
            value_formats.write_csv(found, sys.stdout)
        case "json":
            value_formats.write_json(found, sys.stdout)


def providers(names: Names = None) -> None:
    """Say which providers are installed, what they can compute, and what each diagnostic asks for."""
    from climate_ref_prefect.flows.results.installed_providers import describe_providers  # noqa: PLC0415 - the same

    report = describe_providers(names or sorted(installed_providers()))
    PlainConsole().print(report)
    if report.broken:
        raise typer.Exit(FAILED)
