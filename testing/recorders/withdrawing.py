"""More of the contract of recorders, for those whose writer can take back what it has allocated."""

from climate_ref_prefect.store.port import AttemptCounts, Recorder, WithdrawingWriter, Writer
from climate_ref_prefect.testing.recorders.contract import UNKNOWN
from climate_ref_prefect.testing.recorders.example_values import allocate, counts_of, failure


class WithdrawingContract:
    """Attempts can be taken back: a class for a recorder that `RecorderContract` is given for as well."""

    def test_what_nobody_has_begun_with_is_as_if_it_had_not_been_allocated(
        self, recorder: Recorder, writer: Writer
    ) -> None:
        assert isinstance(writer, WithdrawingWriter)
        kept, begun, withdrawn = (allocate(writer, key) for key in ("kept", "begun", "withdrawn"))
        writer.finalise(kept.execution_id, failure())
        writer.withdraw([])
        writer.withdraw([kept.execution_id, withdrawn.execution_id, UNKNOWN])
        assert [one.execution_id for one in recorder.unfinished()] == [begun.execution_id]
        assert counts_of(recorder, key="kept") == AttemptCounts(attempts=1, counted=1)
        assert counts_of(recorder, key="withdrawn") == AttemptCounts()
        again = allocate(writer, "withdrawn")
        assert [one.fragment for one in recorder.unfinished()] == [begun.fragment, again.fragment]
