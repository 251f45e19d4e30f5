"""How a repository is named and what of its history is asked for."""

from __future__ import annotations

from msgspec import Struct, field

# All branches and tags, as a `ref`.
EVERY_REF = "*"


class Settings(Struct, frozen=True, kw_only=True):
    """`root` (relative paths start there, clones lie below it), `env` and `secrets` are filled by the plan."""

    repository: str
    ref: str = "HEAD"
    since: str | None = None
    mailmap: bool = True
    username: str = "git"
    token: str | None = None
    root: str = "."
    env: dict[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()
