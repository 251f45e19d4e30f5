"""`config`: shown and changed as Meltano shows and changes it."""

from __future__ import annotations

import pytest

from drop_in import Case

CASES = [
    Case(
        name="config-print",
        command="config print",
        says="the configuration as nested JSON, secrets masked",
        script=("config print tap-notes", "--environment prod config print tap-notes"),
        compare=("exit", "json"),
    ),
    Case(
        name="config-print-env",
        command="config print",
        says="`--format env`: every name of every setting",
        script=("config print tap-notes --format env",),
        compare=("exit", "variables"),
    ),
    Case(
        name="config-set",
        command="config set",
        says="a value is JSON or else text, and goes to the project file",
        script=(
            "config set tap-notes url https://new.example",
            "config set tap-notes page_size 5",
            "config set tap-notes filters '{\"a\": [1]}'",
        ),
        compare=("exit", "project", "dotenv"),
    ),
    Case(
        name="config-set-old-form",
        command="config set",
        says="a secret goes to `.env`",
        script=("config set tap-notes token s3cret",),
        compare=("exit", "project", "dotenv"),
    ),
    Case(
        name="add-from-hub",
        command="add",
        says="the entry and the lock file of a plugin of the hub",
        script=("add tap-github --no-install",),
        compare=("exit", "project", "locks"),
        hub=True,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_answers_as_meltano_does(case: Case, same) -> None:
    same(case)
