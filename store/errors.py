"""
Errors of recording executions.

`LeaseLostError`, `RecorderUnavailableError` and `ResultRefusedError` belong to the port (`store/port.py`): every
recorder raises them. The others are those of our own database.

::

    ClimateRefPrefectError
    ├── BadInputError
    │   └── MissingDriverError      the extra that talks to PostgreSQL is not installed
    ├── LeaseLostError              another coordinator has taken over: nothing more is written here
    ├── RecorderUnavailableError    nothing of the call was recorded, and the same call may work later
    ├── ResultRefusedError          the results of one execution cannot be published or recorded
    └── StoreError
        ├── SchemaError             the database has another schema than this version
        │   ├── SchemaOutdatedError an older one: it can be upgraded
        │   └── SchemaUnknownError  a newer one, or tables of another program
        ├── StoreUnavailableError   locked, full, unreachable; a RecorderUnavailableError, too
        ├── StoreRefusedError       the database will never take it
        ├── UnknownExecutionError   no execution has that number
        ├── NotCoordinatingError    only who coordinates may write
        ├── NotReopenedError        the results of an execution may not be ingested again
        └── CoordinatorBusyError    another coordinator works on this database
"""

from climate_ref_prefect.diagnostics.errors import BadInputError, ClimateRefPrefectError
from climate_ref_prefect.execution.failure_kinds import FailureKind


class RecorderUnavailableError(ClimateRefPrefectError):
    """The recorder does not work now. Nothing of the call was recorded, and it may be repeated."""


class ResultRefusedError(ClimateRefPrefectError):
    """
    The results of an execution cannot be published or recorded; those of others can.

    Parameters
    ----------
    kind
        The failure kind of the execution: `invalid_result` and `vocabulary_mismatch` if these results can never
        be accepted, `publish_failed` if they, or those of another run, may be accepted later.
    message
        The reason, in one sentence.
    """

    def __init__(self, kind: FailureKind, message: str) -> None:
        self.kind = kind
        self.message = message
        super().__init__(kind, message)

    def __str__(self) -> str:
        """Return the message alone."""
        return self.message


class MissingDriverError(BadInputError):
    """The URL asks for a database whose driver is not installed."""


class StoreError(ClimateRefPrefectError):
    """Base of the errors of the SQL store."""


class SchemaError(StoreError):
    """The database has another schema than this version of climate-ref-prefect works with."""


class SchemaOutdatedError(SchemaError):
    """
    The database was made by an older version and must be upgraded first.

    Parameters
    ----------
    database
        Name for people, without password.
    found, needed
        Revision of the database, and the one that this version works with.
    """

    def __init__(self, database: str, *, found: str, needed: str) -> None:
        super().__init__(
            f"The database {database} has schema revision {found}, this version of climate-ref-prefect "
            f"needs {needed}. Run `climate-ref-prefect db upgrade`."
        )


class SchemaUnknownError(SchemaError):
    """The database was made by a newer version, or by another program."""


class StoreUnavailableError(StoreError, RecorderUnavailableError):
    """The database is locked, full or out of reach; nothing of the call was recorded, and it may be repeated."""


class StoreRefusedError(StoreError):
    """The database refuses what it was given; nothing of the call was recorded."""


class UnknownExecutionError(StoreError):
    """No execution has that number."""

    def __init__(self, execution_id: int) -> None:
        self.execution_id = execution_id
        super().__init__(f"There is no execution {execution_id} in the database.")


class NotCoordinatingError(StoreError):
    """A method that writes was called outside of `Store.coordinate`."""

    def __init__(self, database: str) -> None:
        super().__init__(f"Only the coordinator of {database} may record anything: use `Store.coordinate`.")


class NotReopenedError(StoreError):
    """The results of an execution may not be ingested again. The message says why."""


class CoordinatorBusyError(StoreError):
    """
    Another coordinator works on this database.

    Parameters
    ----------
    database
        Name for people, without password.
    holder
        Description of that coordinator, as far as the database knows it.
    """

    def __init__(self, database: str, holder: str) -> None:
        self.holder = holder
        super().__init__(
            f"Another coordinator works on {database}: {holder}. "
            "Two at once would run the same groups twice; wait for it to end, or stop it."
        )


class LeaseLostError(ClimateRefPrefectError):
    """
    Another coordinator has taken this database over; nothing of the call was recorded.

    Deliberately not a `StoreError`: it does not concern a single execution, so that handlers of those let it pass.

    Parameters
    ----------
    database
        Name for people, without password.
    holder
        The new coordinator.
    since
        When it took over, as text.
    """

    def __init__(self, database: str, *, holder: str, since: str) -> None:
        self.holder = holder
        super().__init__(
            f"The right to coordinate on {database} is lost: {holder} has had it since {since}. What ran here is "
            "stopped, and nothing more is recorded or published from here; the new coordinator takes it up."
        )
