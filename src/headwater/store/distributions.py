"""What the packages in an environment are and bring, read from their metadata; nothing of them is started."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

# Taps of Singer's first years import `pkg_resources`, which setuptools 82 took away; so does `fs`, on which many taps
# made with the SDK of 2022 to 2024 stand.
_PKG_RESOURCES = re.compile(rb"^\s*(import|from) pkg_resources\b|__import__\([\"']pkg_resources", re.MULTILINE)
_NEEDS_SETUPTOOLS = re.compile(r"^Requires-Dist: setuptools\b(?!.*extra ==)", re.MULTILINE)


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
    section = _text(info / "entry_points.txt").partition("[console_scripts]")[2].partition("\n[")[0]
    declared = [line.partition("=")[0].strip() for line in section.splitlines() if "=" in line]
    # Scripts of the oldest packages are files, not entry points: they stand in RECORD only.
    record = _text(info / "RECORD").splitlines()
    return declared + [line.split(",")[0].rsplit("/", 1)[1] for line in record if "/bin/" in line]


def lacks_setuptools(build: Path, requirements: Iterable[str]) -> bool:
    """Whether a package imports `pkg_resources` and nothing brings it. Looked through are the requested packages and
    those that require setuptools: reading every file of an environment would take longer than installing it."""
    if next(build.glob("lib/python*/site-packages/pkg_resources"), None):
        return False
    looked_through = _infos(build, requirements)
    for info in build.glob("lib/python*/site-packages/*.dist-info"):
        if info not in looked_through and _NEEDS_SETUPTOOLS.search(_text(info / "METADATA")):
            looked_through.append(info)
    return any(_PKG_RESOURCES.search(file.read_bytes()) for info in looked_through for file in _sources(info))


def _sources(info: Path) -> Iterator[Path]:
    for line in _text(info / "RECORD").splitlines():
        file = info.parent / line.split(",")[0]
        if file.suffix == ".py" and file.is_file():
            yield file


def _text(file: Path) -> str:
    """The file's text, empty when there is none."""
    try:
        return file.read_text("utf-8", "replace")
    except OSError:
        return ""


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
