"""
The controlled vocabulary: which dimensions and values results may use, read from YAML.

The format is that of Climate-REF (`pycmec/cv_*.yaml` in climate-ref-core), whose files can be read as they are.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Self, TypeVar

import yaml
from pydantic import Field, PrivateAttr, ValidationError, field_validator

from climate_ref_prefect.diagnostics.base_models import FrozenModel
from climate_ref_prefect.diagnostics.errors import BadInputError, VocabularyMismatchError
from climate_ref_prefect.diagnostics.execution_result import Series
from climate_ref_prefect.diagnostics.metric_bundle import MetricBundle
from climate_ref_prefect.diagnostics.output_bundle import OutputBundle

DEFAULT_PATH = Path(__file__).with_name("vocabulary.yaml")
"""The vocabulary that comes with the package."""

_LISTED = 12
"""How many valid values a message names before it only counts them."""


class VocabularyValue(FrozenModel):
    """One value that a dimension may take."""

    name: str = Field(min_length=1)
    long_name: str = ""
    description: str = ""
    units: str | None = None
    """Units of the value, if it is a statistic."""


class VocabularyDimension(FrozenModel):
    """One dimension that results may have."""

    name: str = Field(min_length=1)
    long_name: str = ""
    description: str = ""
    required: bool = False
    """Whether every metric bundle and every series must have it."""

    allow_extra_values: bool = True
    """Whether values that are not listed are accepted too."""

    values: tuple[VocabularyValue, ...] = ()

    @field_validator("values")
    @classmethod
    def _names_are_unique(cls, values: tuple[VocabularyValue, ...]) -> tuple[VocabularyValue, ...]:
        return _unique(values, "value")

    def accepts(self, value: str) -> bool:
        """Whether results may use this value."""
        return self.allow_extra_values or any(listed.name == value for listed in self.values)


Named = TypeVar("Named", VocabularyValue, VocabularyDimension)


def _unique(items: tuple[Named, ...], what: str) -> tuple[Named, ...]:
    names = [item.name for item in items]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{what} {', '.join(twice)} is listed more than once")
    return items


class Vocabulary(FrozenModel):
    """The dimensions that results may have."""

    dimensions: tuple[VocabularyDimension, ...] = Field(min_length=1)
    _by_name: dict[str, VocabularyDimension] = PrivateAttr(default_factory=dict)

    @field_validator("dimensions")
    @classmethod
    def _names_are_unique(cls, dimensions: tuple[VocabularyDimension, ...]) -> tuple[VocabularyDimension, ...]:
        return _unique(dimensions, "dimension")

    def model_post_init(self, context: Any, /) -> None:
        """Index the dimensions by name."""
        self._by_name.update({dimension.name: dimension for dimension in self.dimensions})

    @classmethod
    def from_yaml(cls, path: Path) -> Self:
        """
        Read a vocabulary.

        Raises
        ------
        BadInputError
            If the file cannot be read, is not YAML or is not a vocabulary; it names the file and the place.
        """
        document = _parsed(path)
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            places = "; ".join(f"{_place(detail['loc'])}: {detail['msg']}" for detail in error.errors())
            raise BadInputError(f"{path} is not a vocabulary: {places}.") from error

    def check(self, metrics: MetricBundle, series: Sequence[Series] = (), outputs: OutputBundle | None = None) -> None:
        """
        Check a result against the vocabulary.

        Files of the output bundle need not have the required dimensions: a plot may show many regions.

        Raises
        ------
        VocabularyMismatchError
            If anything does not match. The message lists everything that does not.
        """
        mismatches = list(self._in_metrics(metrics))
        for one in series:
            mismatches += self._in_address(f"series of {one.index_name}", one.dimensions)
            mismatches += self._missing(f"series of {one.index_name}", one.dimensions)
        for kind, short_name, file in (outputs or OutputBundle()).files():
            mismatches += self._in_address(f"{kind} {short_name!r}", file.dimensions)
        if found := list(dict.fromkeys(mismatches)):
            heading = f"{len(found)} mismatches" if len(found) > 1 else "1 mismatch"
            raise VocabularyMismatchError("\n- ".join([f"{heading} with the controlled vocabulary:", *found]))

    def _in_metrics(self, metrics: MetricBundle) -> Iterator[str]:
        for name in metrics.json_structure:
            for value in metrics.dimensions[name] or [None]:
                yield from self._in_address("metrics", {name: value})
        yield from self._missing("metrics", metrics.dimensions)

    def _in_address(self, where: str, address: Mapping[str, str | None]) -> Iterator[str]:
        for name, value in address.items():
            dimension = self._by_name.get(name)
            if dimension is None:
                yield f"{where}: there is no dimension {name!r}; valid: {_listing(sorted(self._by_name))}"
            elif value is not None and not dimension.accepts(value):
                valid = [listed.name for listed in dimension.values]
                yield f"{where}: {name} {value!r} is not one of {_listing(valid)}"

    def _missing(self, where: str, present: Mapping[str, object]) -> Iterator[str]:
        for dimension in self.dimensions:
            if dimension.required and dimension.name not in present:
                yield f"{where}: dimension {dimension.name!r} is required and missing"


@cache
def default_vocabulary() -> Vocabulary:
    """Return the vocabulary that comes with the package."""
    # Every solve reads it, and the parser in C takes a tenth of the time. Where nesting is too deep it may crash, so
    # it is not for files that people write.
    parser = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return Vocabulary.model_validate(yaml.load(DEFAULT_PATH.read_text(encoding="utf-8"), parser))  # noqa: S506 - a safe one


def _parsed(path: Path) -> object:
    try:
        text = path.read_text(encoding="utf-8")
        return yaml.safe_load(text)
    except OSError as error:
        raise BadInputError(f"The vocabulary {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise BadInputError(f"The vocabulary {path} is not UTF-8 text: {error}.") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise BadInputError(f"{path}{place} is not YAML: {error.problem or error.context}.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # PyYAML's constructor raises ValueError for an invalid date.
        raise BadInputError(f"{path} is not YAML: {error}.") from error


def _place(location: tuple[int | str, ...]) -> str:
    """Return a position in the file as people write it: `dimensions[3].values[0].name`, counted from zero."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in location).lstrip(".") or "the file"


def _listing(names: Sequence[str]) -> str:
    if not names:
        return "nothing (none is listed)"
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")
