import pytest

from headwater.ops.workspace import find, home

PROJECT = "default_environment: dev\nenvironments: [{name: dev}, {name: prod}]\n"


@pytest.mark.parametrize(
    ("variables", "dotenv", "choices", "environment"),
    [
        ({}, "", {}, "dev"),
        ({}, "", {"default_environment": False}, None),
        ({}, "MELTANO_ENVIRONMENT=prod\n", {}, "prod"),
        ({"MELTANO_ENVIRONMENT": "dev"}, "MELTANO_ENVIRONMENT=prod\n", {}, "dev"),
        ({"HEADWATER_ENVIRONMENT": "prod", "MELTANO_ENVIRONMENT": "dev"}, "", {}, "prod"),
        ({"MELTANO_ENVIRONMENT": "dev"}, "", {"environment": "prod"}, "prod"),
        ({"MELTANO_ENVIRONMENT": "dev"}, "", {"no_environment": True}, None),
        ({}, "", {"environment": "null"}, None),
    ],
)
def test_which_environment(lab, monkeypatch, variables, dotenv, choices, environment):
    project = lab(PROJECT)
    project.write(".env", dotenv)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert project.workspace(**choices).environment_name == environment


def test_an_unknown_environment_is_guessed(lab):
    project = lab(PROJECT)
    assert project.refusal(project.workspace, environment="prd") == (
        "error: headwater.yml: environment `prd` not found [unknown-environment]\nhint: did you mean `prod`?"
    )


def test_the_project_is_found_from_below_and_from_afar(lab, monkeypatch, tmp_path):
    project = lab(PROJECT)
    project.write("a/b/c", "")
    assert find(project.root / "a" / "b").root == project.root
    monkeypatch.setenv("MELTANO_PROJECT_ROOT", str(project.root))
    assert find(tmp_path.parent).root == project.root


@pytest.mark.parametrize(
    ("variables", "folder"),
    [({}, "/p/.headwater"), ({"HEADWATER_HOME": "x"}, "/p/x"), ({"MELTANO_SYS_DIR_ROOT": "/var/m"}, "/var/m")],
)
def test_where_the_program_keeps_its_things(tmp_path, variables, folder):
    from pathlib import Path

    assert home(Path("/p"), variables) == Path(folder)


def test_an_edit_is_seen_after_again(lab):
    project = lab(PROJECT)
    workspace = project.workspace(environment="prod")
    project.write("headwater.yml", PROJECT + "jobs: [{name: j, tasks: [a]}]\n")
    after = workspace.again()
    assert ([job.name for job in after.project.jobs], after.environment_name) == (["j"], "prod")
