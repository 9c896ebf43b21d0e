"""Read a YAML file that is a list of rules, as the retry rules and the table of hints are."""

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.transports.strict_yaml import load_strictly
from climate_ref_prefect.transports.validation_message import validation_message

R = TypeVar("R", bound=BaseModel)


def read_rule_list(path: Path, rule: type[R], what: str) -> tuple[R, ...]:
    """
    Read a list of rules; an empty file has none.

    Parameters
    ----------
    path
        YAML in UTF-8: a list of rules, each with the fields of `rule`.
    rule
        The model of a rule.
    what
        What the file is, in the messages: for example `retry rules`.

    Raises
    ------
    BadInputError
        If the file cannot be read or a rule is invalid. The message names the rule and what is valid.
    """
    try:
        content = load_strictly(path)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise BadInputError(f"The {what} {path} cannot be read: {error}") from error
    if content is None:
        return ()
    if not isinstance(content, list):
        raise BadInputError(f"The {what} {path} must be a list: each rule begins with `- match: PROVIDER/DIAGNOSTIC`.")
    return tuple(_checked(item, number, path, rule, what) for number, item in enumerate(content, start=1))


def _checked(item: object, number: int, path: Path, rule: type[R], what: str) -> R:
    try:
        return rule.model_validate(item)
    except ValidationError as error:
        raise BadInputError(
            f"Rule {number} of the {what} {path} is wrong: {validation_message(error, rule)}."
        ) from error
