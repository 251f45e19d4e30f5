"""Builds the environments of plugins: each its own, complete before it is put into use, its packages pinned.

A build happens beside the environment in use: made, filled, checked, and only then swapped in. Whoever finds the
lock taken waits, then looks again. A failure leaves what was there, and does not stop other plugins' builds.
"""

from __future__ import annotations

import os
import queue
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

from msgspec import Struct

from headwater.base.clock import monotonic
from headwater.base.errors import (
    CancelledError,
    HeadwaterError,
    RunFailedError,
)
from headwater.base.files import cannot_write, locked
from headwater.base.redact import Redactor
from headwater.base.text import listed
from headwater.model.event import Emit, Event, Install, Level, Notice
from headwater.model.plugin import PluginKind, Resolved
from headwater.plan.expand import expand
from headwater.run import packages
from headwater.run.uv import Uv
from headwater.store import distributions, venvs

# Programs of these kinds are started by every run; other kinds may bring data only.
_MUST_START = frozenset({PluginKind.EXTRACTOR, PluginKind.LOADER, PluginKind.MAPPER})


class InstallJob(Struct, frozen=True, kw_only=True):
    """One plugin to install. `env` is the environment uv runs in. `executable` is the program that has to be there
    afterwards, None when none has to. `write_pins` is false for a project that must not be written to."""

    name: str
    requirement: venvs.Requirement
    env: dict[str, str]
    executable: str | None = None
    secrets: tuple[str, ...] = ()
    write_pins: bool = True

    @property
    def key(self) -> tuple[PluginKind, str]:
        return self.requirement.kind, self.requirement.venv_name

    def __repr__(self) -> str:
        return f"InstallJob({self.requirement.kind}:{self.name})"


class Installed(Struct, frozen=True, kw_only=True):
    """`status` is `installed` or `skipped` (it was there)."""

    name: str
    kind: PluginKind
    status: str
    seconds: float
    venv: str


def job(
    resolved: Resolved,
    *,
    root: Path,
    home: Path,
    env: Mapping[str, str],
    secrets: Sequence[str] = (),
    write_pins: bool = True,
) -> InstallJob | None:
    """What has to be installed for a plugin, None when it brings no package. Variables in `pip_url` are taken from
    `env`; one that is not set raises InputError (`undefined-variable`)."""
    definition = resolved.definition
    if not definition.pip_url or definition.pip_url.strip() in ("", "-"):
        return None
    program = definition.executable or resolved.name
    python = expand(definition.python or "", env)
    return InstallJob(
        name=resolved.name,
        requirement=venvs.Requirement(
            root=str(root),
            home=str(home),
            kind=resolved.kind,
            venv_name=resolved.venv_name,
            variant=definition.variant,
            args=venvs.split_args(expand(definition.pip_url, env, strict=True)),
            constraints=definition.constraints,
            overrides=definition.overrides,
            python=str(root / python) if "/" in python else python,
            supported_pythons=definition.supported_python_versions,
        ),
        env=dict(env),
        executable=program if resolved.kind in _MUST_START and not resolved.native and "/" not in program else None,
        secrets=tuple(secrets),
        write_pins=write_pins,
    )


def install(
    jobs: Sequence[InstallJob],
    *,
    emit: Emit,
    parallelism: int | None = None,
    force: bool = False,
    clean: bool = False,
) -> tuple[Installed, ...]:
    """Bring the environments of these plugins up to date, `parallelism` at a time (None: one per CPU, below 1: all
    at once). Idempotent: an environment that is current is skipped, unless `force` or `clean` is given; `clean`
    also removes the environment before, which otherwise stays for processes that still run from it.

    Events come from the calling thread. Every job is tried; then the failures are raised as one error:
    RunFailedError (`plugin-install-failed`, `plugin-executable-missing`) or EnvironmentProblemError (`no-network`).
    """
    groups: dict[tuple[PluginKind, str], list[InstallJob]] = {}
    for each in jobs:
        groups.setdefault(each.key, []).append(each)
    if not groups:
        return ()
    if parallelism is None:
        parallelism = os.cpu_count() or 1
    workers = min(len(groups), parallelism if parallelism >= 1 else len(groups))
    events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
    uv = Uv()
    pool = ThreadPoolExecutor(workers, thread_name_prefix="install")
    try:
        futures = [
            pool.submit(_one, group, uv, events.put, anew=force or clean, keep_previous=not clean)
            for group in groups.values()
        ]
        for future in futures:
            future.add_done_callback(lambda _: events.put(None))
        open_ends = len(futures)
        while open_ends:
            event = events.get()
            if event is None:
                open_ends -= 1
            else:
                emit(event)
    finally:
        # Only has an effect when the loop above was left early, by a signal or a failing listener.
        uv.stop()
        pool.shutdown(wait=True, cancel_futures=True)
    return _results(list(groups.values()), futures)


def update_pins(job: InstallJob, *, emit: Emit) -> Path | None:
    """Choose the newest packages that fit and pin them, without installing. Returns the pin file, None when the
    plugin's packages cannot be pinned (a Notice says why)."""
    packages.choose(_order(job, Uv(), emit))
    file = venvs.pin_file(job.requirement)
    return file if venvs.fitting_pins(job.requirement) else None


def _results(groups: Sequence[list[InstallJob]], futures: Sequence[Future[Installed]]) -> tuple[Installed, ...]:
    done: list[Installed] = []
    failures: list[tuple[str, HeadwaterError]] = []
    for group, future in zip(groups, futures, strict=True):
        try:
            outcome = future.result()
        except HeadwaterError as error:
            failures.append((group[0].name, error))
        else:
            done += [
                Installed(
                    name=each.name,
                    kind=outcome.kind,
                    status=outcome.status,
                    seconds=outcome.seconds,
                    venv=outcome.venv,
                )
                for each in group
            ]
    if failures:
        _raise(failures)
    return tuple(done)


def _raise(failures: Sequence[tuple[str, HeadwaterError]]) -> NoReturn:
    if len(failures) == 1:
        raise failures[0][1]
    names = listed([name for name, _ in failures])
    first = failures[0][1]
    kind = type(first) if len({type(error) for _, error in failures}) == 1 else RunFailedError
    if isinstance(first, CancelledError):
        raise first
    raise kind(
        first.reference if len({error.reference for _, error in failures}) == 1 else "plugin-install-failed",
        f"cannot install {names}",
        why="\n".join(f"{error.what}\n{error.why or ''}".strip() for _, error in failures),
        hint=first.hint,
    )


def _one(group: Sequence[InstallJob], uv: Uv, put: Emit, *, anew: bool, keep_previous: bool) -> Installed:
    """Build one environment and check it for every plugin that shares it."""
    first = group[0]
    wanted = first.requirement
    home = Path(wanted.home)
    place = str(venvs.venv(home, *first.key))
    started = monotonic()
    try:
        if anew or not venvs.is_current(wanted):
            with locked(venvs.lock(home, *first.key)):
                if anew or not venvs.is_current(wanted):
                    put(Install(plugin=first.name, status="started"))
                    _build(group, uv, put, keep_previous=keep_previous)
                    seconds = monotonic() - started
                    put(Install(plugin=first.name, status="installed", seconds=seconds))
                    return Installed(name=first.name, kind=wanted.kind, status="installed", seconds=seconds, venv=place)
    except HeadwaterError as error:
        put(Install(plugin=first.name, status="failed", seconds=monotonic() - started, detail=error.what))
        raise
    put(Install(plugin=first.name, status="skipped"))
    return Installed(name=first.name, kind=wanted.kind, status="skipped", seconds=0.0, venv=place)


def _build(group: Sequence[InstallJob], uv: Uv, put: Emit, *, keep_previous: bool) -> None:
    job = group[0]
    wanted = job.requirement
    home = Path(wanted.home)
    order = _order(job, uv, put)
    build = venvs.new_build(home, *job.key, venvs.inputs(wanted))
    try:
        build.parent.mkdir(parents=True, exist_ok=True)
        packages.make(build, order)
        pinned = packages.fill(build, order, write_pins=job.write_pins)
        _check(build, group, uv)
        venvs.swap(home, *job.key, build, venvs.fingerprint(wanted, pinned), keep_previous=keep_previous)
    except OSError as error:
        shutil.rmtree(build, ignore_errors=True)
        raise cannot_write(build, error) from error
    except BaseException:
        shutil.rmtree(build, ignore_errors=True)
        raise


def _check(build: Path, group: Sequence[InstallJob], uv: Uv) -> None:
    """Python starts and the plugins' programs are there."""
    first = group[0]
    answer = uv.program([str(build / "bin" / "python"), "-I", "-c", ""], cwd=build, env=first.env)
    if not answer.ok:
        raise RunFailedError(
            "plugin-install-failed",
            f"the Python of `{first.name}` does not start",
            why=answer.last_lines(),
            hint=f"choose another one: `python:` of {first.name}",
        )
    for each in group:
        if each.executable is None or (build / "bin" / each.executable).exists():
            continue
        offered = distributions.programs(build, packages.sort_words(each.requirement.args).requirements)
        raise RunFailedError(
            "plugin-executable-missing",
            f"the packages of `{each.name}` bring no program `{each.executable}`",
            why=f"they bring {listed(offered)}" if offered else "they bring no program at all",
            hint=f"name it: `executable: {offered[0]}`" if offered else "check `pip_url`",
        )


def _order(job: InstallJob, uv: Uv, emit: Emit) -> packages.Order:
    def notice(text: str) -> None:
        emit(Notice(step=None, level=Level.INFO, text=f"{job.name}: {text}"))

    return packages.Order(
        name=job.name, wanted=job.requirement, uv=uv, env=job.env, redact=Redactor(job.secrets), notice=notice
    )
