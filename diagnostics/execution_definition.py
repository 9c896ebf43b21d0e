"""The definition of an execution: a diagnostic and the data sets that it is run on."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, JsonValue, field_validator, model_validator

from climate_ref_prefect.diagnostics.base_models import FrozenModel

Slug = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$")
Isolation = Literal["warm", "fresh"]


class Dataset(FrozenModel):
    """One data set: its facets and the files that hold it."""

    instance_id: str
    """Unique name, for CMIP6 the DRS path with dots."""

    facets: Mapping[str, str]
    """Facets that describe the data set, for example `{"source_id": "CanESM5"}`."""

    files: tuple[Path, ...] = Field(min_length=1)
    """Absolute paths, in order of time."""

    fingerprint: str
    """A text that changes when any of the files changes (names, sizes and modification times)."""

    fingerprint_of: Literal["files", "other"] = "other"
    """`files`: made of the files by `fingerprint`, so that the worker can compare it; `other`: made in another way."""


class ExecutionDefinition(FrozenModel):
    """A diagnostic of a provider, and what one execution of it reads: data sets, a payload, or both."""

    provider: str = Slug
    provider_version: str
    diagnostic: str = Slug
    diagnostic_version: str
    key: str
    """Name of the group within the diagnostic, for example `CanESM5.historical.Amon`."""

    selectors: Mapping[str, str]
    """The facets that all data sets of the group share by its group-by."""

    datasets: tuple[Dataset, ...] = ()
    """None only where there is a payload."""

    payload: JsonValue = None
    """What else the provider needs to know, as plain JSON that only it understands; none without."""

    @model_validator(mode="after")
    def _is_about_something(self) -> Self:
        if not self.datasets and self.payload is None:
            raise ValueError("there is neither a data set nor a payload")
        return self

    @field_validator("payload")
    @classmethod
    def _payload_is_json(cls, payload: JsonValue) -> JsonValue:
        _canonical(payload)
        return payload

    @property
    def label(self) -> str:
        """Name for people, in logs, task runs and tables."""
        return f"{self.provider}/{self.diagnostic}/{self.key}"

    @property
    def input_hash(self) -> str:
        """A hash that is the same for the same data sets, payload, and versions of provider and diagnostic."""
        parts = [self.provider_version, self.diagnostic_version]
        parts += sorted(f"{dataset.instance_id} {dataset.fingerprint}" for dataset in self.datasets)
        if self.payload is not None:  # without one the hash is what it has always been: stores keep it
            # A line of a data set has a space in it, and this has none: neither can be taken for the other.
            parts.append(f"payload:{hashlib.sha256(_canonical(self.payload).encode()).hexdigest()}")
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _canonical(payload: JsonValue) -> str:
    """Return a payload as JSON that is the same in whatever order its keys came."""
    return json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


class ProviderReference(FrozenModel):
    """How a worker finds a provider and how it may be run."""

    target: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")
    """Import reference, `module:attribute`."""

    isolation: Isolation = "warm"
    """`warm`: forked from a server that has imported it; `fresh`: a new interpreter each time."""
