"""`schedule`, `job`, `invoke`, `test`, `logs` and `compile`."""

from __future__ import annotations

import json

import pytest

from drop_in import ASPECTS, Case, Played

MAPPINGS = "there a mapper has the variables of its last mapping"


def case(command, name, says, *script, compare=("exit",), **more):
    return Case(name=name, command=command, says=says, script=script, compare=compare, project="running", **more)


def _runs(played: Played):
    """Of the JSON of `logs list`: all but what differs from run to run."""
    fixed = ("job_name", "state", "trigger")
    return [
        [[run[key] for key in fixed] + [sorted(run)] for run in found["runs"]] + [found["total"]]
        for found in ASPECTS["json"](played)
        if found and "runs" in found
    ]


def _manifests(played: Played):
    """Manifests by name. Lists that say an entry twice say it once; each plugin's variables are those of both."""
    folder = played.folder / ".meltano" / "manifests"
    found = {path.name: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}
    for manifest in found.values():
        manifest["env"] = {name: text for name, text in manifest["env"].items() if not name.startswith("MELTANO_")}
        for plugins in manifest["plugins"].values():
            for plugin in plugins:
                for key, value in plugin.items():
                    if isinstance(value, list):
                        plugin[key] = [item for place, item in enumerate(value) if item not in value[:place]]
                plugin["env"] = {name: text for name, text in plugin["env"].items() if "__" not in name}
    return found


ORCHESTRATED = """\
default_environment: dev
plugins:
  orchestrators:
  - name: airflow
    namespace: airflow
    executable: ./bin/airflow
    settings:
    - name: core.dags_folder
      value: $MELTANO_PROJECT_ROOT/orchestrate
    - name: core.load_examples
      kind: boolean
      env: AIRFLOW__CORE__LOAD_EXAMPLES
      value: false
    - name: database.sql_alchemy_conn
      sensitive: true
    commands:
      webserver: webserver --port 8080
    config:
      logging: {level: DEBUG}
  utilities:
  - name: superset
    namespace: superset
    executable: ./bin/superset
    settings:
    - name: SECRET_KEY
      sensitive: true
    - name: ROW_LIMIT
      kind: integer
      value: 5000
    - name: ui.port
      value: 8088
environments:
- name: dev
"""


FIELDS = ("event", "level", "block_type", "set_number", "success", "err", "status", "name", "string_id", "job_name")


def _told(played: Played):
    """Of log lines in JSON, on standard error or in `log.json`: what tools look for. Of a plugin what its sync says."""
    file = played.folder / "log.json"
    text = file.read_text() if file.exists() else "\n".join(step.err for step in played.steps)
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    shown = ("Block run completed", "Run completed", "Extractor failed", "the source is closed")
    return [{key: line[key] for key in FIELDS if key in line} for line in lines if line["event"] in shown]


ASPECTS["told"] = _told
ASPECTS["runs"] = _runs
ASPECTS["manifests"] = _manifests

LIST = "schedule list --format json"
SCHEDULES = [
    case(
        "schedule list",
        "schedule-list",
        "the JSON that generators of orchestrator code read",
        LIST,
        compare=("exit", "json"),
    ),
    case(
        "schedule list",
        "schedule-list-after-run",
        "with the end of the last run",
        "schedule run hourly",
        LIST,
        compare=("exit", "json"),
    ),
    case(
        "schedule add",
        "schedule-add-job",
        "of a job",
        "schedule add x --job notes --interval @weekly",
        LIST,
        compare=("exit", "json", "project"),
    ),
    case(
        "schedule add",
        "schedule-add-default",
        "`add` may be left out",
        "schedule x --job notes --interval @weekly",
        LIST,
        compare=("exit", "json"),
    ),
    case(
        "schedule add",
        "schedule-add-plugins",
        "of an extractor and a loader",
        "schedule add x --extractor tap-more --loader target-lines --interval '5 4 * * sun'",
        LIST,
        compare=("exit", "json", "project"),
    ),
    case(
        "schedule add",
        "schedule-add-transform",
        "`--transform`",
        "schedule add x --extractor tap-more --loader target-lines --transform run --interval @once",
        LIST,
        compare=("exit", "json"),
    ),
    case(
        "schedule add",
        "schedule-intervals",
        "cron with names, `L`, `?`, steps and ranges that go around",
        "schedule add a --job notes --interval '*/10 2-4 L jan,mar ?'",
        "schedule add b --job notes --interval '0 0 * * fri-mon'",
        LIST,
        compare=("exit", "json"),
    ),
    case(
        "schedule add",
        "schedule-bad-interval",
        "no interval",
        "schedule add x --job notes --interval often",
        "schedule add x --job notes --interval '60 * * * *'",
        compare=("exit", "project"),
    ),
    case(
        "schedule add",
        "schedule-mixed",
        "a job beside plugins",
        "schedule add x --job notes --extractor tap-more --interval @daily",
        compare=("exit", "project"),
    ),
    case(
        "schedule add",
        "schedule-no-loader",
        "an extractor without a loader",
        "schedule add x --extractor tap-more --interval @daily",
        compare=("exit", "project"),
    ),
    case(
        "schedule add",
        "schedule-same",
        "the same again",
        "schedule add nightly --job notes --interval @daily",
        compare=("exit", "project"),
    ),
    case(
        "schedule add",
        "schedule-taken",
        "another one of that name",
        "schedule add nightly --job notes --interval @weekly",
        compare=("exit", "project"),
        differs={"exit": "Meltano says so and ends with 0: a script would go on with the wrong schedule"},
        better=True,
    ),
    case(
        "schedule set",
        "schedule-set",
        "its interval, its job",
        "schedule set nightly --interval @hourly --job nested",
        LIST,
        compare=("exit", "json", "project"),
    ),
    case(
        "schedule set",
        "schedule-set-plugins",
        "its plugins",
        "schedule set hourly --extractor tap-more --transform only",
        LIST,
        compare=("exit", "json"),
    ),
    case(
        "schedule set",
        "schedule-set-mixed",
        "not what it is not",
        "schedule set nightly --extractor tap-more",
        compare=("exit", "project"),
    ),
    case(
        "schedule set",
        "schedule-set-unknown",
        "one that is not there",
        "schedule set nope --interval @daily",
    ),
    case(
        "schedule remove",
        "schedule-remove",
        "is gone",
        "schedule remove hourly",
        LIST,
        compare=("exit", "json", "project"),
    ),
    case(
        "schedule remove",
        "schedule-remove-unknown",
        "one that is not there",
        "schedule remove nope",
    ),
    case("schedule run", "schedule-run-job", "a job", "schedule run nightly", compare=("exit", "loaded")),
    case(
        "schedule run",
        "schedule-run-plugins",
        "with its `env`, under its own state id",
        "schedule run hourly",
        "state get hourly",
        compare=("exit", "loaded", "config", "json"),
    ),
    case(
        "schedule run",
        "schedule-run-options",
        "options are handed on",
        "schedule run nightly --state-id-suffix x",
        "state get dev:tap-notes-to-target-lines:x",
        compare=("exit", "json"),
    ),
    case(
        "schedule run",
        "schedule-run-fails",
        "the exit code of the run",
        "schedule run nightly",
        env={"TAP_NOTES_FAIL": "3"},
    ),
    case("schedule run", "schedule-run-unknown", "one that is not there", "schedule run nope"),
]

JOBS = "job list --format json"
JOB = [
    case(
        "job list",
        "job-list",
        "the JSON, nested tasks as they are written",
        JOBS,
        "job list nested --format json",
        compare=("exit", "json"),
    ),
    case(
        "job list",
        "job-list-unknown",
        "one that is not there",
        "job list nope",
        differs={"exit": "Meltano says so and ends with 0"},
        better=True,
    ),
    case(
        "job add",
        "job-add",
        "one text",
        "job add x --tasks 'tap-more target-lines'",
        JOBS,
        compare=("exit", "json", "project"),
    ),
    case(
        "job add",
        "job-add-list",
        "a YAML list",
        "job add x --tasks '[tap-more target-lines, \"say:hi\"]'",
        JOBS,
        compare=("exit", "json", "project"),
    ),
    case(
        "job add",
        "job-add-nested",
        "a nested one",
        "job add x --tasks '[[tap-more target-lines, \"say:hi\"], say]'",
        JOBS,
        compare=("exit", "json", "project"),
    ),
    case(
        "job add",
        "job-add-taken",
        "a name that is taken",
        "job add notes --tasks say",
        compare=("exit", "project"),
    ),
    case(
        "job add",
        "job-add-unknown",
        "a block that is not there",
        "job add x --tasks tap-nope",
        compare=("exit", "project"),
    ),
    case(
        "job add",
        "job-add-order",
        "a target without a tap",
        "job add x --tasks target-lines",
        compare=("exit", "project"),
    ),
    case(
        "job set",
        "job-set",
        "other tasks",
        "job set notes --tasks '[tap-more target-lines]'",
        JOBS,
        compare=("exit", "json", "project"),
    ),
    case(
        "job set",
        "job-set-unknown",
        "one that is not there",
        "job set nope --tasks say",
        differs={"exit": "Meltano says so and ends with 0"},
        better=True,
    ),
    case("job remove", "job-remove", "is gone", "job remove nested", JOBS, compare=("exit", "json", "project")),
    case("job remove", "job-remove-unknown", "one that is not there", "job remove nope"),
]

OUT = ("exit", "lines")
INVOKE = [
    case(
        "invoke",
        "invoke",
        "the program with its arguments",
        "invoke tap-notes --version",
        compare=("exit", "lines", "arguments", "config"),
    ),
    case(
        "invoke",
        "invoke-sync",
        "a tap without arguments gets config and catalog",
        "invoke tap-notes",
        compare=("exit", "lines", "arguments"),
    ),
    case("invoke", "invoke-command", "one of its commands", "invoke say:hi", "invoke say:hi and more", compare=OUT),
    case("invoke", "invoke-tap-command", "one of a tap", "invoke tap-notes:hello", compare=("exit", "lines")),
    case(
        "invoke",
        "invoke-command-environment",
        "with its environment",
        "--environment prod invoke say:stage",
        compare=OUT,
    ),
    case(
        "invoke",
        "invoke-exit",
        "the program's exit code",
        "invoke say:fail",
        "invoke say exit 7",
        "invoke tap-notes:broken",
    ),
    case(
        "invoke",
        "invoke-airflow",
        "`airflow` of the orchestrators gets its airflow.cfg, and its database is made",
        "config set airflow database sql_alchemy_conn sqlite:///x.db",
        "invoke airflow scheduler -v",
        "invoke airflow:webserver",
        files={"meltano.yml": ORCHESTRATED},
        env={"AIRFLOW__VERSION": "2.6.3"},
        compare=("exit", "json"),
    ),
    case(
        "invoke",
        "invoke-airflow-one",
        "of Airflow 1",
        "invoke airflow scheduler",
        files={"meltano.yml": ORCHESTRATED},
        env={"AIRFLOW__VERSION": "1.10.15", "AIRFLOW_DATABASE_SQL_ALCHEMY_CONN": "sqlite:///y.db"},
        compare=("exit", "json"),
    ),
    case(
        "invoke",
        "invoke-airflow-three",
        "of Airflow 3",
        "invoke airflow scheduler",
        files={"meltano.yml": ORCHESTRATED},
        env={"AIRFLOW__VERSION": "3.0.1", "AIRFLOW_DATABASE_SQL_ALCHEMY_CONN": "sqlite:///y.db"},
        compare=("exit", "json"),
        differs={"json": "`db migrate` makes the database; `db init`, which Meltano calls, is gone there"},
        better=True,
    ),
    case(
        "invoke",
        "invoke-superset",
        "`superset` of the utilities gets its superset_config.py, and its database is made",
        "config set superset SECRET_KEY s3cret",
        "invoke superset run -p 8088",
        files={"meltano.yml": ORCHESTRATED},
        compare=("exit", "json"),
    ),
    case(
        "invoke",
        "invoke-superset-own",
        "`config_path` of it: a file of the project over the settings",
        "invoke superset run",
        env={"SUPERSET_SECRET_KEY": "s3cret"},
        files={
            "meltano.yml": ORCHESTRATED.replace(
                "executable: ./bin/superset", "executable: ./bin/superset\n    config_path: own.py"
            ),
            "own.py": "import os\nROW_LIMIT = 1 + 1\nTHEME = 'dark'\nlower = 1\n",
        },
        compare=("exit", "json"),
    ),
    case("invoke", "invoke-unknown-command", "a command that is not there", "invoke say:nope"),
    case("invoke", "invoke-unknown", "a plugin that is not there", "invoke nope"),
    case(
        "invoke",
        "invoke-print-var",
        "`--print-var`, then the program",
        "invoke --print-var SAY_WORD --print-var NOPE say:hi",
        compare=OUT,
    ),
    case(
        "invoke",
        "invoke-list-commands",
        "`--list-commands`",
        "invoke --list-commands say",
        compare=("exit", "first words"),
    ),
    case(
        "invoke",
        "invoke-environment",
        "variables",
        "invoke say",
        compare=("exit", "environment"),
    ),
    case(
        "invoke",
        "invoke-type",
        "`--plugin-type`",
        "invoke --plugin-type utilities say:hi",
        "invoke --plugin-type extractor tap-notes --version",
        compare=OUT,
    ),
    case(
        "invoke",
        "invoke-refresh",
        "`--refresh-catalog`",
        "invoke tap-notes",
        "invoke --refresh-catalog tap-notes",
        compare=("exit", "arguments"),
    ),
    case("test", "test-one", "a plugin's tests", "test tap-notes", "test say:test"),
    case("test", "test-named", "a command that is not called a test, when it is named", "test say:hi", "test say:nope"),
    case("test", "test-fails", "one that fails", "test say", "test --all"),
    case("test", "test-none", "no test named", "test"),
    case("test", "test-unknown", "one that is not there", "test tap-notes:test-nope"),
]

RUNS = [
    case(
        "logs list",
        "logs-list",
        "the JSON: one entry a pipeline",
        "run tap-notes target-lines tap-more target-lines say:hi",
        "logs list --format json",
        "logs list -l 1 --format json",
        compare=("exit", "runs"),
    ),
    case(
        "logs list",
        "logs-list-failed",
        "one that failed",
        "run tap-notes target-lines",
        "logs list --format json",
        compare=("exit", "runs"),
        env={"TAP_NOTES_FAIL": "3"},
    ),
    case(
        "logs list",
        "logs-list-el",
        "one of `el`",
        "el tap-notes target-lines --state-id m",
        "logs list --format json",
        compare=("exit", "runs"),
    ),
    case(
        "logs show",
        "logs-show",
        "the log of a run by its id",
        "run --run-id 6f2d0a6e-6b1b-4a3a-9a3c-0d6a34f6a001 tap-notes target-lines",
        "logs show 6f2d0a6e-6b1b-4a3a-9a3c-0d6a34f6a001",
    ),
    case("logs show", "logs-show-unknown", "one that is not there", "logs show nope"),
    case("logs dir", "logs-dir", "a folder", "logs dir"),
]

LOGGING = """\
version: 1
formatters:
  json: {(): meltano.core.logging.json_formatter}
  plain: {(): meltano.core.logging.plain_formatter}
handlers:
  file: {class: logging.FileHandler, filename: log.json, formatter: json, level: INFO}
root: {level: DEBUG, handlers: [file]}
"""
LOGS = [
    case(
        "run",
        "run-log-json",
        "`--log-format json`: the fields that tools read",
        "--log-format json run tap-notes target-lines say:hi",
        compare=("exit", "told"),
    ),
    case(
        "run",
        "run-log-json-failed",
        "and of a run that fails",
        "--log-format json run tap-notes target-lines say:hi",
        compare=("exit", "told"),
        env={"TAP_NOTES_FAIL": "3"},
    ),
    case(
        "run",
        "run-log-project",
        "`cli.log_format` of the project, by `config set`",
        "config set meltano cli.log_format json",
        "run say:hi",
        compare=("exit", "told", "project"),
    ),
    case(
        "run",
        "run-logging-yaml",
        "`logging.yaml` with a file",
        "run tap-notes target-lines",
        compare=("exit", "told"),
        files={"logging.yaml": LOGGING},
        env={"TAP_NOTES_FAIL": "3"},
    ),
    case(
        "run",
        "run-log-config",
        "`--log-config` with another",
        "--log-config other.yaml run say:hi",
        compare=("exit", "told"),
        files={"other.yaml": LOGGING},
    ),
]

COMPILE = [
    case(
        "compile",
        "compile",
        "a manifest for each environment and one for none",
        "compile",
        compare=("exit", "manifests"),
        differs={"manifests": MAPPINGS},
    ),
    case(
        "compile",
        "compile-one",
        "for one environment",
        "--environment prod compile",
        compare=("exit", "manifests"),
        differs={"manifests": MAPPINGS},
    ),
    case(
        "compile",
        "compile-none",
        "for none",
        "--no-environment compile",
        compare=("exit", "manifests"),
        differs={"manifests": MAPPINGS},
    ),
    case(
        "compile",
        "compile-secret",
        "secrets are masked, `--unsafe` shows them",
        "compile --unsafe",
        "--environment dev compile",
        compare=("exit", "manifests"),
        differs={"manifests": MAPPINGS},
        env={"TAP_NOTES_TOKEN": "t0ken"},
    ),
    case(
        "compile",
        "compile-directory",
        "`--directory`",
        "compile --directory out --indent -1",
        compare=("exit", "files"),
    ),
]


def _first_words(played: Played):
    return [sorted(line.split()[0] for line in step.out.splitlines() if line.strip()) for step in played.steps]


ASPECTS["first words"] = _first_words

CASES = [*SCHEDULES, *JOB, *INVOKE, *RUNS, *LOGS, *COMPILE]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_answers_as_meltano_does(case: Case, same) -> None:
    same(case)
