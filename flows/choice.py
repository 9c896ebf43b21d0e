"""The transports that a flow's parameters can name."""

from typing import Annotated

from pydantic import Field

from climate_ref_prefect.transports.inline import InlineTransport
from climate_ref_prefect.transports.local import LocalTransport

TransportChoice = Annotated[InlineTransport | LocalTransport, Field(discriminator="kind")]
"""Any of the transports, told apart by `kind`."""
