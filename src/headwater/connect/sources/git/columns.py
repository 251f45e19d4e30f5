"""The streams of a repository and their columns."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from headwater.connect import types
from headwater.connect.contract import JSON_FIELD

_S, _N, _B, _T = types.STRING, types.INT64, types.BOOL, types.TIMESTAMP


def _person(role: str, moment: str) -> list[pa.Field]:
    """Names and addresses of people are called so that they count as personal wherever columns are judged by name."""
    return [
        pa.field(f"{role}_name", _S),
        pa.field(f"{role}_email", _S),
        pa.field(f"{moment}_at", _T),
        pa.field(f"{moment}_zone", _S),
    ]


COMMITS = pa.schema(
    [
        pa.field("sha", _S),
        pa.field("parents", _S, metadata=JSON_FIELD),
        pa.field("is_merge", _B),
        *_person("author", "authored"),
        *_person("committer", "committed"),
        pa.field("subject", _S),
        pa.field("body", _S),
        pa.field("files_changed", _N),
        pa.field("additions", _N),
        pa.field("deletions", _N),
    ]
)
# These, and all of the stream `files`, need the differences between commits, which take most of the time.
NUMBERS = frozenset({"files_changed", "additions", "deletions"})
FILES = pa.schema(
    [
        pa.field("sha", _S),
        pa.field("path", _S),
        pa.field("old_path", _S),
        pa.field("status", _S),
        pa.field("additions", _N),
        pa.field("deletions", _N),
        pa.field("is_binary", _B),
        pa.field("is_submodule", _B),
        pa.field("committed_at", _T),
    ]
)
AUTHORS = pa.schema(
    [
        pa.field("email", _S),
        pa.field("name", _S),
        pa.field("commits", _N),
        pa.field("first_authored_at", _T),
        pa.field("last_authored_at", _T),
    ]
)
BRANCHES = pa.schema([pa.field("name", _S), pa.field("sha", _S), pa.field("is_default", _B)])
TAGS = pa.schema(
    [
        pa.field("name", _S),
        pa.field("sha", _S),
        pa.field("kind", _S),
        pa.field("is_annotated", _B),
        pa.field("tagger_name", _S),
        pa.field("tagger_email", _S),
        pa.field("tagged_at", _T),
        pa.field("subject", _S),
    ]
)

KEYS = {"commits": ("sha",), "files": ("sha", "path"), "authors": ("email",), "branches": ("name",), "tags": ("name",)}
SCHEMAS = {"commits": COMMITS, "files": FILES, "authors": AUTHORS, "branches": BRANCHES, "tags": TAGS}
# Only these go on from where the last run ended; the others are small and replaced.
INCREMENTAL = ("commits", "files")

_MOMENT = r"^(?P<seconds>-?\d{1,12}) (?:(?P<zone>[+-][01]\d[0-5]\d)|\S*)$"
# The last second of the year 9999, beyond which most databases have no moments.
_LAST = 253_402_300_799


def text(values: pa.Array) -> tuple[pa.Array, int]:
    """Bytes as text, and how many of them were no UTF-8: what is not is written as `\\xe9`."""
    try:
        return values.cast(pa.string()), 0
    except pa.ArrowInvalid:
        texts = [value.decode("utf-8", "backslashreplace") for value in values.to_pylist()]
        found = pa.array(texts, pa.string())
        return found, pc.sum(pc.not_equal(found.cast(pa.binary()), values)).as_py() or 0


def moments(values: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Git's seconds and zones (`1795291041 +0200`) as instants and zones (`+02:00`); null for what can't be one."""
    parts = pc.extract_regex(text(values)[0], _MOMENT)
    seconds = pc.struct_field(parts, "seconds").cast(pa.int64())
    seconds = pc.if_else(pc.less_equal(seconds, _LAST), seconds, None)
    zones = pc.struct_field(parts, "zone")
    zones = pc.replace_substring_regex(pc.if_else(pc.equal(zones, ""), None, zones), r"^(...)(..)$", r"\1:\2")
    return pc.multiply(seconds, 1_000_000).cast(_T), zones
