"""Record what the APIs of examples/rest answer, as stand-ins for them do, for the tests to replay.

    python -m scripts.record_rest

No real API is asked: scripts/stand_ins has a small server for each, in the shape that the API's documentation gives it.
The REST source reads from it with the description of examples/rest: once, once more when there is something new, and
with a setting that the API refuses. What was asked and answered is written to tests/unit/connect/sources/rest/recorded.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from scripts.stand_ins import earthquakes, exchange_rates, github
from tests.stand_in_api import Asked, Reply, serving
from tests.unit.connect.sources.rest.conftest import Source, called, moved

from headwater.base.errors import HeadwaterError

RECORDED = Path(__file__).parent.parent / "tests" / "unit" / "connect" / "sources" / "rest" / "recorded"


class Recording(NamedTuple):
    """What is recorded of an API. `refused` are settings that it does not take."""

    stand_in: ModuleType
    given: dict[str, str]
    first: datetime
    second: datetime
    refused: dict[str, str]


RECORDINGS = {
    "github": Recording(
        github,
        {"token": github.TOKEN, "repository": github.REPOSITORY},
        datetime(2024, 3, 14, tzinfo=UTC),
        datetime(2024, 3, 21, tzinfo=UTC),
        {"token": "github_pat_of_yesterday"},
    ),
    "earthquakes": Recording(
        earthquakes,
        {},
        datetime(2024, 6, 20, 6, tzinfo=UTC),
        datetime(2024, 7, 5, 6, tzinfo=UTC),
        {"smallest_magnitude": "strong"},
    ),
    "exchange-rates": Recording(
        exchange_rates,
        {"start_date": "2022-12-20"},
        datetime(2023, 12, 29, 15, tzinfo=UTC),
        datetime(2024, 1, 3, 17, tzinfo=UTC),
        {"base": "XXX"},
    ),
}


def recorded(name: str, wanted: Recording) -> dict[str, Any]:
    runs: list[dict[str, Any]] = []
    state: bytes | None = None
    with tempfile.TemporaryDirectory() as folder, serving() as api:
        to_stand_in = partial(moved, host=wanted.stand_in.API, to=api.url)
        for now, is_refused in ((wanted.first, False), (wanted.second, False), (wanted.second, True)):
            given = {**wanted.given, **wanted.refused} if is_refused else wanted.given
            source = Source(Path(folder), api)
            source.example(name, wanted.stand_in.API, given)
            exchanges: list[dict[str, Any]] = []
            api.answer = _noting(wanted.stand_in.answer, now, exchanges, to_stand_in)
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("headwater.base.clock.now", lambda now=now: now)
                patch.setattr("headwater.connect.sources.rest.calls._FIRST_PAUSE", 0.001)
                try:
                    _, state = source.read(state)
                except HeadwaterError:
                    if not is_refused:
                        raise
            exchanges.sort(key=lambda one: str(one["asked"]))  # windows are asked for side by side
            runs.append({"now": now.isoformat(), "given": given, "exchanges": exchanges})
    return {"api": wanted.stand_in.API, "runs": runs}


def _noting(
    answer: Callable[..., Reply], now: datetime, exchanges: list[dict[str, Any]], to_stand_in: Callable[[Reply], Reply]
) -> Callable[[Asked], Reply]:
    """Answers, and notes each answer once: a call that is made again is answered as before, but after a refusal."""
    before: dict[str, list[Reply]] = {}

    def answered(asked: Asked) -> Reply:
        replies = before.setdefault(called(asked), [])
        reply = answer(asked, now, times=len(replies))
        if not replies or replies[-1].status != reply.status:
            body = reply.body.decode() if isinstance(reply.body, bytes) else reply.body
            noted = {"asked": called(asked), "status": reply.status, "headers": reply.headers, "body": body}
            exchanges.append(noted)
        replies.append(reply)
        return to_stand_in(reply)

    return answered


def _text(found: dict[str, Any]) -> str:
    """As JSON, with a line for each exchange."""

    def line(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    runs = (
        f'{{"now":{line(one["now"])},"given":{line(one["given"])},"exchanges":[\n'
        + ",\n".join(line(exchange) for exchange in one["exchanges"])
        + "\n]}"
        for one in found["runs"]
    )
    return f'{{"api":{line(found["api"])},"runs":[\n' + ",\n".join(runs) + "\n]}\n"


def main() -> None:
    RECORDED.mkdir(exist_ok=True)
    for name, wanted in RECORDINGS.items():
        text = _text(recorded(name, wanted))
        (RECORDED / f"{name}.json").write_text(text)
        print(f"{name}: {len(text.encode()):,} bytes")


if __name__ == "__main__":
    main()
