"""The flags of a run that change its plan."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from headwater.plan.settled import Ready


class Options(Struct, frozen=True, kw_only=True):
    """One field for each flag; each at its default changes nothing."""

    full_refresh: bool = False
    refresh_catalog: bool = False
    no_state_update: bool = False
    force: bool = False
    state_id: str | None = None
    state_id_suffix: str | None = None
    state_strategy: str = "auto"
    catalog_file: str | None = None
    state_file: str | None = None
    select_filter: tuple[str, ...] = ()
    retries: int | None = None
    jobs: int | None = None

    @property
    def of_extractor(self) -> dict[str, Any]:
        """The extras of the extractor that these flags stand for."""
        given = {"_catalog": self.catalog_file, "_state": self.state_file, "_select_filter": list(self.select_filter)}
        return {name: value for name, value in given.items() if value}


def retries(plugin: Ready, of_job: int | None, options: Options) -> int:
    """The flag, what the job says, what the plugin says: the first that says something."""
    said = (options.retries, of_job, plugin.extra("retries"))
    return next((int(value) for value in said if value is not None), 0)
