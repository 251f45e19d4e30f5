"""The same hostile input and the same deaths for other people's targets: what each of them makes of it.

Used by scripts/reliability.py. Every target is a program that reads Singer lines; those of others are installed from
PyPI, each into an environment of its own in the work folder.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib.util
import json
import math
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import duckdb

ROOT = Path(__file__).parent.parent
EVERY = 25  # rows between two states
MORE = 1500  # rows that the source has beyond the last state
_SECONDS = 120

# A target of ours that commits at nearly every state, as those of others are told to.
_OURS = """
import sys
from headwater.cli.main import main
from headwater.connect.singer import faces
faces.serve_target.__kwdefaults__["flush"] = faces.Flush(size=20_000)
main()
"""


class Target(NamedTuple):
    """`package` is what PyPI has, None for a target of ours. `config` are settings beside the address."""

    name: str
    database: str
    package: str | None
    config: dict[str, Any]


TARGETS = (
    Target("headwater target postgres", "postgres", None, {"hard_delete": True, "max_delete_share": 1}),
    Target(
        "MeltanoLabs target-postgres",
        "postgres",
        "meltanolabs-target-postgres==0.8.1",
        {"hard_delete": True, "batch_size_rows": 100},
    ),
    Target("headwater target duckdb", "duckdb", None, {"hard_delete": True, "max_delete_share": 1}),
    Target(
        "target-duckdb",
        "duckdb",
        "target-duckdb==0.8.0",
        {"hard_delete": True, "primary_key_required": False, "batch_size_rows": 100},
    ),
)


class Place:
    """Where one target loads to: a database or a file of its own."""

    def __init__(self, target: Target, server: Any, folder: Path, program: list[str]) -> None:
        self.target = target
        self.program = program
        self._server = server
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / "w.duckdb"
        self._config = folder / "config.json"
        if target.database == "postgres":
            server.sql("drop database if exists peers with (force)")
            server.sql("create database peers")
            at = {"host": server.host, "port": server.port, "user": server.user, "password": server.password}
            config = {**at, "database": "peers"}
        else:
            config = {"filepath": str(self._file)}
        self.config = {**config, "default_target_schema": "landing", **target.config}
        self._config.write_text(json.dumps(self.config))

    def start(self, **streams: Any) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*self.program, "--config", str(self._config)], cwd=self.folder, **streams)

    def rows(self, stream: str) -> list[dict[str, Any]] | None:
        """What stands in the tables of that name, without what a target adds of its own."""
        found = None
        for schema, table in self._query(
            "select table_schema, table_name from information_schema.tables where table_schema not in "
            "('information_schema', 'pg_catalog', '_headwater')"
        )[1]:
            if table == stream:
                names, rows = self._query(f'select * from "{schema}"."{table}"')
                found = (found or []) + [
                    {n: value for n, value in zip(names, row, strict=True) if not n.startswith(("_sdc_", "__"))}
                    for row in rows
                ]
        return found

    def _query(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        if self.target.database == "postgres":
            with self._server.connect("peers") as connection:
                cursor = connection.execute(sql)
                return [column.name for column in cursor.description], cursor.fetchall()
        if not self._file.exists():
            return [], []
        with duckdb.connect(str(self._file), read_only=True) as connection:
            # Times with zones would need another library; as text they say the same.
            shown = connection.sql(sql)
            columns = ", ".join(
                f'"{name}"::varchar as "{name}"' if "TIME" in str(kind) else f'"{name}"'
                for name, kind in zip(shown.columns, shown.types, strict=True)
            )
            return shown.columns, connection.sql(f"select {columns} from ({sql})").fetchall()  # type: ignore[no-any-return]  # DuckDB has no types


# The numbered cases


# Tokens that are no JSON: whoever keeps them is as right as who has null for them.
_NUMBERS_THAT_ARE_NONE = frozenset((63, 64))


def judge(number: int, case: Any, place: Place, plain: Callable[[Any], Any]) -> str:
    """`right`, `loud` or `silently wrong`. Where the rule is to refuse, refusing is right."""
    out = b""
    for at, lines in enumerate(case.runs):
        data = b"".join(line if isinstance(line, bytes) else line.encode() + b"\n" for line in lines)
        with place.start(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as program:
            try:
                out, _ = program.communicate(data, timeout=_SECONDS)
            except subprocess.TimeoutExpired:
                program.kill()
                return "loud"
            except BrokenPipeError:
                pass
        if program.returncode:
            return "right" if case.error is not None and at == len(case.runs) - 1 else "loud"
    if case.error is not None:
        return "silently wrong"
    if case.out is not ... and _last(out) != case.out:
        return "silently wrong"
    if case.rows is None:
        return "right"
    rows = place.rows("s") or []
    if number in _NUMBERS_THAT_ARE_NONE:
        rows = [{name: None if _is_no_number(value) else value for name, value in row.items()} for row in rows]
    found = sorted(leaves(row, plain) for row in rows)
    wanted = [sorted(leaves(_told(row, nul), plain) for row in case.rows) for nul in ("\0", "\ufffd")]
    return "right" if found in wanted else "silently wrong"


def _is_no_number(value: Any) -> bool:
    return re.fullmatch(r"-?(nan|inf(inity)?)", str(value), re.IGNORECASE) is not None


def _last(out: bytes) -> Any:
    lines = [line for line in out.splitlines() if line.strip()]
    try:
        return json.loads(lines[-1]) if lines else None
    except ValueError:
        return ...


def _told(value: Any, nul: str) -> Any:
    """The value with another character for NUL, which PostgreSQL can't hold."""
    match value:
        case str():
            return value.replace("\0", nul)
        case list():
            return [_told(one, nul) for one in value]
        case dict():
            return {_told(name, nul): _told(one, nul) for name, one in value.items()}
    return value


def leaves(value: Any, plain: Callable[[Any], Any]) -> list[str]:
    """The values of a row, in order, each in one spelling. Names, types and nesting are each target's own affair: only
    what is lost or changed counts."""
    if isinstance(value, str) and value[:1] in '{["':
        with contextlib.suppress(ValueError):
            value = json.loads(value)
    match value:
        case dict():
            return sorted(leaf for one in value.values() for leaf in leaves(one, plain))
        case list() | tuple():
            return sorted(leaf for one in value for leaf in leaves(one, plain))
        case None:
            return []
        case float() if math.isnan(value):
            return []
        case dt.date() if not isinstance(value, dt.datetime):
            value = dt.datetime.combine(value, dt.time(), dt.UTC)
        case dt.datetime() if value.tzinfo is None:
            value = value.replace(tzinfo=dt.UTC)
        case str() if re.fullmatch(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", value):
            value = Decimal(value)
        case str() if re.match(r"\d{4}-\d\d-\d\d", value):
            with contextlib.suppress(ValueError):
                found = dt.datetime.fromisoformat(value)
                value = found if found.tzinfo else found.replace(tzinfo=dt.UTC)
    return [str(plain(value))]


# Deaths


# Into a place, from a state up to a number, killed after so many seconds: the state it has come to, and whether the
# kill hit.
Load = Callable[["Place", int, int, float | None], tuple[int, bool]]


class Deaths(NamedTuple):
    """What was found after so many kills: rows that are missing, rows too many, and how often the state that the target
    had vouched for was ahead of its rows."""

    kills: int
    lost: int
    twice: int
    ahead: int


def kill(place: Place, load: Load, wanted: int, chance: random.Random) -> Deaths:
    """Rows without keys into a destination, by something that is killed again and again and may finish at the end."""
    state, upto, kills, ahead = 0, MORE, 0, 0
    for _ in range(4 * wanted):
        state, was_killed = load(place, state, upto, chance.uniform(0.5, 3.5))
        there = max((row["id"] for row in place.rows("numbers") or ()), default=0)
        ahead += state > there
        kills += was_killed
        upto = max(state, there) + MORE
        if kills == wanted:
            break
    load(place, state, upto, None)
    found = Counter(row["id"] for row in place.rows("numbers") or ())
    lost = sum(number not in found for number in range(1, upto + 1))
    return Deaths(kills, lost, found.total() - len(found), ahead)


def run(place: Place, _state: int, upto: int, seconds: float | None) -> tuple[int, bool]:
    """`headwater run` into the native destination: it knows itself where to go on."""
    project = place.folder / "project"
    if not project.exists():
        project.mkdir()
        script = project / "tap"
        script.write_text(f"#!{sys.executable} -S\n{(ROOT / 'tests/fixtures/tap_numbers.py').read_text()}")
        script.chmod(0o755)
        tap = {"name": "tap-numbers", "namespace": "numbers", "executable": "./tap"}
        settings = [{"name": "upto", "kind": "integer"}, {"name": "pause"}]
        config = {"state_every": EVERY, "padding": 200}
        tap |= {"capabilities": ["discover", "catalog", "state"], "settings": settings, "config": config}
        loader = {"name": f"target-{place.target.database}", "variant": "headwater", "config": place.config}
        loader["commit_bytes"] = 20_000
        environments = {"default_environment": "dev", "environments": [{"name": "dev"}]}
        text = {**environments, "plugins": {"extractors": [tap], "loaders": [loader]}}
        (project / "headwater.yml").write_text(json.dumps(text))
    command = [sys.executable, "-m", "headwater"]
    env = {**os.environ, "TAP_NUMBERS_UPTO": str(upto), "TAP_NUMBERS_PAUSE": "0.002" if seconds is not None else "0"}
    load = subprocess.Popen(
        [*command, "run", "tap-numbers", f"target-{place.target.database}"],
        cwd=project,
        env=env,
        stderr=subprocess.DEVNULL,
    )
    with contextlib.suppress(subprocess.TimeoutExpired):
        load.wait(seconds)
    load.kill()
    code = load.wait()
    if code not in (0, -signal.SIGKILL):
        raise RuntimeError(f"headwater run ended with {code}")
    state_id = f"dev:tap-numbers-to-target-{place.target.database}"
    kept = subprocess.run([*command, "state", "get", state_id], cwd=project, capture_output=True, check=False)
    # Killed before its first state it keeps none.
    found = json.loads(kept.stdout).get("singer_state") if not kept.returncode else None
    return found["bookmarks"]["numbers"]["id"] if found else 0, code != 0


def feed(place: Place, state: int, upto: int, seconds: float | None) -> tuple[int, bool]:
    """The target alone, started from the last state that it printed, which is all that its protocol knows: feed it the
    rows after `state`, kill it after so many seconds; the last state printed now, and whether the kill hit."""
    program = place.start(stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    feeder = threading.Thread(target=_feed, args=(program.stdin, state, upto, seconds is not None))
    feeder.start()
    killer = threading.Timer(seconds or 0, program.send_signal, [signal.SIGKILL])
    if seconds is not None:
        killer.start()
    for line in program.stdout or ():
        with contextlib.suppress(ValueError, KeyError, TypeError):
            state = json.loads(line)["bookmarks"]["numbers"]["id"]
    code = program.wait(_SECONDS)
    killer.cancel()
    feeder.join()
    if code not in (0, -signal.SIGKILL):
        raise RuntimeError(f"{place.target.name} ended with {code}")
    return state, code != 0


def _feed(stream: Any, state: int, upto: int, slowly: bool) -> None:
    schema = {"properties": {"id": {"type": ["null", "integer"]}, "name": {"type": ["null", "string"]}}}
    with contextlib.suppress(BrokenPipeError), stream:  # nobody reads any more
        _say(stream, {"type": "SCHEMA", "stream": "numbers", "key_properties": [], "schema": schema})
        for number in range(state + 1, upto + 1):
            _say(stream, {"type": "RECORD", "stream": "numbers", "record": {"id": number, "name": "x" * 200}})
            if number % EVERY == 0:
                _say(stream, {"type": "STATE", "value": {"bookmarks": {"numbers": {"id": number}}}})
                stream.flush()
                time.sleep(0.05 if slowly else 0)


def _say(stream: Any, message: dict[str, Any]) -> None:
    stream.write(json.dumps(message).encode() + b"\n")


# All of it


def compare(work: Path, *, kills: int, seed: str, only: set[int] | None = None) -> Iterator[dict[str, Any]]:
    """Lines of figures, as the tests write them: a verdict for each target and case, the deaths of each target."""
    os.environ["TZ"] = "UTC"
    time.tzset()
    cases = _module("tests/contract/destinations/test_cases.py")
    servers = _module("tests/conftest.py")
    places = [*servers._programs_of_the_wheel(), *servers._programs_of_the_system()]  # noqa: SLF001 - the tests' own server
    started = servers._first_that_starts(places)  # noqa: SLF001 - likewise
    server = next(started)
    try:
        for target in TARGETS:
            program = _program(target, work)
            for number, case in cases.CASES.items():
                if only is None or number in only:
                    place = Place(target, server, work / f"{target.database}-{number}-{bool(target.package)}", program)
                    verdict = judge(number, case, place, cases.plain)
                    yield {"peer": target.name, "case": number, "title": case.title, "verdict": verdict}
            place = Place(target, server, work / f"{target.database}-kill-{bool(target.package)}", program)
            deaths = kill(place, feed, kills, random.Random(f"{seed} {target.name}"))
            yield {"peer": target.name, "package": target.package, **deaths._asdict()}
            if target.package is None:
                place = Place(target, server, work / f"{target.database}-run", program)
                deaths = kill(place, run, kills, random.Random(f"{seed} {target.name}"))
                yield {"peer": f"headwater run, {target.database}", "package": None, **deaths._asdict()}
    finally:
        started.close()


def _program(target: Target, work: Path) -> list[str]:
    if target.package is None:
        return [sys.executable, "-c", _OURS, "target", target.database, "--pipeline", "peers"]
    venv = work / f"venv-{target.database}"
    if not venv.exists():
        # In the work folder: here, the pins of this project would count.
        subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, str(venv)], cwd=work, check=True)
        # The file is read here, so it has to be written in a form that is known here.
        packages = [target.package, f"duckdb=={duckdb.__version__}"]
        install = ["uv", "pip", "install", "--quiet", "-p", str(venv / "bin/python"), *packages]
        subprocess.run(install, cwd=work, check=True)
    return [str(venv / "bin" / f"target-{target.database}")]


def _module(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.replace("/", "_").removesuffix(".py"), ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
