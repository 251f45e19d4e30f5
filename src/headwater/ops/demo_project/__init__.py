"""The demo: a project on real data, and the answer that it gives."""

from __future__ import annotations

from importlib.resources import files as resources
from importlib.resources.abc import Traversable

from headwater.transform import ready

JOB = "demo"


def files() -> dict[str, bytes]:
    """The files of the demo's project, by their path below its folder."""
    models = {f"models/{name}": content for name, content in ready.files("nycflights13", "duckdb").items()}
    return dict(_below(resources(__name__) / "project", "")) | models


def _below(folder: Traversable, prefix: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        path = f"{prefix}{entry.name}"
        found += _below(entry, f"{path}/") if entry.is_dir() else [(path, entry.read_bytes())]
    return found
