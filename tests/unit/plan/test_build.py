import pytest
from msgspec.structs import replace

from headwater.base.errors import InputError
from headwater.model.plan import Build, ExtractLoad, Invoke
from headwater.model.plugin import Command, Definition, Plugin, PluginKind
from headwater.model.project import Environment, EnvironmentPlugin, Project
from headwater.model.setting import Setting, SettingKind
from headwater.plan.alone import warehouses
from headwater.plan.build import extract, steps
from headwater.plan.options import Options
from headwater.plan.settled import Facts, ready

K = PluginKind


def definition(kind, name, *settings, **keys):
    return Definition(plugin_type=kind, name=name, namespace=name.replace("-", "_"), settings=settings, **keys)


KNOWN = [
    definition(
        K.EXTRACTOR,
        "tap-x",
        Setting(name="token", sensitive=True, required=True),
        Setting(name="start"),
        pip_url="tap-x",
        capabilities=("catalog", "discover", "state"),
    ),
    definition(K.EXTRACTOR, "tap-files", Setting(name="path", kind=SettingKind.FILE, required=True), native="files"),
    definition(K.LOADER, "target-y", Setting(name="schema", value="$MELTANO_EXTRACT__LOAD_SCHEMA"), pip_url="target-y"),
    definition(
        K.LOADER,
        "target-duckdb",
        Setting(name="filepath", kind=SettingKind.FILE, value="warehouse.duckdb"),
        native="duckdb",
    ),
    definition(K.MAPPER, "masker", pip_url="masker"),
    definition(K.TRANSFORMER, "models", Setting(name="folder"), Setting(name="loader"), native="models"),
    definition(
        K.UTILITY,
        "dbt",
        Setting(name="password", sensitive=True),
        pip_url="dbt-core",
        commands={
            "run": Command(args="run --target '$TARGET name'"),
            "docs": Command(args="serve", executable="dbt-docs"),
        },
    ),
]


def plugin(name, **keys):
    kind = next(item.plugin_type for item in KNOWN if item.name == (keys.get("inherit_from") or name))
    return Plugin(kind=kind, name=name, file="headwater.yml", line=5, **keys)


TAP = plugin("tap-x", config={"token": "s3cret-token"})


def facts(*plugins, environment=None, dotenv=None, **keys):
    def definition_of(kind, name, _variant):
        return next((item for item in KNOWN if (item.plugin_type, item.name) == (kind, name)), None)

    return Facts(
        project=Project(root="/p", file="/p/headwater.yml", plugins=plugins),
        environment=environment,
        environ={"PATH": "/bin", **keys},
        dotenv=dotenv or {},
        home="/p/.headwater",
        definition_of=definition_of,
        venv_of=lambda resolved: f"/venvs/{resolved.venv_name}",
    )


def only(given, *words, **options):
    (step,) = steps(given, words, Options(**options))
    return step


def test_a_pipeline_of_programs():
    step = only(facts(TAP, plugin("target-y")), "tap-x", "target-y")
    assert isinstance(step, ExtractLoad)
    assert (step.extractor.argv, step.loader.argv) == (("/venvs/tap-x/bin/tap-x",), ("/venvs/target-y/bin/target-y",))
    assert step.extractor.config == {"token": "s3cret-token"}
    assert step.extractor.secrets == ("s3cret-token",)


@pytest.mark.parametrize(
    ("environment", "options", "state_id"),
    [
        (None, {}, "tap-x-to-target-y"),
        (Environment(name="dev"), {}, "dev:tap-x-to-target-y"),
        (Environment(name="dev"), {"state_id_suffix": "eu"}, "dev:tap-x-to-target-y:eu"),
        (Environment(name="dev", state_id_suffix="${REGION}-1"), {}, "dev:tap-x-to-target-y:us-1"),
        (Environment(name="dev", state_id_suffix="a"), {"state_id_suffix": "b"}, "dev:tap-x-to-target-y:b"),
        (Environment(name="dev"), {"state_id": "mine"}, "mine"),
        (Environment(name="dev"), {"no_state_update": True}, None),
    ],
)
def test_state_ids(environment, options, state_id):
    given = facts(TAP, plugin("target-y"), environment=environment, dotenv={"REGION": "us"})
    assert only(given, "tap-x", "target-y", **options).state_id == state_id


@pytest.mark.parametrize(("file", "suffix"), [("headwater.yml", "eu-live"), ("meltano.yml", "us-none")])
def test_a_suffix_knows_the_variables_that_meltano_knows_in_its_projects(file, suffix):
    environment = Environment(name="prod", env={"REGION": "eu", "STAGE": "live"}, state_id_suffix="${REGION}-${STAGE}")
    given = facts(TAP, plugin("target-y"), environment=environment, dotenv={"REGION": "us"})
    project = replace(given.project, file=f"/p/{file}", env={"STAGE": "none"})
    assert only(replace(given, project=project), "tap-x", "target-y").state_id == f"prod:tap-x-to-target-y:{suffix}"


def test_a_suffix_may_not_hold_what_separates_the_parts():
    with pytest.raises(InputError, match="`a:b` holds a `:`, which separates the parts of a state id"):
        only(facts(TAP, plugin("target-y")), "tap-x", "target-y", state_id_suffix="a:b")


@pytest.mark.parametrize(
    ("path", "resolved"),
    [("data/*.csv", "/p/data/*.csv"), ("/abs/x.csv", "/abs/x.csv"), ("https://h/x.csv", "https://h/x.csv")],
)
def test_files_of_native_plugins_are_meant_from_the_project_folder(path, resolved):
    step = only(
        facts(plugin("tap-files", config={"path": path}), plugin("target-duckdb")), "tap-files", "target-duckdb"
    )
    assert step.extractor.config["path"] == resolved
    assert step.loader.config["filepath"] == "/p/warehouse.duckdb"
    assert step.extractor.argv == ()


def test_programs_with_a_folder_in_their_name_stand_below_the_project():
    given = facts(replace(TAP, pip_url=None, executable="./bin/tap"), plugin("target-y"))
    assert only(given, "tap-x", "target-y").extractor.argv == ("/p/bin/tap",)


def test_a_required_setting_is_asked_for_before_anything_runs():
    with pytest.raises(InputError, match="extractor `tap-x` needs the setting `token`"):
        only(facts(plugin("tap-x"), plugin("target-y")), "tap-x", "target-y")


def test_an_environment_outranks_the_plugins_own_settings():
    own = EnvironmentPlugin(kind=K.EXTRACTOR, name="tap-x", config={"start": "2020"})
    given = facts(TAP, plugin("target-y"), environment=Environment(name="dev", plugins=(own,)))
    assert only(given, "tap-x", "target-y").extractor.config["start"] == "2020"


def test_a_mapping_is_the_mappers_config_with_its_own_over_it():
    mappings = [{"name": "hide", "config": {"a": "$WHAT", "b": 2}}, {"name": "other", "config": {"a": 9}}]
    mapper = plugin("masker", config={"a": 1, "c": 3}, extras={"mappings": mappings})
    step = only(facts(TAP, mapper, plugin("target-y"), WHAT="this"), "tap-x", "hide", "target-y")
    assert step.mappers[0].config == {"a": "this", "b": 2, "c": 3}
    told = {"MASKER_A": "this", "MASKER_B": "2", "MELTANO_MAP_A": "this", "MASKER__MAPPING_NAME": "hide"}
    assert told.items() <= step.mappers[0].env.items()
    assert told.items() <= step.loader.env.items()


@pytest.mark.parametrize("name", ["password", "salt"])
def test_a_secret_of_a_mapping_is_hidden_and_not_told_to_the_loader(name):
    mappings = [{"name": "hide", "config": {name: "hush-hush"}}]
    mapper = plugin("masker", extras={"mappings": mappings}, settings=(Setting(name="salt", sensitive=True),))
    step = only(facts(TAP, mapper, plugin("target-y")), "tap-x", "hide", "target-y")
    assert "hush-hush" in step.mappers[0].secrets
    assert "hush-hush" not in str(step.loader.env)


def test_a_loader_learns_the_extractors_settings_but_no_secret():
    step = only(facts(TAP, plugin("target-y")), "tap-x", "target-y")
    assert step.loader.env["MELTANO_EXTRACTOR_NAME"] == "tap-x"
    assert "s3cret-token" not in step.loader.env.values()
    assert "s3cret-token" in step.extractor.env.values()


def test_secrets_of_plugins_that_have_no_part_in_it_are_hidden():
    given = facts(TAP, plugin("target-y"), plugin("dbt"), DBT_PASSWORD="hush", HEADWATER_HUB_URL_AUTH="key", HOME="/h")
    env = only(given, "tap-x", "target-y").extractor.env
    assert "hush" not in env.values()
    assert "key" not in env.values()
    assert env["HOME"] == "/h"
    assert only(given, "dbt:docs").block.env["DBT_PASSWORD"] == "hush"


def test_a_commands_words_are_split_before_variables_are_put_in():
    step = only(facts(plugin("dbt"), TARGET="two words"), "dbt:run")
    assert isinstance(step, Invoke)
    assert step.argv == ("/venvs/dbt/bin/dbt", "run", "--target", "two words name")


def test_a_command_may_have_a_program_of_its_own():
    assert only(facts(plugin("dbt")), "dbt:docs").argv == ("/venvs/dbt/bin/dbt-docs", "serve")


def test_a_variable_that_is_not_set_is_refused():
    with pytest.raises(InputError, match=r"command `run` of `dbt` uses `\$TARGET`, which is not set") as caught:
        only(facts(plugin("dbt")), "dbt:run")
    assert (str(caught.value.where), caught.value.hint) == (
        "headwater.yml:5",
        "set TARGET in .env, or under `env:` in the project file",
    )


@pytest.mark.parametrize(
    ("word", "hint"),
    [("dbt:rnu", "did you mean `run`?"), ("dbt:seed", "it has: docs, run"), ("tap-x:hi", "it has: none")],
)
def test_an_unknown_command_is_refused(word, hint):
    with pytest.raises(InputError, match="has no command") as caught:
        only(facts(plugin("dbt"), TAP), word)
    assert caught.value.hint == hint


def test_models_are_built_in_the_only_native_warehouse():
    step = only(facts(plugin("models"), plugin("target-y"), plugin("target-duckdb")), "models")
    assert isinstance(step, Build)
    assert (step.name, step.verb, step.folder, step.warehouse.name) == ("models", "build", "/p/models", "target-duckdb")


def test_models_may_name_their_loader_and_folder():
    models = plugin("models", config={"loader": "second", "folder": "sql"})
    second = plugin("second", inherit_from="target-duckdb", config={"filepath": "b.duckdb"})
    step = only(facts(models, plugin("target-duckdb"), second), "models:check")
    assert (step.verb, step.folder, step.warehouse.config["filepath"]) == ("check", "/p/sql", "/p/b.duckdb")


@pytest.mark.parametrize(
    ("plugins", "found", "hint"),
    [
        ((), "none", "headwater add target-duckdb"),
        ((plugin("target-y"),), "none", "headwater add target-duckdb"),
        (
            (plugin("target-duckdb"), plugin("b", inherit_from="target-duckdb")),
            "`target-duckdb`, `b`",
            "headwater config set models loader NAME",
        ),
    ],
)
def test_models_need_exactly_one_warehouse(plugins, found, hint):
    with pytest.raises(InputError, match="needs one native loader of DuckDB or PostgreSQL to build in") as caught:
        only(facts(plugin("models"), *plugins), "models")
    assert caught.value.what.endswith(f"found {found}")
    assert caught.value.hint == hint


def test_models_have_two_commands():
    with pytest.raises(InputError, match="`models` has no command `chek`") as caught:
        only(facts(plugin("models"), plugin("target-duckdb")), "models:chek")
    assert caught.value.hint == "did you mean `models:check`?"


def test_warehouses_by_name():
    given = facts(plugin("target-duckdb"), plugin("b", inherit_from="target-duckdb"), plugin("target-y"))
    assert [item.plugin.name for item in warehouses(given)] == ["target-duckdb", "b"]
    assert [item.plugin.name for item in warehouses(given, "b")] == ["b"]
    assert warehouses(given, "target-y") == []


def test_an_extractor_alone_is_planned_for_discovery():
    step = extract(facts(TAP), TAP, Options(refresh_catalog=True))
    assert (step.extractor.name, step.refresh_catalog, step.catalog_max_age_seconds) == ("tap-x", True, 3600)


def test_a_block_never_shows_its_secrets():
    assert repr(only(facts(TAP, plugin("target-y")), "tap-x", "target-y").extractor) == "Block(extractor:tap-x)"


def test_settings_resolve_without_the_required_ones():
    assert ready(facts(plugin("tap-x")), plugin("tap-x")).config == {}


def test_the_flag_for_streams_at_a_time_outranks_the_extra():
    target = plugin("target-y")
    given = facts(replace(TAP, extras={"jobs": 3}), target)
    assert only(given, "tap-x", "target-y").jobs == 3
    assert only(given, "tap-x", "target-y", jobs=5).jobs == 5
    assert only(facts(TAP, target), "tap-x", "target-y").jobs == 1
