"""
The CMEC output bundle: every file that a diagnostic leaves for people and programs.

Format: CMEC metrics package standards, "output.json" (EMDS v1), https://cmec.llnl.gov.
"""

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Literal

from pydantic import Field, field_validator

from climate_ref_prefect.diagnostics.base_models import FrozenModel
from climate_ref_prefect.diagnostics.metric_bundle import Attributes

OutputType = Literal["data", "plots", "html", "metrics"]
OUTPUT_TYPES: tuple[OutputType, ...] = ("data", "plots", "html", "metrics")


class OutputFile(FrozenModel):
    """One file below the output directory, described."""

    filename: str
    """Relative to the output directory; never absolute, never with `..`."""

    long_name: str = ""
    description: str = ""
    dimensions: Mapping[str, str] = Field(default_factory=dict)
    """Facets that the file belongs to, checked against the vocabulary."""

    @field_validator("filename")
    @classmethod
    def _stays_inside(cls, filename: str) -> str:
        path = PurePosixPath(filename)
        if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in filename:
            raise ValueError(f"{filename!r} must be a path inside the output directory")
        return filename


class Provenance(FrozenModel):
    """The provenance of the output: software, input data and log."""

    environment: Attributes = Field(default_factory=dict)
    """Software versions and the like."""
    modeldata: tuple[str, ...] = ()
    """Model data sets that were read."""
    obsdata: Attributes = Field(default_factory=dict)
    """Observations that were read."""
    log: str | None = None
    """Log file of the run."""


class OutputBundle(FrozenModel):
    """The files in the output directory, by type and short name."""

    index: str | None = None
    """Short name of the page to open first."""
    provenance: Provenance = Provenance()
    data: Mapping[str, OutputFile] = Field(default_factory=dict)
    plots: Mapping[str, OutputFile] = Field(default_factory=dict)
    html: Mapping[str, OutputFile] = Field(default_factory=dict)
    metrics: Mapping[str, OutputFile] = Field(default_factory=dict)

    def files(self) -> Iterator[tuple[OutputType, str, OutputFile]]:
        """Yield every file with its type and short name."""
        sections = {"data": self.data, "plots": self.plots, "html": self.html, "metrics": self.metrics}
        for output_type in OUTPUT_TYPES:
            for short_name, file in sections[output_type].items():
                yield output_type, short_name, file
