"""What the packages in an environment are and bring, read from their metadata; nothing of them is started."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

# Taps of Singer's first years import `pkg_resources`, which setuptools 82 took away.
_PKG_RESOURCES = re.compile(rb"^\s*(import|from) pkg_resources\b", re.MULTILINE)


def programs(build: Path, requirements: Iterable[str]) -> list[str]:
    """The programs that the requested packages bring; those of every package when none of the requested is found."""
    named = [script for info in _infos(build, requirements) for script in _scripts(info)]
    if named:
        return sorted(set(named))
    every = (file.name for file in (build / "bin").iterdir())
    return sorted(name for name in every if not re.match(r"(python|pypy|activate|deactivate|pip|pydoc)", name))


def _infos(build: Path, requirements: Iterable[str]) -> list[Path]:
    """The metadata folders of the requested packages; a package from a folder or an archive counts by its origin."""
    names = {
        _normal(match[0]) for requirement in requirements if (match := re.match(r"[A-Za-z0-9][\w.-]*", requirement))
    }
    return [
        info
        for info in build.glob("lib/python*/site-packages/*.dist-info")
        if _normal(info.name.split("-", 1)[0]) in names or (info / "direct_url.json").exists()
    ]


def _scripts(info: Path) -> list[str]:
    try:
        text = (info / "entry_points.txt").read_text("utf-8")
    except OSError:
        text = ""
    section = text.partition("[console_scripts]")[2].partition("\n[")[0]
    declared = [line.partition("=")[0].strip() for line in section.splitlines() if "=" in line]
    # Scripts of the oldest packages are files, not entry points: they stand in RECORD only.
    record = (info / "RECORD").read_text("utf-8", "replace") if (info / "RECORD").exists() else ""
    return declared + [line.split(",")[0].rsplit("/", 1)[1] for line in record.splitlines() if "/bin/" in line]


def lacks_setuptools(build: Path, requirements: Iterable[str]) -> bool:
    """Whether a requested package imports `pkg_resources` and nothing brings it."""
    for info in _infos(build, requirements):
        site = info.parent
        if (site / "pkg_resources").exists():
            return False
        record = (info / "RECORD").read_text("utf-8", "replace") if (info / "RECORD").exists() else ""
        sources = (line.split(",")[0] for line in record.splitlines())
        for source in sources:
            file = site / source
            if file.suffix == ".py" and file.is_file() and _PKG_RESOURCES.search(file.read_bytes()):
                return True
    return False


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
