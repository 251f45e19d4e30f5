"""What `git log` writes, as Arrow columns: split in bulk, commit by commit only where the text is odd.

Behind the fields of a commit stand its changes: a line `:…` for each file with its modes and names, and after these as
many lines with its numbers. In lines git quotes a name that holds an end of line, a tab or a quote.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable

import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from headwater.connect.sources.git.columns import COMMITS, FILES, moments, text
from headwater.connect.sources.git.tokens import field, unreadable, whole

_FIELDS = ("%H", "%P", "%an", "%ae", "%ad", "%cn", "%ce", "%cd", "%s", "%b")
_PERIOD = len(_FIELDS) + 1
_MAPPED = {"%an": "%aN", "%ae": "%aE", "%cn": "%cN", "%ce": "%cE"}
_SHA = r"^([0-9a-f]{40}|[0-9a-f]{64})$"
_NUMBERS = pa.array([bytes([code]) for code in b"0123456789-"], pa.binary())
_WORDS = {
    b"A": "added",
    b"C": "copied",
    b"D": "deleted",
    b"M": "modified",
    b"R": "renamed",
    b"T": "type changed",
}
_LETTERS = pa.array(_WORDS, pa.binary())
_NAMES = pa.array(_WORDS.values(), pa.string())
_SUBMODULE = b"160000"
# Arrow multiplies it by the number of rows, which overflows with the end that it takes by itself.
_END = 1 << 31
_ESCAPED = re.compile(rb"\\([0-7]{3}|.)", re.DOTALL)
_CONTROL = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}


class Part(Struct, frozen=True, kw_only=True):
    """Some commits, oldest first: `shas` and the shas of all their parents, rows of both streams (those of `files` None
    when differences were not asked for), and how many texts were no UTF-8, by stream and column."""

    shas: list[str]
    parents: list[str]
    commits: pa.RecordBatch
    files: pa.RecordBatch | None
    repaired: dict[str, dict[str, int]]


class _Changes(Struct, frozen=True, kw_only=True):
    """Files, in the order of their commits; `ends` says where those of each commit end."""

    ends: pa.Array
    status: pa.Array
    path: pa.Array
    old_path: pa.Array
    additions: pa.Array
    deletions: pa.Array
    is_binary: pa.Array
    is_submodule: pa.Array


def arguments(*, mailmap: bool, changes: bool) -> list[str]:
    """For `git log`: every commit after its parents, whatever the repository or its user would rather see."""
    fields = [_MAPPED.get(one, one) if mailmap else one for one in _FIELDS]
    shown = ("--raw", "--numstat", "--no-abbrev", "--find-renames", "--no-ext-diff", "--no-textconv")
    steady = ("--no-show-signature", "--no-notes", "--no-decorate", "--no-color", "--ignore-submodules=none")
    return [
        *("log", "--reverse", "--topo-order", "--encoding=UTF-8", "--date=raw", *steady),
        *((*shown, "--diff-algorithm=default", "--no-relative", "--no-follow") if changes else ("--no-patch",)),
        f"--format=tformat:%x00{'%x00'.join(fields)}%x00",
    ]


def parts(
    pieces: Iterable[bytes], *, boundary: frozenset[str], size: int, changes: bool
) -> Generator[Part, None, None]:
    """The commits in what `git log` writes, some `size` bytes of it at a time. The parents of commits in `boundary` are
    not there: what they changed nobody knows."""
    for tokens in whole(pieces, _PERIOD, size):
        yield _part(tokens, boundary, changes=changes)


def _part(tokens: pa.Array, boundary: frozenset[str], *, changes: bool) -> Part:
    raw = {one: field(tokens, at, _PERIOD) for at, one in enumerate(_FIELDS)}
    if not pc.all(pc.match_substring_regex(raw["%H"], _SHA)).as_py():
        raise unreadable()
    shas = raw["%H"].cast(pa.string())
    parents = raw["%P"].cast(pa.string())
    repaired: dict[str, int] = {}

    def told(column: str, one: str) -> pa.Array:
        found, count = text(raw[one])
        if count:
            repaired[column] = count
        return found

    authored, authored_zone = moments(raw["%ad"])
    committed, committed_zone = moments(raw["%cd"])
    is_merge = pc.match_substring(parents, " ")
    files, numbers = None, [pa.nulls(len(shas), pa.int64())] * 3
    odd: dict[str, int] = {}
    if changes:
        # A merge is compared with none of its parents, and what stands on the boundary with nothing.
        is_known = pc.invert(pc.or_(is_merge, pc.is_in(shas, pa.array(boundary, pa.string()))))
        found = _changes(pc.if_else(is_known, field(tokens, _PERIOD - 1, _PERIOD), b""), len(raw["%H"][0].as_py()))
        files, odd = _files(found, shas, committed)
        numbers = [pc.if_else(is_known, one, None) for one in _numbers(found)]
    columns = [
        shas,
        pc.if_else(pc.equal(parents, ""), "[]", pc.binary_join_element_wise('["', _listed(parents), '"]', "")),
        is_merge,
        *(told("author_name", "%an"), told("author_email", "%ae"), authored, authored_zone),
        *(told("committer_name", "%cn"), told("committer_email", "%ce"), committed, committed_zone),
        told("subject", "%s"),
        pc.utf8_rtrim(told("body", "%b"), "\n"),
        *numbers,
    ]
    return Part(
        shas=shas.to_pylist(),
        parents=" ".join(parents.to_pylist()).split(),
        commits=pa.RecordBatch.from_arrays(columns, schema=COMMITS),
        files=files,
        repaired={"commits": repaired, "files": odd},
    )


def _listed(parents: pa.Array) -> pa.Array:
    return pc.replace_substring(parents, " ", '","')


def _changes(texts: pa.Array, width: int) -> _Changes:
    """The files that the commits change; `width` is that of a sha."""
    lines = pc.split_pattern(texts, b"\n")
    each = lines.flatten()
    first = pc.binary_slice(each, 0, 1)
    is_file, is_number = pc.equal(first, b":"), pc.is_in(first, _NUMBERS)
    ends = pc.cumulative_sum(pc.list_value_length(lines))
    file_ends = _count_up_to(is_file, ends)
    whole = each.filter(is_file)
    # `R095\told\tnew` or `M\tpath` stands behind two modes and two names of contents.
    named = pc.split_pattern(pc.binary_slice(whole, 17 + 2 * width, _END), b"\t")
    flat, counts = named.flatten(), pc.list_value_length(named)
    at = pc.cumulative_sum(counts)
    letters = pc.binary_slice(flat.take(pc.subtract(at, counts)), 0, 1)
    old = pc.if_else(pc.equal(counts, 3), flat.take(pc.subtract(at, 2)), None)
    if file_ends.equals(_count_up_to(is_number, ends)):
        added, deleted = _two(each.filter(is_number))
    else:
        added, deleted = _aligned(lines, is_file, is_number)
    modes = (pc.binary_slice(whole, 1, 7), pc.binary_slice(whole, 8, 14))
    return _Changes(
        ends=file_ends,
        status=_NAMES.take(pc.index_in(letters, _LETTERS)),
        path=_unquoted(flat.take(pc.subtract(at, 1))),
        old_path=_unquoted(old),
        additions=_count(added),
        deletions=_count(deleted),
        is_binary=pc.equal(added, b"-"),
        is_submodule=pc.or_(pc.equal(modes[0], _SUBMODULE), pc.equal(modes[1], _SUBMODULE)),
    )


def _count_up_to(mask: pa.Array, ends: pa.Array) -> pa.Array:
    """How many are true before each of the ends."""
    counts = pc.cumulative_sum(mask.cast(pa.int64()))
    return pa.concat_arrays([pa.array([0], pa.int64()), counts]).take(ends)


def _two(lines: pa.Array) -> tuple[pa.Array, pa.Array]:
    """The first two words of lines that have three."""
    words = pc.split_pattern(lines, b"\t", max_splits=2).flatten()
    return field(words, 0, 3), field(words, 1, 3)


def _aligned(lines: pa.Array, is_file: pa.Array, is_number: pa.Array) -> tuple[pa.Array, pa.Array]:
    """The numbers of files where git left some out: of commits with fewer numbers than files nobody can say which file
    they are of, so theirs are null."""
    owners = pc.list_parent_indices(lines)
    ends = pc.cumulative_sum(pc.list_value_length(lines))
    counts = [_each(_count_up_to(mask, ends)) for mask in (is_file, is_number)]
    fits = pc.equal(*counts)
    each = lines.flatten()
    numbers = _two(each.filter(pc.and_(is_number, fits.take(owners))))
    mask = fits.take(owners.filter(is_file))
    none = pa.nulls(len(mask), pa.binary())
    return pc.replace_with_mask(none, mask, numbers[0]), pc.replace_with_mask(none, mask, numbers[1])


def _each(ends: pa.Array) -> pa.Array:
    """From running totals to what each adds."""
    before = pa.concat_arrays([pa.array([0], ends.type), ends.slice(0, max(0, len(ends) - 1))])
    return pc.subtract(ends, before.slice(0, len(ends)))


def _count(words: pa.Array) -> pa.Array:
    """Numbers; null for `-`, which stands where contents have no lines."""
    return pc.if_else(pc.equal(words, b"-"), None, words).cast(pa.string()).cast(pa.int64())


def _numbers(found: _Changes) -> list[pa.Array]:
    """Of each commit how many files it changes, and the lines that it adds and deletes in them."""

    def total(values: pa.Array) -> pa.Array:
        sums = pc.cumulative_sum(pc.fill_null(values, 0))
        return _each(pa.concat_arrays([pa.array([0], pa.int64()), sums]).take(found.ends))

    return [_each(found.ends), total(found.additions), total(found.deletions)]


def _files(found: _Changes, shas: pa.Array, committed: pa.Array) -> tuple[pa.RecordBatch, dict[str, int]]:
    offsets = pa.concat_arrays([pa.array([0], pa.int64()), found.ends]).cast(pa.int32())
    owners = pc.list_parent_indices(pa.ListArray.from_arrays(offsets, found.path))
    path, odd = text(found.path)
    old_path, odd_old = text(found.old_path)
    columns = [
        *(shas.take(owners), path, old_path, found.status, found.additions, found.deletions),
        *(pc.fill_null(found.is_binary, False), found.is_submodule, committed.take(owners)),
    ]
    repaired = {name: count for name, count in (("path", odd), ("old_path", odd_old)) if count}
    return pa.RecordBatch.from_arrays(columns, schema=FILES), repaired


def _unquoted(names: pa.Array) -> pa.Array:
    """Names as they are: git quotes those that hold a quote, a backslash or a control character."""
    is_quoted = pc.fill_null(pc.starts_with(names, b'"'), False)
    if not pc.any(is_quoted).as_py():
        return names
    plain = [_ESCAPED.sub(_meant, name[1:-1]) for name in names.filter(is_quoted).to_pylist()]
    return pc.replace_with_mask(names, is_quoted, pa.array(plain, pa.binary()))


def _meant(escaped: re.Match[bytes]) -> bytes:
    code = escaped[1]
    return bytes([int(code, 8)]) if len(code) == 3 else _CONTROL.get(code, code)
