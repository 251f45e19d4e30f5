from __future__ import annotations

import pytest

from headwater.base.errors import InputError
from headwater.model.plugin import Definition, Plugin, PluginKind
from headwater.model.project import Environment, EnvironmentPlugin, Project
from headwater.model.setting import Setting, SettingKind
from headwater.plan import inherit
from headwater.plan.child_env import Upstream, child_env, env_levels, handed_on, secret_names, secrets
from headwater.plan.settings import Layers, resolve
from headwater.plan.variables import info

PROJECT = Project(root="/p", file="/p/headwater.yml")


def plugin(name="tap-x", *, kind=PluginKind.EXTRACTOR, settings=(), namespace=None, parent=None, **keys):
    entry = Plugin(kind=kind, name=name, inherit_from=parent, **keys)
    base = parent or name
    known = Definition(
        plugin_type=kind,
        name=base,
        namespace=namespace or base.replace("-", "_"),
        variant="acme",
        settings=tuple(settings),
    )
    return inherit.resolve(Project(root="/p", file="f", plugins=(entry,)), entry, lambda *_: known)


def levels(environ=None, dotenv=None, project=PROJECT, environment=None, resolved=None, **keys):
    return env_levels(
        environ=environ or {}, dotenv=dotenv or {}, project=project, environment=environment, resolved=resolved, **keys
    )


def made(resolved, environ=None, dotenv=None, project=PROJECT, environment=None, **keys):
    """The child's environment, with settings resolved from the same levels."""
    found = levels(environ, dotenv, project, environment, resolved)
    values = resolve(resolved, Layers(env=found.merged, dotenv=dotenv or {}, environment=environment))
    return child_env(found, resolved, values, **keys)


def upstream(config=None, **keys):
    settings = (Setting(name="token", sensitive=True), Setting(name="url"))
    resolved = plugin(settings=settings, config=config or {"token": "t0p", "url": "u"}, **keys)
    return Upstream(resolved, resolve(resolved, Layers()))


def dev(env=None, plugin_env=None) -> Environment:
    section = EnvironmentPlugin(kind=PluginKind.EXTRACTOR, name="tap-x", env=plugin_env or {})
    return Environment(name="dev", env=env or {}, plugins=(section,))


# --- levels -------------------------------------------------------------------------------------------------------


def test_each_level_is_expanded_with_those_before_it():
    found = levels(
        environ={"SHELL_V": "shell"},
        dotenv={"DOT_V": "dot"},
        project=Project(root="/p", file="f", env={"ROOT_V": "$SHELL_V+$DOT_V"}),
        environment=dev({"ENV_V": "$ROOT_V+env"}, {"LAST": "$PLUGIN_V+last"}),
        resolved=plugin(env={"PLUGIN_V": "$ENV_V+plugin"}),
    )
    assert found.merged["LAST"] == "shell+dot+env+plugin+last"
    assert "DOT_V" not in found.merged


@pytest.mark.parametrize(
    ("given", "winner"),
    [
        ("shell", "shell"),
        ("shell root", "root"),
        ("shell root plugin", "plugin"),
        ("shell root plugin environment", "environment"),
        ("shell root plugin environment here", "here"),
    ],
)
def test_which_level_wins(given, winner):
    def say(level):
        return {"V": level} if level in given.split() else {}

    found = levels(
        environ=say("shell"),
        project=Project(root="/p", file="f", env=say("root")),
        environment=dev(say("environment"), say("here")),
        resolved=plugin(env=say("plugin")),
    )
    assert found.merged["V"] == winner


def test_a_level_may_extend_a_variable_of_the_level_above():
    project = Project(root="/p", file="f", env={"PATH": "/p/bin:$PATH"})
    assert levels(environ={"PATH": "/bin"}, project=project).merged["PATH"] == "/p/bin:/bin"


def test_a_level_may_name_its_own_variables_where_those_above_have_none():
    env = {"URL": "https://$HOST/$SITE", "HOST": "$NAME.example", "NAME": "eu", "SITE": "ours", "A": "a$B", "B": "$A"}
    outer = levels(project=Project(root="/p", file="f", env=env), environ={"SITE": "theirs"}).outer
    assert [outer[name] for name in ("URL", "SITE", "A", "B")] == ["https://eu.example/theirs", "ours", "a", ""]


def test_files_may_name_the_project_the_environment_and_the_plugin():
    resolved = plugin(env={"V": "$MELTANO_PROJECT_ROOT $MELTANO_ENVIRONMENT $MELTANO_EXTRACTOR_NAMESPACE $HOME_DIR"})
    found = levels(environment=dev(), resolved=resolved, project_env={"HOME_DIR": "/h"})
    assert found.merged["V"] == "/p dev tap_x /h"


def test_a_missing_variable_is_empty_or_an_error_in_strict_mode():
    project = Project(root="/p", file="f", env={"V": "$MISSING"})
    assert levels(project=project).merged["V"] == ""
    with pytest.raises(InputError, match="`MISSING` is not set"):
        levels(project=project, strict=True)


# --- the child's environment --------------------------------------------------------------------------------------


def test_a_plugin_finds_who_it_is_and_its_settings_under_every_name():
    settings = (
        Setting(name="api.key", env="X_KEY"),
        Setting(name="on", kind=SettingKind.BOOLEAN),
        Setting(name="list", kind=SettingKind.ARRAY),
        Setting(name="unset"),
    )
    env = made(plugin(settings=settings, namespace="acme", config={"api.key": "k", "on": True, "list": [1, "b"]}))
    assert env == {
        "MELTANO_PROJECT_ROOT": "/p",
        "MELTANO_ENVIRONMENT": "",
        "MELTANO_EXTRACTOR_NAME": "tap-x",
        "MELTANO_EXTRACTOR_NAMESPACE": "acme",
        "MELTANO_EXTRACTOR_VARIANT": "acme",
        "X_KEY": "k",
        **_named("API_KEY", "k"),
        **_named("ON", "true"),
        **_named("LIST", '[1,"b"]'),
        **_named("_LOAD_SCHEMA", "acme"),
        **_named("_SELECT", '["*.*"]'),
        **_named("_METADATA", "{}"),
        **_named("_SCHEMA", "{}"),
        **_named("_SELECT_FILTER", "[]"),
        **_named("_USE_CACHED_CATALOG", "true"),
        **_named("_CATALOG_MAX_AGE", "3600"),
        **_named("_IDLE_TIMEOUT_SECONDS", "10800"),
        **_named("_DISCOVERY_TIMEOUT_SECONDS", "3600"),
        **_named("_MAX_MESSAGE_BYTES", "134217728"),
        **_named("_MAX_COLUMNS", "10000"),
        **_named("_ON_BAD_RECORD", "fail"),
        **_named("_CHECK_REQUIRED", "true"),
        **_named("_TOLERATE_STDOUT_NOISE", "false"),
        **_named("_LOG_PARSER", "singer-sdk"),
    }


def _named(setting, value):
    return {f"{prefix}_{setting}": value for prefix in ("TAP_X", "ACME", "MELTANO_EXTRACT")}


def test_a_child_finds_its_settings_under_its_parents_names_too():
    env = made(plugin("tap-x--eu", parent="tap-x", settings=(Setting(name="s"),), config={"s": "v"}))
    assert {name for name in env if name.endswith("_S")} == {"TAP_X__EU_S", "TAP_X_S", "MELTANO_EXTRACT_S"}


def test_process_and_dotenv_pass_through_the_process_first():
    env = made(plugin(), environ={"A": "shell"}, dotenv={"A": "dot", "B": "dot"})
    assert (env["A"], env["B"]) == ("shell", "dot")


def test_the_plugins_env_beats_its_settings_and_its_settings_beat_the_root_env():
    project = Project(root="/p", file="f", env={"X_KEY": "root"})
    setting = Setting(name="key", env="X_KEY")
    assert made(plugin(settings=(setting,), config={"key": "set"}), project=project)["X_KEY"] == "set"
    resolved = plugin(settings=(setting,), config={"key": "set"}, env={"X_KEY": "own"})
    assert made(resolved, project=project)["X_KEY"] == "own"


def test_the_python_of_this_program_is_not_handed_down():
    ours = {"VIRTUAL_ENV": "/ours", "PYTHONPATH": "/ours", "PYTHONHOME": "/ours", "PYTHONDONTWRITEBYTECODE": "1"}
    assert not ours.keys() & made(plugin(), environ=ours).keys()
    env = made(plugin(), environ={**ours, "PATH": "/bin"}, venv="/p/venv")
    assert (env["PATH"], env["VIRTUAL_ENV"]) == ("/p/venv/bin:/bin", "/p/venv")
    assert made(plugin(), venv="/p/venv")["PATH"] == "/p/venv/bin"


def test_an_object_is_given_whole_and_key_by_key():
    setting = Setting(name="db", kind=SettingKind.OBJECT)
    env = made(plugin(settings=(setting,), config={"db": {"host": "h", "pool": {"size": 5}}}))
    assert (env["TAP_X_DB"], env["TAP_X_DB_HOST"], env["TAP_X_DB_POOL_SIZE"]) == (
        '{"host":"h","pool":{"size":5}}',
        "h",
        "5",
    )


def test_a_loaders_settings_may_name_what_the_extractor_hands_on():
    target = plugin(
        "target-y",
        kind=PluginKind.LOADER,
        settings=(Setting(name="default_target_schema", value="$MELTANO_EXTRACT__LOAD_SCHEMA"),),
    )
    found = levels(resolved=target, project_env=handed_on(upstream(), secret=False))
    assert resolve(target, Layers(env=found.merged))["default_target_schema"].value == "tap_x"


# --- secrets ------------------------------------------------------------------------------------------------------


def loader():
    return plugin("target-y", kind=PluginKind.LOADER, settings=(Setting(name="s"),))


def test_a_loader_gets_the_extractors_settings_but_not_its_secrets():
    shell = {"TAP_X_TOKEN": "t0p", "TAP_X_OTHER": "o"}
    env = made(loader(), environ=shell, upstream=[upstream()])
    assert (env["TAP_X_URL"], env["MELTANO_EXTRACT_URL"], env["TAP_X_OTHER"]) == ("u", "u", "o")
    assert env["MELTANO_EXTRACT__LOAD_SCHEMA"] == "tap_x"
    assert env["MELTANO_EXTRACTOR_NAME"] == "tap-x"
    assert "t0p" not in env.values()


def test_a_loader_gets_the_extractors_secrets_when_the_project_says_so():
    before = upstream()
    hidden = secret_names(before.resolved)
    env = made(loader(), upstream=[before], share_extractor_secrets=True, foreign_secrets=hidden)
    assert (env["TAP_X_TOKEN"], env["MELTANO_EXTRACT_TOKEN"]) == ("t0p", "t0p")


def test_a_transformer_gets_the_loaders_secrets_and_not_the_extractors():
    extract, load = upstream(), upstream({"token": "l0ad"}, name="target-y", kind=PluginKind.LOADER)
    env = made(plugin("dbt", kind=PluginKind.TRANSFORMER, settings=()), upstream=[extract, load])
    assert (env["MELTANO_LOAD_TOKEN"], env["TARGET_Y_TOKEN"]) == ("l0ad", "l0ad")
    assert "t0p" not in env.values()


def test_secrets_that_no_definition_has_are_kept_from_the_loader_too():
    env = made(loader(), environ={"TAP_X_MY_SECRET": "s3cret"}, upstream=[upstream({"my_secret": "s3cret"})])
    assert "s3cret" not in env.values()


def test_secrets_of_others_are_dropped_and_its_own_are_not():
    setting = Setting(name="token", sensitive=True)
    names = frozenset({"TAP_X_TOKEN", "TAP_Z_TOKEN"})
    shell = {"TAP_X_TOKEN": "own", "TAP_Z_TOKEN": "foreign"}
    env = made(plugin(settings=(setting,)), environ=shell, dotenv=shell, foreign_secrets=names)
    assert env["TAP_X_TOKEN"] == "own"
    assert "TAP_Z_TOKEN" not in env


def test_the_variables_that_may_hold_secrets():
    settings = (Setting(name="token", sensitive=True, env="GITHUB_TOKEN", aliases=("key",)), Setting(name="url"))
    resolved = plugin("tap-x--eu", parent="tap-x", settings=settings, config={"own": {"password": "p"}, "flavour": 1})
    assert secret_names(resolved) == {
        "TAP_X__EU_TOKEN",
        "TAP_X__EU_KEY",
        "TAP_X_TOKEN",
        "TAP_X__EU_OWN_PASSWORD",
        "TAP_X_OWN_PASSWORD",
    }


def test_what_is_handed_on():
    shared = handed_on(upstream(), secret=True)
    assert shared.keys() - handed_on(upstream(), secret=False).keys() == {"TAP_X_TOKEN", "MELTANO_EXTRACT_TOKEN"}


def test_the_texts_for_the_redactor_are_those_of_weaker_layers_and_nested_ones_too():
    settings = (Setting(name="token", sensitive=True), Setting(name="auth", kind=SettingKind.OBJECT), Setting(name="u"))
    config = {"token": "weaker", "auth": {"user": "me", "password": "deep"}, "u": "shown"}
    values = resolve(plugin(settings=settings, config=config), Layers(env={"TAP_X_TOKEN": "stronger"}))
    assert secrets(values) == ("stronger", "weaker", "deep")


@pytest.mark.parametrize(("named", "told"), [(None, "default"), ("mine", "mine")])
def test_a_custom_plugin_that_names_no_variant_finds_the_default_one(named, told):
    entry = Plugin(kind=PluginKind.EXTRACTOR, name="tap-own", namespace="own", variant=named)
    resolved = inherit.resolve(Project(root="/p", file="f", plugins=(entry,)), entry, lambda *_: None)
    assert info(resolved)["MELTANO_EXTRACTOR_VARIANT"] == told
