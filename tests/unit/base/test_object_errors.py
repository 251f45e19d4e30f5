"""What is said of the words of object stores."""

from __future__ import annotations

from headwater.base.object_errors import Hints, problem

HINTS = Hints(bucket="the bucket", region="the region", access="the keys")


def test_a_machine_that_knows_no_credentials_is_told_so():
    said = "Error performing PUT http://169.254.169.254/latest/api/token in 1.3 s\n\nDebug source:\nGeneric { … }"
    error = problem("s3://lake", said, HINTS)
    assert (error.what, error.hint) == ("there are no credentials for `s3://lake`", "the keys")


def test_what_is_for_those_who_write_the_library_is_left_out():
    error = problem("s3://lake", "Server returned 403 Forbidden: AccessDenied\n\nDebug source:\nGeneric { … }", HINTS)
    assert (error.reference, error.why) == ("store-refused", "Server returned 403 Forbidden: AccessDenied")
