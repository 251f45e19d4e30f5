"""A first look at an API, before there is a file that describes it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headwater.base.errors import HeadwaterError, RunFailedError
from headwater.connect.sources.rest import answer, pages, request, spec
from headwater.connect.sources.rest.answer import Answer
from headwater.connect.sources.rest.calls import Calls
from headwater.connect.sources.rest.guess import Guess, guess
from headwater.connect.sources.rest.paginate import Step

_TRIES = 2


def look(source: spec.Spec, name: str, config: Mapping[str, Any], *, root: Path, secrets: tuple[str, ...]) -> Guess:
    """Ask for stream `name` of a source whose records and pages nobody knows yet, at most three times. Raises what
    `Calls.answer` does."""
    names, _ = pages.names(config)
    calls = Calls(source, names, root=root, secrets=secrets)
    stream = source.streams[name]

    def asked(parameters: Mapping[str, Any]) -> Answer:
        call = request.call(
            source,
            name,
            Step(values=dict(parameters)),
            base_url=calls.base_url,
            names={**names, "start": None, "end": None},
            credentials=calls.auth.parameters,
        )
        found: list[Answer] = []
        calls.answer(call, check=lambda reply: found.append(answer.parsed(reply)))
        return found[-1]

    def again(parameters: Mapping[str, Any]) -> Answer | None:
        try:
            return asked(parameters)
        except HeadwaterError:
            return None

    try:
        first = asked({})
        if not isinstance(answer.value(first, ""), list | dict):
            raise RunFailedError("bad-answer", f"the answer at `{stream.path}` is neither a list nor an object")
        return guess(first, stream.parameters, again)
    finally:
        calls.close()


def draft_limits() -> spec.Limits:
    """A first look does not wait long."""
    return spec.Limits(tries=_TRIES, longest_wait=10, timeout=20)
