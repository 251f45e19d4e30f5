"""What the books of every database have in common. Their tables, and the SQL that reads and writes them, are each
database's own."""

from __future__ import annotations

from msgspec import Struct

from headwater.base.errors import EnvironmentProblemError, RunFailedError

# The schema of the books. No stream is loaded into it.
SCHEMA = "_headwater"
# 2: rejects can be loaded again, so more is kept of them.
FORMAT = 2


class Standing(Struct, frozen=True, kw_only=True):
    """Where a pipeline's data stands. `sequence` counts its commits; 0 means it never loaded here."""

    sequence: int = 0
    run_id: str | None = None
    state: bytes | None = None


class Entry(Struct, frozen=True, kw_only=True):
    """What names a commit in every book."""

    pipeline: str | None
    run_id: str
    sequence: int


class NamedColumn(Struct, frozen=True, kw_only=True):
    """A source's column in the books: its name here, and the type the source last declared it to have."""

    name: str
    declared: str


class Widening(Struct, frozen=True, kw_only=True):
    """A change of type. `using` is the SQL that converts; `lossy` is true for a value that wouldn't survive it, and
    None when all would."""

    column: str
    before: str
    after: str
    using: str
    lossy: str | None


def refuse_newer(version: int | None) -> None:
    """Raises EnvironmentProblemError (`warehouse-newer`) for books of a later release, which this one could only
    spoil."""
    if version is not None and version > FORMAT:
        raise EnvironmentProblemError(
            "warehouse-newer",
            f"the warehouse was written by a newer release: its books have format {version}",
            why=f"this release knows formats up to {FORMAT}",
            hint="upgrade headwater",
        )


def refuse_older(version: int) -> None:
    """Raises EnvironmentProblemError (`warehouse-older`) for books that the next load will bring up to date, to who may
    only read them."""
    if version < FORMAT:
        raise EnvironmentProblemError(
            "warehouse-older",
            f"the warehouse was written by an older release: its books have format {version}, not {FORMAT}",
            hint="load anything into it, which brings its books up to date: headwater run",
        )


def refuse_another_writer(found: Standing, expected: Standing, pipeline: str | None) -> None:
    """Raises RunFailedError (`another-writer`, `lost-commits`) unless the pipeline stands where this session left
    it."""
    if found.sequence < expected.sequence:
        raise RunFailedError(
            "lost-commits",
            f"`{pipeline}` stands at commit {found.sequence}, though the destination had confirmed {expected.sequence}",
            why="it was restored from a backup meanwhile, or is set to forget its last commits in a crash",
            hint="run it again: it goes on from what is there",
        )
    if found.sequence != expected.sequence or (found.sequence and found.run_id != expected.run_id):
        raise another_writer(pipeline, found, expected.sequence)


def rejects_changed() -> RunFailedError:
    """What was to be loaded again is not in quarantine any more."""
    return RunFailedError(
        "rejects-changed",
        "rejects were taken away while they were loaded again",
        why="somebody else loaded or dropped them; nothing was changed",
        hint="look at what is left: headwater rejects list",
    )


def another_writer(pipeline: str | None, found: Standing, expected: int) -> RunFailedError:
    return RunFailedError(
        "another-writer",
        f"another run of `{pipeline}` loaded meanwhile",
        why=f"run {found.run_id} made commit {found.sequence}; this run had read commit {expected}",
        hint="run it again: it goes on from where the other run came to",
    )
