"""The error that people see when a transport fails as a whole."""

from climate_ref_prefect.diagnostics.errors import BadInputError, ClimateRefPrefectError
from climate_ref_prefect.transports.port import Transport
from climate_ref_prefect.transports.transport_driver import TransportClosedError


class TransportFailedError(ClimateRefPrefectError):
    """A transport has failed as a whole."""


def describe_transport_failure(transport: Transport, error: BaseException) -> ClimateRefPrefectError:
    """Return the error to raise. Later callers only see that the transport is closed, so its cause is taken."""
    cause = error.__cause__ if isinstance(error, TransportClosedError) and error.__cause__ else error
    if isinstance(cause, BadInputError):
        return BadInputError(str(cause))
    return TransportFailedError(
        f"The transport {transport.name!r} cannot go on ({type(cause).__name__}: {cause}). All that ran is stopped, "
        "nothing is given up: mend the cause, and the next solve goes on from here."
    )
