"""Where the history lies: a repository of this machine as it is, or a bare clone of another one, brought up to date."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from headwater.base.errors import EnvironmentProblemError, InputError, RunFailedError
from headwater.base.lease import lease
from headwater.base.redact import without_credentials
from headwater.base.text import did_you_mean, listed
from headwater.connect.sources.git import program
from headwater.connect.sources.git.program import PROTOCOLS, Waiting
from headwater.connect.sources.git.settings import EVERY_REF, Settings

# Clones lie here, below the project.
CLONES = Path(".headwater") / "git"
# Where the branch that another machine's repository stands on is kept in a clone.
_THEIR_HEAD = "refs/headwater/HEAD"
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_SSH_PLACE = re.compile(r"[^/:]+:(?!:)")
_SHORTEST_NAME = len("refs/heads/")
# `cat-file` answers each line before it reads the next: both go into pipes of 64 KiB, or each waits for the other.
_ASKED = 500


class Repository(Struct, frozen=True, kw_only=True):
    """A repository of this machine."""

    git_dir: str
    settings: Settings
    waiting: Waiting
    is_clone: bool = False

    def lines(self, *arguments: str, given: Sequence[str] = ()) -> list[str]:
        """What a command says, line by line; raises what `program.output` does."""
        return b"".join(self.output(*arguments, given=given)).decode("utf-8", "replace").splitlines()

    def output(
        self, *arguments: str, given: Sequence[str] = (), size: int = 1 << 20, config: Sequence[str] = ()
    ) -> program.Output:
        return program.output(
            arguments,
            env=program.reading(self.settings),
            git_dir=self.git_dir,
            settings=self.settings,
            lines="".join(f"{line}\n" for line in given).encode(),
            waiting=self.waiting,
            size=size,
            config=config,
        )

    def shallow(self) -> list[str]:
        """The commits whose parents it does not have."""
        # A work tree beside the first one shares what lies there.
        shared = Path(self.git_dir, "commondir")
        folder = Path(self.git_dir, shared.read_text("utf-8").strip()) if shared.is_file() else Path(self.git_dir)
        file = folder / "shallow"
        return sorted(file.read_text("ascii").split()) if file.is_file() else []


def is_address(repository: str) -> bool:
    """Whether it leads to another machine, or is to be cloned all the same (`file://`)."""
    return bool(_SCHEME.match(repository) or _SSH_PLACE.match(repository))


def check(settings: Settings) -> None:
    """Raises InputError (`bad-repository`, `unknown-ref`) for what could never be meant."""
    where = settings.repository
    scheme = _SCHEME.match(where)
    is_odd = where.startswith("-") or "::" in where or "\n" in where
    if is_odd or (scheme and (scheme[1].lower() not in PROTOCOLS or not _has_place(where))):
        raise InputError(
            "bad-repository",
            f"`{without_credentials(where)}` is no repository that can be read",
            hint=f"give a folder, `user@host:path`, or an address of {listed(list(PROTOCOLS))}",
        )
    if settings.ref.startswith("-") or "\n" in settings.ref:
        raise InputError("unknown-ref", f"`{settings.ref}` can't be the name of a branch, a tag or a commit")


def _has_place(address: str) -> bool:
    try:
        urlsplit(address)
    except ValueError:
        return False
    return True


def reachable(settings: Settings) -> None:
    """Raises what `opened` does when the repository is not there."""
    check(settings)
    if is_address(settings.repository):
        _offered(_clone(settings, Waiting()))
    else:
        _local(settings, Waiting())


def opened(settings: Settings, waiting: Waiting) -> Repository:
    """The repository, up to date. Raises InputError (`bad-repository`), EnvironmentProblemError
    (`repository-unreachable`, `git-not-found`), `program.StoppedError`."""
    check(settings)
    if not is_address(settings.repository):
        return _local(settings, waiting)
    found = _clone(settings, waiting)
    with lease(Path(found.git_dir), exclusive=True, who=f"fetch of {without_credentials(settings.repository)}"):
        _fetch(found)
    return found


def _local(settings: Settings, waiting: Waiting) -> Repository:
    folder = Path(settings.root, settings.repository)
    inside = folder / ".git"
    if inside.is_file() and (told := inside.read_text("utf-8", "replace").strip()).startswith("gitdir:"):
        inside = folder / told.removeprefix("gitdir:").strip()
    git_dir = inside if inside.is_dir() else folder
    if not (git_dir / "HEAD").exists():
        raise InputError(
            "bad-repository",
            f"there is no git repository at `{settings.repository}`",
            hint="`repository` is its folder, or an address that it can be cloned from",
        )
    return Repository(git_dir=str(git_dir.resolve()), settings=settings, waiting=waiting)


def _clone(settings: Settings, waiting: Waiting) -> Repository:
    """The bare repository that a clone is kept in, still without anything in it."""
    name = hashlib.sha256(settings.repository.encode()).hexdigest()[:20]
    folder = (Path(settings.root) / CLONES / f"{name}.git").absolute()
    found = Repository(git_dir=str(folder), settings=settings, waiting=waiting, is_clone=True)
    if not (folder / "HEAD").exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found.lines("init", "--quiet", "--bare", "--template=")
    return found


def _offered(found: Repository) -> dict[str, str]:
    """The refs of the other machine's repository with their commits; `HEAD` with its branch, if it stands on one."""
    refs: dict[str, str] = {}
    for line in _away(found, "ls-remote", "--quiet", "--symref", "--end-of-options", program.address(found.settings)):
        what, _, name = line.partition("\t")
        refs.setdefault(name, what.removeprefix("ref: "))
    return refs


def _fetch(found: Repository) -> None:
    refs = _offered(found)
    head = [f"+HEAD:{_THEIR_HEAD}"] if "HEAD" in refs else []
    flags = ("--quiet", "--prune", "--force", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules")
    wanted = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*", *head)
    _away(found, "fetch", *flags, "--end-of-options", program.address(found.settings), *wanted)
    branch = refs.get("HEAD", "")
    if branch.startswith("refs/heads/"):
        found.lines("symbolic-ref", "HEAD", branch)


def _away(found: Repository, *arguments: str) -> list[str]:
    try:
        said = program.output(
            arguments,
            env=program.fetching(found.settings),
            git_dir=found.git_dir,
            settings=found.settings,
            waiting=found.waiting,
        )
        return b"".join(said).decode("utf-8", "replace").splitlines()
    except RunFailedError as error:
        if error.reference != "git-failed":
            raise
        raise EnvironmentProblemError(
            "repository-unreachable",
            f"`{without_credentials(found.settings.repository)}` can't be read",
            why=without_credentials(error.why or error.what),
            hint="check the address, and `token` or the keys of ssh; nobody is asked for a password",
        ) from error


def tips(found: Repository) -> list[str]:
    """The commits that `ref` names, sorted; none in a repository without commits. Raises InputError (`unknown-ref`)."""
    ref = found.settings.ref
    if ref == EVERY_REF:
        return sorted(set(found.lines("rev-list", "--no-walk=unsorted", "--branches", "--tags")))
    name = _THEIR_HEAD if ref == "HEAD" and found.is_clone else ref
    try:
        return found.lines("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    except RunFailedError as error:
        if error.reference != "git-failed":
            raise
    names = [line[_SHORTEST_NAME:] for line in found.lines("for-each-ref", "--format=%(refname)", "refs/heads")]
    if not names:
        return []
    near = did_you_mean(ref, names)
    raise InputError(
        "unknown-ref",
        f"the repository has no commit `{ref}`",
        hint=f"did you mean `{near}`?" if near else f"its branches are {listed(names[:10])}",
    )


def present(found: Repository, commits: Sequence[str]) -> list[str]:
    """Those of the commits that the repository still has."""
    said: list[str] = []
    for start in range(0, len(commits), _ASKED):
        some = commits[start : start + _ASKED]
        said += found.lines("cat-file", "--batch-check=%(objectname) %(objecttype)", given=some)
    return [line.split()[0] for line in said if line.endswith(" commit")]


def left_behind(found: Repository, before: Sequence[str], now: Sequence[str]) -> int:
    """How many commits can be reached from `before` and not from `now`: the history was rewritten."""
    given = [*before, *(f"^{tip}" for tip in now)]
    return int(found.lines("rev-list", "--count", "--stdin", given=given)[0])
