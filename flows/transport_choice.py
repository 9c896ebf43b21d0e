"""
The type of the transport parameter of flows: a transport whose traits let a form set its fields, or a site profile.

It imports all transports, which takes long; `transport_parameter` imports only the one that is asked for.
"""

from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias, Union

from pydantic import Field, GetJsonSchemaHandler, ValidatorFunctionWrapHandler, WrapValidator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from climate_ref_prefect.diagnostics.base_models import FrozenModel
from climate_ref_prefect.flows.transport_parameter import Site
from climate_ref_prefect.transports.base_transport import TransportModel
from climate_ref_prefect.transports.port import Transport
from climate_ref_prefect.transports.registry import usable_transports
from climate_ref_prefect.transports.this_machine.in_parallel import LocalTransport

_DEFAULT: Final = LocalTransport
"""The default transport of flows, which the form shows first."""


class _SaysThatItIsAnObject:
    """Adds `type` to a schema of alternatives, because otherwise the form of Prefect's UI offers no JSON editor."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "type": "object"}


def _let_transports_pass(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    # Python code may pass any transport. The form shows no transport whose settings are trusted text of an operator.
    return value if isinstance(value, Transport) else handler(value)


def _in_forms() -> list[type[TransportModel]]:
    """Return the transports whose fields a form may set, the default first."""
    shown = [one for one in usable_transports().values() if one.traits.fields_in_forms]
    return sorted(shown, key=lambda one: one is not _DEFAULT)


def transport_choice(*first: type[FrozenModel]) -> Any:
    """
    Return the type of a parameter: any transport, distinguished by `kind`. The form of Prefect's UI shows the first.

    Parameters
    ----------
    first
        Further choices, shown before the others. Each has a `kind`.
    """
    return Annotated[
        Union[(*first, *_in_forms(), Site)],
        Field(discriminator="kind"),
        _SaysThatItIsAnObject(),
        WrapValidator(_let_transports_pass),
    ]


if TYPE_CHECKING:
    TransportChoice: TypeAlias = Transport | Site
else:
    TransportChoice = transport_choice()
