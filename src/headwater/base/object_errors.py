"""What object stores and their libraries say when something is wrong, as our errors. Whoever asks gives the hints."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from headwater.base.errors import EnvironmentProblemError
from headwater.base.redact import Redactor


class Hints(NamedTuple):
    """What to do: when there is no bucket, when it is in another region, when the store refuses."""

    bucket: str
    region: str
    access: str


# Where a machine in a cloud asks for its role: the last place that is looked at.
_NONE = re.compile(r"169\.254\.169\.254|metadata\.google\.internal")
_EXPIRED = re.compile(r"expired", re.IGNORECASE)
_NO_BUCKET = re.compile(r"NO_SUCH_BUCKET|NoSuchBucket|ContainerNotFound|bucket does not exist", re.IGNORECASE)
_REFUSED = re.compile(
    r"ACCESS_DENIED|AccessDenied|INVALID_ACCESS_KEY|INVALID_CLIENT_TOKEN|SIGNATURE_DOES_NOT_MATCH|FORBIDDEN|UNAUTHORI"
    r"|status( code)?[^0-9]*40[013]\b|PERMISSION_DENIED|UNAUTHENTICATED|AuthenticationFailed|credential",
    re.IGNORECASE,
)
_ELSEWHERE = re.compile(r"PermanentRedirect|PERMANENT_REDIRECT|AuthorizationHeaderMalformed|status( code)?[^0-9]*301\b")
_UNREACHABLE = re.compile(
    r"NETWORK_CONNECTION|couldn?.?.?t (connect|resolve)|could not (connect|resolve)|time.?out|timed out|UNAVAILABLE"
    r"|curl|fail to get a new connection|error sending request",
    re.IGNORECASE,
)


def problem(address: str, text: str, hints: Hints, *, secrets: Sequence[str] = ()) -> EnvironmentProblemError:
    """The error for a library's own `text`, which is shown without the secrets and not at any length."""
    said = " ".join(text.split()).partition(" Debug source:")[0]
    text = Redactor(secrets)(said)[:500]
    if _NONE.search(said):
        return EnvironmentProblemError(
            "store-refused",
            f"there are no credentials for `{address}`",
            why="neither the settings nor the environment hold any, and this machine has no role",
            hint=hints.access,
        )
    if _EXPIRED.search(said):
        return EnvironmentProblemError(
            "credentials-expired",
            f"the credentials for `{address}` have expired",
            why=text,
            hint="renew them, then run it again: it goes on from its last commit",
        )
    if _NO_BUCKET.search(said):
        return no_bucket(address, hints, text)
    if _ELSEWHERE.search(said):
        return EnvironmentProblemError(
            "wrong-region", f"the bucket of `{address}` is in another region", why=text, hint=hints.region
        )
    if _REFUSED.search(said):
        return EnvironmentProblemError(
            "store-refused", f"`{address}` refuses these credentials", why=text, hint=hints.access
        )
    if _UNREACHABLE.search(said):
        return EnvironmentProblemError(
            "store-unreachable",
            f"`{address}` can't be reached",
            why=text,
            hint="check network, region and endpoint, then run it again",
        )
    return EnvironmentProblemError(
        "store-failed", f"`{address}` did not do what it was asked to", why=text, hint="run it again"
    )


def is_no_bucket(text: str) -> bool:
    """Whether a library that misses an object misses its bucket."""
    return _NO_BUCKET.search(text) is not None


def no_bucket(address: str, hints: Hints, why: str | None = None) -> EnvironmentProblemError:
    return EnvironmentProblemError("no-such-bucket", f"there is no bucket for `{address}`", why=why, hint=hints.bucket)
