"""Which packages an environment gets: chosen once, pinned with hashes in the project, installed from the pins.

Pins hold on every platform where that is possible. Packages from version control, from folders and editable ones
have no fixed content, so an environment that asks for one has no pins at all, and a notice says so.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from headwater.base.errors import EnvironmentProblemError, RunFailedError
from headwater.base.redact import Redactor
from headwater.base.scratch import scratch
from headwater.run.uv import Answer, Uv
from headwater.store import distributions, pins, venvs

# Options of the installer that take a value. Those of the first set name packages, those of the second say where
# and how to get them.
_PACKAGE_OPTIONS = frozenset({"-r", "--requirement", "--requirements", "-e", "--editable"})
_CONSTRAINT_OPTIONS = frozenset({"-c", "--constraint", "--constraints", "--override", "--overrides"})
_VALUE_OPTIONS = frozenset(
    {
        *("-i", "--index-url", "--extra-index-url", "--index", "--default-index", "-f", "--find-links"),
        *("--index-strategy", "--keyring-provider", "--allow-insecure-host", "--trusted-host"),
        *("--no-binary", "--only-binary", "--prerelease", "--exclude-newer", "--resolution", "--fork-strategy"),
        *("-b", "--build-constraint", "--build-constraints", "-C", "--config-setting", "--config-settings"),
        *("--no-build-isolation-package", "--no-sources-package"),
    }
)
_NEEDLESS_FLAGS = frozenset({"--upgrade", "-U", "--force-reinstall", "--reinstall", "--user"})
_NOT_FIXED = re.compile(r"(^|@\s*)((git|hg|bzr|svn)\+|file:)|^\.{0,2}/|^~|^\.$|://[^/]*@")
# setuptools 82 took `pkg_resources` away; taps of Singer's first years import it, some already in setup.py.
_OLD_SETUPTOOLS = "setuptools<81"


class Order(Struct, frozen=True, kw_only=True):
    """What is wanted, for which plugin, and what to get it with."""

    name: str
    wanted: venvs.Requirement
    uv: Uv
    env: Mapping[str, str]
    redact: Redactor
    notice: Callable[[str], None]

    @property
    def root(self) -> Path:
        return Path(self.wanted.root)

    def call(self, args: Sequence[str]) -> Answer:
        return self.uv(args, cwd=self.root, env=self.env, redact=self.redact)


class Words(Struct, frozen=True, kw_only=True):
    """The words of a `pip_url` by what they are. `packages` and `constraints` are option and value, or a
    requirement alone; `options` are kept as they were written."""

    packages: tuple[tuple[str, ...], ...]
    constraints: tuple[tuple[str, ...], ...]
    options: tuple[str, ...]

    @property
    def requirements(self) -> tuple[str, ...]:
        """The requirements written out, without those in files."""
        return tuple(words[0] for words in self.packages if len(words) == 1)


def sort_words(args: Sequence[str]) -> Words:
    packages: list[tuple[str, ...]] = []
    constraints: list[tuple[str, ...]] = []
    options: list[str] = []
    words = iter(args)
    for word in words:
        option, joined, value = word.partition("=") if word.startswith("--") else (word, "", "")
        if option in _PACKAGE_OPTIONS or option in _CONSTRAINT_OPTIONS:
            pair = (option, value if joined else next(words, ""))
            (packages if option in _PACKAGE_OPTIONS else constraints).append(pair)
        elif option in _VALUE_OPTIONS:
            options += [word] if joined else [word, next(words, "")]
        elif word.startswith("-"):
            options.append(word)
        else:
            packages.append((word,))
    return Words(
        packages=tuple(packages),
        constraints=tuple(constraints),
        options=tuple(word for word in options if word not in _NEEDLESS_FLAGS),
    )


def unfixed(args: Sequence[str], root: Path) -> str | None:
    """The first package whose content is not fixed by a version, None when every one is."""
    for words in sort_words(args).packages:
        if words[0] in ("-e", "--editable"):
            return " ".join(words)
        if len(words) == 1 and (_NOT_FIXED.search(words[0]) or ("/" in words[0] and (root / words[0]).exists())):
            return words[0]
    return None


def make(build: Path, order: Order) -> None:
    """An empty environment at `build`. It may be moved: its programs find their Python beside them. Pythons are
    used, never downloaded."""
    request = venvs.python_request(order.wanted)
    command = ["venv", "--quiet", "--relocatable", "--no-project", "--no-python-downloads", "--prompt", order.name]
    answer = None
    for python in request.split("|") if request else [sys.executable]:
        answer = order.call([*command, "--python", python, str(build)])
        if answer.ok:
            return
        shutil.rmtree(build, ignore_errors=True)
    assert answer is not None
    asked = " or ".join(f"`{python}`" for python in request.split("|")) if request else f"`{sys.executable}`"
    first = request.split("|", 1)[0]
    raise EnvironmentProblemError(
        "python-not-found",
        f"`{order.name}` needs Python {asked}, which is not on this machine",
        why=answer.last_lines(),
        hint=f"uv python install {first}" if re.fullmatch(r"[\d.]+", first) else "set `python:` to one that exists",
    )


def fill(build: Path, order: Order, *, write_pins: bool) -> pins.Pins | None:
    """Install the packages into `build`: from the project's pins when they fit, else chosen now and pinned.
    Returns the pins that were used, None without."""
    pinned = venvs.fitting_pins(order.wanted)
    if pinned is None and write_pins:
        pinned = choose(order, build=build)
    _install(build, order, pinned)
    if distributions.lacks_setuptools(build, sort_words(order.wanted.args).requirements):
        return _add_setuptools(build, order, pinned, write_pins=write_pins)
    return pinned


def _add_setuptools(build: Path, order: Order, pinned: pins.Pins | None, *, write_pins: bool) -> pins.Pins | None:
    """What a package needs without saying so. Where it fits with nothing else, all stays as it was."""
    extra = (_OLD_SETUPTOOLS,)
    try:
        again = choose(order, build=build, extra=extra) if pinned and write_pins else None
        _install(build, order, again, extra=extra)
    except RunFailedError as error:
        order.notice(f"a package imports `pkg_resources`, but `{_OLD_SETUPTOOLS}` cannot be added: {error.why}")
        return pinned
    order.notice(f"`{_OLD_SETUPTOOLS}` is added: a package imports `pkg_resources`")
    return again or pinned


def choose(order: Order, *, build: Path | None = None, extra: Sequence[str] = ()) -> pins.Pins | None:
    """Choose the newest packages that fit and write the project's pin file. None, after a notice, when a package
    has no fixed content. Raises as `install` does."""
    odd = unfixed(order.wanted.args, order.root)
    if odd is not None:
        order.notice(f"packages are not pinned: `{order.redact(odd)}` has no fixed content")
        return None
    words = sort_words(order.wanted.args)
    python = (
        str(build / "bin" / "python") if build else (venvs.python_request(order.wanted).split("|")[0] or sys.executable)
    )
    command = ["pip", "compile", "--quiet", "--generate-hashes", "--no-header", "--no-annotate"]
    command += ["--no-python-downloads", "--python", python, *words.options]
    with _files(order, words, extra) as files:
        platform = pins.ANY_PLATFORM
        answer = _call([*command, "--universal", *files], order)
        if not answer.ok and not answer.is_no_network:
            platform = pins.this_platform()
            answer = _call([*command, *files], order)
    if not answer.ok:
        raise failure(answer, order)
    loose = _without_hash(answer.out)
    if loose:
        order.notice(f"packages are not pinned: `{order.redact(loose)}` has no fixed content")
        return None
    ours = "" if venvs.python_request(order.wanted) else f"{sys.version_info[0]}.{sys.version_info[1]}"
    return pins.write(
        venvs.pin_file(order.wanted), answer.out, inputs=venvs.inputs(order.wanted), python=ours, platform=platform
    )


def failure(answer: Answer, order: Order) -> EnvironmentProblemError | RunFailedError:
    """What to raise for a call that failed: uv's last words, and what to do."""
    if answer.is_no_network:
        return EnvironmentProblemError(
            "no-network",
            f"cannot install `{order.name}`: the package index is not reachable",
            why=answer.last_lines(4),
            hint="check the network, or name an index that is reachable: UV_DEFAULT_INDEX",
        )
    hint = next((hint for text, hint in _HINTS if text in answer.error.lower()), "check its `pip_url`")
    return RunFailedError(
        "plugin-install-failed",
        f"cannot install `{order.name}`",
        why=answer.last_lines(),
        hint=hint.format(name=order.name),
    )


_HINTS = (
    (
        "hash mismatch",
        "the index serves other files than were pinned; if you trust them: headwater install --clean {name}",
    ),
    (
        "not found in the package registry",
        "check the name in its `pip_url`, or at the top of its Python file; or name the index that has it: --index-url",
    ),
    ("no solution found", "change the versions in its `pip_url`, `constraints` or `overrides`"),
    (
        "failed to build",
        'its source does not build with this Python: try `python: "3.9"`, or newer parts in `overrides`',
    ),
    ("unexpected argument", "its `pip_url` has an option that uv does not know"),
)


def _install(build: Path, order: Order, pinned: pins.Pins | None, *, extra: Sequence[str] = ()) -> None:
    """From pins: what they name and nothing else, out of uv's cache when it is all there (0.1 s instead of 0.9 s)."""
    words = sort_words(order.wanted.args)
    command = ["pip", "install", "--quiet", "--compile-bytecode", "--python", str(build / "bin" / "python")]
    if pinned:
        options = [word for word in words.options if word != "--no-deps"]
        command += ["--no-deps", "--require-hashes", "-r", pinned.file, *options]
        answer = _call([*command, "--offline"], order)
        if not answer.ok:
            answer = _call(command, order)
    else:
        with _files(order, words, extra) as files:
            answer = _call([*command, *words.options, "-r", *files], order)
    if not answer.ok:
        raise failure(answer, order)


def _call(args: Sequence[str], order: Order) -> Answer:
    """Call uv; when the source of a package cannot be built without `pkg_resources`, again with tools that have it."""
    answer = order.call(args)
    if answer.ok or "pkg_resources" not in answer.error:
        return answer
    with scratch() as folder:
        tools = folder / "build-constraints.txt"
        tools.write_text(f"{_OLD_SETUPTOOLS}\n", "utf-8")
        return order.call([*args, "--build-constraints", str(tools)])


@contextmanager
def _files(order: Order, words: Words, extra: Sequence[str]) -> Iterator[list[str]]:
    """Arguments naming temporary files: requirements first, then constraints and overrides."""
    with scratch() as folder:
        requirements = Path(folder, "requirements.in")
        lines = [*(_line(order.root, pair) for pair in words.packages), *extra]
        requirements.write_text("\n".join(lines) + "\n", "utf-8")
        args = [str(requirements)]
        for option, name, content in (
            ("--constraints", "constraints.txt", order.wanted.constraints),
            ("--overrides", "overrides.txt", order.wanted.overrides),
        ):
            if content:
                file = Path(folder, name)
                file.write_text("\n".join(content) + "\n", "utf-8")
                args += [option, str(file)]
        for option, name in words.constraints:
            args += ["--overrides" if option.startswith("--override") else "--constraints", name]
        yield args


def _line(root: Path, words: tuple[str, ...]) -> str:
    """A line for a requirements file outside the project: paths are made absolute."""
    option, value = words if len(words) == 2 else ("", words[0])
    location, bracket, extras = value.partition("[")
    is_path = "://" not in value and (root / location).exists() and (option != "" or _NOT_FIXED.search(value))
    if is_path or (option and "/" in location and "://" not in value):
        value = f"{(root / location).resolve()}{bracket}{extras}"
    return f"{option} {value}".strip()


def _without_hash(compiled: str) -> str | None:
    """The first package of uv's list that has no hash."""
    for block in compiled.replace("\\\n", " ").splitlines():
        if block.strip() and not block.startswith("#") and "--hash=" not in block:
            return block.strip()
    return None
