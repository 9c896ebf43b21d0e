"""What the transport parameter of flows and the `--transport` of the command mean: a transport, or a site profile."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from climate_ref_prefect.diagnostics.base_models import FrozenModel
from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.transports.base_transport import TransportModel
from climate_ref_prefect.transports.port import Transport
from climate_ref_prefect.transports.registry import (
    find_transport_class,
    traits_of,
    transport_class,
    unusable_transports,
    usable_transports,
)
from climate_ref_prefect.transports.site_profiles import read_profile


class Site(FrozenModel):
    """A transport that an operator has described in a site profile on the coordinator's machine."""

    kind: Literal["site"] = "site"

    profile: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    """Name of the profile: of a YAML file in the directory of site profiles, without its ending."""


def transport_of(choice: Transport | Site) -> Transport:
    """
    Return the chosen transport for one flow. It shares no open state with another flow.

    Raises
    ------
    BadInputError
        If a site profile does not exist or is invalid.
    """
    return read_profile(_path_of(choice.profile)) if isinstance(choice, Site) else choice.unopened()


def transport_named(
    name: str, cpu: int | None = None, memory_mb: int | None = None, sites: Path | None = None
) -> Transport:
    """
    Return what the command's `--transport` means: a transport usable by its name, a site profile's name, or a path.

    Raises
    ------
    BadInputError
        If there is no such profile, or it is wrong; if limits are given to a transport that does not take them so.
    """
    limits = {field: value for field, value in (("cpu", cpu), ("memory_mb", memory_mb)) if value is not None}
    by_name = transport_class(name) if traits_of(name).usable_by_name else None
    if limits and (by_name is None or not limits.keys() <= by_name.model_fields.keys()):
        limited = [f"`{kind}`" for kind, one in _by_name().items() if limits.keys() <= one.model_fields.keys()]
        raise BadInputError(
            "`cpu` and `memory_mb` (in a shell: `--cpu`, `--memory-mb`) limit the transport "
            f"{' or '.join(limited)}, not {name!r}: leave them out; in a site profile `rules.max_jobs` and `sizing` "
            "are the limits."
        )
    if by_name is not None:
        return by_name(**limits)
    return read_profile(Path(name) if "/" in name or name.endswith((".yaml", ".yml")) else _path_of(name, sites))


def _by_name() -> dict[str, type[TransportModel]]:
    return {kind: one for kind, one in usable_transports().items() if one.traits.usable_by_name}


def _path_of(profile: str, sites: Path | None = None) -> Path:
    directory = sites or Settings().sites_directory
    paths = {path.stem: path for ending in ("yml", "yaml") for path in directory.glob(f"*.{ending}")}
    if profile in paths:
        return paths[profile]
    write = f" There write one with `kind: {profile}`." if find_transport_class(profile) else ""
    broken = "".join(f" {one}" for one in unusable_transports())
    raise BadInputError(
        f"There is no transport {profile!r} (in a shell: `--transport`): it is "
        f"{', '.join(f'`{kind}`' for kind in _by_name())}, or a site profile. Profiles in {directory} "
        f"(CLIMATE_REF_PREFECT_SITES names another directory): {', '.join(sorted(paths)) or 'none'}.{write}{broken}"
    )
