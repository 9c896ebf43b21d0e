"""The recorder over REF's database passes the contract suite."""

import os
import shutil
from collections.abc import Iterator, Mapping
from math import isnan
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from climate_ref_prefect.execution.finished_execution import FinishedExecution
from climate_ref_prefect.ref import upstream
from climate_ref_prefect.store.port import AllocatedExecution, Recorder
from climate_ref_prefect.testing.recorders.contract import RecorderContract
from climate_ref_prefect.testing.recorders.withdrawing import WithdrawingContract
from tests.postgres import PostgresServer, postgres_server
from tests.ref.ref_database import RecorderAfterRef, RefSolve, leave_ref_results, ref_config
from tests.store.example_values import holder

__all__ = ["postgres_server"]


class TestRefRecorder(RecorderContract, WithdrawingContract):
    """The recorder on REF's SQLite database."""

    @pytest.fixture
    def recorder(self, empty_database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RecorderAfterRef:
        monkeypatch.setenv("REF_CONFIGURATION", str(tmp_path))
        (tmp_path / "db").mkdir()
        shutil.copyfile(empty_database, tmp_path / "db" / "climate_ref.db")
        return RecorderAfterRef(RefSolve(ref_config(tmp_path)))

    def finish(self, scratch: Path, allocated: AllocatedExecution) -> FinishedExecution:
        return leave_ref_results(scratch, allocated)

    def lose_lease(self, recorder: Recorder) -> None:
        assert isinstance(recorder, RecorderAfterRef)
        engine = create_engine(recorder.database.url)
        with engine.begin() as connection:
            connection.execute(
                text(
                    "UPDATE climate_ref_prefect_lease SET epoch = epoch + 1, holder = 'another', "
                    "taken_at = '2026-01-02 03:04:05'"
                )
            )
        engine.dispose()

    def test_who_coordinates_is_named(self, recorder: RecorderAfterRef) -> None:
        assert recorder.database.coordinator() is None
        with recorder.coordinate(holder()):
            named = recorder.database.coordinator()
        assert named is not None
        assert str(os.getpid()) in named
        assert recorder.database.coordinator() is None

    def recorded_scalars(self, recorder: Recorder, execution_id: int) -> Mapping[str, float | None]:
        assert isinstance(recorder, RecorderAfterRef)
        query = text("SELECT statistic, value FROM metric_value WHERE execution_id = :number")
        with recorder.database.reading() as connection:
            rows = connection.execute(query, {"number": execution_id}).all()
        # REF writes NaN for a missing value. SQLite makes NULL of that, and PostgreSQL keeps it.
        return {row.statistic: None if row.value is None or isnan(row.value) else row.value for row in rows}


class TestRefRecorderOnPostgresql(TestRefRecorder):
    """The recorder on REF's database on PostgreSQL."""

    @pytest.fixture
    def recorder(
        self, postgres_server: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[RecorderAfterRef]:
        monkeypatch.setenv("REF_CONFIGURATION", str(tmp_path))
        url = postgres_server.create_database()
        config = ref_config(tmp_path, url.replace("+psycopg", ""))
        upstream.Database.from_config(config, run_migrations=True).close()
        recorder = RecorderAfterRef(RefSolve(config))
        yield recorder
        recorder.solve.database.close()
        recorder.database.close()
        postgres_server.drop_database(url)
