"""`init`, `environment`, `select`, `upgrade` and what holds for every command."""

from __future__ import annotations

import pytest

from drop_in import Case

_INIT = "`headwater.yml`, and folders for models and data in place of those for plugins of each kind"
_DEFAULT = "refused: commands that name no environment would fail from then on"
PROJECT = ("exit", "project")

CASES = [
    Case(
        name="init",
        command="init",
        says="a new project in a folder",
        script=("init mine", "init other --no-usage-stats"),
        project=None,
        compare=("exit", "project", "files"),
        differs={"files": _INIT},
    ),
    Case(
        name="init-here",
        command="init",
        says="a new project in this folder",
        script=("init .",),
        project=None,
        compare=("exit", "project", "files"),
        differs={"files": _INIT},
    ),
    Case(
        name="init-asks",
        command="init",
        says="without a folder",
        script=("init",),
        stdin="mine\n",
        project=None,
        compare=("exit", "project"),
        differs={"project": "the project is made in this folder: nobody need be there to answer"},
        better=True,
    ),
    Case(
        name="init-twice",
        command="init",
        says="a folder that holds a project",
        script=("init .",),
        compare=PROJECT,
    ),
    Case(
        name="init-force",
        command="init",
        says="`--force` writes a new project file",
        script=("init . --force",),
        compare=PROJECT,
    ),
    Case(
        name="environment-list",
        command="environment list",
        says="a name a line",
        script=("environment list",),
        compare=("exit", "lines"),
    ),
    Case(
        name="environment-add",
        command="environment add",
        says="an environment more",
        script=("environment add staging", "environment add staging"),
        compare=PROJECT,
    ),
    Case(
        name="environment-remove",
        command="environment remove",
        says="an environment less, with what it says",
        script=("environment remove prod",),
        compare=PROJECT,
    ),
    Case(
        name="environment-remove-unknown",
        command="environment remove",
        says="an environment that is not there",
        script=("environment remove nothing",),
        compare=PROJECT,
    ),
    Case(
        name="environment-remove-default",
        command="environment remove",
        says="the default environment",
        script=("environment remove dev",),
        compare=PROJECT,
        differs={"exit": _DEFAULT, "project": _DEFAULT},
        better=True,
    ),
    Case(
        name="environment-add-colon",
        command="environment add",
        says="a name with a colon",
        script=("environment add a:b",),
        compare=PROJECT,
    ),
    Case(
        name="select-add",
        command="select",
        says="adds a pattern",
        script=("select tap-notes authors name", "select tap-notes--archive notes", "select tap-notes authors name"),
        compare=PROJECT,
        differs={"project": "a pattern that is there is not added again"},
        better=True,
    ),
    Case(
        name="select-exclude",
        command="select",
        says="`--exclude`",
        script=("select tap-notes --exclude authors name", "select tap-notes notes text --exclude"),
        compare=PROJECT,
    ),
    Case(
        name="select-remove",
        command="select",
        says="`--rm`, `--remove`",
        script=("select tap-notes --rm notes '*'", "select tap-notes --remove --exclude notes secret"),
        compare=PROJECT,
        differs={"project": "without a pattern everything is selected again, not nothing"},
        better=True,
    ),
    Case(
        name="select-remove-absent",
        command="select",
        says="`--rm` of a pattern that is not there",
        script=("select tap-notes --rm nothing",),
        compare=PROJECT,
    ),
    Case(
        name="select-clear",
        command="select",
        says="`--clear`",
        script=("select tap-notes --clear",),
        compare=PROJECT,
    ),
    Case(
        name="select-environment",
        command="select",
        says="`--environment` writes into that environment",
        script=("--environment prod select tap-notes authors",),
        compare=PROJECT,
    ),
    Case(
        name="select-json",
        command="select",
        says="`--list --json`",
        script=("select tap-notes --json", "select tap-notes --list --json", "select --no-install tap-notes --json"),
        compare=("exit", "json"),
    ),
    Case(
        name="select-json-all",
        command="select",
        says="`--all --json`, `--refresh-catalog`",
        script=("select tap-notes --json --all", "select tap-notes --json --all --refresh_catalog"),
        compare=("exit", "json"),
    ),
    Case(
        name="select-list",
        command="select",
        says="`--list` for a reader",
        script=("select tap-notes --list --all",),
    ),
    Case(
        name="select-loader",
        command="select",
        says="a plugin that is no extractor",
        script=("select target-lines a",),
        compare=PROJECT,
    ),
    Case(
        name="upgrade-parts",
        command="upgrade",
        says="`files`, `database`, `all --skip-package`",
        script=("upgrade files", "upgrade database", "upgrade --skip-package", "upgrade all --skip-package"),
        compare=PROJECT,
    ),
    Case(
        name="dragon",
        command="dragon",
        says="an easter egg",
        script=("dragon",),
    ),
    Case(
        name="schema-create",
        command="schema create",
        says="a schema of the system database",
        script=("schema create meltano someone",),
        differs={
            "exit": "there is nothing to create, and a script goes on; Meltano 4.4.1 fails by a mistake of its own"
        },
        better=True,
    ),
    Case(
        name="cloud-status",
        command="cloud",
        says="whether one is logged in to Meltano's own cloud",
        script=("cloud auth status --offline", "cloud auth logout"),
    ),
    Case(
        name="version",
        command="global options",
        says="`--version`, no arguments, `--help`",
        script=("--version", "", "--help", "config --help"),
        differs={"exit": "no arguments ask for help, which is no mistake"},
        better=True,
    ),
    Case(
        name="unknown-command",
        command="global options",
        says="a command or option that is not there",
        script=("instal", "config list tap-notes --nothing", "config set", "--log-level loud install"),
    ),
    Case(
        name="log-options",
        command="global options",
        says="every `--log-level` and `--log-format`",
        script=(
            "--log-level debug environment list",
            "--log-level=warning environment list",
            "--log-level error environment list",
            "--log-level critical environment list",
            "--log-level disabled environment list",
            "--log-format colored environment list",
            "--log-format uncolored environment list",
            "--log-format json environment list",
            "--log-format key_value environment list",
            "--log-format plain environment list",
        ),
    ),
    Case(
        name="log-config",
        command="global options",
        says="`--log-config`",
        script=("--log-config logging.yaml environment list", "--log_config nothing.yaml environment list"),
        files={
            "logging.yaml": "version: 1\nhandlers:\n  console:\n    class: logging.StreamHandler\n"
            "    stream: ext://sys.stderr\nroot:\n  handlers: [console]\n"
        },
        compare=("exit", "lines"),
    ),
    Case(
        name="log-variables",
        command="global options",
        says="`MELTANO_CLI_LOG_LEVEL`, `MELTANO_CLI_LOG_FORMAT`, `MELTANO_CLI_LOG_CONFIG`",
        script=("environment list",),
        env={
            "MELTANO_CLI_LOG_LEVEL": "critical",
            "MELTANO_CLI_LOG_FORMAT": "key_value",
            "MELTANO_CLI_LOG_CONFIG": "nothing.yaml",
        },
        compare=("exit", "lines"),
    ),
    Case(
        name="log-settings",
        command="global options",
        says="`cli.log_level` and `cli.log_format` of the project file",
        script=(
            "config set meltano cli.log_level warning",
            "config set meltano cli.log_format json",
            "environment list",
        ),
        compare=("exit", "project"),
    ),
    Case(
        name="underscores",
        command="global options",
        says="underscores for hyphens in names of options",
        script=(
            "--no_environment config print tap-notes",
            "--env_file other.env config print tap-notes --plugin_type extractor",
        ),
        files={"other.env": "TAP_NOTES_URL=other\n"},
        compare=("exit", "json"),
    ),
    Case(
        name="database-uri",
        command="global options",
        says="`--database-uri`",
        script=(
            "config --help",
            "config print --database-uri sqlite:///x.db tap-notes",
            "select --database-uri sqlite:///x.db tap-notes --json",
            "environment --database-uri sqlite:///x.db list",
            "lock --database-uri sqlite:///x.db",
            "install --database-uri sqlite:///x.db",
            "plugin list --database-uri sqlite:///x.db",
            "remove --database-uri sqlite:///x.db tap-notes--archive",
        ),
        hub=True,
    ),
    Case(
        name="cwd",
        command="global options",
        says="`--cwd`, `MELTANO_PROJECT_ROOT` and folders below the project's",
        script=("--cwd bin environment list", "--cwd nothing environment list", "--cwd / environment list"),
        compare=("exit", "lines"),
    ),
    Case(
        name="no-project",
        command="global options",
        says="outside of a project",
        script=("environment list", "config print meltano", "install"),
        project=None,
    ),
    Case(
        name="unknown-environment",
        command="global options",
        says="an environment that is not there",
        script=("--environment nothing config print tap-notes", "--environment nothing environment list"),
        differs={"exit": "a name that is not there is told by every command"},
        better=True,
    ),
    Case(
        name="requires-meltano",
        command="global options",
        says="`requires_meltano` that 4.4.1 satisfies, and one that it does not",
        script=("environment list", "--cwd newer environment list"),
        files={
            "meltano.yml": "requires_meltano: '>=4,<5'\nenvironments:\n- name: dev\n",
            "newer/meltano.yml": "requires_meltano: '>=99'\nenvironments:\n- name: dev\n",
        },
    ),
    Case(
        name="broken-file",
        command="global options",
        says="a project file that can not be read",
        script=("environment list",),
        files={"meltano.yml": "plugins: ]\n"},
    ),
    Case(
        name="readonly",
        command="global options",
        says="`MELTANO_PROJECT_READONLY`: no command changes the project",
        script=("environment add x", "select tap-notes a", "add tap-github --no-install", "remove tap-notes--archive"),
        env={"MELTANO_PROJECT_READONLY": "1"},
        compare=PROJECT,
        hub=True,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_answers_as_meltano_does(case: Case, same) -> None:
    same(case)
