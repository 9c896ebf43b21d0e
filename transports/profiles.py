"""Site profiles: a transport and its settings in a YAML file that an operator writes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.transports.base import TransportModel
from climate_ref_prefect.transports.port import Transport

KINDS: Final = ("inline", "local", "slurm", "pbs")


def transport_class(kind: str) -> type[TransportModel]:
    """
    Return the transport of a kind; imports Dask only for those that need it.

    Raises
    ------
    BadInputError
        If there is no such kind; lists those there are.
    """
    # Each import takes a while and is of use to its own kind alone.
    if kind == "inline":
        from climate_ref_prefect.transports.inline import InlineTransport  # noqa: PLC0415

        return InlineTransport
    if kind == "local":
        from climate_ref_prefect.transports.local import LocalTransport  # noqa: PLC0415

        return LocalTransport
    if kind == "slurm":
        from climate_ref_prefect.transports.slurm import SlurmTransport  # noqa: PLC0415

        return SlurmTransport
    if kind == "pbs":
        from climate_ref_prefect.transports.pbs import PbsTransport  # noqa: PLC0415

        return PbsTransport
    raise BadInputError(f"There is no transport of the kind {kind!r}; there are {', '.join(KINDS)}.")


def read_profile(path: Path) -> Transport:
    """
    Return the transport that a site profile describes.

    Parameters
    ----------
    path
        YAML: `kind` and the fields of the transport of that kind.

    Raises
    ------
    BadInputError
        If the file cannot be read, or says what no transport of its kind understands.
    """
    try:
        content: object = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInputError(f"The site profile {path} cannot be read: {error}") from error
    if not isinstance(content, Mapping) or "kind" not in content:
        raise BadInputError(f"The site profile {path} must have a line `kind: ` with one of {', '.join(KINDS)}.")
    return _make(transport_class(str(content["kind"])), content, path)


def _make(kind: type[TransportModel], content: Mapping[str, Any], path: Path) -> Transport:
    try:
        made = kind.model_validate(content)
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        valid = ", ".join(sorted(set(kind.model_fields) - {"kind"}))
        raise BadInputError(f"The site profile {path} is wrong: {told}. Its fields are {valid}.") from error
    assert isinstance(made, Transport)  # noqa: S101 - each class is one
    return made
