"""Turn the result of importing a provider into a finding."""

from collections.abc import Mapping
from typing import Final

from climate_ref_prefect.execution.worker.doctor_node_checks import ProviderCheck
from climate_ref_prefect.transports.doctor_finding import Finding, ok, wrong

HERE: Final = "here"
NODE: Final = "on the node"
_REMEDIES: Final[Mapping[str, str]] = {
    HERE: "install what it lacks; `module:attribute` must be on PYTHONPATH.",
    NODE: "install what it lacks for the `python` of the profile, or set what it needs in `prologue`.",
}


def judge_provider(check: ProviderCheck, where: str) -> Finding:
    """Return the finding of importing a provider, `HERE` or on the `NODE`."""
    if check.failure:
        return wrong(f"{where.capitalize()}: {check.failure.rstrip('.')}.", _REMEDIES[where])
    if check.problems:
        first, *more = "\n".join(check.problems).splitlines()
        return wrong(f"The provider {check.described} can be imported {where}, and cannot run.", first, tuple(more))
    return ok(f"The provider {check.described} can be imported {where}, in {check.seconds:.1f} s.")
