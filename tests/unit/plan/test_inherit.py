from __future__ import annotations

import pytest

from headwater.base.errors import InputError
from headwater.model.plugin import Command, Definition, Plugin, PluginKind
from headwater.model.project import Project
from headwater.model.setting import Setting
from headwater.plan import inherit

TAP = PluginKind.EXTRACTOR
LOCKED = Definition(
    plugin_type=TAP,
    name="tap-x",
    namespace="tap_x",
    variant="acme",
    label="X",
    pip_url="tap-x==1",
    capabilities=("catalog", "state"),
    settings=(Setting(name="token"), Setting(name="url", value="https://x.test")),
    commands={"about": Command(args="--about")},
    env={"A": "definition", "B": "definition"},
    extras={"select": ["users.*"], "dialect": "x"},
)


def plugin(name, **keys) -> Plugin:
    return Plugin(kind=TAP, name=name, file="headwater.yml", line=3, **keys)


def resolve(*plugins, known=(LOCKED,)):
    """The first plugin, resolved; `known` are the definitions."""

    def definition_of(kind, name, variant):
        found = (item for item in known if (item.plugin_type, item.name) == (kind, name))
        return next((item for item in found if variant in (None, item.variant)), None)

    return inherit.resolve(Project(root="/p", file="/p/headwater.yml", plugins=plugins), plugins[0], definition_of)


def test_a_plain_name_stands_on_the_definition_of_that_name():
    resolved = resolve(plugin("tap-x"))
    assert resolved.definition == Definition(**{**_fields(LOCKED), "executable": "tap-x"})
    assert resolved.venv_name == "tap-x"
    assert resolved.namespaces == ("tap_x", "tap_x")


def _fields(definition):
    return {name: getattr(definition, name) for name in definition.__struct_fields__}


def test_inheriting_from_its_own_name_is_a_plain_entry():
    assert resolve(plugin("tap-x", inherit_from="tap-x")).definition.namespace == "tap_x"


def test_an_entry_replaces_texts_and_lists_extends_settings_and_merges_commands_and_env():
    resolved = resolve(
        plugin(
            "tap-x",
            pip_url="tap-x==2",
            capabilities=("catalog",),
            settings=(Setting(name="url", value="https://own.test"), Setting(name="extra")),
            commands={"hello": Command(args="--hello")},
            env={"B": "entry"},
        )
    )
    definition = resolved.definition
    assert (definition.pip_url, definition.capabilities) == ("tap-x==2", ("catalog",))
    assert [(item.name, item.value) for item in definition.settings] == [
        ("token", None),
        ("url", "https://own.test"),
        ("extra", None),
    ]
    assert set(definition.commands) == {"about", "hello"}
    assert definition.env == {"A": "definition", "B": "entry"}


def test_a_null_pip_url_takes_the_package_away():
    assert resolve(plugin("tap-x", pip_url=None)).definition.pip_url is None


def test_extras_of_the_definition_are_kept_and_those_of_the_entry_are_values():
    resolved = resolve(plugin("tap-x", extras={"select": ["orders.*"]}))
    assert resolved.definition.extras == {"select": ["users.*"], "dialect": "x"}


def test_a_namespace_makes_an_entry_its_own_definition():
    resolved = resolve(plugin("tap-own", namespace="own", pip_url="git+https://x", settings=(Setting(name="a"),)))
    definition = resolved.definition
    assert (definition.name, definition.namespace, definition.variant) == ("tap-own", "own", "original")
    assert (definition.executable, definition.pip_url) == ("tap-own", "git+https://x")
    assert [item.name for item in definition.settings] == ["a"]


def test_a_child_takes_what_it_leaves_open_from_its_parent_and_derives_its_names():
    child = plugin("tap-x--eu", inherit_from="tap-x", env={"A": "child"})
    resolved = resolve(child, plugin("tap-x", settings=(Setting(name="more"),)))
    definition = resolved.definition
    assert (definition.namespace, definition.label) == ("tap_x__eu", "X: tap-x--eu")
    assert (definition.executable, definition.variant, definition.pip_url) == ("tap-x", "acme", "tap-x==1")
    assert [item.name for item in definition.settings] == ["token", "url", "more"]
    assert definition.env == {"A": "child", "B": "definition"}
    assert [entry.name for entry in resolved.chain] == ["tap-x--eu", "tap-x"]
    assert resolved.namespaces == ("tap_x__eu", "tap_x", "tap_x")


@pytest.mark.parametrize(
    ("child", "venv_name"),
    [
        ({}, "tap-x"),
        ({"pip_url": "tap-x==1"}, "tap-x"),
        ({"pip_url": "tap-x==2"}, "tap-x--eu"),
        ({"python": "3.12"}, "tap-x--eu"),
    ],
)
def test_a_child_shares_the_environment_of_a_parent_that_installs_the_same(child, venv_name):
    assert resolve(plugin("tap-x--eu", inherit_from="tap-x", **child), plugin("tap-x")).venv_name == venv_name


def test_a_grandchild_shares_the_environment_of_the_nearest_that_differs():
    plugins = (
        plugin("c", inherit_from="b"),
        plugin("b", inherit_from="tap-x", pip_url="tap-x==2"),
        plugin("tap-x"),
    )
    assert resolve(*plugins).venv_name == "b"


def test_with_a_variant_the_parent_is_a_definition():
    other = Definition(plugin_type=TAP, name="tap-x", namespace="tap_x", variant="other", pip_url="other-tap-x")
    child = plugin("tap-x--other", inherit_from="tap-x", variant="other")
    resolved = resolve(child, plugin("tap-x"), known=(LOCKED, other))
    assert (resolved.definition.pip_url, resolved.definition.variant) == ("other-tap-x", "other")
    assert len(resolved.chain) == 1
    assert resolved.venv_name == "tap-x--other"


def test_without_a_plugin_of_that_name_the_parent_is_a_definition():
    resolved = resolve(plugin("tap-copy", inherit_from="tap-x"))
    assert (resolved.definition.name, resolved.definition.namespace) == ("tap-x", "tap_copy")
    assert resolved.namespaces == ("tap_copy", "tap_x")


def test_a_parent_is_of_the_same_kind():
    loader = Plugin(kind=PluginKind.LOADER, name="base", namespace="base")
    with pytest.raises(InputError, match="inherits from `base`, which is not known"):
        resolve(plugin("child", inherit_from="base"), loader)


def test_a_circle_is_an_error_that_shows_the_way():
    plugins = [plugin("a", inherit_from="b"), plugin("b", inherit_from="c"), plugin("c", inherit_from="a")]
    with pytest.raises(InputError) as caught:
        resolve(*plugins)
    assert caught.value.reference == "inheritance-cycle"
    assert caught.value.what == "extractor `a` inherits from itself: a → b → c → a"


def test_an_unknown_parent_is_an_error_with_a_suggestion():
    with pytest.raises(InputError) as caught:
        resolve(plugin("child", inherit_from="tap-yy", lines={"inherit_from": 4}), plugin("tap-y"))
    assert (caught.value.reference, str(caught.value.where)) == ("unknown-parent", "headwater.yml:4")
    assert caught.value.hint == "did you mean `tap-y`?"


def test_a_plugin_nobody_knows_is_an_error():
    with pytest.raises(InputError) as caught:
        resolve(plugin("tap-z"))
    assert (caught.value.reference, str(caught.value.where)) == ("unknown-plugin", "headwater.yml:3")
    assert caught.value.hint == "headwater add tap-z"


@pytest.mark.parametrize("keys", [{"pip_url": "tap-z"}, {"executable": "./tap.sh"}])
def test_a_plugin_nobody_knows_is_its_own_when_it_says_what_to_run(keys):
    definition = resolve(plugin("tap-z", **keys)).definition
    assert (definition.namespace, definition.executable) == ("tap_z", keys.get("executable", "tap-z"))


def test_naming_a_program_turns_our_own_module_off():
    native = Definition(plugin_type=TAP, name="files", namespace="files", native="files")
    assert resolve(plugin("files"), known=(native,)).native == "files"
    assert resolve(plugin("files"), known=(native,)).definition.executable is None
    own = resolve(plugin("files", executable="tap-files"), known=(native,))
    assert (own.native, own.definition.executable) == (None, "tap-files")


def test_requirements_of_parent_and_child_are_joined():
    locked = Definition(plugin_type=TAP, name="tap-x", namespace="tap_x", requires={"files": [{"name": "a"}]})
    entry = plugin("tap-x", requires={"files": [{"name": "a"}, {"name": "b"}], "utilities": [{"name": "c"}]})
    assert resolve(entry, known=(locked,)).definition.requires == {
        "files": [{"name": "a"}, {"name": "b"}],
        "utilities": [{"name": "c"}],
    }
