"""Each command as its users call it: exit codes, what goes to stdout, what to stderr."""

from __future__ import annotations

import io
import json
import sqlite3
from contextlib import closing

import pytest

from headwater.cli import main
from headwater.cli.main import run

# What a command without its project says.
NEEDS_PROJECT = [
    "add tap-files",
    "remove tap-files",
    "install",
    "plugin list",
    "config list tap-files",
    "config print tap-files",
    "config set tap-files path x",
    "config unset tap-files path",
    "config reset tap-files --yes",
    "config test tap-files",
    "select tap-files --list",
    "environment list",
    "environment add x",
    "environment remove x",
    "job list",
    "job add x --tasks y",
    "job remove x",
    "run a b",
    "invoke a",
    "state list",
    "state get x",
    "state clear x --force",
    "logs list",
    "logs show last",
    "query select",
]


@pytest.mark.parametrize("words", NEEDS_PROJECT)
def test_outside_of_a_project(empty, words):
    done = empty(*words.split())
    assert done.code == 2
    assert done.err == (
        f"error: no project here: neither `{empty.root}` nor a folder above it holds headwater.yml or meltano.yml "
        "[no-project]\n"
        "hint: headwater init (a new project here) or headwater demo (one with data)\n"
    )


# What goes wrong with a project: arguments, exit code, first line of the error.
WRONG = [
    ("nonsense", 2, "no such command `nonsense` [bad-usage]"),
    ("plugin lst", 2, "no such command `lst` [bad-usage]"),
    ("run --nonsense", 2, "no such option `--nonsense` [bad-usage]"),
    ("logs list -l 0", 2, "invalid value for `--limit` / `-l`: 0 is not in the range x>=1 [bad-usage]"),
    ("-e nope run x", 2, "headwater.yml: environment `nope` not found [unknown-environment]"),
    ("run", 2, "no blocks given: nothing to run [nothing-to-run]"),
    ("run --dry-run", 2, "no blocks given: nothing to run [nothing-to-run]"),
    (
        "run tap-numbrs target-lines",
        2,
        "headwater.yml: block `tap-numbrs` not found: it is no plugin, mapping or job of this project [unknown-block]",
    ),
    ("add tap-no-such-thing", 2, "the hub has no plugin `tap-no-such-thing` [unknown-plugin]"),
    ("remove tap-nope", 2, "headwater.yml: the project has no plugin `tap-nope` [unknown-plugin]"),
    ("install tap-nope", 2, "headwater.yml: the project has no plugin `tap-nope` [unknown-plugin]"),
    ("config list tap-nope", 2, "headwater.yml: the project has no plugin `tap-nope` [unknown-plugin]"),
    ("config set tap-numbers upto much", 2, "setting `upto` of `tap-numbers` must be"),
    ("config test say", 2, "headwater.yml:28: `say` is a utility: only extractors and loaders can be tested"),
    ("select target-lines a b", 2, "headwater.yml:20: `target-lines` is a loader: only extractors have streams"),
    ("environment add dev", 2, "there is already an environment named `dev` [duplicate-name]"),
    ("environment remove nope", 2, "headwater.yml: environment `nope` not found [unknown-environment]"),
    ("environment remove dev", 2, "headwater.yml:1: `dev` is the default environment [environment-in-use]"),
    ("job add daily --tasks say", 2, "there is already a job named `daily` [duplicate-name]"),
    ("job add say --tasks say", 2, "there is already a plugin named `say` [duplicate-name]"),
    ("job add x --tasks sai", 2, "headwater.yml: block `sai` not found"),
    ("job list nope", 2, "headwater.yml: job `nope` not found [unknown-job]"),
    ("job set nope --tasks say", 2, "headwater.yml: job `nope` not found [unknown-job]"),
    ("job remove nope", 2, "headwater.yml: job `nope` not found [unknown-job]"),
    ("invoke tap-files", 2, "headwater.yml:16: `tap-files` is native: there is no program to invoke [native-plugin]"),
    ("invoke say:bye", 2, "headwater.yml:28: `say` has no command `bye` [unknown-command]"),
    ("state copy nope x --force", 2, "there is no state `nope` [no-such-state]"),
    ("state set x", 2, "give the state as VALUE or with --input-file [bad-usage]"),
    ("logs show nope", 2, "there is no run `nope` [no-such-run]"),
    ("logs show last", 2, "there is no run `last` [no-such-run]"),
    ("tap nope", 2, "headwater.yml: the project has no plugin `nope` [unknown-plugin]"),
    ("target", 2, "missing the name of a destination; --list shows them [bad-usage]"),
]


@pytest.mark.parametrize(("words", "code", "error"), WRONG)
def test_what_is_wrong_is_told(hw, words, code, error):
    done = hw(*words.split())
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith(f"error: {error}")
    assert "Traceback" not in done.err


def test_a_project_in_a_folder_with_a_blank(empty, capsys):
    done = empty.ok("init", "new one")
    assert done.out == f"created a project in {empty.root}/new one\nnext: headwater add tap-files target-duckdb\n"
    assert run(["--cwd", f"{empty.root}/new one", "doctor"]) == 0


def test_init_leaves_a_project_that_is_there(hw):
    done = hw("init")
    assert (done.code, "tap-numbers" in (hw.root / "headwater.yml").read_text()) == (2, True)


def test_add_and_remove(empty):
    empty.ok("init")
    assert empty.ok("add", "tap-files", "target-duckdb").out == (
        "added extractor `tap-files` variant `headwater`\n"
        "added loader `target-duckdb` variant `headwater`\n"
        "next: headwater config set tap-files path VALUE\n"
    )
    assert empty.ok("add", "tap-files").out.startswith("updated extractor `tap-files`")
    assert empty.ok("remove", "tap-files").out == "removed `tap-files`\n"
    assert [row["name"] for row in empty.ok("plugin", "list", "--json").json] == ["target-duckdb"]


def test_an_option_for_one_plugin_is_refused_for_two(hw):
    done = hw("add", "tap-a", "tap-b", "--as", "c")
    assert (done.code, done.err.splitlines()[0]) == (
        2,
        "error: --as, --from-ref and --inherit-from take one plugin at a time [bad-usage]",
    )


def test_nothing_to_install(hw):
    assert hw.ok("install").out == ""


def test_the_bundled_index_is_exported_outside_of_a_project(empty):
    done = empty.ok("hub", "build", str(empty.root / "out"), "--bundled", "--url", "https://hub.example")
    assert done.out.endswith("\nheadwater config set meltano hub_url https://hub.example\n")
    page = json.loads((empty.root / "out/meltano/api/v1/plugins/loaders/index").read_text())
    assert "target-csv" in page
    assert "no project here" in empty("hub", "build", str(empty.root / "out"), "--url", "https://hub.example").err


@pytest.mark.parametrize(("days", "lines"), [("365", 0), ("0", 1)])
def test_what_was_said_in_old_runs_is_forgotten_after_a_year(hw, days, lines):
    hw.ok("config", "set", "meltano", "keep_logs_days", days)
    hw.ok("run", "say:hi")
    with closing(sqlite3.connect(hw.root / ".headwater/headwater.db")) as db, db:
        db.execute("update runs set started_at = '2020-01-01T00:00:00Z'")
    (hw.root / ".headwater/forgot-lines").unlink(missing_ok=True)
    hw.ok("run", "say:hi")
    *_, old = hw.ok("logs", "list", "--json").json
    kinds = [said["event"]["kind"] for said in hw.ok("logs", "show", old["run_id"], "--json").json]
    assert kinds == ["run-started", "step-started", *["plugin-line"] * lines, "step-finished", "run-finished"]


def test_plugins_of_the_project_and_of_the_hub(hw):
    rows = hw.ok("plugin", "list", "--json").json
    assert [row["name"] for row in rows] == ["tap-numbers", "tap-files", "target-lines", "target-duckdb", "say"]
    assert "tap-files" in hw.ok("plugin", "hub", "tap-fi*").out
    assert hw.ok("plugin", "hub", "zzz").err == "no plugin matches `zzz`\n"


def test_a_setting_is_set_shown_and_removed(hw):
    assert hw.ok("config", "set", "tap-numbers", "upto", "5").out == "set `upto` of `tap-numbers` in headwater.yml\n"
    assert hw.ok("config", "list", "tap-numbers").out.splitlines()[2].split()[:3] == ["upto", "5", "headwater.yml:17"]
    assert hw.ok("config", "print", "tap-numbers").json == {"upto": 5}
    assert "TAP_NUMBERS_UPTO='5'" in hw.ok("config", "print", "tap-numbers", "--format", "env").out
    done = hw.ok("config", "unset", "tap-numbers", "upto")
    assert done.out == "removed `upto` of `tap-numbers` from headwater.yml\n"


def test_an_environments_setting_is_stronger_and_set_tells(hw):
    done = hw.ok("-e", "dev", "config", "set", "tap-numbers", "upto", "5")
    assert done.out == "set `upto` of `tap-numbers` in headwater.yml, environment `dev`\n"
    done = hw.ok("config", "set", "tap-numbers", "upto", "7")
    assert done.err == "warning: headwater.yml:9 says otherwise and is stronger\n"
    (row,) = [row for row in hw.ok("config", "list", "tap-numbers", "--json").json if row["name"] == "upto"]
    assert (row["value"], [weaker["value"] for weaker in row["shadowed"]]) == (5, [7, 3])
    assert hw.ok("-e", "prod", "config", "print", "tap-numbers").json == {"upto": 7}


def test_secrets_stay_out_of_sight(hw):
    assert hw.ok("config", "set", "tap-numbers", "secret", "hushhush").out.endswith("in .env\n")
    assert "hushhush" not in (hw.root / "headwater.yml").read_text()
    for words in ("list", "print", "list --json"):
        assert "hushhush" not in hw.ok("config", *words.split()[:1], "tap-numbers", *words.split()[1:]).out
    assert hw.ok("config", "print", "tap-numbers", "--unsafe").json["secret"] == "hushhush"
    assert "hushhush" not in hw.ok("run", "--dry-run", "tap-numbers", "target-lines").out


def test_reset_asks_first(hw):
    hw.ok("config", "set", "tap-numbers", "upto", "5")
    assert hw.ok("config", "reset", "tap-numbers", "--yes").out == "reset `tap-numbers`\n"
    assert hw.ok("config", "print", "tap-numbers").json == {"upto": 3}


def test_the_projects_own_settings(hw):
    hw.ok("config", "set", "headwater", "auto_install", "false")
    assert hw.ok("config", "print", "meltano").json["auto_install"] is False


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("tap-numbers", "extractor `tap-numbers` works: the first record came from stream `numbers`\n"),
        ("tap-files", "extractor `tap-files` works: the first rows (2) came from stream `people`\n"),
        ("target-duckdb", "loader `target-duckdb` works: it can be opened; nothing was written\n"),
        ("target-lines --write", "loader `target-lines` works: it loaded one row into stream `headwater_test`\n"),
    ],
)
def test_settings_are_tried(hw, words, text):
    assert hw.ok("config", "test", *words.split()).out == text


def test_streams_are_chosen(hw):
    assert hw.ok("select", "tap-files", "people", "name").out == "patterns: people.name\n"
    rows = {
        row["property"]: row["selection"]
        for row in hw.ok("select", "tap-files", "--list", "--all", "--json").json["streams"]
    }
    assert (rows["name"], rows["id"]) == ("selected", "excluded")
    assert hw.ok("select", "tap-files", "people", "name", "--rm").out == "patterns: *.*\n"
    hw.ok("select", "tap-files", "people", "id")
    assert hw.ok("select", "tap-files", "--clear").code == 0


def test_what_is_not_set_need_not_be_unset(hw):
    done = hw("config", "unset", "tap-numbers", "upto")
    assert (done.code, done.out, done.err) == (0, "", "`upto` of `tap-numbers` is not set\n")


def test_set_without_a_value_asks_for_each_setting(hw, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("7\n" + "\n" * 20))
    done = hw("config", "set", "tap-numbers", "upto", "--interactive")
    assert (done.code, "set `upto` of `tap-numbers` in headwater.yml" in done.out) == (0, True)
    assert hw.ok("config", "print", "tap-numbers").json["upto"] == 7


def test_environments(hw):
    hw.ok("environment", "add", "uat")
    assert hw.ok("environment", "list").out == "dev\nprod\nuat\n"
    hw.ok("environment", "remove", "uat")
    assert hw.ok("environment", "list", "--json").json == [
        {"name": "dev", "is_default": True},
        {"name": "prod", "is_default": False},
    ]


def test_jobs(hw):
    hw.ok("job", "add", "nightly", "--tasks", "[tap-files target-duckdb, [say:hi]]")
    assert hw.ok("job", "list", "--format", "json").json == {
        "jobs": [
            {"job_name": "daily", "tasks": ["tap-numbers target-lines", "say:hi"]},
            {"job_name": "nightly", "tasks": ["tap-files target-duckdb", ["say:hi"]]},
        ]
    }
    hw.ok("job", "set", "nightly", "--tasks", "say")
    assert hw.ok("job", "list", "nightly", "--json").json == {"job_name": "nightly", "tasks": ["say"]}
    hw.ok("job", "remove", "nightly")
    assert hw.ok("job", "list").out.splitlines()[2:] == ["daily  tap-numbers target-lines", "       say:hi"]


def test_a_job_runs_and_is_remembered(hw):
    done = hw.ok("run", "daily")
    assert done.out == ""
    assert "hi there" in done.err
    (row,) = hw.ok("logs", "list", "--json").json
    assert (row["name"], row["outcome"]) == ("daily", "success")
    assert "tap-numbers → target-lines: done" in hw.ok("logs", "show", row["run_id"][:8]).out
    assert hw.ok("logs", "show", "last", "--json", "--tail", "1").json[0]["event"]["kind"] == "run-finished"
    assert hw.ok("logs", "show").out == hw.ok("logs", "show", "last").out


def test_a_run_that_fails_exits_with_1(hw):
    hw.ok("config", "set", "tap-numbers", "die_after", "2")
    done = hw("run", "tap-numbers", "target-lines")
    assert done.code == 1
    assert done.error == (
        "error: extractor `tap-numbers` failed with exit code 7 [extractor-failed]\n"
        "  CRITICAL the source has hung up\n"
        "hint: headwater config test tap-numbers\n"
    )


def test_the_summary_says_that_a_checkpoint_was_saved(hw):
    done = hw.ok("run", "tap-numbers", "target-duckdb")
    assert "  numbers     3       3         0         0         0      0.0  saved" in done.err


def test_states(hw):
    hw.ok("run", "tap-numbers", "target-lines")
    name = "dev:tap-numbers-to-target-lines"
    assert hw.ok("state", "get", name).json == {"singer_state": {"bookmarks": {"numbers": {"id": 3}}}}
    hw.ok("state", "copy", name, "prod:copy", "--force")
    hw.ok("state", "move", "prod:copy", "prod:moved", "--force")
    hw.ok("state", "set", name, '{"singer_state": {"bookmarks": {}}}', "--force")
    assert [row["state_id"] for row in hw.ok("state", "list", "--json").json] == [name, "prod:moved"]
    hw.ok("state", "clear", name, "--force")
    assert hw.ok("state", "get", name).out == "{}\n"
    assert hw.ok("state", "list", "--pattern", "prod:*").out == "prod:moved\n"
    rows = hw.ok("state", "history", name, "--json").json
    assert [(row["back"], row["state"]) for row in rows] == [(0, "cleared"), (1, "valid"), (2, "valid")]
    hw.ok("state", "restore", name, "2", "--force")
    assert hw.ok("state", "get", name).json == {"singer_state": {"bookmarks": {"numbers": {"id": 3}}}}
    assert "the state of `nope`" not in hw("state", "restore", "nope", "--force").out
    assert "back" in hw.ok("state", "history", name).out


def test_the_warehouse_is_read(hw):
    done = hw("query", "select 1")
    assert (done.code, done.err.splitlines()[0].split(":")[1]) == (
        3,
        " there is no warehouse at `" + str(hw.root / "warehouse.duckdb") + "` yet [warehouse-missing]",
    )
    hw.ok("run", "tap-files", "target-duckdb")
    assert hw.ok("query", "select name from tap_files.people order by id", "--json").json == [
        {"name": "Ada"},
        {"name": "Bo"},
    ]
    done = hw.ok("query", "select id from tap_files.people", "--limit", "1")
    assert done.err == "only the first 1 rows are shown; --limit shows more\n"
    done = hw("query", "delete from tap_files.people")
    assert (done.code, done.err.splitlines()[0]) == (2, "error: the warehouse refuses this SQL [bad-sql]")


def test_a_plan_is_printed(hw):
    plan = hw.ok("run", "--dry-run", "tap-numbers", "target-lines").json
    assert [step["name"] for step in plan["steps"]] == ["tap-numbers → target-lines"]
    assert "env" not in plan["steps"][0]["extractor"]


def test_invoke(hw):
    assert hw.ok("invoke", "--list-commands", "say").out == "say:hi  Says hi\n"
    assert hw.ok("invoke", "--list-commands", "--json", "say").json == {
        "hi": {"args": "hi there", "description": "Says hi"}
    }
    assert hw.ok("invoke", "--print-var", "MELTANO_UTILITY_NAME", "say").out.startswith("MELTANO_UTILITY_NAME=say\n")
    assert hw.ok("invoke", "--dump", "config", "tap-numbers").json == {"upto": 3}


def test_native_connectors_as_programs(hw):
    assert "files" in hw.ok("tap", "--list").out.split()
    assert "duckdb" in hw.ok("target", "--list", "--json").json
    assert hw.ok("tap", "files", "--about").json["name"] == "tap-files"


def test_doctor(hw):
    assert "the first record" not in hw.ok("doctor").out
    out = hw.ok("doctor", "--singer").out
    assert "ok    tap-numbers: the first record came from stream `numbers`\n" in out
    assert "ok    target-lines: it starts with its settings" in out
    hw.write("headwater.yml", "plugins: [")
    done = hw("doctor")
    assert done.code == 1
    assert "FAIL  project: headwater.yml:2" in done.out


def test_a_bug_leaves_one_line_and_a_file(hw, monkeypatch):
    def broken(*_args):
        raise ZeroDivisionError("token s3cret\nmore")

    monkeypatch.setattr("headwater.ops.environments.listing", broken)
    done = hw("environment", "list")
    assert done.code == 1
    first, second = done.err.splitlines()
    assert first == "error: this is a bug of headwater: ZeroDivisionError: token s3cret [bug]"
    assert second.startswith(f"hint: report it with {hw.root}/.headwater/crashes/")
    (file,) = (hw.root / ".headwater" / "crashes").iterdir()
    assert "Traceback (most recent call last)" in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_bug_is_shown_in_full_to_who_asks_for_it(hw, monkeypatch):
    monkeypatch.setattr("headwater.ops.environments.listing", lambda _: 1 / 0)
    assert "Traceback (most recent call last)" in hw("--log-level", "debug", "environment", "list").err


def test_a_bug_outside_of_a_project_goes_to_the_temporary_folder(empty, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("headwater.ops.projects.init", lambda *_args, **_more: 1 / 0)
    assert f"report it with {tmp_path}/headwater-crash-" in empty("init").err


def test_a_pipe_that_is_closed_is_no_error(hw, monkeypatch):
    def gone(*_args):
        raise BrokenPipeError

    monkeypatch.setattr(main, "_forget_stdout", lambda: None)
    monkeypatch.setattr("headwater.ops.environments.listing", gone)
    assert hw("environment", "list").code == 0


def test_ctrl_c_exits_with_130(hw, monkeypatch):
    def stopped(*_args):
        raise KeyboardInterrupt

    monkeypatch.setattr("headwater.ops.environments.listing", stopped)
    done = hw("environment", "list")
    assert (done.code, done.err) == (130, "interrupted\n")


def test_a_question_that_nobody_can_answer_is_an_input_error(hw, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert hw("config", "reset", "tap-numbers").code == 2


def test_the_version(capsys):
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("headwater, version ")


def test_every_json_is_json(hw):
    for words in ("plugin list", "plugin hub", "environment list", "job list", "state list", "logs list", "doctor"):
        json.loads(hw(*words.split(), "--json").out)


def test_without_a_command_help_is_shown_as_help(hw, capsys):
    assert run([]) == 0
    assert capsys.readouterr().out.startswith("Usage: headwater [OPTIONS]")
    group = hw("config")
    assert (group.code, group.err.startswith("Usage: headwater config"), group.out) == (2, True, "")
