import msgspec
import pytest

from headwater.model.plugin import PluginKind
from headwater.store import hub, lock_files


def test_a_plugin_is_found_by_its_name_alone():
    found = hub.find(None, "tap-github")
    assert found.plugin_type is PluginKind.EXTRACTOR
    assert found.variant == "meltanolabs"
    assert found.pip_url == "meltanolabs-tap-github"
    assert "catalog" in found.capabilities
    assert next(setting for setting in found.settings if setting.name == "auth_token").is_secret


def test_the_kind_of_a_name_without_a_prefix_is_searched_for():
    assert hub.find(None, "dbt-duckdb").plugin_type is PluginKind.UTILITY
    assert hub.find(None, "meltano-map-transformer").plugin_type is PluginKind.MAPPER


def test_a_variant_is_taken_when_named_and_the_default_one_else():
    assert hub.variants(PluginKind.EXTRACTOR, "tap-postgres") == ("meltanolabs", "transferwise")
    assert hub.find(None, "tap-postgres", "default").variant == "meltanolabs"
    assert hub.find(None, "tap-postgres", "transferwise").pip_url == "pipelinewise-tap-postgres"


@pytest.mark.parametrize(
    ("kind", "name", "variant"),
    [(None, "tap-nowhere", None), (PluginKind.LOADER, "tap-github", None), (None, "tap-github", "nobody")],
)
def test_what_is_not_in_the_index_is_none(kind, name, variant):
    assert hub.find(kind, name, variant) is None


def test_names_are_listed_once():
    names = hub.names(PluginKind.EXTRACTOR)
    assert names.count("tap-postgres") == 1
    assert "target-jsonl" not in names
    assert "target-jsonl" in hub.names()


def test_a_search_looks_at_names_and_labels():
    assert {entry.name for entry in hub.search("postgres")} == {"tap-postgres", "target-postgres", "dbt-postgres"}
    assert {entry.name for entry in hub.search("target-*sv")} == {"target-csv", "target-s3-csv"}
    assert {entry.name for entry in hub.search("RSS and")} == {"tap-feed"}
    assert hub.search("postgres", PluginKind.LOADER)[0].name == "target-postgres"


def test_dbt_comes_without_the_parser_that_cannot_be_installed():
    found = hub.find(None, "dbt-duckdb")
    assert found.executable == "dbt"
    assert found.overrides == ("dbt-core-experimental-parser ; sys_platform == 'never'",)
    assert found.commands["docs-generate"].args == "docs generate"


def test_every_entry_has_a_definition_that_agrees_with_it_and_was_started():
    for entry in hub.search():
        found = hub.find(entry.kind, entry.name, entry.variant)
        assert (found.plugin_type, found.name, found.variant) == (entry.kind, entry.name, entry.variant)
        assert found.pip_url == entry.pip_url
        assert entry.verified, entry.name
        assert entry.ran, entry.name


def test_the_index_has_one_default_variant_a_name_and_no_file_too_many():
    defaults = [(entry.kind, entry.name) for entry in hub.search() if entry.default]
    assert len(defaults) == len(set(defaults)) == len({(entry.kind, entry.name) for entry in hub.search()})
    files = {file.name for file in hub.INDEX.glob("*/*.json")}
    assert files == {f"{entry.name}--{entry.variant}.json" for entry in hub.search()}


def test_no_secret_of_a_common_name_is_shown():
    telling = ("password", "api_key", "client_secret", "access_token", "private_key", "auth_token", "refresh_token")
    for entry in hub.search():
        for setting in hub.find(entry.kind, entry.name, entry.variant).settings:
            if setting.name.rsplit(".", 1)[-1] in telling:
                assert setting.is_secret, f"{entry.name}: {setting.name}"


def test_definitions_stay_as_they_are_when_written_as_lock_files():
    for entry in hub.search():
        found = hub.find(entry.kind, entry.name, entry.variant)
        again = lock_files.parse(lock_files.encode(found), file="again")
        assert msgspec.json.encode(again) == msgspec.json.encode(found)
