import pytest

from headwater.ops import settings

PROJECT = """\
default_environment: dev
environments:
- name: dev
  config:
    plugins:
      extractors:
      - name: tap-x
        config: {start: '2021'}
- name: prod
plugins:
  extractors:
  - name: tap-x
    namespace: tap_x
    executable: tap
    settings:
    - {name: start}
    - {name: port, kind: integer, value: 80}
    - {name: token, sensitive: true}
    - {name: user_name, aliases: [user]}
    - {name: auth, kind: object}
"""


@pytest.fixture
def tap(lab):
    return lab(PROJECT)


def set_value(tap, name, value, *, store="auto", **choices):
    choices = {"default_environment": False, **choices}
    return settings.set_value(tap.workspace(**choices), "tap-x", None, name.split(), value, store=store)


def effective(tap, **choices):
    return settings.effective(tap.workspace(**choices), "tap-x", unsafe=True)


def test_a_setting_goes_to_the_project_file(tap):
    changed = set_value(tap, "port", "8080")
    assert (changed.place, changed.outdone_by) == ("headwater.yml", None)
    assert tap.text().endswith("    config:\n      port: 8080\n")


def test_a_secret_goes_to_dotenv(tap):
    assert set_value(tap, "token", "hushhush").place == ".env"
    assert tap.text(".env") == "TAP_X_TOKEN=hushhush\n"
    assert tap.text() == PROJECT
    assert effective(tap)["token"] == "hushhush"


def test_the_store_can_be_chosen(tap):
    set_value(tap, "port", "81", store="dotenv")
    set_value(tap, "token", "plain-text", store="project")
    assert tap.text(".env") == "TAP_X_PORT=81\n"
    assert "token: plain-text" in tap.text()


def test_with_an_environment_it_counts_there_only(tap):
    assert set_value(tap, "start", "2022", environment="prod").place == "headwater.yml, environment `prod`"
    assert effective(tap, environment="prod")["start"] == 2022
    assert effective(tap, environment="dev")["start"] == "2021"


def test_it_is_told_when_a_stronger_place_says_otherwise(tap, monkeypatch):
    assert set_value(tap, "start", "2023").outdone_by == "headwater.yml:8"
    monkeypatch.setenv("TAP_X_PORT", "9")
    assert set_value(tap, "port", "10").outdone_by == "TAP_X_PORT"


def test_a_path_may_be_nested(tap):
    set_value(tap, "auth kind", "basic")
    assert effective(tap)["auth"] == {"kind": "basic"}


def test_an_alias_means_its_setting(tap):
    set_value(tap, "user", "ada")
    assert "user_name: ada" in tap.text()


def test_a_setting_is_changed_under_the_alias_that_stands_there(tap):
    tap.write("headwater.yml", PROJECT + "    config: {user: ada}\n")
    set_value(tap, "user_name", "bo")
    assert "user: bo" in tap.text()
    assert settings.unset(tap.workspace(default_environment=False), "tap-x", None, ["user_name"]) == ["headwater.yml"]


def test_the_wrong_type_is_refused_and_nothing_written(tap):
    with pytest.raises(Exception, match="setting `port` of `tap-x` must be") as caught:
        set_value(tap, "port", "much")
    assert (caught.value.reference, caught.value.why) == ("wrong-setting-type", "got `much`")
    assert tap.text() == PROJECT


def test_a_setting_of_kind_string_keeps_what_was_typed(tap):
    tap.write("headwater.yml", PROJECT.replace("{name: start}", "{name: start, kind: string}"))
    set_value(tap, "start", "2024", environment="prod")
    assert "start: '2024'" in tap.text()
    assert effective(tap, environment="prod")["start"] == "2024"


def test_unset_removes_it_from_every_place(tap):
    set_value(tap, "token", "one-secret", store="project")
    set_value(tap, "token", "other-secret")
    assert settings.unset(tap.workspace(default_environment=False), "tap-x", None, ["token"]) == [
        ".env",
        "headwater.yml",
    ]
    assert "token" not in effective(tap)


def test_unset_of_what_is_not_set(tap):
    workspace = tap.workspace(default_environment=False)
    assert settings.unset(workspace, "tap-x", None, ["port"]) == []


def test_extras_are_set_and_unset(tap):
    set_value(tap, "_select", '["users.*"]')
    assert "    select:" in tap.text()
    extras = settings.effective(tap.workspace(), "tap-x", extras=True)
    assert extras["_select"] == ["users.*"]
    assert settings.unset(tap.workspace(default_environment=False), "tap-x", None, ["_select"]) == ["headwater.yml"]


def test_reset_removes_all_and_can_be_repeated(tap):
    set_value(tap, "port", "81")
    set_value(tap, "token", "hushhush")
    for _ in range(2):
        settings.reset(tap.workspace(default_environment=False), "tap-x", None)
    assert tap.text() == PROJECT
    assert tap.text(".env") == ""


def test_a_listing_says_where_each_value_comes_from_and_what_it_shadows(tap):
    set_value(tap, "start", "2020")
    found = {value.name: value for value in settings.listing(tap.workspace(), "tap-x").values}
    assert (found["start"].source, [item.source for item in found["start"].shadowed]) == (
        "headwater.yml:8",
        ["headwater.yml:22"],
    )
    assert found["port"].source == "default"


def test_secrets_are_masked_in_shadowed_layers_too(tap):
    set_value(tap, "token", "one-secret", store="project")
    set_value(tap, "token", "other-secret")
    (value,) = [item for item in settings.listing(tap.workspace(), "tap-x").values if item.name == "token"]
    assert "secret" not in str([settings.as_json(value)["value"], settings.as_json(value)["shadowed"][0]["value"]])
    assert settings.shown(value) == "(redacted)"
    assert settings.shown(value, unsafe=True) == "other-secret"


def test_masked_finds_secrets_inside_texts_and_numbers():
    data = {"url": "pg://u:hushhush@h", "pin": 4711, "list": ["hushhush", True], "port": 80}
    assert settings.masked(data, ("hushhush", "4711")) == {
        "url": "pg://u:(redacted)@h",
        "pin": "(redacted)",
        "list": ["(redacted)", True],
        "port": 80,
    }


def test_the_project_itself_has_settings(tap):
    workspace = tap.workspace(default_environment=False)
    assert settings.set_value(workspace, "meltano", None, ["auto_install"], "false").place == "headwater.yml"
    assert settings.effective(tap.workspace(), "headwater")["auto_install"] is False
    assert settings.variables(tap.workspace(), "headwater")["MELTANO_AUTO_INSTALL"] == "false"
    assert settings.unset(workspace, "headwater", None, ["auto_install"]) == ["headwater.yml"]
