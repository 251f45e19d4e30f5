"""Singer targets from PyPI, fed from a file."""

from __future__ import annotations

import json
import shlex
from typing import Any

from loading.arrivals import Check
from loading.bench import Bench, Role, Way, shell
from loading.data import Orders
from loading.places import empty_folder, empty_schemas, first
from loading.venvs import binaries


def target(
    bench: Bench,
    job: str,
    *,
    package: str,
    program: str,
    config: dict[str, Any],
    orders: Orders,
    check: Check,
) -> Way:
    place = bench.scratch(f"{job}-{package}")
    settings = place.parent / f"{place.name}.json"
    settings.write_text(json.dumps(config))
    called = shlex.join([str(binaries(package) / program), "--config", str(settings)])
    return Way(
        name=package,
        role=Role.PEER,
        command=shell(f"{called} < {orders.lines} > /dev/null"),
        cwd=place,
        check=check,
        before=first(empty_folder(place), empty_schemas(bench.server, schema(package))),
        records=orders.count,
    )


def schema(package: str) -> str:
    return package.replace("-", "_")
