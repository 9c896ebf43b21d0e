"""
The contract of transports: what every transport must do.

A test module for a transport has a subclass of `TransportContract` that pytest collects, and a fixture `backend` of
module scope that returns a `Backend`. A `conftest.py` beside it imports the fixtures of
`climate_ref_prefect.testing.transports.fixtures`. The suite uses only the public interface: `TransportDriver.run` and
the port's methods.
"""

from climate_ref_prefect.testing.transports.contract_cancelling import CancellingContract
from climate_ref_prefect.testing.transports.contract_file_protocol import FileProtocolContract
from climate_ref_prefect.testing.transports.contract_isolation import IsolationContract
from climate_ref_prefect.testing.transports.contract_outcomes import OutcomesContract
from climate_ref_prefect.testing.transports.contract_port_methods import PortMethodsContract


class TransportContract(
    OutcomesContract, IsolationContract, FileProtocolContract, CancellingContract, PortMethodsContract
):
    """All of it."""
