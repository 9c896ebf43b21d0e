"""
The CMEC metric bundle: every scalar that a diagnostic computed, in nested dimensions.

Format: CMEC metrics package standards, "JSON results" (EMDS v1), https://cmec.llnl.gov.
"""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import ConfigDict, Field, JsonValue, TypeAdapter, model_serializer, model_validator

from climate_ref_prefect.diagnostics.base_models import FrozenModel
from climate_ref_prefect.diagnostics.number_conversion import AcceptNumpyNumbers

Attributes = Annotated[Mapping[str, JsonValue], AcceptNumpyNumbers]
Scalar = float | int | None
ATTRIBUTES = "attributes"
"""Key that CMEC allows at every level of RESULTS; it holds no results."""

_JSON: TypeAdapter[JsonValue] = TypeAdapter(JsonValue, config=ConfigDict(allow_inf_nan=False))
_CMEC_KEYS = ("SCHEMA", "DIMENSIONS", "RESULTS", "PROVENANCE", "DISCLAIMER", "NOTES")
_CMEC_SCHEMA = {"name": "CMEC", "version": "v1", "package": "climate-ref-prefect"}


class MetricBundle(FrozenModel):
    """
    Scalars by dimension; in JSON it is a CMEC document (DIMENSIONS, RESULTS, PROVENANCE ...).

    Missing values are null: CMEC is JSON, and JSON has no NaN.
    """

    json_structure: tuple[str, ...] = Field(min_length=1)
    """Names of the dimensions, outermost first."""

    dimensions: Mapping[str, Mapping[str, Attributes]]
    """For each dimension, its values and the attributes of each value."""

    results: Annotated[Mapping[str, Any], AcceptNumpyNumbers]
    """One level of nesting per dimension, with scalars or null at the bottom. Numbers of numpy are accepted."""

    provenance: Attributes = Field(default_factory=dict)
    disclaimer: Attributes = Field(default_factory=dict)
    notes: Attributes = Field(default_factory=dict)

    @classmethod
    def from_scalars(
        cls,
        json_structure: tuple[str, ...],
        scalars: Mapping[tuple[str, ...], Scalar],
        provenance: Attributes | None = None,
    ) -> Self:
        """
        Build a bundle from scalars addressed by one value per dimension.

        Parameters
        ----------
        json_structure
            Names of the dimensions, outermost first.
        scalars
            The value at each address. An address has as many parts as there are dimensions. Scalars of numpy are
            converted to numbers.
        provenance
            Free attributes about how the values were made.

        Raises
        ------
        ValueError
            If an address is too short or too long, or the bundle would break its format.
        """
        dimensions: dict[str, dict[str, Attributes]] = {name: {} for name in json_structure}
        results: dict[str, Any] = {}
        for address, scalar in scalars.items():
            if not address or len(address) != len(json_structure):
                raise ValueError(f"address {address} does not have one value for each of {json_structure}")
            level = results
            for name, value in zip(json_structure, address, strict=True):
                dimensions[name].setdefault(value, {})
            for value in address[:-1]:
                level = level.setdefault(value, {})
            level[address[-1]] = scalar
        return cls(json_structure=json_structure, dimensions=dimensions, results=results, provenance=provenance or {})

    def scalars(self) -> Iterator[tuple[dict[str, str], Scalar]]:
        """Yield every scalar with its dimensions, outermost first."""
        yield from _walk(self.results, self.json_structure, {})

    @model_validator(mode="before")
    @classmethod
    def _read_cmec(cls, document: Any) -> Any:
        if not isinstance(document, Mapping) or "DIMENSIONS" not in document:
            return document
        if unknown := [key for key in document if key not in _CMEC_KEYS]:
            raise ValueError(f"{unknown} are not keys of a metric bundle; valid: {', '.join(_CMEC_KEYS)}")
        if not isinstance(document["DIMENSIONS"], Mapping):
            raise ValueError("DIMENSIONS must be an object with json_structure and one key per dimension")
        fields = {key.lower(): value for key, value in document.items() if key != "SCHEMA"}
        dimensions = dict(fields["dimensions"])
        return {**fields, "json_structure": dimensions.pop("json_structure", ()), "dimensions": dimensions}

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if set(self.json_structure) != set(self.dimensions):
            raise ValueError(
                f"DIMENSIONS {sorted(self.dimensions)} do not match json_structure {list(self.json_structure)}"
            )
        if len(set(self.json_structure)) < len(self.json_structure):
            raise ValueError(f"json_structure {list(self.json_structure)} names a dimension twice")
        _check_names(self.dimensions)
        _check_attributes(self.results)
        for address, scalar in self.scalars():
            _check_scalar(address, scalar, self.dimensions)
        return self

    @model_serializer
    def _write_cmec(self) -> dict[str, Any]:
        return {
            "SCHEMA": _CMEC_SCHEMA,
            "DIMENSIONS": {"json_structure": list(self.json_structure), **_plain(self.dimensions)},
            "RESULTS": self.results,
            "PROVENANCE": self.provenance,
            "DISCLAIMER": self.disclaimer,
            "NOTES": self.notes,
        }


def _walk(level: Any, names: tuple[str, ...], address: dict[str, str]) -> Iterator[tuple[dict[str, str], Any]]:
    if not names:
        yield address, level
        return
    if not isinstance(level, Mapping):
        raise ValueError(f"RESULTS at {address} must be an object with one key per {names[0]}, not {level!r}")
    for value, below in level.items():
        if value != ATTRIBUTES:
            yield from _walk(below, names[1:], {**address, names[0]: value})


def _check_names(dimensions: Mapping[str, Mapping[str, Attributes]]) -> None:
    if reserved := {ATTRIBUTES, "json_structure"} & set(dimensions):
        raise ValueError(f"{sorted(reserved)} is a word of CMEC's own and cannot name a dimension")
    for name, values in dimensions.items():
        if ATTRIBUTES in values:
            raise ValueError(f"{name} {ATTRIBUTES!r}: what RESULTS has under this word is not read as results")


def _check_attributes(level: Any) -> None:
    """Check that the attributes on every level of RESULTS are JSON."""
    if isinstance(level, Mapping):
        for value, below in level.items():
            if value == ATTRIBUTES:
                _JSON.validate_python(below)
            else:
                _check_attributes(below)


def _check_scalar(
    address: Mapping[str, str], scalar: object, dimensions: Mapping[str, Mapping[str, Attributes]]
) -> None:
    for name, value in address.items():
        if value not in dimensions[name]:
            raise ValueError(f"RESULTS has {name} {value!r}, which DIMENSIONS does not list")
    if isinstance(scalar, bool) or not (scalar is None or isinstance(scalar, int | float)):
        raise ValueError(f"RESULTS at {dict(address)} must be an int, a float or null, not {scalar!r}")
    if isinstance(scalar, float) and not (float("-inf") < scalar < float("inf")):
        raise ValueError(f"RESULTS at {dict(address)} is {scalar!r}; write null for a missing value")


def _plain(dimensions: Mapping[str, Mapping[str, Attributes]]) -> dict[str, dict[str, dict[str, JsonValue]]]:
    return {
        name: {value: dict(attributes) for value, attributes in values.items()} for name, values in dimensions.items()
    }
