"""Site profiles: a transport and its settings in a YAML file that an operator writes."""

from collections.abc import Mapping
from pathlib import Path

import yaml
from pydantic import ValidationError

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.transports.port import Transport
from climate_ref_prefect.transports.registry import kinds, transport_class
from climate_ref_prefect.transports.strict_yaml import load_strictly
from climate_ref_prefect.transports.validation_message import validation_message


def read_profile(path: Path) -> Transport:
    """
    Return the transport that a site profile describes.

    Parameters
    ----------
    path
        YAML file with `kind`, which names an installed transport, and the fields of that kind.

    Raises
    ------
    BadInputError
        If the file cannot be read, or has an invalid field.
    """
    try:
        content: object = load_strictly(path)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInputError(f"The site profile {path} cannot be read: {error}") from error
    if not isinstance(content, Mapping) or "kind" not in content:
        raise BadInputError(f"The site profile {path} must have a line `kind: ` with one of {', '.join(kinds())}.")
    try:
        model = transport_class(str(content["kind"]))
    except BadInputError as error:
        raise BadInputError(f"The site profile {path} is wrong: {error}") from error
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise BadInputError(f"The site profile {path} is wrong: {validation_message(error, model)}.") from error
