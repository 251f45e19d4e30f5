"""Loads into an object store: two writers at once, writers that died, and stores that refuse."""

from __future__ import annotations

import msgspec
import pyarrow as pa
import pytest

from headwater.base.errors import EnvironmentProblemError, InputError, RunFailedError
from headwater.connect.contract import OpenRequest, Rows, Schema
from headwater.connect.destinations import jsonl
from headwater.connect.destinations.heads import NumberedHead
from headwater.connect.destinations.manifest import Manifest
from headwater.connect.objects import Access, Bucket

COLUMNS = pa.schema([("id", pa.int64())])


@pytest.fixture
def settings(s3, tmp_path):
    return jsonl.Settings(destination_path=f"s3://lake/{tmp_path.name}", **s3.settings)


@pytest.fixture
def bucket(settings):
    return Bucket(settings)


@pytest.fixture
def opened(settings, tmp_path):
    def opened(run_id, pipeline="shop", **more):
        given = msgspec.structs.replace(settings, **more)
        return jsonl.open(given, OpenRequest(pipeline=pipeline, run_id=run_id, source="shop", folder=tmp_path / run_id))

    return opened


def stage(session, *ids):
    session.prepare(Schema(stream="orders", columns=COLUMNS))
    session.stage(Rows(stream="orders", batch=pa.record_batch([list(ids)], COLUMNS)))
    return session


def test_what_a_load_leaves_in_a_bucket(opened, bucket):
    for number in range(1, 6):
        stage(opened(f"run-{number}"), number).commit(b"1", final=True)
    assert bucket.names("orders") == [f"orders/shop.run-{n}.{n:06}.jsonl" for n in range(1, 6)]
    assert bucket.names("_staged") == []
    assert [name.rpartition("-")[0] for name in bucket.names("_manifests")] == [
        f"_manifests/shop/{n:09}.run-{n}" for n in (3, 4, 5)
    ]


def test_of_two_that_put_the_same_number_the_later_takes_its_own_back(bucket):
    head = NumberedHead(bucket, "shop")
    first, second = (Manifest(sequence=1, run_id=run, writer=run) for run in ("b", "a"))
    bucket.write("_manifests/shop/000000001.b.json", msgspec.json.encode(first))  # just after the other looked
    assert not NumberedHead(Late(bucket), "shop").swap(Manifest(), second)
    assert bucket.names("_manifests") == ["_manifests/shop/000000001.b.json"]
    assert head.read().writer == "b"


class Late:
    """A storage whose first answer is older than what has been put meanwhile."""

    def __init__(self, storage):
        self._storage = storage
        self._first = [[]]

    def names(self, folder):
        return self._first.pop() if self._first else self._storage.names(folder)

    def __getattr__(self, name):
        return getattr(self._storage, name)


def test_a_writer_that_had_read_what_no_longer_counts_fails(opened, bucket):
    slow, fast = opened("run-1"), opened("run-2")
    stage(fast, 1).commit(b"1")
    stage(slow, 2)
    with pytest.raises(RunFailedError) as caught:
        slow.commit(b"2")
    assert caught.value.reference == "another-writer"
    assert bucket.names("orders") == ["orders/shop.run-2.000001.jsonl"]


def test_loads_without_a_pipeline_take_turns(opened, bucket):
    first, second = opened("run-1", None), opened("run-2", None)
    stage(first, 1).commit(None, final=True)
    stage(second, 2).commit(None, final=True)
    assert len(bucket.names("orders")) == 2


def test_what_a_dead_writer_staged_goes_with_the_next_commit_of_its_number(opened, bucket):
    """Until then it may still be alive, on another host."""
    bucket.write("_staged/shop/000001.run-0/orders/shop.run-0.000001.jsonl", b'{"id":0}\n')
    session = opened("run-1")
    assert len(bucket.names("_staged")) == 1
    stage(session, 1).commit(b"1")
    assert bucket.names("_staged") == []
    assert bucket.names("orders") == ["orders/shop.run-1.000001.jsonl"]


def test_files_that_are_replaced_go_after_the_commit(opened, bucket):
    for run in ("run-1", "run-2"):
        stage(opened(run, load_method="overwrite"), 1).commit(b"1", final=True)
    assert bucket.names("orders") == ["orders/shop.run-2.000002.jsonl"]


def test_a_bucket_that_is_not_there(settings, s3):
    with pytest.raises(EnvironmentProblemError) as caught:
        Bucket(msgspec.structs.replace(settings, destination_path="s3://puddle/x"))
    assert (caught.value.reference, caught.value.what) == ("no-such-bucket", "there is no bucket for `s3://puddle/x`")


def test_a_store_that_nobody_answers_for(settings):
    nowhere = msgspec.structs.replace(settings, destination_path="s3://lake/x", aws_endpoint_url="http://127.0.0.1:1")
    with pytest.raises(EnvironmentProblemError) as caught:
        Bucket(nowhere)
    assert (caught.value.reference, caught.value.what) == ("store-unreachable", "`s3://lake/x` can't be reached")


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("AWS Error ACCESS_DENIED during PutObject operation: Access Denied", "store-refused"),
        ("AWS Error UNKNOWN (HTTP status 400) during HeadObject: ExpiredToken: has expired", "credentials-expired"),
        ("AWS Error NO_SUCH_BUCKET during PutObject operation", "no-such-bucket"),
        ("AWS Error INVALID_ACCESS_KEY_ID during ListObjectsV2", "store-refused"),
        (
            "AWS Error NETWORK_CONNECTION during PutObject operation: curlCode: 28, Timeout was reached",
            "store-unreachable",
        ),
        ("AWS Error UNKNOWN (HTTP status 400) during HeadBucket operation: No response body.", "store-refused"),
        ("AWS Error UNKNOWN (HTTP status 301) during HeadBucket operation: No response body.", "wrong-region"),
        ("AWS Error SLOW_DOWN during PutObject operation", "store-failed"),
    ],
)
def test_what_a_store_says_is_told_without_secrets(bucket, s3, text, reference):
    found = bucket._trouble(OSError(f"{text} for {s3.secret}"))
    assert found.reference == reference
    assert s3.secret not in f"{found.what} {found.why} {found.hint}"
    assert "(redacted)" in found.why


@pytest.mark.parametrize("address", ["s3://", "gs:///x", "az://box/x"])
def test_an_address_that_lacks_something_is_refused(address):
    with pytest.raises(InputError) as caught:
        Bucket(Access(destination_path=address))
    assert caught.value.reference == "bad-address"
