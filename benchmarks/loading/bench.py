"""The words of the benchmark: a job is done in several ways, and goals compare ours with the others."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from loading.arrivals import Check
from loading.data import Events, Orders
from loading.servers import Server


class Role(StrEnum):
    """A limit moves bytes and knows nothing of rows. A trial is the shortest script that does the job, with no rules
    and no safety. A peer is a tool that people use for it; what stands beside is no goal's measure."""

    LIMIT = "limit"
    TRIAL = "trial"
    OURS = "ours"
    PEER = "peer"
    BESIDE = "beside"


def nothing() -> None:
    pass


def right() -> str:
    """The check of a way that leaves nothing to look at."""
    return ""


@dataclass(frozen=True, kw_only=True)
class Way:
    """`records` is how many of the job's records this way is given; its times are scaled up to all of them.
    `before` makes its place empty; it takes no part in any time."""

    name: str
    role: Role
    command: list[str]
    cwd: Path
    check: Check = right
    before: Callable[[], None] = nothing
    env: dict[str, str] = field(default_factory=dict)
    records: int | None = None


class Goal(NamedTuple):
    """Ours takes at most `most` times the time of the way that it is measured against; or that way, at least
    `least` times ours. `against` names ways: of several, the fastest counts."""

    against: tuple[str, ...]
    most: float | None = None
    least: float | None = None


@dataclass(frozen=True, kw_only=True)
class Job:
    """Every run starts from an empty place. With `continues`, only a first run does, which is not timed: `continues`
    is called before each round, with its number from 1, and the timed runs go on from what the one before left."""

    name: str
    title: str
    about: str
    records: int
    ways: list[Way]
    goals: list[Goal]
    most_mb: int = 400
    continues: Callable[[int], None] | None = None


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where everything is. `few_orders` are for programs that would take too long over all."""

    server: Server
    folder: Path
    events: Events
    orders: Orders
    few_orders: Orders

    def scratch(self, name: str) -> Path:
        """A folder of a way's own."""
        place = self.folder / name
        place.mkdir(parents=True, exist_ok=True)
        return place


def shell(command: str) -> list[str]:
    """A command line for bash, any of whose parts may fail it."""
    return ["bash", "-o", "pipefail", "-ec", command]


def environment(extra: dict[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "NO_COLOR": "1", "DO_NOT_TRACK": "1", **extra}
