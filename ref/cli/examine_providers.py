"""Check REF's providers, and whether the table of hints speaks of them, for `climate-ref-prefect ref doctor`."""

from collections.abc import Generator, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from climate_ref_prefect.ref import upstream
from climate_ref_prefect.ref.hints.hint_table import HintTable
from climate_ref_prefect.transports.doctor_finding import Finding, note, wrong

_MICROMAMBA: Final = "conda_exe_path"
"""What providers have whose diagnostics run in a conda environment: where REF keeps micromamba."""


def import_providers(config: Any) -> Generator[Finding, None, tuple[Any, ...]]:
    """
    Import the providers of REF's configuration, as `ref solve` does first of all.

    Returns
    -------
    Those that could be imported; what is wrong with the others is yielded.
    """
    if not config.diagnostic_providers:
        yield wrong(
            "REF has no provider, so there is nothing to solve.",
            "install one, for example `pip install climate-ref-example`; where ref.toml has [[diagnostic_providers]], "
            "name it there",
        )
    imported = []
    for configured in config.diagnostic_providers:
        try:
            provider = upstream.import_provider(configured.provider)
            provider.configure(config)
        except Exception as error:  # noqa: BLE001 - it is the provider's own code
            yield wrong(
                f"The provider {configured.provider} cannot be imported here, which ends every `ref solve`: "
                f"{type(error).__name__}: {error}",
                "install it into this environment, or remove it from [[diagnostic_providers]] in ref.toml",
            )
        else:
            imported.append(provider)
            yield from _micromamba(provider)
    return tuple(imported)


def examine_hints(table: HintTable, providers: Sequence[Any]) -> Iterator[Finding]:
    """Yield the rules that say nothing of any diagnostic: misspelt, or hidden by one that stands before them."""
    slugs = [f"{provider.slug}/{diagnostic.slug}" for provider in providers for diagnostic in provider.diagnostics()]
    deciding = {found.number for slug in slugs if (found := table.first_match(slug))}
    for number, rule in enumerate(table.rules, 1):
        if number in deciding:
            continue
        what = f"Rule {number} `{rule.match}` of {table.origin} applies to nothing"
        if any(rule.matches(slug) for slug in slugs):
            yield note(f"{what}: rules before it match all that it matches. Move it up, or remove it.")
        else:
            yield note(f"{what}: no diagnostic of REF's providers matches. Correct its `match`, or remove it.")


def _micromamba(provider: Any) -> Iterator[Finding]:
    """Yield that micromamba is so old that REF fetches it anew wherever it is used next."""
    path: Path | None = getattr(provider, _MICROMAMBA, None)
    if path is None or not path.exists():  # that it is missing is found where the provider is tried
        return
    age = datetime.now().astimezone() - datetime.fromtimestamp(path.stat().st_ctime).astimezone()
    if age > upstream.MICROMAMBA_MAX_AGE:
        yield note(
            f"{path} is {age.days} days old. Where it is older than {upstream.MICROMAMBA_MAX_AGE.days}, REF downloads "
            f"micromamba anew, also on nodes, which may have no way to the internet: `touch {path}` puts that off."
        )
