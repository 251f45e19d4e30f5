"""A plan is data: every file, flag and variable resolved once. Running executes it, `--dry-run` prints it."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, field

from headwater.base.errors import Where
from headwater.model.plugin import PluginKind


class Block(Struct, frozen=True, kw_only=True):
    """One plugin, ready to start. Secrets stand in `config` and `env`: never print either without a Redactor.

    `native` is the name of our own module, None for an outside program. `argv` is the program and the arguments
    that come before those the run adds (`--config FILE …`). `env` is the child's whole environment.
    `capabilities` as in the definition. `setup` names a program that needs files made before each start (`airflow`,
    `superset`). `secrets` are the values to keep out of every log. `where` is the plugin's
    place in the project file, for errors.
    """

    kind: PluginKind
    name: str
    variant: str | None
    namespace: str
    native: str | None
    argv: tuple[str, ...]
    env: dict[str, str]
    config: dict[str, Any]
    capabilities: tuple[str, ...] = ()
    extras: dict[str, Any] = field(default_factory=dict)
    venv: str | None = None
    fingerprint: str = ""
    secrets: tuple[str, ...] = ()
    where: Where | None = None
    setup: str | None = None

    def __repr__(self) -> str:
        return f"Block({self.kind}:{self.name})"


class ExtractLoad(Struct, frozen=True, kw_only=True, tag="extract-load"):
    """Extractor → mappers → loader. The road (kernel pipe, Arrow) follows from which blocks are native.

    `state_id` is None for a run without state: none is read and none written. A native loader commits at the first
    checkpoint after `commit_bytes` or `commit_seconds`. `jobs` streams of a native source may be read at a time. A
    plugin that shows no sign of life for `idle_timeout_seconds` is stopped, and so is a discovery that takes longer
    than `discovery_timeout_seconds`. A step that fails is done again, up to `retries` times.
    """

    name: str
    extractor: Block
    loader: Block
    mappers: tuple[Block, ...] = ()
    state_id: str | None = None
    select: tuple[str, ...] = ("*.*",)
    select_filter: tuple[str, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    schema: dict[str, Any] = field(default_factory=dict)
    catalog_file: str | None = None
    state_file: str | None = None
    use_cached_catalog: bool = True
    catalog_max_age_seconds: int = 3600
    full_refresh: bool = False
    refresh_catalog: bool = False
    state_strategy: str = "auto"
    force: bool = False
    commit_bytes: int = 64 << 20
    commit_seconds: float = 60.0
    memory_bytes: int = 256 << 20
    jobs: int = 1
    idle_timeout_seconds: float = 10_800.0
    discovery_timeout_seconds: float = 3_600.0
    retries: int = 0


class Dbt(Struct, frozen=True, kw_only=True):
    """What is known of a command of dbt beyond its words. `files` are the DuckDB files it may write to: nobody else
    uses them meanwhile; a relative one starts at the dbt project. `packages` says whether missing packages of the dbt
    project are fetched first."""

    adapter: str | None
    files: tuple[str, ...] = ()
    packages: bool = True


class Checker(Struct, frozen=True, kw_only=True):
    """A command that runs checks through a driver of ours, which stands between the program and the words of `argv`.
    `files` are the DuckDB files that it reads: nobody writes to them meanwhile. `folder` is where its files stand."""

    driver: str
    folder: str
    files: tuple[str, ...] = ()


class Invoke(Struct, frozen=True, kw_only=True, tag="invoke"):
    """One command of one plugin; `argv` is complete. `dbt` is there when it is a command of dbt, `checker` when it
    runs checks whose results are kept."""

    name: str
    block: Block
    command: str | None
    argv: tuple[str, ...]
    cwd: str
    dbt: Dbt | None = None
    checker: Checker | None = None
    retries: int = 0


class Build(Struct, frozen=True, kw_only=True, tag="build"):
    """Build (and check) the models of a folder in the warehouse of a native loader; `full_refresh` makes all anew."""

    name: str
    block: Block
    verb: str  # `build`, `check`
    folder: str
    warehouse: Block
    full_refresh: bool = False
    retries: int = 0


Step = ExtractLoad | Invoke | Build


class Plan(Struct, frozen=True, kw_only=True):
    """Steps run in order; the first that fails ends the run. `root` is the project folder, `home` the folder
    for what the program itself keeps (`.headwater`). Up to `parallel` pipelines that stand next to each other run at
    a time. A failed step that has retries left waits `retry_seconds` (and each time twice as long) before the next."""

    run_id: str
    root: str
    home: str
    environment: str | None
    steps: tuple[Step, ...]
    trigger: str = "cli"
    state_uri: str = "systemdb"
    timeout_seconds: float | None = None
    parallel: int = 1
    retry_seconds: float = 2.0
