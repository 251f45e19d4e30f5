from __future__ import annotations

import pyarrow as pa
import pytest

from headwater.connect.contract import Rejected, Rows, Schema
from headwater.connect.stages import mapper

MISSING = pa.list_(pa.string())


class Bench:
    """Puts rows through the stages of a config."""

    def __init__(self) -> None:
        self.told = []
        self.sent = []

    def run(self, config, columns, rows, *, keys=(), cursor=None, missing=None, on_bad_record="fail", stream="s"):
        stages = mapper.stages(config, owner="mapper `m`", on_bad_record=on_bad_record, tell=self.told.append)
        batch = pa.RecordBatch.from_pylist(rows, schema=columns)
        given = [
            Schema(stream=stream, columns=columns, keys=keys, cursor=cursor),
            Rows(stream=stream, batch=batch, missing=None if missing is None else pa.array(missing, MISSING)),
        ]
        for stage in stages:
            given = [result for message in given for result in stage(message)]
        self.sent = given
        return self

    @property
    def rows(self):
        return [row for message in self.sent if isinstance(message, Rows) for row in message.batch.to_pylist()]

    @property
    def schema(self):
        return next(message for message in reversed(self.sent) if isinstance(message, Schema))

    @property
    def types(self):
        return {field.name: str(field.type) for field in self.schema.columns}

    @property
    def missing(self):
        found = next(message for message in self.sent if isinstance(message, Rows)).missing
        return None if found is None else found.to_pylist()

    @property
    def rejected(self):
        return [message for message in self.sent if isinstance(message, Rejected)]


@pytest.fixture
def bench():
    return Bench()
