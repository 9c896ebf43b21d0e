"""Site profiles: a transport and its settings in a YAML file that an operator writes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.transports.base import TransportModel
from climate_ref_prefect.transports.complaint import complaint
from climate_ref_prefect.transports.port import Transport
from climate_ref_prefect.transports.strict_yaml import load_strictly

KINDS: Final = ("inline", "local", "slurm", "pbs")


def _transport_class(kind: str) -> type[TransportModel]:
    # Each import takes a while and is of use to its own kind alone.
    if kind == "inline":
        from climate_ref_prefect.transports.inline import InlineTransport  # noqa: PLC0415

        return InlineTransport
    if kind == "local":
        from climate_ref_prefect.transports.local import LocalTransport  # noqa: PLC0415

        return LocalTransport
    if kind == "slurm":
        from climate_ref_prefect.transports.batch.schedulers.slurm.transport import SlurmTransport  # noqa: PLC0415

        return SlurmTransport
    from climate_ref_prefect.transports.batch.schedulers.pbs.transport import PbsTransport  # noqa: PLC0415

    return PbsTransport


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
        content: object = load_strictly(path)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInputError(f"The site profile {path} cannot be read: {error}") from error
    if not isinstance(content, Mapping) or "kind" not in content:
        raise BadInputError(f"The site profile {path} must have a line `kind: ` with one of {', '.join(KINDS)}.")
    kind = str(content["kind"])
    if kind not in KINDS:
        raise BadInputError(
            f"The site profile {path} is wrong: there is no transport of the kind {kind!r}; "
            f"there are {', '.join(KINDS)}."
        )
    return _make(_transport_class(kind), content, path)


def _make(kind: type[TransportModel], content: Mapping[str, Any], path: Path) -> Transport:
    try:
        made = kind.model_validate(content)
    except ValidationError as error:
        raise BadInputError(f"The site profile {path} is wrong: {complaint(error, kind)}.") from error
    assert isinstance(made, Transport)  # noqa: S101 - each class is one
    return made
