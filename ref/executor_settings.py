"""What `[executor.config]` in `ref.toml` may say."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, InstanceOf, TypeAdapter, ValidationError

from climate_ref_prefect.diagnostics.base_models import FrozenModel
from climate_ref_prefect.diagnostics.declaration_errors import describe_validation_error
from climate_ref_prefect.diagnostics.errors import BadInputError
from climate_ref_prefect.flows.retry.retry_rules import RetryRule
from climate_ref_prefect.flows.settings import Settings
from climate_ref_prefect.flows.transport_choice import TransportChoice
from climate_ref_prefect.flows.transport_parameter import transport_named, transport_of
from climate_ref_prefect.transports.port import Transport

_DIRECTORY = "climate-ref-prefect"


class ExecutorSettings(FrozenModel):
    """The keywords of `PrefectExecutor`, as `[executor.config]` gives them."""

    transport: str | Mapping[str, Any] | InstanceOf[Transport] = "local"
    """Where executions run: `local`, `inline`, a site profile's name or path, a table with `kind`, or in Python any."""

    cpu: int | None = Field(default=None, gt=0)
    """How many processors `local` uses at once; all that there are if left out."""

    memory_mb: int | None = Field(default=None, gt=0)
    """How much memory `local` uses at once, in MiB; most of what there is if left out."""

    home: Path | None = None
    """State directory; `climate-ref-prefect` beside `ref.toml` if left out."""

    scratch: Path | None = None
    """Where attempts keep their files, seen by workers too; `climate-ref-prefect` in REF's scratch if left out."""

    hints: Path | None = None
    """Table of hints in YAML; `hints.yaml` in the state directory, where it is there, if left out."""

    retry_rules: tuple[RetryRule, ...] = ()
    """Retry rules, which come before those of `retry.yaml` in the state directory."""

    def open_transport(self, settings: Settings) -> Transport:
        """
        Return the transport, unopened.

        Raises
        ------
        BadInputError
            If there is no such transport or profile, or it is invalid.
        """
        if isinstance(self.transport, str):
            return transport_named(self.transport, self.cpu, self.memory_mb, settings.sites_directory)
        if isinstance(self.transport, Transport):
            return self.transport.unopened()
        limits = {"cpu": self.cpu, "memory_mb": self.memory_mb}
        fields = {**self.transport, **{name: value for name, value in limits.items() if value is not None}}
        adapter: TypeAdapter[Any] = TypeAdapter(TransportChoice)
        try:
            return transport_of(adapter.validate_python(fields))
        except ValidationError as error:
            raise BadInputError(f"The transport in [executor.config]: {describe_validation_error(error)}") from error

    def workspace_settings(self, config: Any, configuration: Path) -> Settings:
        """
        Return the settings of the workspace: its directories are REF's or lie in them.

        Parameters
        ----------
        config
            REF's configuration.
        configuration
            The directory of `ref.toml`.
        """
        return Settings(
            home=(self.home or configuration / _DIRECTORY).expanduser().absolute(),
            scratch=(self.scratch or Path(config.paths.scratch).resolve() / _DIRECTORY).expanduser().absolute(),
            results=Path(config.paths.results).absolute(),
        )


def read_executor_settings(options: Mapping[str, Any]) -> ExecutorSettings:
    """
    Check the keywords of the executor.

    Raises
    ------
    BadInputError
        If one is unknown or invalid. The message says which, and what is valid.
    """
    try:
        return ExecutorSettings.model_validate(dict(options))
    except ValidationError as error:
        known = ", ".join(ExecutorSettings.model_fields)
        raise BadInputError(
            f"[executor.config] in ref.toml: {describe_validation_error(error)}. It may have: {known}."
        ) from error
