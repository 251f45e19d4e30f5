"""Branches and tags."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from headwater.connect.sources.git.columns import BRANCHES, TAGS, moments, text
from headwater.connect.sources.git.repository import Repository
from headwater.connect.sources.git.tokens import field, whole

_SIZE = 4 << 20


def branches(found: Repository) -> list[pa.RecordBatch]:
    batches = []
    for name, sha, head in _fields(found, "refs/heads", "%(refname)", "%(objectname)", "%(HEAD)"):
        columns = [_short(name, "refs/heads/"), text(sha)[0], pc.equal(head, b"*")]
        batches.append(pa.RecordBatch.from_arrays(columns, schema=BRANCHES))
    return batches


def tags(found: Repository) -> list[pa.RecordBatch]:
    """A tag with a message of its own names another object, most often a commit; a plain one is the commit's name."""
    wanted = ("%(refname)", "%(objectname)", "%(objecttype)", "%(*objectname)", "%(*objecttype)")
    about = ("%(taggername)", "%(taggeremail:trim)", "%(taggerdate:raw)", "%(contents:subject)")
    batches = []
    for name, own, kind, inner, inner_kind, tagger, email, at, subject in _fields(found, "refs/tags", *wanted, *about):
        is_annotated = pc.equal(kind, b"tag")
        columns = [
            _short(name, "refs/tags/"),
            text(pc.if_else(is_annotated, inner, own))[0],
            text(pc.if_else(is_annotated, inner_kind, kind))[0],
            is_annotated,
            *(pc.if_else(is_annotated, one, None) for one in (text(tagger)[0], text(email)[0], moments(at)[0])),
            pc.if_else(is_annotated, text(subject)[0], None),
        ]
        batches.append(pa.RecordBatch.from_arrays(columns, schema=TAGS))
    return batches


def _fields(found: Repository, below: str, *wanted: str) -> list[list[pa.Array]]:
    form = "".join(f"%00{one}" for one in wanted)
    pieces = found.output("for-each-ref", f"--format={form}%00", below)
    period = len(wanted) + 1
    return [[field(part, at, period) for at in range(len(wanted))] for part in whole(pieces, period, _SIZE)]


def _short(names: pa.Array, prefix: str) -> pa.Array:
    return pc.utf8_slice_codeunits(text(names)[0], len(prefix))
