"""A stand-in for GitHub's REST API: issues, comments and labels of one repository, made up.

As GitHub documents it: a token or 401; a repository that can't be seen is 404; pages by `Link`, whose addresses name
the repository by its number; `since` takes what changed at that moment or later; pull requests are issues; a client
that asks too fast is told with 403 and `Retry-After` when to come back. Pages hold four records at most, so that
recordings stay small.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from tests.stand_in_api import Asked, Reply

API = "https://api.github.com"
TOKEN = "github_pat_made_up"
REPOSITORY = "headwaters/rivers"
_MOST = 4
_BEGIN = datetime(2024, 2, 1, 10, tzinfo=UTC)
_DOCS = "https://docs.github.com/rest"


def answer(asked: Asked, now: datetime, *, times: int) -> Reply:
    """What is known `now`. `times`: how often this was asked before."""
    if asked.headers.get("authorization") != f"Bearer {TOKEN}":
        return _error(401, "Bad credentials")
    root = f"/repos/{REPOSITORY}/"
    numbered = "/repositories/7011/"
    path = next((asked.path.removeprefix(way) for way in (root, numbered) if asked.path.startswith(way)), None)
    if path not in _ALL:
        return _error(404, "Not Found")
    page = int(asked.query.get("page", 1))
    if path == "issues/comments" and not times:
        text = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."
        return _error(403, text, {"retry-after": "0"})
    records = _ALL[path](now)
    if since := asked.query.get("since"):
        records = [one for one in records if one["updated_at"] >= since]
    if asked.query.get("sort") == "updated":
        records.sort(key=lambda one: one["updated_at"], reverse=asked.query.get("direction") != "asc")
    shown = records[(page - 1) * _MOST : page * _MOST]
    headers = {"content-type": "application/json; charset=utf-8", "x-ratelimit-remaining": str(4999 - times)}
    last = -(-len(records) // _MOST)
    ways = {"prev": page - 1, "next": page + 1, "last": last, "first": 1}
    held = {"next": page < last, "last": page < last, "prev": page > 1, "first": page > 1}
    links = [
        f'<{API}{numbered}{path}?{urlencode({**asked.query, "page": to})}>; rel="{rel}"'
        for rel, to in ways.items()
        if held[rel]
    ]
    return Reply(shown, headers={**headers, **({"link": ", ".join(links)} if links else {})})


def _error(status: int, text: str, headers: dict[str, str] | None = None) -> Reply:
    return Reply({"message": text, "documentation_url": _DOCS, "status": str(status)}, status, headers or {})


def _user(number: int) -> dict[str, Any]:
    login = ("ada", "bjarne", "chiyo")[number % 3]
    return {"login": login, "id": 100 + number % 3, "type": "User", "site_admin": False}


def _label(number: int) -> dict[str, Any]:
    name, color = (("bug", "d73a4a"), ("enhancement", "a2eeef"), ("good first issue", "7057ff"))[number % 3]
    return {"id": 500 + number % 3, "name": name, "color": color, "default": True, "description": None}


def _issue(number: int, changed: datetime, *, is_closed: bool = False) -> dict[str, Any]:
    here = f"{API}/repos/{REPOSITORY}/issues/{number}"
    found = {
        "url": here,
        "comments_url": f"{here}/comments",
        "html_url": f"https://github.com/{REPOSITORY}/issues/{number}",
        "id": 2_000_000_000 + number,
        "node_id": f"I_kwDO{number:04}",
        "number": number,
        "title": f"Title of number {number}: «ça coule»" if number == 3 else f"Title of number {number}",
        "user": _user(number),
        "labels": [_label(number)] if number % 2 else [],
        "state": "closed" if is_closed else "open",
        "locked": False,
        "assignee": _user(number + 1) if number % 4 == 0 else None,
        "milestone": None,
        "comments": number % 3,
        "created_at": _text(_BEGIN + timedelta(days=number)),
        "updated_at": _text(changed),
        "closed_at": _text(changed) if is_closed else None,
        "author_association": "CONTRIBUTOR",
        "body": None if number == 2 else f"What happened,\r\nin two lines: {number}",
        "reactions": {"url": f"{here}/reactions", "total_count": number % 2, "+1": number % 2, "-1": 0},
        "state_reason": "completed" if is_closed else None,
    }
    if number == 5:
        found["draft"] = False
        found["pull_request"] = {"url": f"{API}/repos/{REPOSITORY}/pulls/{number}", "merged_at": None}
    return found


def _issues(now: datetime) -> list[dict[str, Any]]:
    """Ten issues; two that changed last in the same second. A week later one is closed, and one is new."""
    days = (1, 2, 3, 4, 5, 6, 7, 8, 9, 9)
    found = [_issue(number, _BEGIN + timedelta(days=30 + day)) for number, day in enumerate(days, 1)]
    if now > _BEGIN + timedelta(days=45):
        found[3] = _issue(4, _BEGIN + timedelta(days=41), is_closed=True)
        found.append(_issue(11, _BEGIN + timedelta(days=42)))
    return found


def _comments(now: datetime) -> list[dict[str, Any]]:
    numbers = range(1, 7 if now > _BEGIN + timedelta(days=45) else 6)
    here = f"{API}/repos/{REPOSITORY}/issues"
    return [
        {
            "url": f"{here}/comments/{9000 + number}",
            "issue_url": f"{here}/{number}",
            "id": 9000 + number,
            "user": _user(number),
            "created_at": _text(_BEGIN + timedelta(days=30 + number)),
            "updated_at": _text(_BEGIN + timedelta(days=30 + number)),
            "author_association": "NONE",
            "body": f"Comment {number}",
            "performed_via_github_app": None,
        }
        for number in numbers
    ]


def _labels(_now: datetime) -> list[dict[str, Any]]:
    return [_label(number) for number in range(3)]


_ALL = {"issues": _issues, "issues/comments": _comments, "labels": _labels}


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
