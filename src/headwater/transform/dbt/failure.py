"""What to say when a command of dbt failed: which nodes, in which files, what could not be built because of them, or
what is wrong with the project as a whole."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from headwater.base.errors import HeadwaterError, InputError, RunFailedError, Where
from headwater.model.event import LineageNode
from headwater.model.plan import Invoke
from headwater.transform.dbt.artifacts import Places, Result

_FAILED = ("error", "fail", "runtime error", "partial success")
_NOT_A_MODEL = {"test": "test", "unit_test": "unit test", "source": "source", "seed": "seed", "snapshot": "snapshot"}
_FILE = re.compile(r"([\w./-]+\.(?:sql|ya?ml|py|csv))\b")
_MODEL = re.compile(r"\bmodel\.\w+\.(\w+)")
# Folders that dbt fills.
_MADE = ("target", "dbt_packages", "logs")
_LINE = re.compile(r"\bline (\d+)|\bLINE (\d+):")


def of_nodes(
    step: Invoke, results: Mapping[str, Result], nodes: Sequence[LineageNode], project: Path
) -> HeadwaterError | None:
    """RunFailedError (`dbt-failed`) that names the nodes that failed and those that were skipped for it; None when
    none failed."""
    failed = [result for result in results.values() if result.status in _FAILED]
    if not failed:
        return None
    known = {node.key: node for node in nodes}
    root = Path(step.cwd)
    lines = [_line(result, known, project, root) for result in failed]
    if skipped := [result.name for result in results.values() if result.status == "skipped"]:
        lines.append(f"not built, because they need it: {', '.join(skipped)}")
    first = failed[0]
    if len(failed) == 1:
        what = f"{_called(first)} `{first.name}` failed"
    else:
        what = f"`{step.name}` failed: {_counted(failed)}"
    is_test = first.type in ("test", "unit_test")
    return RunFailedError(
        "dbt-failed",
        what,
        where=_where(first, known, project, root),
        why="\n".join(lines),
        hint=f"headwater invoke {step.block.name} show --select {first.name} shows rows that fail"
        if is_test and first.status == "fail"
        else "put it right and run it again; what was built before is still there",
    )


def of_project(step: Invoke, said: str, code: int, found: Places) -> HeadwaterError:
    """What dbt said before it built anything, or instead: InputError when it is the project's fault."""
    name, root = step.block.name, Path(step.cwd)
    where = _first_file(said, found.project, root)
    for pattern, problem in _WRONG:
        if match := pattern.search(said):
            if where is None and problem in (_profile, _no_adapter):
                where = _profiles(found, root)
            return problem(name, match, where, said)
    if re.search(r"Compilation Error|Parsing Error|Runtime Error|dbt_project\.yml", said):
        return InputError(
            "dbt-project",
            "dbt cannot read its project",
            where=where,
            why=said,
            hint=f"put it right; headwater invoke {name} parse shows whether it is",
        )
    return RunFailedError(
        "command-failed",
        f"`{step.name}` failed with exit code {code}",
        why=said or None,
        hint=f"headwater invoke {step.name} shows all it says",
    )


def _called(result: Result) -> str:
    return _NOT_A_MODEL.get(result.type, "model")


def _counted(failed: Sequence[Result]) -> str:
    counts: dict[str, int] = {}
    for result in failed:
        counts[_called(result)] = counts.get(_called(result), 0) + 1
    return " and ".join(f"{count} {name}{'s' if count > 1 else ''}" for name, count in counts.items())


def _line(result: Result, known: Mapping[str, LineageNode], project: Path, root: Path) -> str:
    where = _where(result, known, project, root)
    message = " ".join((result.message or result.status).split())
    return f"`{result.name}`{f' ({where})' if where else ''}: {message}"


def _where(result: Result, known: Mapping[str, LineageNode], project: Path, root: Path) -> Where | None:
    node = known.get(result.key)
    if node is None or node.file is None:
        return None
    # Lines are those of the compiled SQL, which macros may have made longer: better none than a wrong one.
    return Where(_shown(project / node.file, root))


def _first_file(said: str, project: Path, root: Path) -> Where | None:
    """The first file of the project that dbt names, by its path, its name alone or the model that it holds."""
    line = _LINE.search(said)
    for found in _FILE.finditer(said):
        if (file := _find(project, found[1])) is not None:
            shown = _shown(file, root)
            return Where(shown, int(line[1] or line[2])) if line else Where(shown)
    model = _MODEL.search(said)
    file = _find(project, f"{model[1]}.sql") if model else None
    return Where(_shown(file, root)) if file else None


def _find(project: Path, name: str) -> Path | None:
    if (project / name).is_file():
        return project / name
    found = [path for path in project.glob(f"*/**/{Path(name).name}") if path.parts[len(project.parts)] not in _MADE]
    return found[0] if len(found) == 1 else None


def _shown(file: Path, root: Path) -> str:
    """A file of the project by its path within."""
    return str(file.relative_to(root) if file.is_relative_to(root) else file)


def _profiles(found: Places, root: Path) -> Where | None:
    """The file with the profiles, or the place where it has to be."""
    folders = (folder for folder in (found.profiles, found.project) if folder is not None)
    file = next((folder / "profiles.yml" for folder in folders if (folder / "profiles.yml").is_file()), None)
    if file is None and found.profiles is not None:
        file = found.profiles / "profiles.yml"
    return Where(_shown(file, root)) if file is not None else None


def _no_adapter(name: str, found: re.Match[str], where: Where | None, said: str) -> HeadwaterError:
    adapter = found[1]
    return InputError(
        "dbt-adapter-missing",
        f"the profile asks for the adapter `{adapter}`, which is not installed with `{name}`",
        where=where,
        why=said,
        hint=f"headwater add dbt-{adapter}, or add dbt-{adapter} to the `pip_url` of {name}",
    )


def _no_project(name: str, _found: re.Match[str], where: Where | None, said: str) -> HeadwaterError:
    return InputError(
        "no-dbt-project",
        "there is no dbt project to run",
        where=where,
        why=said,
        hint=f"headwater add dbt writes one; name yours by: headwater config set {name} project_dir FOLDER",
    )


def _profile(name: str, _found: re.Match[str], where: Where | None, said: str) -> HeadwaterError:
    return InputError(
        "dbt-profile",
        "dbt cannot use its profile",
        where=where,
        why=said,
        hint="name a profile and a target of this file (`profile:` in dbt_project.yml); headwater add dbt writes one "
        f"that is missing; settings that the profile's variables come from: headwater config list {name}",
    )


def _missing(name: str, _found: re.Match[str], where: Where | None, said: str) -> HeadwaterError:
    return InputError(
        "dbt-missing-ref",
        "the dbt project refers to something that it does not have",
        where=where,
        why=said,
        hint=f"correct the `ref` or `source`, or add what is missing; headwater invoke {name} list shows what there is",
    )


def _cycle(_name: str, _found: re.Match[str], where: Where | None, said: str) -> HeadwaterError:
    return InputError(
        "dbt-cycle",
        "models of the dbt project need each other in a circle",
        where=where,
        why=said,
        hint="take one `ref` out of the circle",
    )


_NO_PROFILE = (
    r"Could not find profile named|profiles\.yml|Env var required but not provided|Invalid value for '--profiles-dir'"
    r"|does not have a target named|Credentials in profile"
)
# What dbt says, and what to raise for it: the first that fits.
_WRONG = (
    (re.compile(r"Could not find adapter type (\w+)"), _no_adapter),
    (re.compile(r"No dbt_project\.yml found|Invalid value for '--project-dir'"), _no_project),
    (re.compile(_NO_PROFILE), _profile),
    (re.compile(r"depends on a (node|source) named"), _missing),
    (re.compile(r"[Ff]ound a cycle"), _cycle),
)
