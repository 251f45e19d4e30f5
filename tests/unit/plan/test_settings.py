from __future__ import annotations

import itertools
from datetime import UTC, date, datetime

import pytest

from headwater.base.errors import InputError
from headwater.model.plugin import Definition, Plugin, PluginKind
from headwater.model.project import Environment, EnvironmentPlugin, Project
from headwater.model.setting import Option, Origin, Setting, SettingKind
from headwater.plan import inherit
from headwater.plan.settings import (
    Layers,
    check_required,
    config,
    missing_required,
    resolve,
    unknown_keys,
)

TAP = PluginKind.EXTRACTOR
NOW = datetime(2026, 3, 31, 12, tzinfo=UTC)


def resolved_plugin(*settings, config=None, parent_config=None, kind=TAP, definition=None, **keys):
    """`tap-x` with these settings and this config; with `parent_config` it inherits from `tap-base`."""
    name = "tap-x"
    base = "tap-x" if parent_config is None else "tap-base"
    facts = {"namespace": base.replace("-", "_"), **(definition or {})}
    known = Definition(plugin_type=kind, name=base, settings=settings, **facts)
    lines = {f"config.{key}": 10 + at for at, key in enumerate(config or {})}
    lines |= {key: 30 + at for at, key in enumerate(keys.get("extras", {}))}
    place = {"file": "headwater.yml", "line": 3}
    plugins = [
        Plugin(
            kind=kind,
            name=name,
            inherit_from=None if parent_config is None else base,
            config=config or {},
            lines=lines,
            **place,
            **keys,
        )
    ]
    if parent_config is not None:
        plugins.append(Plugin(kind=kind, name=base, config=parent_config, **place))
    project = Project(root="/p", file="/p/headwater.yml", plugins=tuple(plugins))
    return inherit.resolve(project, plugins[0], lambda *_: known)


def environment(config=None, **keys) -> Environment:
    section = EnvironmentPlugin(
        kind=TAP,
        name="tap-x",
        config=config or {},
        file="headwater.yml",
        line=40,
        lines={f"config.{key}": 41 for key in config or {}},
        **keys,
    )
    return Environment(name="dev", plugins=(section,))


def one(setting, given, **layers):
    """The Value of `setting` when the project file gives `given`."""
    return resolve(resolved_plugin(setting, config={setting.name: given}), Layers(**layers))[setting.name]


# --- layers -------------------------------------------------------------------------------------------------------

SOURCES = {
    Origin.FLAG: "command line",
    Origin.ENV: "TAP_X_S",
    Origin.DOTENV: ".env: TAP_X_S",
    Origin.ENVIRONMENT: "headwater.yml:41",
    Origin.PROJECT: "headwater.yml:10",
    Origin.DATABASE: "system database",
    Origin.PARENT: "tap-base: headwater.yml:3",
    Origin.DEFAULT: "default",
}


def layered(origins):
    """`s` with the value `<origin>` in each of these layers and in no other."""

    def say(origin, key):
        return {key: origin.value} if origin in origins else {}

    resolved = resolved_plugin(
        Setting(name="s", value="default" if Origin.DEFAULT in origins else None),
        config=say(Origin.PROJECT, "s"),
        parent_config=say(Origin.PARENT, "s"),
    )
    return resolved, Layers(
        flags=say(Origin.FLAG, "s"),
        env=say(Origin.ENV, "TAP_X_S"),
        dotenv=say(Origin.DOTENV, "TAP_X_S"),
        environment=environment(say(Origin.ENVIRONMENT, "s")),
        database={"tap-x": say(Origin.DATABASE, "s")},
    )


@pytest.mark.parametrize(("stronger", "weaker"), list(itertools.pairwise(Origin)))
def test_each_layer_beats_the_next(stronger, weaker):
    value = resolve(*layered({stronger, weaker}))["s"]
    assert (value.value, value.origin, value.source) == (stronger.value, stronger, SOURCES[stronger])
    assert [(item.value, item.origin, item.source) for item in value.shadowed] == [
        (weaker.value, weaker, SOURCES[weaker])
    ]


def test_of_any_layers_the_strongest_wins_and_the_others_are_shadowed_in_order():
    for size in range(1, len(Origin) + 1):
        for origins in itertools.combinations(Origin, size):
            value = resolve(*layered(set(origins)))["s"]
            assert [item.origin for item in (value, *value.shadowed)] == list(origins)
            assert value == resolve(*layered(set(origins)))["s"]


def test_null_says_nothing():
    resolved = resolved_plugin(Setting(name="s", value="default"), config={"s": "project"})
    value = resolve(resolved, Layers(flags={"s": None}, environment=environment({"s": None})))["s"]
    assert (value.value, value.origin) == ("project", Origin.PROJECT)


def test_a_setting_that_is_nowhere_is_listed_as_not_set():
    value = resolve(resolved_plugin(Setting(name="s")), Layers())["s"]
    assert (value.value, value.origin, value.source, value.shadowed) == (None, Origin.DEFAULT, "not set", ())


def test_a_parent_is_resolved_in_full_but_for_its_defaults():
    def inherited(**layers):
        resolved = resolved_plugin(Setting(name="s", value="default"), parent_config={"s": "file"})
        value = resolve(resolved, Layers(**layers))["s"]
        return value.value, value.source

    assert inherited() == ("file", "tap-base: headwater.yml:3")
    assert inherited(env={"TAP_BASE_S": "shell"}) == ("shell", "tap-base: TAP_BASE_S")
    assert inherited(dotenv={"TAP_BASE_S": "dot"}) == ("dot", "tap-base: .env: TAP_BASE_S")
    base = EnvironmentPlugin(kind=TAP, name="tap-base", config={"s": "dev"}, file="dev.yml", line=9)
    assert inherited(environment=Environment(name="dev", plugins=(base,))) == ("dev", "tap-base: dev.yml:9")


def test_flags_are_not_for_parents_and_database_values_are_by_plugin():
    resolved = resolved_plugin(Setting(name="s"), parent_config={})
    assert resolve(resolved, Layers(database={"tap-base": {"s": "1"}}))["s"].source == "tap-base: system database"
    assert resolve(resolved, Layers(database={"tap-other": {"s": "1"}}))["s"].value is None


# --- variables ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["TAP_X_API_KEY_ID", "ACME_API_KEY_ID", "TAP_X_KEY", "ACME_KEY"], ids=["name", "namespace", "alias", "both"]
)
def test_variables_are_read_by_name_namespace_and_alias(name):
    resolved = resolved_plugin(Setting(name="api.key-id", aliases=("key",)), definition={"namespace": "acme"})
    value = resolve(resolved, Layers(env={name: "v"}))["api.key-id"]
    assert (value.value, value.source) == ("v", name)


def test_two_variables_for_one_setting_may_agree_but_not_differ():
    resolved = resolved_plugin(Setting(name="s"), definition={"namespace": "acme"})
    assert resolve(resolved, Layers(env={"TAP_X_S": "1", "ACME_S": "1"}))["s"].source == "TAP_X_S"
    with pytest.raises(InputError) as caught:
        resolve(resolved, Layers(env={"TAP_X_S": "1", "ACME_S": "2"}))
    assert caught.value.reference == "conflicting-variables"
    assert caught.value.what == "the setting `s` of `tap-x` is given different values by `TAP_X_S` and `ACME_S`"


def test_the_env_name_of_a_setting_only_fills_in():
    setting = Setting(name="token", env="GITHUB_TOKEN", value="default")
    shell = {"GITHUB_TOKEN": "shell"}
    value = resolve(resolved_plugin(setting), Layers(env=shell))["token"]
    assert (value.value, value.source, value.shadowed[0].value) == ("shell", "GITHUB_TOKEN", "default")
    assert one(setting, "project", env=shell).value == "project"
    assert resolve(resolved_plugin(setting), Layers(dotenv=shell))["token"].source == ".env: GITHUB_TOKEN"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (SettingKind.INTEGER, None),
        (SettingKind.ARRAY, None),
        (SettingKind.OBJECT, None),
        (SettingKind.STRING, ""),
        (SettingKind.BOOLEAN, False),
    ],
)
def test_an_empty_variable_is_no_number_list_or_object(kind, value):
    setting = Setting(name="s", kind=kind)
    assert resolve(resolved_plugin(setting), Layers(env={"TAP_X_S": ""}))["s"].value == value


# --- expansion ----------------------------------------------------------------------------------------------------


def test_files_and_defaults_may_name_variables_others_are_taken_as_they_are():
    env = {"HOST": "shell"}
    setting = Setting(name="s", value="$HOST")
    resolved = resolved_plugin(setting)
    assert resolve(resolved, Layers(env=env))["s"].value == "shell"
    assert one(setting, "${HOST}!", env=env).value == "shell!"
    assert resolve(resolved, Layers(env={**env, "TAP_X_S": "p$HOST"}))["s"].value == "p$HOST"
    assert resolve(resolved, Layers(env=env, flags={"s": "$HOST"}))["s"].value == "$HOST"
    assert resolve(resolved, Layers(env=env, database={"tap-x": {"s": "$HOST"}}))["s"].value == "$HOST"


def test_the_shell_beats_the_dotenv_file_as_a_source_of_variables():
    layers = {"env": {"A": "shell"}, "dotenv": {"A": "dot", "B": "dot"}}
    assert one(Setting(name="s"), "$A $B", **layers).value == "shell dot"


def test_a_value_of_missing_variables_alone_is_not_set_and_still_hides_the_default():
    value = one(Setting(name="s", value="default"), "$MISSING")
    assert (value.value, value.origin) == (None, Origin.PROJECT)
    assert config({"s": value}) == {}


def test_a_missing_variable_is_an_error_in_strict_mode_only_where_it_counts():
    with pytest.raises(InputError) as caught:
        one(Setting(name="s"), "$MISSING", strict=True)
    assert (caught.value.reference, str(caught.value.where)) == ("undefined-variable", "headwater.yml:10")
    assert one(Setting(name="s"), "$MISSING", strict=True, env={"TAP_X_S": "1"}).value == "1"


def test_expanded_texts_are_cast():
    value = one(Setting(name="port", kind=SettingKind.INTEGER), "$PORT", env={"PORT": "5432"})
    assert value.value == 5432


# --- kinds --------------------------------------------------------------------------------------------------------


def test_a_wrong_type_says_where_what_was_given_and_what_was_expected():
    with pytest.raises(InputError) as caught:
        one(Setting(name="port", kind=SettingKind.INTEGER), "many")
    error = caught.value
    assert error.reference == "wrong-setting-type"
    assert error.what == "the setting `port` of `tap-x` must be a whole number such as `42`"
    assert error.why == "headwater.yml:10 gives `many` (kind `integer`)"
    assert (str(error.where), error.hint) == ("headwater.yml:10", "headwater config set tap-x port …")


def test_a_wrong_secret_is_not_shown():
    with pytest.raises(InputError) as caught:
        resolve(
            resolved_plugin(Setting(name="pin", kind=SettingKind.INTEGER, sensitive=True)),
            Layers(env={"TAP_X_PIN": "hunter2"}),
        )
    assert "hunter2" not in f"{caught.value.what}{caught.value.why}{caught.value.hint}"
    assert "TAP_X_PIN" in (caught.value.why or "")


def test_a_wrong_option_gets_a_suggestion():
    setting = Setting(name="mode", kind=SettingKind.OPTIONS, options=(Option(value="fast"), Option(value="slow")))
    with pytest.raises(InputError, match=r"must be one of `fast`, `slow`; did you mean `fast`\?"):
        one(setting, "fats")


def test_a_wrong_default_or_shadowed_value_is_nobodys_error():
    setting = Setting(name="port", kind=SettingKind.INTEGER, value="none")
    assert resolve(resolved_plugin(setting), Layers())["port"].value == "none"
    value = one(setting, "many", env={"TAP_X_PORT": "1"})
    assert (value.value, value.shadowed[0].value) == (1, "many")


# --- names, nesting, objects --------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", [{"db.port": 1}, {"db": {"port": 1}}])
def test_flat_and_nested_spelling_are_one(written):
    values = resolve(resolved_plugin(Setting(name="db.port"), config=written), Layers())
    assert values["db.port"].value == 1
    assert config(values) == {"db": {"port": 1}}


def test_an_escaped_dot_belongs_to_the_key():
    values = resolve(resolved_plugin(config={r"s3\.endpoint": "e", "s3.region": "r"}), Layers())
    assert config(values) == {"s3.endpoint": "e", "s3": {"region": "r"}}


def test_an_object_is_assembled_key_by_key_from_all_layers():
    setting = Setting(name="o", kind=SettingKind.OBJECT, value={"default": True})
    resolved = resolved_plugin(
        setting, config={"o.a": 1, "o": {"b": {"c": 2}}}, parent_config={"o": {"d": 3, "b.c": 0}}
    )
    layers = Layers(environment=environment({"o.b.c": "$N"}), env={"N": "5"})
    value = resolve(resolved, layers)["o"]
    assert value.value == {"a": 1, "b": {"c": "5"}, "d": 3}
    assert (value.origin, value.source) == (Origin.ENVIRONMENT, "headwater.yml:41")
    assert [item.origin for item in value.shadowed] == [Origin.PROJECT, Origin.PARENT, Origin.DEFAULT]


def test_an_object_in_one_piece_hides_what_is_weaker():
    setting = Setting(name="o", kind=SettingKind.OBJECT)
    value = one(setting, {"a": 1, "b": 2}, env={"TAP_X_O": '{"a": 9}'})
    assert (value.value, value.origin) == ({"a": 9}, Origin.ENV)
    assert value.shadowed[0].value == {"a": 1, "b": 2}


def test_an_empty_object_in_a_file_hides_the_default_and_nothing_else():
    headers = Setting(name="headers", kind=SettingKind.OBJECT, value={"a": 1})
    assert resolve(resolved_plugin(headers, config={"headers": {}}), Layers())["headers"].value == {}
    resolved = resolved_plugin(headers, config={"headers": {}}, parent_config={"headers": {"b": 2}})
    assert resolve(resolved, Layers())["headers"].value == {"b": 2}


def test_a_key_of_an_object_of_which_no_text_is_left_is_null():
    resolved = resolved_plugin(Setting(name="headers", kind=SettingKind.OBJECT), config={"headers.a": "$GONE"})
    assert config(resolve(resolved, Layers())) == {"headers": {"a": None}}


def test_a_key_of_an_object_that_a_file_names_can_be_set_by_a_variable():
    setting = Setting(name="o", kind=SettingKind.OBJECT)
    assert one(setting, {"a": 1, "b": "x"}, env={"TAP_X_O_B": "y"}).value == {"a": 1, "b": "y"}


def test_such_a_variable_takes_the_type_of_the_key_when_it_can():
    setting = Setting(name="o", kind=SettingKind.OBJECT)
    env = {"TAP_X_O_A": "7", "TAP_X_O_B": "many"}
    assert one(setting, {"a": 1, "b": 2}, env=env).value == {"a": 7, "b": "many"}


def test_a_setting_that_is_no_object_does_not_take_the_settings_below_it():
    settings = (Setting(name="db"), Setting(name="db.port", value=1))
    values = resolve(resolved_plugin(*settings), Layers())
    assert (values["db"].value, values["db.port"].value) == (None, 1)
    assert config(values) == {"db": {"port": 1}}


def test_a_setting_below_an_object_is_part_of_the_object_in_the_config_file():
    settings = (
        Setting(name="batch", kind=SettingKind.OBJECT),
        Setting(name="batch.size", kind=SettingKind.INTEGER, value=10),
    )
    values = resolve(resolved_plugin(*settings, config={"batch": {"format": "jsonl"}}), Layers())
    assert config(values) == {"batch": {"format": "jsonl", "size": 10}}
    values = resolve(resolved_plugin(*settings), Layers(env={"TAP_X_BATCH": '{"size": "20"}'}))
    assert config(values) == {"batch": {"size": 20}}


def test_an_alias_in_a_file_is_the_setting():
    values = resolve(resolved_plugin(Setting(name="user", aliases=("username",)), config={"username": "me"}), Layers())
    assert config(values) == {"user": "me"}


def test_name_and_alias_with_different_values_are_an_error():
    resolved = resolved_plugin(Setting(name="user", aliases=("username",)), config={"user": "a", "username": "b"})
    with pytest.raises(InputError) as caught:
        resolve(resolved, Layers())
    assert caught.value.reference == "conflicting-settings"
    assert caught.value.why == "headwater.yml:10 and headwater.yml:11"


@pytest.mark.parametrize(
    ("given", "kind", "variable", "value"),
    [
        (1, SettingKind.INTEGER, "2", 2),
        (True, SettingKind.BOOLEAN, "off", False),
        (0.5, SettingKind.DECIMAL, "1.5", 1.5),
        (["a"], SettingKind.ARRAY, '["b"]', ["b"]),
        ("a", None, "b", "b"),
    ],
)
def test_an_unknown_key_becomes_a_setting_of_its_yaml_type(given, kind, variable, value):
    resolved = resolved_plugin(config={"own": given})
    custom = resolve(resolved, Layers())["own"]
    assert (custom.value, custom.setting.kind) == (given, kind)
    assert resolve(resolved, Layers(env={"TAP_X_OWN": variable}))["own"].value == value


def test_unknown_nested_keys_become_settings_of_their_own():
    values = resolve(resolved_plugin(config={"own": {"a": {"b": 1}}}), Layers(env={"TAP_X_OWN_A_B": "2"}))
    assert values["own.a.b"].value == 2
    assert config(values) == {"own": {"a": {"b": 2}}}


def test_likely_typos_are_named_with_their_line_and_other_unknown_keys_are_not():
    resolved = resolved_plugin(
        Setting(name="start_date"),
        Setting(name="db.host"),
        config={"start_dat": "x", "db": {}, "flavour": 1, "db.h": 1},
    )
    (unknown,) = unknown_keys(resolved, environment({"flavor": 1}))
    assert (unknown.key, str(unknown.where), unknown.suggestion) == ("start_dat", "headwater.yml:10", "start_date")
    assert [item.key for item in unknown_keys(resolved, environment({"startdate": 1}))] == ["startdate", "start_dat"]


# --- processors and the config file -------------------------------------------------------------------------------


def test_processors():
    settings = (
        Setting(name="code", value_processor="upcase_string"),
        Setting(name="rules", kind=SettingKind.OBJECT, value_processor="nest_object"),
        Setting(name="text", kind=SettingKind.OBJECT, value_post_processor="stringify"),
        Setting(name="since", value_post_processor="parse_date"),
    )
    given = {"code": "eu", "rules": {"a.b": 1}, "text": {"k": 1}, "since": "2 weeks ago"}
    values = resolve(resolved_plugin(*settings, config=given), Layers())
    assert values["text"].value == {"k": 1}
    assert config(values, now=NOW) == {
        "code": "EU",
        "rules": {"a": {"b": 1}},
        "text": '{"k": 1}',
        "since": "2026-03-17T12:00:00+00:00",
    }


def test_dates_in_words_stay_words_until_the_config_file_is_made():
    value = one(Setting(name="start", kind=SettingKind.DATE), "3 days ago")
    assert value.value == "3 days ago"
    assert config({"start": value}) == {"start": "3 days ago"}
    assert config({"start": value}, now=NOW) == {"start": "2026-03-28T12:00:00+00:00"}


def test_a_yaml_date_is_written_as_text():
    assert one(Setting(name="start", kind=SettingKind.DATE), date(2026, 1, 31)).value == "2026-01-31"


def test_the_config_file_has_no_extras_and_nothing_that_is_not_set():
    values = resolve(resolved_plugin(Setting(name="a"), Setting(name="b", value=0), Setting(name="c.d")), Layers())
    assert config(values) == {"b": 0}


# --- secrets ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "secret"),
    [
        (Setting(name="s", sensitive=True), True),
        (Setting(name="s", kind=SettingKind.PASSWORD), True),
        (Setting(name="client_secret"), True),
        (Setting(name="token_url"), False),
        (Setting(name="use_token", kind=SettingKind.BOOLEAN), False),
    ],
)
def test_secrets_are_known_by_definition_or_by_name(setting, secret):
    value = resolve(resolved_plugin(setting), Layers(env={f"TAP_X_{setting.name.upper()}": "1"}))[setting.name]
    assert value.secret is secret


def test_an_object_with_a_secret_in_it_is_secret():
    assert one(Setting(name="auth", kind=SettingKind.OBJECT), {"apiKey": "k"}).secret
    assert not one(Setting(name="auth", kind=SettingKind.OBJECT), {"user": "k"}).secret
    assert not one(Setting(name="stream_maps", kind=SettingKind.OBJECT), {"users": {"password": "__NULL__"}}).secret


# --- extras -------------------------------------------------------------------------------------------------------


def extras_of(resolved, **layers):
    return {name: value for name, value in resolve(resolved, Layers(**layers)).items() if name.startswith("_")}


def test_the_extras_of_an_extractor_have_defaults():
    assert {name: value.value for name, value in extras_of(resolved_plugin()).items()} == {
        "_catalog": None,
        "_state": None,
        "_load_schema": "tap_x",
        "_select": ["*.*"],
        "_metadata": {},
        "_schema": {},
        "_select_filter": [],
        "_select_may_miss": None,
        "_use_cached_catalog": True,
        "_catalog_max_age": 3600,
        "_idle_timeout_seconds": 10_800,
        "_discovery_timeout_seconds": 3_600,
        "_jobs": None,
        "_max_message_bytes": 128 << 20,
        "_max_columns": 10_000,
        "_on_bad_record": "fail",
        "_check_required": True,
        "_flatten_depth": None,
        "_batch_roots": None,
        "_tolerate_stdout_noise": False,
        "_retries": None,
        "_log_parser": "singer-sdk",
    }


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (PluginKind.LOADER, "_dialect", "tap_x"),
        (PluginKind.TRANSFORM, "_package_name", "tap_x"),
        (PluginKind.MAPPER, "_mappings", []),
        (PluginKind.FILE, "_update", {}),
    ],
)
def test_other_kinds_have_extras_of_their_own(kind, name, value):
    assert extras_of(resolved_plugin(kind=kind))[name].value == value


def test_extras_come_from_the_same_layers():
    resolved = resolved_plugin(extras={"select": ["a.*"]}, definition={"extras": {"select": ["d.*"], "own": 1}})
    select = extras_of(resolved)["_select"]
    assert (select.value, select.source, select.shadowed[0].value) == (["a.*"], "headwater.yml:30", ["d.*"])
    assert extras_of(resolved)["_own"].value == 1
    select = extras_of(resolved, environment=environment(extras={"select": ["b.*"]}))["_select"]
    assert (select.value, select.origin) == (["b.*"], Origin.ENVIRONMENT)
    select = extras_of(resolved, env={"TAP_X__SELECT": '["c.*"]'})["_select"]
    assert (select.value, select.source) == (["c.*"], "TAP_X__SELECT")
    assert extras_of(resolved, flags={"_select": ["f.*"]})["_select"].value == ["f.*"]


def test_an_extra_may_name_the_plugins_own_settings():
    resolved = resolved_plugin(
        Setting(name="schema"), config={"schema": "raw"}, extras={"load_schema": "$TAP_X_SCHEMA"}
    )
    assert extras_of(resolved)["_load_schema"].value == "raw"


def test_metadata_is_nested_and_merged_over_environments_and_variables():
    resolved = resolved_plugin(extras={"metadata": {"users": {"replication-method": "FULL_TABLE", "id.x": 1}}})
    dev = environment(extras={"metadata": {"users.replication-method": "INCREMENTAL"}})
    assert extras_of(resolved, environment=dev)["_metadata"].value == {
        "users": {"replication-method": "INCREMENTAL", "id": {"x": 1}}
    }
    env = {"TAP_X__METADATA_USERS_REPLICATION_METHOD": "LOG_BASED"}
    assert extras_of(resolved, env=env)["_metadata"].value["users"]["replication-method"] == "LOG_BASED"
    assert extras_of(resolved_plugin(config={"metadata": {"a": 1}}))["_metadata"].value == {"a": 1}


def test_the_keys_of_other_extras_keep_their_dots():
    resolved = resolved_plugin(kind=PluginKind.FILE, extras={"update": {"*.py": False}, "own": {"a.b": {"c.d": 1}}})
    values = extras_of(resolved)
    assert values["_update"].value == {"*.py": False}
    assert values["_own"].value == {"a.b": {"c.d": 1}}


def test_a_column_named_password_makes_no_secret_of_a_schema():
    assert not extras_of(resolved_plugin(extras={"schema": {"users": {"password": {"type": "string"}}}}))[
        "_schema"
    ].secret


# --- required -----------------------------------------------------------------------------------------------------


def missing(*settings, given=None, groups=()):
    resolved = resolved_plugin(*settings, config=given, definition={"settings_group_validation": groups})
    return missing_required(resolved, resolve(resolved, Layers()))


def test_required_settings_are_missing_until_they_have_a_value():
    settings = (Setting(name="a", required=True), Setting(name="b", required=True, value=1), Setting(name="c"))
    assert missing(*settings) == ("a",)
    assert missing(*settings, given={"a": ""}) == ("a",)
    assert missing(*settings, given={"a": "$MISSING"}) == ("a",)
    assert missing(*settings, given={"a": 0}) == ()


def test_one_complete_group_is_enough_and_else_the_one_that_was_begun_is_named_or_the_first():
    settings = [Setting(name=name) for name in ("user", "password", "token")]
    groups = (("user", "password"), ("token",))
    assert missing(*settings, groups=groups) == ("user", "password")
    assert missing(*settings, given={"password": "p"}, groups=groups[::-1]) == ("user",)
    assert missing(*settings, given={"token": "t"}, groups=groups) == ()
    assert missing(*settings, given={"user": "u"}, groups=(("user", "password"), ("token", "url"))) == ("password",)


def test_a_missing_setting_is_an_error_with_the_next_command():
    resolved = resolved_plugin(Setting(name="a", required=True), Setting(name="b", required=True))
    with pytest.raises(InputError) as caught:
        check_required(resolved, resolve(resolved, Layers()))
    error = caught.value
    assert (error.reference, str(error.where)) == ("missing-setting", "headwater.yml:3")
    assert error.what == "extractor `tap-x` needs the settings `a`, `b`"
    assert error.hint == "headwater config set tap-x a …"
