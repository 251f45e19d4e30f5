"""What a load would spoil in a table that is there: refused before a row is loaded, with a way out."""

from __future__ import annotations

from headwater.base.errors import InputError
from headwater.connect.destinations import history as keeping
from headwater.connect.destinations.history import VALID_FROM
from headwater.connect.destinations.mysql.called import quote
from headwater.connect.destinations.mysql.live import Held, LiveColumn


def kind(held: Held) -> None:
    place = f"{held.schema}.{held.table}"
    if held.kind not in (None, "BASE TABLE", "SYSTEM VERSIONED"):
        raise unsupported(
            held.stream,
            None,
            f"`{place}` is a {(held.kind or '').lower()}",
            "rename it, or load into another `default_target_schema`",
        )
    if held.kind is not None and (held.engine or "").lower() != "innodb":
        raise unsupported(
            held.stream,
            None,
            f"`{place}` is a table of {held.engine}, which has no transactions",
            f"alter table {quote(held.schema)}.{quote(held.table)} engine = InnoDB",
        )


def charset(held: Held, source: str, existing: LiveColumn) -> None:
    if existing.charset not in (None, "utf8mb4") and existing.collation is not None:
        raise unsupported(
            held.stream,
            source,
            f"its character set {existing.charset} can't hold every text",
            f"alter table {quote(held.schema)}.{quote(held.table)} "
            f"convert to character set utf8mb4 collate {held.collation}",
        )


def required(held: Held, others: list[LiveColumn]) -> None:
    for one in others:
        if one.is_required:
            at = f"{quote(held.schema)}.{quote(held.table)}"
            raise unsupported(
                held.stream,
                one.name,
                "the column is NOT NULL and the source does not send it",
                f"allow nulls: alter table {at} modify {quote(one.name)} {one.sql_type} null",
            )


def key(held: Held, keys: tuple[str, ...], index: str | None, *, is_other_key: bool, is_hashed: bool) -> None:
    """Another key than before, one without an index, one that takes different texts for the same, and other unique
    indexes: each would make rows overwrite others."""
    place, at = f"{held.schema}.{held.table}", f"{quote(held.schema)}.{quote(held.table)}"
    if is_other_key:
        raise unsupported(
            held.stream,
            None,
            f"the key was ({', '.join(held.keys or ()) or 'none'}) and is now ({', '.join(keys) or 'none'})",
            f"move `{place}` out of the way and load it anew, or set `load_method` to `overwrite`",
        )
    if not keys:
        return
    if index is None:
        listed = ", ".join(map(quote, [*keys, *([VALID_FROM] if VALID_FROM in held.live else [])]))
        raise unsupported(
            held.stream,
            None,
            f"`{place}` has no unique index on ({listed})",
            f"alter table {at} add unique key ({listed})",
        )
    for one in [] if is_hashed else [held.live[name] for name in keys]:
        if one.collation not in (None, "binary", held.collation):
            raise unsupported(
                held.stream,
                one.name,
                f"it is a key, and its collation {one.collation} takes different texts for the same",
                f"alter table {at} modify {quote(one.name)} {one.sql_type} "
                f"character set utf8mb4 collate {held.collation} not null",
            )
    others = [name for name in held.unique if name != index]
    if others:
        raise unsupported(
            held.stream,
            None,
            f"`{place}` has a second unique index, `{others[0]}`, so an upsert could overwrite rows of other keys",
            f"make it an ordinary one: alter table {at} drop index {quote(others[0])}, add index …",
        )


def history(held: Held, keys: tuple[str, ...], index: str | None) -> None:
    place, listed = f"{held.schema}.{held.table}", ", ".join(keys)
    if held.keys != keys:
        raise keeping.not_convertible(place, held.stream, f"`{place}` was not loaded with the key ({listed})")
    others = [name for name in held.unique if name != index]
    if index is None or others:
        raise keeping.not_convertible(
            place,
            held.stream,
            f"`{place}` has other unique indexes than one on ({listed}), so a key can't have two versions",
            "drop those indexes, or move the table out of the way and load it anew",
        )


def unsupported(stream: str, column: str | None, why: str, hint: str) -> InputError:
    what = f"stream `{stream}`" if column is None else f"column `{column}` of stream `{stream}`"
    return InputError("unsupported-change", f"{what} can't be loaded into the table that is there", why=why, hint=hint)
