"""What `headwater doctor` found."""

from __future__ import annotations

from msgspec import Struct

from headwater.base.errors import HeadwaterError


class Finding(Struct, frozen=True, kw_only=True):
    """`status` is `ok`, `warning` or `failed`."""

    subject: str
    status: str
    text: str
    hint: str | None = None


def failed(subject: str, error: HeadwaterError) -> Finding:
    where = f"{error.where}: " if error.where else ""
    why = f": {error.why.splitlines()[0]}" if error.why else ""
    return Finding(subject=subject, status="failed", text=f"{where}{error.what}{why}", hint=error.hint)
