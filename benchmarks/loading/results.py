"""What was measured, kept as JSON: figures of one job can be renewed without those of the others."""

from __future__ import annotations

import statistics
from pathlib import Path

import msgspec

from loading.bench import Goal
from loading.processes import Run


class WayResult(msgspec.Struct, frozen=True, kw_only=True):
    """`wrong` says what is not as it should be; then there are no figures. Times are those of `records`."""

    name: str
    role: str
    runs: list[Run]
    records: int
    wrong: str = ""

    def median(self, scale: float = 1) -> Run:
        """Times multiplied by `scale`; memory is not."""
        wall, cpu, server, peak = (statistics.median(values) for values in zip(*self.runs, strict=True))
        return Run(wall * scale, cpu * scale, server * scale, peak)


class JobResult(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    title: str
    about: str
    records: int
    most_mb: int
    ways: list[WayResult]
    goals: list[Goal]
    setting: str = ""

    def scaled(self, way: WayResult) -> Run:
        return way.median(self.records / way.records)

    def way(self, name: str) -> WayResult | None:
        """None when it has no figures."""
        return next((way for way in self.ways if way.name == name and way.runs and not way.wrong), None)


def keep(folder: Path, result: JobResult) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(result), indent=1)
    (folder / f"{result.name}.json").write_bytes(text + b"\n")


def kept(folder: Path, names: list[str]) -> list[JobResult]:
    files = [folder / f"{name}.json" for name in names]
    return [msgspec.json.decode(file.read_bytes(), type=JobResult) for file in files if file.exists()]
