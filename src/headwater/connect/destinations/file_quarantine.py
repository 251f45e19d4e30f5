"""What the manifests of a place list of records that were set aside."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from operator import attrgetter
from pathlib import Path

from msgspec.structs import replace

from headwater.connect.destinations import file_rejects
from headwater.connect.destinations.file_settings import FileSettings
from headwater.connect.destinations.heads import FOLDER, LeasedHead, NumberedHead
from headwater.connect.destinations.manifest import NO_STATE, Manifest
from headwater.connect.objects import SCHEMES, Bucket
from headwater.connect.rejects import Chosen, Count, Origin, Reject
from headwater.connect.storage import LocalFolder

_STAGED = "_staged"


def open(  # noqa: A001 - the contract's word
    settings: FileSettings, *, source: str, folder: Path, on_wait: Callable[[str], None]
) -> FileQuarantine:
    del source, folder
    return FileQuarantine(settings, on_wait)


class FileQuarantine:
    """As `rejects.Quarantine` says."""

    def __init__(self, settings: FileSettings, on_wait: Callable[[str], None]) -> None:
        self._on_wait = on_wait
        is_store = settings.destination_path.partition("://")[0] in SCHEMES
        self._storage = Bucket(settings) if is_store else LocalFolder(settings.destination_path)

    def counts(self, chosen: Chosen) -> list[Count]:
        found = self.rejects(chosen)
        counted = Counter((one.pipeline, one.origin.run_id, one.rejected.stream) for one in found)
        latest: dict[tuple[str | None, str, str], Reject] = {}
        for one in found:
            latest.setdefault((one.pipeline, one.origin.run_id, one.rejected.stream), one)
        return [
            Count(
                pipeline=pipeline,
                run_id=run_id,
                stream=stream,
                count=counted[pipeline, run_id, stream],
                rejected_at=one.origin.rejected_at,
            )
            for (pipeline, run_id, stream), one in latest.items()
        ]

    def commits(self, chosen: Chosen) -> list[tuple[str | None, Origin]]:
        found = {
            (one.pipeline, one.origin.run_id, one.origin.sequence): (one.pipeline, one.origin)
            for one in self.rejects(chosen)
        }
        return list(found.values())

    def rejects(self, chosen: Chosen, limit: int | None = None) -> list[Reject]:
        found = [one for one in self._all(chosen.pipeline) if _is_chosen(one, chosen)]
        # Sorting keeps the order of arrival.
        found.sort(key=attrgetter("origin.run_id"))
        found.sort(key=attrgetter("origin.rejected_at", "origin.sequence"), reverse=True)
        return found[:limit]

    def declared(self, pipeline: str | None, stream: str) -> dict[str, str]:
        for stem in self._stems():
            manifest = self._manifest(stem)
            if manifest.pipeline == pipeline and stream in manifest.streams:
                return {name: column.declared for name, column in manifest.streams[stream].columns.items()}
        return {}

    def close(self) -> None:
        """Nothing is held."""

    def _all(self, pipeline: str | None) -> Iterator[Reject]:
        for stem in self._stems():
            manifest = self._manifest(stem)
            if pipeline is not None and manifest.pipeline != pipeline:
                continue
            lines = [
                line
                for entry in manifest.rejects
                for line in file_rejects.read(self._storage, entry.path, staged=f"{_STAGED}/{stem}")
            ]
            lines.sort(key=attrgetter("position"))
            source = stem.removeprefix(NO_STATE) if manifest.pipeline is None else None
            for line in lines:
                yield replace(line.reject(manifest.pipeline, manifest.shapes), source=source)

    def _stems(self) -> list[str]:
        names = [name.removeprefix(f"{FOLDER}/") for name in self._storage.names(FOLDER) if name.endswith(".json")]
        return sorted({name.partition("/")[0].removesuffix(".json") for name in names})

    def _manifest(self, stem: str) -> Manifest:
        if isinstance(self._storage, LocalFolder):
            return LeasedHead(self._storage, stem, "headwater rejects", self._on_wait).read()
        return NumberedHead(self._storage, stem).read()


def _is_chosen(one: Reject, chosen: Chosen) -> bool:
    origin = one.origin
    return (
        chosen.stream in (None, one.rejected.stream)
        and origin.run_id.startswith(chosen.run_id or "")
        and one.id.startswith(chosen.id or "")
        and chosen.commit in (None, (origin.run_id, origin.sequence))
    )
