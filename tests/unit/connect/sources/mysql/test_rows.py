"""Packets to columns, with no server: rows are made by the protocol's own rules, and marks hide in their values."""

from __future__ import annotations

import random

import pytest

from headwater.connect.sources.mysql.rows import Layout, UnexpectedRowError, decoded, mark

MARK = b"\xa1bcde"


def _length(value):
    if len(value) < 251:
        return bytes([len(value)]) + value
    if len(value) < 1 << 16:
        return b"\xfc" + len(value).to_bytes(2, "little") + value
    return b"\xfd" + len(value).to_bytes(3, "little") + value


def _packets(row):
    found = b""
    while True:
        part, row = row[:0xFFFFFF], row[0xFFFFFF:]
        found += len(part).to_bytes(3, "little") + b"\x07" + part
        if len(part) < 0xFFFFFF:
            return found


def _row(layout, words, texts):
    nulls = 0
    body = b"".join(word.to_bytes(8, "little", signed=True) for word in words) + _length(layout.mark)
    for number, text in enumerate(texts):
        if text is None:
            nulls |= 1 << (2 + layout.words + 1 + 2 * number)
        body += (b"" if text is None else _length(text)) + _length(layout.mark)
    return _packets(b"\0" + nulls.to_bytes((layout.columns + 9) // 8, "little") + body)


def _rows(data, layout):
    """What comes out of it, taken in as many steps as it needs."""
    found = []
    while (block := decoded(data, layout)) is not None:
        columns = [column.to_pylist() for column in (*block.words, *block.texts)]
        assert {len(column) for column in columns} == {block.rows}
        found += zip(*columns, strict=True)
        data = data[block.size :]
    return found, data


def _value(chance, wild):
    kind = chance.randrange(8)
    if kind == 0:
        return None
    if kind == 1 and wild:
        return b"".join(chance.choices([MARK, MARK[:2], MARK[1:], b"\x05", b"\xfb", b"\0"], k=chance.randrange(1, 9)))
    size = chance.choice([0, 1, 5, 20, 249, 250, 251, 252, 300, 65534, 65535, 65536] if kind == 2 else range(30))
    return chance.randbytes(size)


@pytest.mark.parametrize("seed", range(60))
def test_random_rows_come_back(seed):
    chance = random.Random(seed)  # noqa: S311 - a test's data
    layout = Layout(words=chance.choice([0, 1, 2, 9]), texts=chance.choice([0, 1, 3]) or 1, mark=MARK)
    rows = [
        (
            [chance.randrange(-(2**63), 2**63) for _ in range(layout.words)],
            [_value(chance, seed % 2) for _ in range(layout.texts)],
        )
        for _ in range(chance.randrange(1, 200))
    ]
    data = b"".join(_row(layout, *row) for row in rows)
    end = b"\x05\0\0\x09\xfe\0\0\x02\0"
    assert _rows(data + end, layout) == ([(*words, *texts) for words, texts in rows], end)


@pytest.mark.parametrize("seed", range(10))
def test_what_is_cut_anywhere_brings_the_rows_before(seed):
    chance = random.Random(seed)  # noqa: S311 - a test's data
    layout = Layout(words=2, texts=2, mark=MARK)
    rows = [([n, -n], [_value(chance, True), b"z"]) for n in range(20)]
    packets = [_row(layout, *row) for row in rows]
    data = b"".join(packets)
    cut = chance.randrange(len(data))
    whole = sum(cut >= len(b"".join(packets[: n + 1])) for n in range(20))
    found, rest = _rows(data[:cut], layout)
    assert found == [(*words, *texts) for words, texts in rows[:whole]]
    assert rest == data[len(b"".join(packets[:whole])) : cut]


def test_words_alone_need_no_texts():
    layout = Layout(words=3, texts=0, mark=MARK)
    data = b"".join(_row(layout, [n, -n, n * n], []) for n in range(300))
    assert _rows(data, layout)[0] == [(n, -n, n * n) for n in range(300)]


def test_a_row_of_several_packets_comes_back():
    layout = Layout(words=1, texts=2, mark=MARK)
    big = b"\xab" * 0xFFFFFF
    rows = [([1], [b"a", None]), ([2], [big, b"b"]), ([3], [None, b"c"])]
    data = b"".join(_row(layout, *row) for row in rows)
    assert _rows(data, layout) == ([(*words, *texts) for words, texts in rows], b"")


def test_rows_of_another_form_are_refused():
    layout = Layout(words=1, texts=1, mark=MARK)
    other = Layout(words=2, texts=1, mark=MARK)
    with pytest.raises(UnexpectedRowError):
        decoded(_row(other, [1, 2], [b"x"]), layout)


def test_a_mark_can_not_overlap_with_itself():
    for _ in range(300):
        found = mark()
        assert all(found[n:] != found[:-n] for n in range(1, len(found)))
