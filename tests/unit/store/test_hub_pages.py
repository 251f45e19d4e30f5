"""A hub's pages from definitions."""

from __future__ import annotations

import json

import pytest

from headwater.base.errors import HeadwaterError
from headwater.model.plugin import PluginKind
from headwater.store import hub_pages

TAP = "name: {name}\nvariant: {variant}\nnamespace: tap_x\npip_url: tap-x\nkeywords: [a]\ncapabilities: [catalog]\n"
URL = "https://hub.example.com"


@pytest.fixture
def folder(tmp_path):
    """`folder(path=text, …)` writes files below a folder and returns it."""

    def make(files):
        for name, text in files.items():
            path = tmp_path / "definitions" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / "definitions"

    return make


def tap(name="tap-x", variant="mine"):
    return TAP.format(name=name, variant=variant)


def refusal(folder):
    with pytest.raises(HeadwaterError) as error:
        hub_pages.read([folder])
    return error.value


def page(shelf, path):
    found = hub_pages.page(shelf, path, URL)
    return found and json.loads(found)


def test_the_pages_of_a_definition(folder):
    shelf = hub_pages.read([folder({"extractors/tap-x.yml": tap()})])
    ref = f"{URL}/meltano/api/v1/plugins/extractors/tap-x--mine"
    index = {"tap-x": {"default_variant": "mine", "logo_url": "", "variants": {"mine": {"ref": ref}}}}
    assert page(shelf, "extractors/index") == index
    assert page(shelf, "loaders/index") == {}
    assert page(shelf, "index") == {kind.section: {} for kind in PluginKind} | {"extractors": index}
    assert page(shelf, "extractors/tap-x--mine") == {
        "name": "tap-x",
        "namespace": "tap_x",
        "variant": "mine",
        "pip_url": "tap-x",
        "capabilities": ["catalog"],
    }


@pytest.mark.parametrize(
    "path", ["", "nothing", "extractors", "extractors/tap-x", "extractors/../x", "loaders/tap-x--mine"]
)
def test_there_is_no_other_page(folder, path):
    assert page(hub_pages.read([folder({"tap-x.yml": tap()})]), path) is None


@pytest.mark.parametrize(
    ("file", "text", "kind"),
    [
        ("a.yml", tap(), PluginKind.EXTRACTOR),
        ("mappers/deep/a.yaml", tap(), PluginKind.MAPPER),
        ("mappers/a.json", json.dumps({"name": "x", "plugin_type": "utilities"}), PluginKind.UTILITY),
        ("a.lock", json.dumps({"name": "x", "plugin_type": "transformers"}), PluginKind.TRANSFORMER),
    ],
)
def test_the_kind_is_said_by_the_file_its_folder_or_its_name(folder, file, text, kind):
    ((found, _),) = hub_pages.read([folder({file: text})]).plugins
    assert found is kind


def test_the_default_variant_is_the_one_named_or_the_first(folder):
    files = {"a.yml": tap(variant="a"), "b.yml": tap(variant="b"), "c.yml": tap(variant="c")}
    assert page(hub_pages.read([folder(files)]), "extractors/index")["tap-x"]["default_variant"] == "a"
    chosen = folder({"default_variants.yml": "extractors: {tap-x: b}\n"})
    assert list(hub_pages.read([chosen]).plugins[PluginKind.EXTRACTOR, "tap-x"]) == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("files", "reference", "why"),
    [
        ({"a.yml": "- 1\n"}, "bad-definition", "expected a mapping"),
        ({"a.json": "{"}, "bad-definition", "Input data was truncated"),
        ({"a.yml": "name: x\n"}, "bad-definition", "what kind of plugin it is: say `plugin_type: utilities`"),
        ({"a.yml": tap(name="tap-../x")}, "bad-definition", "`tap-../x` cannot be part of an address"),
        ({"a.yml": tap(name="tap-x--y")}, "bad-definition", "`tap-x--y` cannot be part of an address"),
        ({"a.yml": "name: tap-x\nsettings: 3\n"}, "bad-definition", "'int' object is not iterable"),
        ({"a.yml": tap(), "b.yml": tap()}, "duplicate-name", "the other one is "),
        ({"a.yml": tap(), "default_variants.yml": "extractors: {tap-x: yours}\n"}, "unknown-variant", None),
        ({"a.yml": tap(), "default_variants.yml": "tap-x: mine\n"}, "bad-definition", "`tap-x` is not one of"),
    ],
)
def test_what_is_no_definition_is_refused(folder, files, reference, why):
    error = refusal(folder(files))
    assert error.reference == reference
    assert (error.why or "").startswith(why or "")


def test_an_export_can_be_written_again_and_read_again(folder, tmp_path):
    source = folder(
        {"a.yml": tap(), "b.yml": tap(variant="other"), "default_variants.yml": "extractors: {tap-x: other}"}
    )
    shelf = hub_pages.read([source])
    out = tmp_path / "out"
    assert hub_pages.write(shelf, out, URL) == 2 + 8 + 1
    assert hub_pages.read([out]) == shelf
    (source / "a.yml").unlink()
    hub_pages.write(hub_pages.read([source]), out, URL)
    below = out / "meltano/api/v1/plugins/extractors"
    assert sorted(file.name for file in below.iterdir()) == ["index", "tap-x--other"]


def test_definitions_of_files_go_before_those_of_the_index(folder):
    first = hub_pages.read([folder({"a.yml": tap(), "b.yml": tap(name="tap-y")})])
    second = hub_pages.shelve([*first.plugins[PluginKind.EXTRACTOR, "tap-y"].values()])
    both = hub_pages.below(second, first)
    assert [(name, list(variants)) for (_, name), variants in both.plugins.items()] == [
        ("tap-x", ["mine"]),
        ("tap-y", ["mine"]),
    ]
