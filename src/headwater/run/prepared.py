"""Airflow and Superset: each start has a config file made for it, and finds its database made.

Both read their settings from a file in a form of their own, and keep what they know in a database that a command of
theirs makes or upgrades. The file may hold secrets, so it stands in a folder that is gone when the program is.
"""

from __future__ import annotations

import configparser
import io
import re
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from headwater.base.errors import InputError, RunFailedError
from headwater.base.files import cannot_write, private_folder, unversioned_folder, write_atomic
from headwater.base.process import Child
from headwater.model.plan import Block
from headwater.run.cancel import Cancel
from headwater.run.lines import redactor
from headwater.store.run_folders import RunFolders

_GRACE = 10.0
_TICK = 0.1
# Says something with a command of the block's program: its standard output.
Ask = Callable[..., str]


@contextmanager
def prepared(block: Block, folders: RunFolders, *, cwd: str, cancel: Cancel) -> Iterator[Block]:
    """The block with the variables that name its files; as it is when its program needs none.

    Raises RunFailedError (`not-prepared`), InputError (`no-config-file`), CancelledError.
    """
    if block.setup is None:
        yield block
        return
    home = folders.root.parent / block.kind.section / block.name / "home"
    private_folder(home)
    with folders.opened(str(uuid.uuid4())) as folder:

        def ask(with_env: Block, *words: str) -> str:
            return _asked(with_env, words, folder / "said", cwd=cwd, cancel=cancel)

        make = {"airflow": _airflow, "superset": _superset}[block.setup]
        yield make(block, home, folder, Path(cwd), ask)


def _airflow(block: Block, home: Path, folder: Path, root: Path, ask: Ask) -> Block:
    link_program(root)
    file = folder / "airflow.cfg"
    block = replace(block, env={**block.env, "AIRFLOW_HOME": str(home), "AIRFLOW_CONFIG": str(file)})
    defaults = ask(block, "config", "list", "--defaults")
    write_atomic(file, airflow_config(defaults, block.config).encode(), mode=0o600)
    ask(block, *database_command(ask(block, "version")))
    return block


# What the DAGs that file bundles bring call, below the project's folder.
PROGRAM = Path(".meltano") / "run" / "bin"


def own_program() -> Path:
    return Path(sys.executable).with_name("headwater")


def link_program(root: Path) -> None:
    """Where that program is not there, it is this one. Another one that is there stays."""
    link = root / PROGRAM
    if link.exists() or not own_program().is_file():
        return
    unversioned_folder(root / PROGRAM.parts[0])
    try:
        link.parent.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)  # it led nowhere
        link.symlink_to(own_program())
    except OSError as error:
        raise cannot_write(link, error) from error


def airflow_config(defaults: str, config: Mapping[str, Any]) -> str:
    """Airflow's own defaults, with the plugin's settings in them: `core.executor` is `executor` in `[core]`."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(defaults)
    for section, values in config.items():
        if isinstance(values, dict):
            parser.read_dict({section: {key: str(value) for key, value in values.items()}})
    out = io.StringIO()
    parser.write(out)
    return out.getvalue()


def database_command(version: str) -> tuple[str, ...]:
    """What makes or upgrades the database of this Airflow."""
    found = re.findall(r"^(\d+)\.(\d+)", version, re.MULTILINE)
    number = tuple(map(int, found[-1])) if found else (2, 7)
    if number < (2, 0):
        return ("initdb",)
    return ("db", "init") if number < (2, 7) else ("db", "migrate")


def _superset(block: Block, home: Path, folder: Path, root: Path, ask: Ask) -> Block:
    file = folder / "superset_config.py"
    own = block.extras.get("config_path")
    path = root / str(own) if own else None
    if path is not None and not path.is_file():
        raise InputError(
            "no-config-file",
            f"there is no file `{own}`",
            where=block.where,
            hint=f"correct config_path of {block.name}",
        )
    write_atomic(file, superset_config(block.config, path).encode(), mode=0o600)
    variables = {"SUPERSET_HOME": str(home), "SUPERSET_CONFIG_PATH": str(file), "FLASK_APP": "superset"}
    block = replace(block, env={**block.env, **variables})
    ask(block, "db", "upgrade")
    ask(block, "init")
    return block


def superset_config(config: Mapping[str, Any], own: Path | None) -> str:
    """A module that has the settings in capitals as its variables, and over them those of a file of the project."""
    lines = [f"globals().update({ {key: value for key, value in config.items() if key.isupper()}!r})"]
    if own is not None:
        lines += [
            "from runpy import run_path",
            f"globals().update({{k: v for k, v in run_path({str(own)!r}).items() if k.isupper()}})",
        ]
    return "\n".join([*lines, ""])


def _asked(block: Block, words: tuple[str, ...], file: Path, *, cwd: str, cancel: Cancel) -> str:
    cancel.check()
    redact = redactor(block)
    said: list[str] = []
    with file.open("w+b") as out:
        argv = (*block.argv, *words)
        child = Child(argv, name=block.name, env=block.env, cwd=cwd, stdout=out.fileno(), on_line=said.append)
        try:
            while child.wait(_TICK) is None:
                cancel.check()
        finally:
            code = child.terminate(_GRACE) if child.code is None else child.code
        out.seek(0)
        text = out.read().decode("utf-8", "replace")
    if code != 0:
        raise RunFailedError(
            "not-prepared",
            f"`{block.name} {' '.join(words)}`, which comes before every start, failed with exit code {code}",
            why=redact("\n".join(said[-12:] or text.splitlines()[-12:])),
            hint=f"headwater config list {block.name} --all",
            program_code=code,
        )
    return text
