"""Files of web servers: what says that one changed, where links lead, what an answer may be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from headwater.base.errors import EnvironmentProblemError
from headwater.connect.contract import Checkpoint, ReadRequest, Rows
from headwater.connect.sources import files
from headwater.connect.sources.files import copies
from headwater.connect.sources.files.at_http import download, named
from headwater.connect.sources.files.settings import Settings


def read(address: str, folder: Path, state: bytes | None = None, **settings: Any) -> tuple[list[Any], bytes]:
    given = Settings(path=address, **settings)
    messages = list(files.read(given, ReadRequest(catalog=files.discover(given), state=state, folder=folder)))
    rows = [row for one in messages if isinstance(one, Rows) for row in one.batch.to_pylist()]
    return rows, [one.state for one in messages if isinstance(one, Checkpoint)][-1]


def test_a_server_that_tells_no_version_is_asked_for_the_content(api: Any, tmp_path: Path) -> None:
    api.answer = lambda _asked: b"id\n1\n"
    rows, state = read(f"{api.url}/t.csv", tmp_path)
    assert rows == [{"id": 1}]
    assert read(f"{api.url}/t.csv", tmp_path, state)[0] == []
    api.answer = lambda _asked: b"id\n2\n"
    assert read(f"{api.url}/t.csv", tmp_path, state)[0] == [{"id": 2}]


def test_a_server_that_does_not_answer_head_is_asked_by_get(api: Any, tmp_path: Path) -> None:
    api.answer = lambda asked: api.reply(b"", 405) if asked.method == "HEAD" else api.reply(b"id\n1\n")
    assert read(f"{api.url}/t.csv", tmp_path)[0] == [{"id": 1}]


def test_an_answer_that_breaks_off_is_asked_for_again_and_never_taken_for_a_whole_one(
    api: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "_PAUSE", 0.01)
    whole = b"id\n" + b"".join(b"%d\n" % n for n in range(1000))
    state = {"cuts": 0}

    def answer(asked: Any) -> Any:
        gets = sum(one.method == "GET" for one in api.asked)
        is_cut = asked.method == "GET" and 1 < gets <= 1 + state["cuts"]  # the first one is the discovery's
        return api.reply(whole, headers={"etag": "1"}, cut=100 if is_cut else None)

    api.answer = answer
    state["cuts"] = 2
    assert len(read(f"{api.url}/t.csv", tmp_path)[0]) == 1000
    api.asked.clear()
    state["cuts"] = 99
    with pytest.raises(EnvironmentProblemError, match="can't be read"):
        read(f"{api.url}/t.csv", tmp_path)


def test_a_larger_answer_than_is_allowed_is_refused(api: Any, tmp_path: Path) -> None:
    api.answer = lambda _asked: api.reply(b"id\n" + b"1\n" * 10_000, headers={"etag": "1"})
    with pytest.raises(EnvironmentProblemError, match="larger than `max_unpacked_bytes`"):
        read(f"{api.url}/t.csv", tmp_path, max_unpacked_bytes=5000)


SHEET = "https://docs.google.com/spreadsheets/d/1AbC-x_9"


@pytest.mark.parametrize(
    ("link", "expected"),
    [
        (f"{SHEET}/edit?usp=sharing", f"{SHEET}/export?format=csv&gid=0"),
        (f"{SHEET}/edit#gid=42", f"{SHEET}/export?format=csv&gid=42"),
        (f"{SHEET}/edit?gid=7#gid=7", f"{SHEET}/export?format=csv&gid=7"),
        (f"{SHEET}/export?format=csv&gid=1", f"{SHEET}/export?format=csv&gid=1"),
        (
            "https://docs.google.com/spreadsheets/d/e/2PACX-1v/pubhtml?gid=3",
            "https://docs.google.com/spreadsheets/d/e/2PACX-1v/pub?output=csv&gid=3",
        ),
        (
            "https://acme.sharepoint.com/:x:/s/sales/Ea1?e=x",
            "https://acme.sharepoint.com/:x:/s/sales/Ea1?e=x&download=1",
        ),
        ("https://example.com/a.csv?x=1#top", "https://example.com/a.csv?x=1"),
    ],
)
def test_the_link_to_a_sheet_leads_to_its_file(link: str, expected: str) -> None:
    assert download(link) == expected


def test_a_name_holds_no_secret() -> None:
    name = named("https://me:canary@example.com/a.csv?sig=canary")
    assert name.startswith("https://example.com/a.csv?")
    assert "canary" not in name
    assert name != named("https://example.com/a.csv?sig=other")
