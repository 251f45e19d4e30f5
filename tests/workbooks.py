"""Small Excel workbooks: numbers, texts, dates, times, errors and formulas with a result."""

from __future__ import annotations

import datetime as dt
import zipfile
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_TYPES = "application/vnd.openxmlformats-officedocument.spreadsheetml"
# Formats by number: general, a date, a date with a time, a time.
_STYLES = f"""<styleSheet xmlns="{_MAIN}"><fonts count="1"><font/></fonts><fills count="1"><fill/></fills>
<borders count="1"><border/></borders><cellStyleXfs count="1"><xf/></cellStyleXfs><cellXfs count="4">
<xf numFmtId="0"/><xf numFmtId="14" applyNumberFormat="1"/><xf numFmtId="22" applyNumberFormat="1"/>
<xf numFmtId="21" applyNumberFormat="1"/></cellXfs></styleSheet>"""
_FIRST = dt.datetime(1899, 12, 30)  # noqa: DTZ001 - sheets know no zones


def workbook(path: Path, rows: list[list[Any]], *, merged: str = "", **more: list[list[Any]]) -> None:
    """Write a sheet `Sheet1` of those rows; `merged` is a range of it, `more` are further sheets by name. A pair is a
    formula and its last result, or `error` and what the cell shows of it."""
    sheets = {"Sheet1": rows, **more}
    numbers = range(1, len(sheets) + 1)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        parts = [
            f'<Override PartName="/xl/worksheets/sheet{n}.xml" ContentType="{_TYPES}.worksheet+xml"/>' for n in numbers
        ]
        book.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{_PACKAGE}/content-types"><Default Extension="rels" '
            f'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            f'<Override PartName="/xl/workbook.xml" ContentType="{_TYPES}.sheet.main+xml"/>'
            f'<Override PartName="/xl/styles.xml" ContentType="{_TYPES}.styles+xml"/>{"".join(parts)}</Types>',
        )
        book.writestr("_rels/.rels", _relations({"rId1": ("officeDocument", "xl/workbook.xml")}))
        names = [
            f'<sheet name="{escape(name)}" sheetId="{n}" r:id="rId{n}"/>'
            for n, name in zip(numbers, sheets, strict=True)
        ]
        book.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><sheets>{"".join(names)}</sheets></workbook>',
        )
        targets = {f"rId{n}": ("worksheet", f"worksheets/sheet{n}.xml") for n in numbers}
        book.writestr("xl/_rels/workbook.xml.rels", _relations({**targets, "rId0": ("styles", "styles.xml")}))
        book.writestr("xl/styles.xml", _STYLES)
        for number, (name, content) in enumerate(sheets.items(), start=1):
            lines = [_row(at, cells) for at, cells in enumerate(content, start=1)]
            joined = (
                f'<mergeCells count="1"><mergeCell ref="{merged}"/></mergeCells>' if merged and name == "Sheet1" else ""
            )
            sheet = f'<worksheet xmlns="{_MAIN}"><sheetData>{"".join(lines)}</sheetData>{joined}</worksheet>'
            book.writestr(f"xl/worksheets/sheet{number}.xml", sheet)


def _relations(targets: dict[str, tuple[str, str]]) -> str:
    lines = [
        f'<Relationship Id="{name}" Type="{_OFFICE}/{kind}" Target="{target}"/>'
        for name, (kind, target) in targets.items()
    ]
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{"".join(lines)}</Relationships>'


def _row(number: int, cells: list[Any]) -> str:
    found = [_cell(f"{chr(ord('A') + at)}{number}", value) for at, value in enumerate(cells)]
    return f'<row r="{number}">{"".join(found)}</row>'


def _cell(place: str, value: Any) -> str:
    match value:
        case None:
            return ""
        case ("error", text):
            return f'<c r="{place}" t="e"><v>{text}</v></c>'
        case (formula, result):
            kind = ' t="str"' if isinstance(result, str) else ""
            return f'<c r="{place}"{kind}><f>{escape(formula)}</f><v>{escape(str(result))}</v></c>'
        case bool():
            return f'<c r="{place}" t="b"><v>{int(value)}</v></c>'
        case str():
            return f'<c r="{place}" t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'
        case dt.datetime():
            return f'<c r="{place}" s="2"><v>{(value - _FIRST) / dt.timedelta(days=1)!r}</v></c>'
        case dt.date():
            return f'<c r="{place}" s="1"><v>{(value - _FIRST.date()).days}</v></c>'
        case dt.time():
            return f'<c r="{place}" s="3"><v>{(value.hour * 3600 + value.minute * 60 + value.second) / 86400!r}</v></c>'
        case _:
            return f'<c r="{place}"><v>{value}</v></c>'
