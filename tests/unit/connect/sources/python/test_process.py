"""The process that runs a source's code."""

from __future__ import annotations

from pathlib import Path

from headwater.connect.contract import ReadRequest
from headwater.connect.sources import python

_CODE = """
from headwater.sources import stream

@stream(keys="id", schema={"id": int})
def orders(password: str):
    print("connected with", password)
    yield {"id": 1}
"""


def test_what_the_code_prints_shows_no_secret(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(_CODE)
    settings = python.Settings(
        source="own.py", root=str(tmp_path), given={"password": "hunter22"}, secrets=("hunter22",)
    )
    heard: list[str] = []
    request = ReadRequest(catalog=python.discover(settings), state=None, folder=tmp_path, on_line=heard.append)
    list(python.read(settings, request))
    assert heard == ["connected with (redacted)"]
