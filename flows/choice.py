"""The transports that a flow's parameters can name."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import Field, GetJsonSchemaHandler, ValidatorFunctionWrapHandler, WrapValidator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.diagnostics.model import FrozenModel
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.transports.base import TransportModel
from climate_ref_prefect.transports.inline import InlineTransport
from climate_ref_prefect.transports.local import LocalTransport
from climate_ref_prefect.transports.port import Transport
from climate_ref_prefect.transports.profiles import read_profile


class Site(FrozenModel):
    """A transport that an operator has described in a site profile on the coordinator's machine."""

    kind: Literal["site"] = "site"

    profile: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    """Name of the profile: of a YAML file in the directory of site profiles, without its ending."""


class _SaysThatItIsAnObject:
    """Adds `type` to a schema of alternatives: without it the form of Prefect's UI offers no JSON editor."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "type": "object"}


def _let_transports_pass(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    # Python may pass any transport. The form shows none whose settings are an operator's trusted text.
    return value if isinstance(value, TransportModel) else handler(value)


if TYPE_CHECKING:
    TransportChoice: TypeAlias = Transport | Site
else:
    TransportChoice = Annotated[
        LocalTransport | InlineTransport | Site,
        Field(discriminator="kind"),
        _SaysThatItIsAnObject(),
        WrapValidator(_let_transports_pass),
    ]
    """Any transport; told apart by `kind`, and the first is what the form of Prefect's UI shows to begin with."""


def transport_of(choice: Transport | Site) -> Transport:
    """
    Return the transport that was chosen, for one flow alone: what it has open is shared with no other.

    Raises
    ------
    BadInputError
        If a site profile is not there, or is wrong.
    """
    if isinstance(choice, Site):
        return read_profile(_path_of(choice.profile))
    return choice.unopened() if isinstance(choice, TransportModel) else choice


def transport_named(name: str, cpu: int | None, memory_mb: int | None) -> Transport:
    """
    Return what the command's `--transport` means: `inline`, `local`, a site profile's name, or a path to one.

    Raises
    ------
    BadInputError
        If there is no such profile, or it is wrong; if limits are given to another transport than `local`.
    """
    if name == "local":
        return LocalTransport(cpu=cpu, memory_mb=memory_mb)
    if cpu is not None or memory_mb is not None:
        raise BadInputError(
            f"`--cpu` and `--memory-mb` limit the transport `local`, not {name!r}: leave them out; in a site profile "
            "`rules.max_jobs` and `sizing` are the limits."
        )
    if name == "inline":
        return InlineTransport()
    return read_profile(Path(name) if "/" in name or name.endswith((".yaml", ".yml")) else _path_of(name))


def _path_of(profile: str) -> Path:
    directory = Settings().sites_directory
    paths = {path.stem: path for ending in ("yml", "yaml") for path in directory.glob(f"*.{ending}")}
    if profile not in paths:
        write = f" For a cluster write one with `kind: {profile}`." if profile in ("slurm", "pbs") else ""
        raise BadInputError(
            f"There is no transport {profile!r} (in a shell: `--transport`): it is `inline`, `local`, or a site "
            f"profile. Profiles in {directory} (CLIMATE_REF_PREFECT_SITES names another directory): "
            f"{', '.join(sorted(paths)) or 'none'}.{write}"
        )
    return paths[profile]
