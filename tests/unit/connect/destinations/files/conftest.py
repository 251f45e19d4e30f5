from __future__ import annotations

import pyarrow as pa
import pytest

from headwater.connect import registry
from headwater.connect.contract import OpenRequest, Rows, Schema


@pytest.fixture
def load(tmp_path):
    """One run: rows given as dicts, in as many batches as there are lists."""

    def load(name, settings, columns, *batches, run_id="run-1", pipeline="shop", keys=(), memory_bytes=64 << 20):
        module = registry.destination(name)
        given = {"destination_path": str(tmp_path / "out"), **settings}
        request = OpenRequest(
            pipeline=pipeline, run_id=run_id, source="shop", folder=tmp_path / "scratch", memory_bytes=memory_bytes
        )
        session = module.open(module.Settings(**given), request)
        try:
            session.prepare(Schema(stream="orders", columns=pa.schema(columns), keys=keys))
            for rows in batches:
                batch = (
                    rows if isinstance(rows, pa.RecordBatch) else pa.RecordBatch.from_pylist(rows, pa.schema(columns))
                )
                session.stage(Rows(stream="orders", batch=batch))
            return session.commit(b"1", final=True)
        finally:
            session.close()

    return load


@pytest.fixture
def files(tmp_path):
    """The files of the stream, by path."""

    def files():
        root = tmp_path / "out" / "orders"
        return {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*")) if path.is_file()}

    return files
