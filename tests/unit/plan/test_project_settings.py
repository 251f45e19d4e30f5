from __future__ import annotations

import pytest

from headwater.base.errors import InputError
from headwater.model.project import Project
from headwater.model.setting import Origin
from headwater.plan.project_settings import project_secret_names, project_settings, project_variables


def project(**settings) -> Project:
    lines = {"state_backend": 4, "cli": 6}
    return Project(root="/p", file="/p/headwater.yml", default_environment="dev", settings=settings, lines=lines)


def value(name, env=None, dotenv=None, flags=None, **settings):
    return project_settings(project(**settings), env=env or {}, dotenv=dotenv or {}, flags=flags)[name]


def test_layers_strongest_first():
    name = "state_backend.uri"
    found = value(
        name,
        flags={name: "flag"},
        env={"HEADWATER_STATE_BACKEND_URI": "hw", "MELTANO_STATE_BACKEND_URI": "mel"},
        dotenv={"MELTANO_STATE_BACKEND_URI": "dot"},
        **{name: "$SCHEME://file"},
    )
    assert [(item.value, item.source) for item in (found, *found.shadowed)] == [
        ("flag", "command line"),
        ("hw", "HEADWATER_STATE_BACKEND_URI"),
        ("mel", "MELTANO_STATE_BACKEND_URI"),
        ("dot", ".env: MELTANO_STATE_BACKEND_URI"),
        ("://file", "headwater.yml:4"),
        ("systemdb", "default"),
    ]


def test_values_are_expanded_and_cast():
    assert value("state_backend.uri", env={"HOME": "/h"}, **{"state_backend.uri": "file://$HOME"}).value == "file:///h"
    assert value("auto_install", env={"MELTANO_AUTO_INSTALL": "false"}).value is False
    assert value("default_environment").value == "dev"
    assert value("project_id").source == "not set"


def test_an_unknown_key_of_the_file_is_a_setting_too():
    found = value("my.limit", env={"MELTANO_MY_LIMIT": "3"}, **{"my.limit": 2})
    assert (found.value, found.origin) == (3, Origin.ENV)


def test_a_wrong_value_says_where_it_stands():
    with pytest.raises(InputError) as caught:
        value("cli.log_level", **{"cli.log_level": "inof"})
    assert caught.value.what.endswith("did you mean `info`?")
    assert str(caught.value.where) == "headwater.yml:6"


def test_plugins_get_project_settings_but_no_secrets():
    settings = {"database_uri": "postgresql://u:p@h/d", "state_backend.uri": "s3://bucket"}
    variables = project_variables(project_settings(project(**settings), env={}, dotenv={}))
    assert variables["MELTANO_STATE_BACKEND_URI"] == "s3://bucket"
    assert variables["MELTANO_AUTO_INSTALL"] == "true"
    assert "MELTANO_DATABASE_URI" not in variables
    assert {"MELTANO_DATABASE_URI", "HEADWATER_DATABASE_URI"} <= project_secret_names()
