"""The recorders of this package pass the contract suite."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from sqlalchemy import text

from climate_ref_prefect.diagnostics.execution_result import METRIC_BUNDLE
from climate_ref_prefect.diagnostics.metric_bundle import MetricBundle
from climate_ref_prefect.store.memory_recorder import MemoryRecorder
from climate_ref_prefect.store.port import Recorder
from climate_ref_prefect.store.reading_port import ExecutionReader
from climate_ref_prefect.store.sql.database_location import parse_location
from climate_ref_prefect.store.sql.engine import build_engine
from climate_ref_prefect.store.sql.recorder import SqlRecorder
from climate_ref_prefect.store.sql.sql_store import Store, open_store
from climate_ref_prefect.testing.recorders.contract import BundleContract, ReadingContract, RecorderContract
from climate_ref_prefect.testing.recorders.example_values import holder
from climate_ref_prefect.testing.recorders.withdrawing import WithdrawingContract
from tests.flows.file_recorder import FileRecorder


def scalars(reader: ExecutionReader, execution_id: int) -> dict[str, float | None]:
    return {row.dimensions["statistic"]: row.value for row in reader.scalars([execution_id])}


class TestMemoryRecorder(BundleContract, ReadingContract, WithdrawingContract):
    """The recorder in memory."""

    @pytest.fixture
    def recorder(self) -> MemoryRecorder:
        return MemoryRecorder()

    @pytest.fixture
    def reader(self, recorder: MemoryRecorder) -> MemoryRecorder:
        return recorder

    def lose_lease(self, recorder: Recorder) -> None:
        assert isinstance(recorder, MemoryRecorder)
        with recorder.take_over(holder(pid=1)):
            pass

    def recorded_scalars(self, recorder: Recorder, execution_id: int) -> Mapping[str, float | None]:
        assert isinstance(recorder, MemoryRecorder)
        return scalars(recorder, execution_id)


class TestFileRecorder(RecorderContract):
    """A recorder that is not ours: it publishes nothing, and keeps files as they are."""

    @pytest.fixture
    def recorder(self, tmp_path: Path) -> FileRecorder:
        return FileRecorder(tmp_path / "kept-elsewhere")

    def lose_lease(self, recorder: Recorder) -> None:
        assert isinstance(recorder, FileRecorder)
        with recorder.memory.take_over(holder(pid=1)):
            pass

    def recorded_scalars(self, recorder: Recorder, execution_id: int) -> Mapping[str, float | None]:
        assert isinstance(recorder, FileRecorder)
        path = recorder.root / "kept" / str(execution_id) / METRIC_BUNDLE
        if not path.exists():
            return {}
        metrics = MetricBundle.model_validate_json(path.read_bytes())
        return {dimensions["statistic"]: value for dimensions, value in metrics.scalars()}


class TestSqlRecorder(BundleContract, ReadingContract, WithdrawingContract):
    """The recorder on SQLite and on PostgreSQL."""

    @pytest.fixture
    def recorder(self, store_url: str, tmp_path: Path) -> Iterator[SqlRecorder]:
        with open_store(store_url) as store:
            yield SqlRecorder(store, tmp_path / "results")

    @pytest.fixture
    def reader(self, recorder: SqlRecorder) -> Store:
        return recorder.store

    def lose_lease(self, recorder: Recorder) -> None:
        assert isinstance(recorder, SqlRecorder)
        url = recorder.store._engine.url
        engine = build_engine(parse_location(url.render_as_string(hide_password=False)))
        with engine.begin() as connection:
            connection.execute(
                text("UPDATE lease SET epoch = epoch + 1, holder = 'another', taken_at = '2026-01-02 03:04:05'")
            )
        engine.dispose()

    def recorded_scalars(self, recorder: Recorder, execution_id: int) -> Mapping[str, float | None]:
        assert isinstance(recorder, SqlRecorder)
        return scalars(recorder.store, execution_id)
