"""What a load that died in the middle of a commit leaves is gone after the next load."""

from __future__ import annotations

import pytest

from headwater.base.errors import HeadwaterError
from headwater.connect.destinations.folder import STAGED
from headwater.connect.destinations.heads import LeasedHead


def test_half_written_files_are_gone_after_the_next_load(place, send, request, monkeypatch):
    if place.kind not in ("csv", "jsonl", "parquet") or "s3" in request.node.callspec.id:
        pytest.skip("has no files in a folder")
    session = place.open("run-1")
    send(session, [{"id": 1, "name": "a"}])
    with monkeypatch.context() as dying:
        dying.setattr(LeasedHead, "swap", None)
        with pytest.raises((TypeError, HeadwaterError)):
            session.commit(b"1", final=True)
    left = [path for path in place.folder.rglob(f"{STAGED}/**/*") if path.is_file()]
    assert len(left) == 1
    living = place.open("run-9", pipeline="dev:other")
    send(living, [{"id": 2, "name": "b"}])
    session = place.open("run-2")
    send(session, [{"id": 3, "name": "c"}])
    session.commit(b"2", final=True)
    living.commit(b"3", final=True)
    assert [path for path in place.folder.rglob(f"{STAGED}/**/*") if path.is_file()] == []
    assert place.rows("users") is not None
