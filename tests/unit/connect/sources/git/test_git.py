from __future__ import annotations

import base64
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from headwater.base.errors import EnvironmentProblemError, HeadwaterError
from headwater.connect.contract import Checkpoint, ReadRequest, Rows, Schema
from headwater.connect.sources import git
from headwater.connect.sources.git import columns, repository
from headwater.connect.sources.git.settings import Settings


class Repo:
    """A repository with one commit a call: `changes` are texts by path, None deletes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")
        self.clock = 1_700_000_000

    def git(self, *arguments: str, given: bytes = b"") -> str:
        who = {
            f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER") for what, value in self._person().items()
        }
        env = {"PATH": "/usr/bin:/bin", "GIT_CONFIG_GLOBAL": "/dev/null", **who}
        said = subprocess.run(
            ["git", "-C", str(self.folder), *arguments], input=given, env=env, check=True, capture_output=True
        )
        return said.stdout.decode().strip()

    def _person(self) -> dict[str, str]:
        return {"NAME": "Ann", "EMAIL": "ann@example.com", "DATE": f"{getattr(self, 'clock', 0)} +0130"}

    def commit(self, message: str, changes: dict[str, str | bytes | None] | None = None) -> str:
        self.clock += 60
        for path, text in (changes or {}).items():
            file = self.folder / path
            if text is None:
                file.unlink()
            else:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(text if isinstance(text, bytes) else text.encode())
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--cleanup=verbatim", "--file=-", given=message.encode())
        return self.git("rev-parse", "HEAD")


class Came(dict[str, list[dict[str, Any]]]):
    """Rows by stream."""

    state: bytes | None = None
    lines: list[str]
    replaced: set[str]
    repaired: dict[str, int]


def _read(settings: Settings, state: bytes | None = None, *, only: tuple[str, ...] = ()) -> Came:
    came, catalog = Came(), git.discover(settings)
    came.lines, came.replaced, came.repaired = [], set(), {}
    for stream in catalog.streams:
        stream.metadata[0].metadata["selected"] = not only or stream.name in only
    request = ReadRequest(catalog=catalog, state=state, folder=Path("/nonexistent"), on_line=came.lines.append)
    for message in git.read(settings, request):
        if isinstance(message, Rows):
            came.setdefault(message.stream, []).extend(message.batch.to_pylist())
            came.repaired |= message.repaired
        elif isinstance(message, Schema) and message.replace:
            came.replaced.add(message.stream)
        elif isinstance(message, Checkpoint):
            came.state = message.state
    return came


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    return Repo(tmp_path / "repo")


@pytest.fixture
def settings(repo: Repo, tmp_path: Path) -> Settings:
    return Settings(repository="repo", root=str(tmp_path))


def _shown(rows: list[dict[str, Any]], *columns: str) -> list[tuple[Any, ...]]:
    return [tuple(row[column] for column in columns) for row in rows]


def test_a_commit_says_who_when_and_what(repo: Repo, settings: Settings) -> None:
    sha = repo.commit("Begin\n\nWhy it began,\nin two lines.\n", {"a.txt": "1\n2\n"})
    (row,) = _read(settings)["commits"]
    assert str(row.pop("authored_at")) == str(row.pop("committed_at")) == "2023-11-14 22:14:20+00:00"
    assert row == {
        "sha": sha,
        "parents": "[]",
        "is_merge": False,
        "author_name": "Ann",
        "author_email": "ann@example.com",
        "authored_zone": "+01:30",
        "committer_name": "Ann",
        "committer_email": "ann@example.com",
        "committed_zone": "+01:30",
        "subject": "Begin",
        "body": "Why it began,\nin two lines.",
        "files_changed": 1,
        "additions": 2,
        "deletions": 0,
    }


def test_files_are_added_modified_renamed_and_deleted(repo: Repo, settings: Settings) -> None:
    repo.commit("one", {"a.txt": "1\n2\n3\n4\n", "picture": b"\0\1\2", "gone": "x\n"})
    repo.commit("two", {"a.txt": "1\n2\n3\nfour\n"})
    repo.git("mv", "a.txt", "b.txt")
    repo.commit("three", {"gone": None})
    files = _read(settings)["files"]
    assert _shown(files, "path", "old_path", "status", "additions", "deletions", "is_binary") == [
        ("a.txt", None, "added", 4, 0, False),
        ("gone", None, "added", 1, 0, False),
        ("picture", None, "added", None, None, True),
        ("a.txt", None, "modified", 1, 1, False),
        ("b.txt", "a.txt", "renamed", 0, 0, False),
        ("gone", None, "deleted", 0, 1, False),
    ]


def test_names_of_files_may_hold_anything(repo: Repo, settings: Settings) -> None:
    names = ["a\nb", "tab\there", 'quo"te', "back\\slash", " space ", ":100644 x", "1\t2\tfake", "ü", "-x", "\x01"]
    repo.commit("odd", dict.fromkeys(names, "1\n"))
    came = _read(settings)
    assert {row["path"] for row in came["files"]} == set(names)
    assert {row["additions"] for row in came["files"]} == {1}
    assert came.repaired == {}


def test_a_message_may_look_like_anything(repo: Repo, settings: Settings) -> None:
    fake = f":000000 100644 {'0' * 40} {'1' * 40} A\tfake\n1\t0\tfake"
    repo.commit(f"s\n\n{fake}\n", {"real": "1\n"})
    came = _read(settings)
    assert _shown(came["files"], "path") == [("real",)]
    assert came["commits"][0]["body"] == fake


def test_text_that_is_no_utf_8_loses_nothing(tmp_path: Path, imported: Callable[[Path, bytes], None]) -> None:
    (tmp_path / "odd").mkdir()
    imported(
        tmp_path / "odd",
        b"commit refs/heads/main\ncommitter J\xfcrg <j@x> 1700000000 +0000\ndata 3\nGr\xfc\n"
        b"M 100644 inline caf\xe9\ndata 2\n1\n\n"
        b"commit refs/heads/main\ncommitter J <j@x> 1700000001 +0000\nencoding ISO-8859-1\ndata 3\nGr\xfc\n\n",
    )
    came = _read(Settings(repository="odd", root=str(tmp_path)))
    assert _shown(came["commits"], "author_name", "subject") == [("J\\xfcrg", "Gr\\xfc"), ("J", "Grü")]
    assert _shown(came["files"], "path") == [("caf\\xe9",)]
    assert came.repaired["subject"] == came.repaired["path"] == 1


def test_dates_that_can_be_none_are_null() -> None:
    given = ["1700000000 -0130", "-1 +0000", "999999999999 +0000", "1700000000 +9900", "", "x"]
    at, zone = columns.moments(pa.array([one.encode() for one in given], pa.binary()))
    assert [None if one is None else str(one)[:19] for one in at.to_pylist()] == [
        *("2023-11-14 22:13:20", "1969-12-31 23:59:59", None, "2023-11-14 22:13:20"),
        *(None, None),
    ]
    assert zone.to_pylist() == ["-01:30", "+00:00", "+00:00", None, None, None]


def test_a_merge_and_a_commit_without_changes_have_no_files(repo: Repo, settings: Settings) -> None:
    repo.commit("one", {"a": "1\n"})
    repo.git("checkout", "--quiet", "-b", "side")
    repo.commit("two", {"b": "1\n"})
    repo.git("checkout", "--quiet", "main")
    repo.commit("none")
    repo.git("merge", "--quiet", "--no-ff", "-m", "merge", "side")
    came = _read(settings)
    by_subject = {row["subject"]: row for row in came["commits"]}
    assert (by_subject["none"]["files_changed"], by_subject["none"]["additions"]) == (0, 0)
    assert (by_subject["merge"]["files_changed"], by_subject["merge"]["is_merge"]) == (None, True)
    assert by_subject["merge"]["parents"].count('"') == 4
    assert _shown(came["files"], "path") == [("a",), ("b",)]
    assert _shown(came["branches"], "name", "is_default") == [("main", True), ("side", False)]


def test_a_submodule_is_marked(repo: Repo, settings: Settings) -> None:
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{'a' * 40},lib")
    repo.git("commit", "--quiet", "-m", "lib")
    assert _shown(_read(settings)["files"], "path", "is_submodule", "additions") == [("lib", True, 1)]


def test_authors_are_counted_and_mapped(repo: Repo, settings: Settings) -> None:
    repo.commit("one", {".mailmap": "Ann Smith <ann@new.example> <ann@example.com>\n"})
    repo.commit("two")
    came = _read(settings)
    assert _shown(came["authors"], "email", "name", "commits") == [("ann@new.example", "Ann Smith", 2)]
    assert came["commits"][0]["author_email"] == "ann@new.example"
    assert str(came["authors"][0]["first_authored_at"]) < str(came["authors"][0]["last_authored_at"])
    assert came.replaced == {"authors", "branches", "tags"}
    plain = Settings(repository="repo", root=settings.root, mailmap=False)
    assert _shown(_read(plain)["authors"], "email", "name", "commits") == [("ann@example.com", "Ann", 2)]


def test_tags_say_what_they_name(repo: Repo, settings: Settings) -> None:
    sha = repo.commit("one")
    repo.git("tag", "plain")
    repo.git("tag", "-a", "-m", "First release", "v1")
    tags = _read(settings)["tags"]
    shown = _shown(tags, "name", "sha", "kind", "is_annotated", "tagger_email", "subject")
    assert shown == [
        ("plain", sha, "commit", False, None, None),
        ("v1", sha, "commit", True, "ann@example.com", "First release"),
    ]


def test_an_empty_repository_has_no_rows(settings: Settings) -> None:
    came = _read(settings)
    assert not came
    assert came.state == b'{"streams":{"commits":{},"files":{}}}'
    assert not _read(settings, came.state)


def test_only_new_commits_come_next_time(repo: Repo, settings: Settings) -> None:
    repo.commit("one", {"a": "1\n"})
    first = _read(settings)
    repo.commit("two", {"b": "1\n"})
    again = _read(settings, first.state)
    assert _shown(again["commits"], "subject") == [("two",)]
    assert _shown(again["files"], "path") == [("b",)]
    assert again["authors"][0]["commits"] == 2


def test_a_stream_that_is_selected_later_is_read_whole(repo: Repo, settings: Settings) -> None:
    repo.commit("one", {"a": "1\n"})
    first = _read(settings, only=("commits",))
    repo.commit("two", {"b": "1\n"})
    again = _read(settings, first.state, only=("commits", "files"))
    assert _shown(again["commits"], "subject") == [("two",)]
    assert _shown(again["files"], "path") == [("a",), ("b",)]


def test_a_history_that_was_rewritten_brings_what_is_new_and_says_so(repo: Repo, settings: Settings) -> None:
    repo.commit("one")
    repo.commit("dropped")
    first = _read(settings)
    repo.git("reset", "--quiet", "--hard", "HEAD~1")
    repo.commit("instead")
    again = _read(settings, first.state)
    assert _shown(again["commits"], "subject") == [("instead",)]
    assert "1 commits that were loaded are no longer part of it" in again.lines[0]
    repo.git("reflog", "expire", "--expire=now", "--all")
    repo.git("gc", "--quiet", "--prune=now")
    assert _shown(_read(settings, first.state)["commits"], "subject") == [("one",), ("instead",)]


def test_a_shallow_clone_guesses_nothing_and_is_read_anew_once_it_is_whole(repo: Repo, tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        repo.commit(name, {name: "1\n"})
    repo.git("clone", "--quiet", "--depth=2", f"file://{repo.folder}", str(tmp_path / "shallow"))
    settings = Settings(repository="shallow", root=str(tmp_path))
    first = _read(settings)
    assert _shown(first["commits"], "subject", "files_changed") == [("two", None), ("three", 1)]
    assert _shown(first["files"], "path") == [("three",)]
    repo.git("-C", str(tmp_path / "shallow"), "worktree", "add", "--quiet", str(tmp_path / "beside"))
    beside = _read(Settings(repository="beside", root=str(tmp_path)))
    assert _shown(beside["commits"], "subject", "files_changed") == [("two", None), ("three", 1)]
    repo.git("-C", str(tmp_path / "shallow"), "fetch", "--quiet", "--unshallow")
    again = _read(settings, first.state)
    assert _shown(again["commits"], "subject", "files_changed") == [("one", 1), ("two", 1), ("three", 1)]


def test_since_leaves_out_what_is_older_until_it_is_set_back(repo: Repo, tmp_path: Path) -> None:
    repo.commit("old")
    repo.clock += 100 * 86_400
    repo.commit("new")
    late = Settings(repository="repo", root=str(tmp_path), since="2024-01-01")
    first = _read(late)
    assert _shown(first["commits"], "subject") == [("new",)]
    assert "commits" not in _read(late, first.state)
    whole = Settings(repository="repo", root=str(tmp_path))
    assert _shown(_read(whole, first.state)["commits"], "subject") == [("old",), ("new",)]


def test_one_branch_or_all_are_read(repo: Repo, tmp_path: Path) -> None:
    repo.commit("one")
    repo.git("checkout", "--quiet", "-b", "side")
    repo.commit("two")
    repo.git("checkout", "--quiet", "main")

    def subjects(ref: str) -> list[tuple[Any, ...]]:
        return _shown(_read(Settings(repository="repo", root=str(tmp_path), ref=ref))["commits"], "subject")

    assert subjects("HEAD") == subjects("main") == [("one",)]
    assert subjects("side") == subjects("*") == [("one",), ("two",)]
    with pytest.raises(HeadwaterError, match="the repository has no commit `sid`"):
        subjects("sid")


def test_another_machines_repository_is_cloned_and_kept_up_to_date(repo: Repo, tmp_path: Path) -> None:
    repo.commit("one")
    repo.git("checkout", "--quiet", "-b", "trunk")
    settings = Settings(repository=f"file://{repo.folder}", root=str(tmp_path / "project"))
    first = _read(settings)
    assert _shown(first["commits"], "subject") == [("one",)]
    assert _shown(first["branches"], "name", "is_default") == [("main", False), ("trunk", True)]
    repo.commit("two")
    repo.git("branch", "--quiet", "-D", "main")
    again = _read(settings, first.state)
    assert _shown(again["commits"], "subject") == [("two",)]
    assert _shown(again["branches"], "name") == [("trunk",)]
    (clone,) = (tmp_path / "project" / repository.CLONES).glob("*.git")
    assert clone.stat().st_mode & 0o777 == 0o700
    assert not (clone / "hooks").exists()


def test_an_empty_repository_can_be_cloned(repo: Repo, tmp_path: Path) -> None:
    assert not _read(Settings(repository=f"file://{repo.folder}", root=str(tmp_path / "project")))


def test_a_repository_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(HeadwaterError, match="there is no git repository at `nowhere`"):
        _read(Settings(repository="nowhere", root=str(tmp_path)))
    with pytest.raises(EnvironmentProblemError, match=r"`file:///nowhere` can't be read"):
        _read(Settings(repository="file:///nowhere", root=str(tmp_path)))


@pytest.mark.parametrize(
    "where",
    [
        "--upload-pack=touch x",
        "-x",
        "ext::sh -c 'touch x'",
        "http://example.com/x",
        "git://example.com/x",
        "https://[example.com/x",
    ],
)
def test_what_is_no_address_is_refused(tmp_path: Path, where: str) -> None:
    with pytest.raises(HeadwaterError, match="is no repository that can be read"):
        _read(Settings(repository=where, root=str(tmp_path)))


@pytest.mark.parametrize("ref", ["--output=/tmp/x", "-p", "a\nb"])
def test_a_ref_is_never_an_option(repo: Repo, tmp_path: Path, ref: str) -> None:
    repo.commit("one")
    with pytest.raises(HeadwaterError, match="can't be the name of a branch"):
        _read(Settings(repository="repo", root=str(tmp_path), ref=ref))


def test_a_repository_makes_nothing_run(repo: Repo, settings: Settings, tmp_path: Path) -> None:
    """Whatever programs its configuration names; the tap is told the truth all the same."""
    ran = tmp_path / "ran"
    evil = tmp_path / "evil.sh"
    evil.write_text(f"#!/bin/sh\ntouch {ran}\n")
    evil.chmod(0o755)
    repo.commit("one", {"a.txt": "1\n", ".gitattributes": "* diff=evil\n"})
    for name in (
        "core.fsmonitor",
        "diff.external",
        "diff.evil.command",
        "diff.evil.textconv",
        "gpg.program",
        "core.pager",
    ):
        repo.git("config", name, str(evil))
    for name in ("core.sshCommand", "core.alternateRefsCommand", "core.editor", "filter.evil.smudge"):
        repo.git("config", name, str(evil))
    for name, value in {
        "core.hooksPath": str(tmp_path),
        "log.showSignature": "true",
        "log.showRoot": "false",
        "diff.renames": "false",
        "diff.noprefix": "true",
        "diff.ignoreSubmodules": "all",
        "diff.relative": "true",
        "diff.orderFile": str(tmp_path / "none"),
        "format.pretty": "oneline",
        "log.date": "relative",
        "i18n.logOutputEncoding": "UTF-16",
        "extensions.partialClone": "origin",
        "remote.origin.url": f"ext::{evil}",
        "remote.origin.promisor": "true",
    }.items():
        repo.git("config", name, value)
    came = _read(settings)
    assert _shown(came["files"], "path", "additions") == [(".gitattributes", 1), ("a.txt", 1)]
    assert not ran.exists()


def test_a_token_stands_in_no_argument_and_goes_to_its_host_only(tmp_path: Path) -> None:
    settings = Settings(repository="https://code.example/x", token="s3cret-token", root=str(tmp_path))
    env = git.program.fetching(settings)
    assert env["GIT_CONFIG_KEY_0"] == "http.https://code.example/.extraHeader"
    assert env["GIT_ALLOW_PROTOCOL"] == "file:https:ssh"
    assert git.program.reading(settings)["GIT_ALLOW_PROTOCOL"] == "none"
    assert "GIT_CONFIG_VALUE_0" not in git.program.reading(settings)


def test_a_password_in_the_address_stands_in_no_argument_either(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/said\nenv >> {tmp_path}/env\n')
    program.chmod(0o700)
    where = "https://ann:hunter%4022@code.example:8443/x?y"
    settings = Settings(repository=where, root=str(tmp_path), env={"PATH": f"{program.parent}:/bin"})
    git.discover(settings)
    said = (tmp_path / "said").read_text()
    assert said.endswith("--end-of-options https://code.example:8443/x?y\n")
    assert "hunter" not in said
    env = (tmp_path / "env").read_text()
    assert "GIT_CONFIG_KEY_0=http.https://code.example:8443/.extraHeader\n" in env
    login = base64.b64encode(b"ann:hunter@22").decode()
    assert f"GIT_CONFIG_VALUE_0=Authorization: Basic {login}\n" in env


def test_any_number_of_bookmarked_commits_is_asked_for(repo: Repo, settings: Settings) -> None:
    sha = repo.commit("one")
    found = repository.opened(settings, git.program.Waiting())
    assert repository.present(found, [*(f"{number:040x}" for number in range(60_000)), sha]) == [sha]
