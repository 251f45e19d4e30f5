"""The `git` program, run so that a repository can't make it do anything but read.

The configuration of a repository names programs: hooks, monitors of files, drivers for differences, checkers of
signatures, transports of objects that are fetched when they are missed. Whatever the repository says of these is
overruled, and values of settings never stand where an option could.
"""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
from collections.abc import Callable, Generator, Sequence
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from headwater.base.clock import monotonic
from headwater.base.errors import EnvironmentProblemError, RunFailedError
from headwater.base.process import Child, is_readable, pipe
from headwater.base.redact import Redactor, without_credentials
from headwater.base.text import duration
from headwater.connect.contract import IDLE_SECONDS
from headwater.connect.sources.git.settings import Settings

_TICK = 0.2
_GRACE_SECONDS = 2.0
PROTOCOLS = ("file", "https", "ssh")

_OVERRULED = (
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "core.alternateRefsCommand=",
    "core.attributesFile=/dev/null",
    "core.quotePath=false",
    "diff.external=",
    "diff.orderFile=/dev/null",
    "gc.autoDetach=false",
    "log.showRoot=true",
    "log.showSignature=false",
    "mailmap.file=",
    "maintenance.autoDetach=false",
)
# What `git` may know of the machine: where programs and keys are, and how the network is reached.
_KEPT = frozenset({"GIT_SSH_COMMAND", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_SSL_NO_VERIFY", "GIT_PROXY_COMMAND"})


Output = Generator[bytes, None, None]


class StoppedError(Exception):
    """It was told to stop before it was done."""


class Waiting(Struct, frozen=True, kw_only=True):
    """How long is waited for the program, and who hears what it says."""

    should_stop: Callable[[], bool] = lambda: False
    on_line: Callable[[str], None] = lambda _text: None
    idle_seconds: float = IDLE_SECONDS


def reading(settings: Settings) -> dict[str, str]:
    """The environment for work on a repository that is here: no network, no configuration but that repository's."""
    return {
        **_bare(settings),
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_GRAFT_FILE": "/dev/null/none",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_NO_REPLACE_OBJECTS": "1",
        "GIT_OPTIONAL_LOCKS": "0",
    }


def fetching(settings: Settings) -> dict[str, str]:
    """The environment for work with another machine: the user's own configuration holds, and nobody is asked for
    anything. The token, or the password in the address, goes to the host of the address only, and stands in no
    argument."""
    env = {**_bare(settings), "GIT_ALLOW_PROTOCOL": ":".join(PROTOCOLS)}
    env.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
    if login := _login(settings):
        place = urlsplit(address(settings))
        shown = base64.b64encode(":".join(login).encode()).decode()
        env |= {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"http.{place.scheme}://{place.netloc}/.extraHeader",
            "GIT_CONFIG_VALUE_0": f"Authorization: Basic {shown}",
        }
    return env


def address(settings: Settings) -> str:
    """The address as an argument, which everybody on the machine can read: without the login that `fetching` has."""
    if _login(settings) is None:
        return settings.repository
    place = urlsplit(settings.repository)
    return place._replace(netloc=place.netloc.rpartition("@")[2]).geturl()


def _login(settings: Settings) -> tuple[str, str] | None:
    """User and password for https."""
    if not settings.repository.lower().startswith("https://"):
        return None
    if settings.token:
        return settings.username, settings.token
    place = urlsplit(settings.repository)
    return (unquote(place.username or ""), unquote(place.password)) if place.password else None


def _bare(settings: Settings) -> dict[str, str]:
    kept = {name: value for name, value in settings.env.items() if not name.startswith("GIT_") or name in _KEPT}
    return {
        "PATH": os.defpath,
        **kept,
        "LC_ALL": "C.UTF-8",
        "GIT_ASKPASS": "/bin/false",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_PAGER": "cat",
    }


def output(
    arguments: Sequence[str],
    *,
    env: dict[str, str],
    git_dir: str,
    settings: Settings,
    lines: bytes = b"",
    waiting: Waiting | None = None,
    size: int = 1 << 20,
    config: Sequence[str] = (),
) -> Output:
    """What `git` writes, in pieces of up to `size` bytes, given `lines` on its standard input; it is gone when this is
    closed. Raises RunFailedError (`git-failed`, `no-sign-of-life`), EnvironmentProblemError (`git-not-found`),
    StoppedError."""
    waiting = waiting or Waiting()
    program = shutil.which("git", path=env["PATH"])
    if program is None:
        raise EnvironmentProblemError(
            "git-not-found", "there is no program `git`", hint="install git, as your system does"
        )
    overruled = [part for one in (*_OVERRULED, *config) for part in ("-c", one)]
    argv = [program, "--no-pager", f"--git-dir={git_dir}", *overruled, *arguments]
    redactor = Redactor((*settings.secrets, settings.token or "", *(_login(settings) or ())[1:]))

    def redact(text: str) -> str:
        return without_credentials(redactor(text))

    inlet, ours = pipe()
    outlet, theirs = pipe()
    try:
        child = Child(
            argv,
            name="git",
            env=env,
            # Where no work tree is: files in one would have a say, too.
            cwd=git_dir,
            stdin=inlet,
            stdout=theirs,
            on_line=lambda text: waiting.on_line(redact(text)),
        )
    except BaseException:
        os.close(ours)
        os.close(outlet)
        raise
    finally:
        os.close(inlet)
        os.close(theirs)
    try:
        with contextlib.suppress(BrokenPipeError), os.fdopen(ours, "wb") as file:
            file.write(lines)
        while True:
            _wait(outlet, child, waiting)
            if not (data := os.read(outlet, size)):
                break
            yield data
        code = child.wait()
        if code:
            raise RunFailedError(
                "git-failed",
                f"`git {arguments[0]}` ended with exit code {code}",
                why=redact("\n".join(child.tail[-5:])) or None,
                hint="headwater doctor",
            )
    finally:
        os.close(outlet)
        child.terminate(_GRACE_SECONDS)


def _wait(descriptor: int, child: Child, waiting: Waiting) -> None:
    began = monotonic()
    while not is_readable(descriptor, _TICK):
        if waiting.should_stop():
            raise StoppedError
        if monotonic() - max(began, child.last_sign_at) > waiting.idle_seconds:
            raise RunFailedError(
                "no-sign-of-life",
                f"`git` did nothing for {duration(waiting.idle_seconds)}",
                hint="to allow more time: headwater config set EXTRACTOR _idle_timeout_seconds N",
            )
