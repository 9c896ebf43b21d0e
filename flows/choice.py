"""The transports that a flow's parameters can name."""

from typing import Annotated

from pydantic import Field, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from climate_ref_prefect.transports.inline import InlineTransport
from climate_ref_prefect.transports.local import LocalTransport


class _SaysThatItIsAnObject:
    """Adds `type` to a schema of alternatives: without it the form of Prefect's UI offers no JSON editor."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "type": "object"}


TransportChoice = Annotated[LocalTransport | InlineTransport, Field(discriminator="kind"), _SaysThatItIsAnObject()]
"""Any of the transports, told apart by `kind`; the first is what the form of Prefect's UI shows to begin with."""
