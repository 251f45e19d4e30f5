"""A plugin's packages, pinned with hashes: `plugins/<section>/<venv>[--<variant>].requirements.txt`.

The first line of the file says what the pins were made from, so that a changed `pip_url` is noticed:

    # headwater pins: inputs=9f2c… python=3.11 platform=any
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from pathlib import Path

from msgspec import Struct

from headwater.base.files import write_atomic
from headwater.model.plugin import PluginKind
from headwater.store import lock_files

ANY_PLATFORM = "any"
_HEADER = re.compile(r"# headwater pins: inputs=(\w+) python=([\d.]*) platform=(\S+)$")


class Pins(Struct, frozen=True, kw_only=True):
    """`python` is the version the pins were made for, empty when the plugin asks for its own. `platform` is `any`
    for pins that hold on every system."""

    file: str
    inputs: str
    python: str
    platform: str
    digest: str

    def fit(self, inputs: str) -> bool:
        """Whether they were made from these inputs and hold for this Python and this platform."""
        if self.inputs != inputs or self.platform not in (ANY_PLATFORM, this_platform()):
            return False
        if not self.python:
            return True
        made_for = tuple(int(part) for part in self.python.split(".") if part)
        running = sys.version_info[:2]
        return running >= made_for if self.platform == ANY_PLATFORM else running == made_for


def path(root: Path, kind: PluginKind, venv_name: str, variant: str | None = None) -> Path:
    return lock_files.path(root, kind, venv_name, variant).with_suffix(".requirements.txt")


def read(file: Path) -> Pins | None:
    """The pins of a file; None when it is absent or not ours."""
    try:
        data = file.read_bytes()
    except OSError:
        return None
    header = _HEADER.match(data.split(b"\n", 1)[0].decode("utf-8", "replace").rstrip())
    if header is None:
        return None
    inputs, python, platform = header.groups()
    return Pins(
        file=str(file), inputs=inputs, python=python, platform=platform, digest=hashlib.sha256(data).hexdigest()
    )


def write(file: Path, lines: str, *, inputs: str, python: str, platform: str) -> Pins:
    """Keep `lines` (`name==version --hash=…`) below a header. Comments in them are dropped."""
    kept = [line for line in lines.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    text = "\n".join([f"# headwater pins: inputs={inputs} python={python} platform={platform}", *kept]) + "\n"
    write_atomic(file, text.encode())
    return Pins(
        file=str(file),
        inputs=inputs,
        python=python,
        platform=platform,
        digest=hashlib.sha256(text.encode()).hexdigest(),
    )


def this_platform() -> str:
    return f"{sys.platform}-{os.uname().machine}"
