"""REF's controlled vocabulary as one of this package, for results of REF that this package records."""

from typing import Any

import yaml
from pydantic import ValidationError

from climate_ref_prefect.diagnostics.controlled_vocabulary import Vocabulary
from climate_ref_prefect.diagnostics.declaration_errors import describe_validation_error
from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.ref import upstream
from climate_ref_prefect.ref.cli.ref_configuration import load_configuration


def ref_vocabulary(config: Any = None) -> Vocabulary:
    """
    Return the vocabulary that REF checks results against: its own, or the one that `ref.toml` names.

    Parameters
    ----------
    config
        REF's configuration; None for that of `REF_CONFIGURATION`.

    Raises
    ------
    UpstreamMissingError
        If climate-ref is missing.
    BadInputError
        If it cannot be read, or has what the vocabularies of this package do not know.
    """
    resource = (config or load_configuration()).paths.dimensions_cv_resource
    try:
        vocabulary = Vocabulary.model_validate(yaml.safe_load(resource.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, upstream.DataResourceError) as error:
        raise BadInputError(f"REF's vocabulary {resource.describe()} cannot be read: {error}") from error
    except ValidationError as error:
        reason = describe_validation_error(error)
        raise BadInputError(f"REF's vocabulary {resource.describe()} is wrong: {reason}.") from error
    # REF's files say of some dimensions that they are required, and REF requires none of them.
    optional = tuple(one.model_copy(update={"required": False}) for one in vocabulary.dimensions)
    return Vocabulary(dimensions=optional)
