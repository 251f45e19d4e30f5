"""Settings that no definition knows, and those of an environment."""

from __future__ import annotations

import pytest

from headwater.base.errors import InputError
from headwater.ops import doctor, hub, planning, settings
from headwater.ops.workspace import find

PROJECT = """\
plugins:
  extractors:
    - name: tap-x
      namespace: tap_x
      executable: ./tap
"""


def test_a_secret_nobody_defined_reaches_the_plugin_and_is_known_as_one(tmp_path):
    (tmp_path / "headwater.yml").write_text(PROJECT)
    settings.set_value(find(tmp_path), "tap-x", None, ("token",), "hunter22")
    assert (tmp_path / ".env").read_text() == "TAP_X_TOKEN=hunter22\n"
    assert "token: '${TAP_X_TOKEN}'" in (tmp_path / "headwater.yml").read_text()
    workspace = find(tmp_path)
    assert settings.effective(workspace, "tap-x", unsafe=True) == {"token": "hunter22"}
    assert settings.effective(workspace, "tap-x") == {"token": "(redacted)"}
    settings.unset(workspace, "tap-x", None, ("token",))
    assert "TAP_X_TOKEN" not in (tmp_path / ".env").read_text() + (tmp_path / "headwater.yml").read_text()


def test_a_misspelt_setting_of_a_native_plugin_is_refused(tmp_path):
    (tmp_path / "headwater.yml").write_text(
        "plugins:\n  loaders:\n    - name: target-duckdb\n      variant: headwater\n      config:\n        filepat: x\n"
    )
    with pytest.raises(InputError) as caught:
        settings.set_value(find(tmp_path), "target-duckdb", None, ("filepaht",), "x")
    assert (caught.value.reference, caught.value.hint) == ("unknown-setting", "did you mean `filepath`?")


def test_a_project_setting_of_an_environment_counts_there(tmp_path):
    (tmp_path / "headwater.yml").write_text(
        "state_backend:\n  uri: systemdb\n"
        "environments:\n  - name: prod\n    config:\n      state_backend:\n        uri: file:///s\n"
    )
    assert planning.state_uri(find(tmp_path)) == "systemdb"
    assert planning.state_uri(find(tmp_path, environment="prod")) == "file:///s"


def test_doctor_names_variables_that_are_not_set(tmp_path):
    (tmp_path / "headwater.yml").write_text(PROJECT + "      config:\n        token: $NOBODY_SETS_THIS\n")
    texts = [finding.text for finding in doctor.examine(lambda: find(tmp_path)) if finding.subject == "tap-x"]
    assert "its settings name `$NOBODY_SETS_THIS`, which is not set" in texts


def test_a_setting_in_the_system_database_is_weaker_than_the_project_file(tmp_path):
    (tmp_path / "headwater.yml").write_text(PROJECT)
    assert settings.set_value(find(tmp_path), "tap-x", None, ("page",), "7", store="db").place == "the system database"
    assert settings.effective(find(tmp_path), "tap-x") == {"page": 7}
    (tmp_path / "headwater.yml").write_text(PROJECT + "      config: {page: 8}\n")
    assert settings.effective(find(tmp_path), "tap-x") == {"page": 8}
    (tmp_path / "headwater.yml").write_text(PROJECT)
    assert settings.unset(find(tmp_path), "tap-x", None, ("page",)) == ["the system database"]
    assert settings.effective(find(tmp_path), "tap-x") == {}


def test_the_system_database_keeps_settings_of_the_project_below_its_file(tmp_path):
    (tmp_path / "headwater.yml").write_text("version: 1\n")
    changed = settings.set_value(find(tmp_path), "headwater", None, ("hub_url",), "https://hub.example", store="db")
    assert (changed.place, changed.outdone_by) == ("the system database", None)
    value = planning.settings(find(tmp_path))["hub_url"]
    assert (value.value, value.source) == ("https://hub.example", "the system database")
    assert hub.site(find(tmp_path)).root == "https://hub.example/meltano/api/v1"
    (tmp_path / "headwater.yml").write_text("hub_url: https://other.example\n")
    assert planning.settings(find(tmp_path))["hub_url"].value == "https://other.example"
    assert settings.unset(find(tmp_path), "headwater", None, ("hub_url",), store="db") == ["the system database"]


def test_what_says_where_the_system_database_is_is_not_kept_in_it(tmp_path):
    (tmp_path / "headwater.yml").write_text("version: 1\n")
    with pytest.raises(InputError) as caught:
        settings.set_value(find(tmp_path), "headwater", None, ("state_backend.uri",), "file:///s", store="db")
    assert caught.value.reference == "bad-store"
