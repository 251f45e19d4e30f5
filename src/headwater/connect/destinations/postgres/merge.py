"""SQL that merges JSON objects as `connect.members` says."""

from __future__ import annotations


def merged(old: str, news: str, sql_type: str) -> str:
    """The object `old` with the members of those in the array `news`, where the last of a name counts. Both may be
    null; the array is in order of arrival and has no nulls."""
    newest, before = f"(({news})[cardinality({news})]::jsonb)", f"({old}::jsonb)"
    document = "case when jsonb_typeof(d.document::jsonb) = 'object' then d.document::jsonb end"
    # Of one name it keeps the last.
    several = (
        f"select jsonb_object_agg(m.key, m.value order by d.number) from unnest(array_prepend({old}, {news})) "
        f"with ordinality d(document, number), jsonb_each({document}) m"
    )
    return (
        f"case when {news} is null then {old} when jsonb_typeof({newest}) <> 'object' then {newest}::{sql_type} "
        f"when cardinality({news}) > 1 then coalesce(({several}), '{{}}')::{sql_type} "
        f"when jsonb_typeof({before}) = 'object' then ({before} || {newest})::{sql_type} "
        f"else {newest}::{sql_type} end"
    )
