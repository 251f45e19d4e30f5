"""The pages say what the code does: links lead somewhere, commands and keys exist, tables are those of the code."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from headwater.base import yaml
from headwater.base.errors import ExitCode
from headwater.cli.exits import spelled
from headwater.cli.log_file import FileLog
from headwater.cli.main import root
from headwater.cli.settings import LogFile, Settings
from headwater.connect import names, types
from headwater.connect.destinations.duckdb.tables import LONGEST_NAME, RESERVED
from headwater.connect.sources.rest import spec_file
from headwater.quality.read import read_checks
from headwater.store import hub_pages, project_file
from headwater.transform.models import plan_models

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
# Written by hand, with commands that a reader types.
SPOKEN = [page for page in PAGES if "reference" not in page.parts and page.name != "CHANGELOG.md"]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def shown(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def test_every_link_leads_somewhere() -> None:
    dead = []
    for page in PAGES:
        for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
            if re.match(r"\w+:", link):
                continue
            file, _, anchor = link.partition("#")
            target = (page.parent / file).resolve() if file else page
            if not target.exists() or (anchor and anchor not in anchors(target)):
                dead.append(f"{shown(page)}: {link}")
    assert dead == []


def test_every_page_is_linked_from_another() -> None:
    linked = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in PAGES
        for link in re.findall(r"\]\(([^)\s]+)\)", prose(page))
    }
    assert [shown(page) for page in PAGES if page not in linked and page.name != "README.md"] == []


def typed(page: Path) -> Iterator[list[str]]:
    """The `headwater …` command lines of a page that a reader would type, as words after `headwater`."""
    for language, block in FENCE.findall(page.read_text()):
        if language in ("", "sh", "console"):
            for line in block.splitlines():
                text = line.removeprefix("$ ")
                if line.startswith("$ ") or re.match(r"(headwater|hw|pip) ", text):
                    yield from commands_in(text)


def commands_in(line: str) -> Iterator[list[str]]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>()")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in [*lexer, ";"]:
        if word[0] not in "|&;<>()":
            words.append(word)
            continue
        if ">" in words:
            words = words[: words.index(">")]
        if "headwater" in words:
            yield words[words.index("headwater") + 1 :]
        words = [">"] if ">" in word or "<" in word else []


def named(page: Path) -> Iterator[list[str]]:
    """The commands that a page mentions in its sentences: `headwater state get`, maybe cut short."""
    for text in re.findall(r"`((?:headwater|hw) [^`]+)`", prose(page).replace("\n", " ")):
        yield re.split(r"\s+", text)[1:]


# click remembers a command's help option from the first context it is asked in: it has to be a true one.
TOP = click.Context(root, info_name="headwater", **root.context_settings)


def resolved(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that the words name, and what is left of them. Raises click.UsageError when there is none."""
    command: click.Command = root
    path = TOP
    while isinstance(command, click.Group):
        default = getattr(command, "default", None)
        if default and words and words[0] not in (*command.list_commands(path), "--help"):
            words = [default, *words]
        while words and words[0].startswith("-"):
            option = next((item for item in command.params if words[0] in item.opts), None)
            if option is None and words[0] not in ("--help", "-h", "--version"):
                raise click.NoSuchOption(words[0])
            words = words[2:] if isinstance(option, click.Option) and not option.is_flag else words[1:]
        if not words:
            return command, []
        found = command.get_command(path, words[0])
        if found is None:
            raise click.UsageError(f"no such command: {words[0]}")
        command, words = found, words[1:]
    return command, words


@pytest.mark.parametrize("page", SPOKEN, ids=shown)
def test_every_command_line_can_be_typed(page: Path) -> None:
    """Command, options and number of arguments; whether a named file is there is another matter."""
    wrong = []
    for words in typed(page):
        try:
            command, rest = resolved(words)
            if not isinstance(command, click.Group):
                command.make_context(command.name, list(rest), parent=TOP)
        except (click.exceptions.Exit, click.exceptions.Abort):
            pass
        except click.MissingParameter as error:
            wrong.append(f"headwater {shlex.join(words)}: {error.format_message()}")
        except click.BadParameter:
            pass
        except click.UsageError as error:
            wrong.append(f"headwater {shlex.join(words)}: {error.format_message()}")
    assert wrong == []


@pytest.mark.parametrize("page", SPOKEN, ids=shown)
def test_every_command_that_is_mentioned_exists(page: Path) -> None:
    wrong = []
    for words in named(page):
        try:
            command, rest = resolved([word for word in words if word != "…"])
        except click.UsageError as error:
            wrong.append(f"headwater {' '.join(words)}: {error.format_message()}")
            continue
        known = {name for item in command.params for name in (*item.opts, *item.secondary_opts)}
        wrong += [
            f"headwater {' '.join(words)}: {word}" for word in rest if word.startswith("--") and word not in known
        ]
    assert wrong == []


def test_every_command_that_the_program_itself_names_exists() -> None:
    """Hints are the next command: one that does not exist is worse than none."""
    wrong = []
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            for command in re.findall(r"(?:^|[`:&|(] ?)headwater ((?:[a-z][a-z-]* ?)+)", spoken(node)):
                try:
                    resolved(command.split())
                except click.UsageError:
                    wrong.append(f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}: headwater {command}")
    assert wrong == []


def spoken(node: ast.AST) -> str:
    """The text of a string or an f-string, `…` for what varies."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return ""


MARKS = ("# project", "# models", "# definition", "# default variants", "# logging", "# source")


def examples(mark: str) -> list[tuple[str, str]]:
    return [
        (f"{shown(page)}-{number}", block)
        for page in SPOKEN
        for number, (language, block) in enumerate(FENCE.findall(page.read_text()), 1)
        if language == "yaml" and block.startswith(f"# {mark}\n")
    ]


def test_every_yaml_example_says_what_it_is_part_of() -> None:
    blocks = [block for page in SPOKEN for language, block in FENCE.findall(page.read_text()) if language == "yaml"]
    assert [block for block in blocks if block.splitlines()[0] not in MARKS] == []


def test_logging_files_can_be_had(tmp_path: Path) -> None:
    (tmp_path / "output").mkdir()
    said: list[str] = []
    for number, (_, text) in enumerate(examples("logging")):
        file = tmp_path / f"{number}.yaml"
        file.write_text(text)
        FileLog(LogFile(path=file, root=tmp_path), said.append).close()
    assert (said, len(examples("logging"))) == ([], 1)


def test_definitions_and_default_variants_make_a_hub(tmp_path: Path) -> None:
    for number, (_, text) in enumerate(examples("definition")):
        (tmp_path / f"{number}.yml").write_text(text)
    for _, text in examples("default variants"):
        (tmp_path / hub_pages.DEFAULTS).write_text(text)
    assert len(hub_pages.read([tmp_path])) == len(examples("definition")) > 0


@pytest.mark.parametrize(("place", "text"), examples("project"))
def test_every_project_example_is_a_project(place: str, text: str, tmp_path: Path) -> None:
    """Unknown keys, wrong types and duplicates are errors of the reader."""
    (tmp_path / "headwater.yml").write_text(text)
    project = project_file.load(tmp_path)
    assert project.plugins or project.settings, place


@pytest.mark.parametrize(("place", "text"), examples("source"))
def test_every_source_example_can_be_read(place: str, text: str) -> None:
    assert spec_file.checked(yaml.parse(text, place)).streams


@pytest.mark.parametrize(("place", "text"), examples("models"))
def test_every_models_example_can_be_read(place: str, text: str, tmp_path: Path) -> None:
    folder, seeds = tmp_path / "models", tmp_path / "seeds"
    folder.mkdir()
    seeds.mkdir()
    (folder / "models.yml").write_text(text)
    of_models, _, of_seeds = text.partition("sources:")[0].partition("seeds:")
    for name in re.findall(r"^  - name: (\w+)", of_models, re.MULTILINE):
        (folder / f"{name}.sql").write_text("select 1 as one")
    for name in re.findall(r"^  - name: (\w+)", of_seeds, re.MULTILINE):
        (seeds / f"{name}.csv").write_text("one\n1\n")
    assert plan_models(folder, seeds=seeds), place
    assert read_checks(folder, "analytics"), place


def rows_below(page: str, heading: str) -> list[list[str]]:
    """The cells of the first table behind the line that starts with `heading`."""
    lines = iter((ROOT / "docs" / page).read_text().splitlines())
    for line in lines:
        if line.startswith(heading):
            break
    rows: list[list[str]] = []
    for line in lines:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip("|").split("|")])
        elif rows:
            break
    return rows[2:]


def test_the_table_of_widenings_is_that_of_the_code() -> None:
    expected = [[rule.old, rule.new, rule.to, rule.stored] for rule in types.LATTICE]
    assert rows_below("concepts/loading.md", "A column only grows.") == expected


def test_names_become_what_the_page_says() -> None:
    given = ["order id", "Foo", "foo", "__loaded_at", "rowid", "a" * 300, ""]
    found = names.identifiers(given, max_length=LONGEST_NAME, fold_case=True, reserved=RESERVED)
    cells = [row[1].replace("`", "") for row in rows_below("concepts/loading.md", "A stream's table and columns")]
    long = found["a" * 300]
    assert cells == [
        found["order id"],
        f"{found['Foo']}, {found['foo']}",
        found["__loaded_at"],
        found["rowid"],
        f"{len(long) - len(long.lstrip('a'))} of them and {long.lstrip('a')}",
        found[""],
    ]


def test_exit_codes_are_those_of_the_code() -> None:
    text = (ROOT / "docs" / "concepts" / "runs.md").read_text()
    rows = re.findall(r"^\| (\d+) \| [^|]+ \|$", text, re.MULTILINE)
    assert [int(code) for code in rows] == [code.value for code in ExitCode]


def test_exit_codes_beside_those_of_meltano_are_those_of_the_code(tmp_path: Path) -> None:
    (tmp_path / "meltano.yml").touch()
    here = Settings(
        cwd=tmp_path, environment=None, no_environment=False, env_file=None, log_level="info", log_format="plain"
    )
    rows = rows_below("guides/meltano.md", "In a project whose file is `meltano.yml` they are Meltano's.")
    errors = {row[0]: "meltano-too-new" if "requires_meltano" in row[0] else "" for row in rows}
    errors[rows[2][0]] = "missing-option"
    for words, theirs, ours in rows:
        assert spelled(int(ours), here, errors[words]) == int(theirs)
    assert {int(row[2]) for row in rows} == {code.value for code in ExitCode}


def test_reference_pages_are_in_step_with_the_code() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "reference.py", "--check"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
