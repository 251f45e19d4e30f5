"""Where a way puts its rows, and how that place is made empty again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from loading.servers import Server


def empty_schemas(server: Server, *schemas: str, then: str = "") -> Callable[[], None]:
    """Dropped with all that is in them; the first is made again, and the server's chores are done."""

    def empty() -> None:
        server.do(*(f"drop schema if exists {schema} cascade" for schema in schemas), f"create schema {schemas[0]}")
        if then:
            server.do(then)
        server.settle()

    return empty


def empty_folder(folder: Path) -> Callable[[], None]:
    def empty() -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)

    return empty


def first(*doings: Callable[[], None]) -> Callable[[], None]:
    def do() -> None:
        for doing in doings:
            doing()

    return do
