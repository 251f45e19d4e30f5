"""Sources of other frameworks in a project, before anything of them is installed."""

from __future__ import annotations

import pytest

from headwater.base.errors import InputError
from headwater.connect.sources import airbyte_definition
from headwater.model.plugin import PluginKind
from headwater.ops import foreign_sources, plugins
from headwater.store import lock_files

ENTRIES = """\
plugins:
  extractors:
  - name: tap-faker
    source: airbyte:airbyte-source-faker
    config: {count: 3}
  - name: tap-shop
    source: dlt:shop.shop
"""
FAKER = {"properties": {"count": {"type": "integer"}, "key": {"type": "string", "airbyte_secret": True}}}


@pytest.fixture
def project(lab):
    found = lab()
    found.write("sources/shop.py", "@dlt.source\ndef shop(token=dlt.secrets.value): ...\n")
    found.write("headwater.yml", ENTRIES)
    return found


def keep_faker(project):
    found = airbyte_definition.definition("airbyte:airbyte-source-faker", FAKER)
    lock_files.write(project.root, found)


def test_they_are_plugins_with_packages_of_their_own(project):
    assert [(row.name, row.pip_url, row.installed) for row in plugins.listing(project.workspace())] == [
        ("tap-faker", "airbyte-source-faker", False),
        ("tap-shop", "dlt>=1", False),
    ]


def test_what_a_connector_said_of_its_settings_is_kept_in_the_project(project):
    source = "airbyte:airbyte-source-faker"
    before = {one.name for one in foreign_sources.definition(project.root, source).settings}
    keep_faker(project)
    after = {one.name for one in foreign_sources.definition(project.root, source).settings}
    assert after - before == {"count", "key"}


def test_what_is_kept_goes_with_the_last_plugin_that_uses_it(project):
    keep_faker(project)
    project.write("headwater.yml", ENTRIES + "  - {name: tap-two, source: 'airbyte:airbyte-source-faker'}\n")
    kept = lock_files.path(project.root, PluginKind.EXTRACTOR, "airbyte-source-faker", "airbyte")
    plugins.remove(project.workspace(), "tap-two")
    assert kept.is_file()
    plugins.remove(project.workspace(), "tap-faker")
    assert not kept.is_file()


def test_a_wrong_function_is_told_with_the_line_of_the_project_file(project):
    project.write("headwater.yml", ENTRIES.replace("shop.shop", "shop.shoop"))
    with pytest.raises(InputError) as caught:
        plugins.listing(project.workspace())
    assert str(caught.value.where) == "headwater.yml:7"


def test_a_module_with_several_sources_has_to_be_told_which(project):
    project.write("sources/two.py", "@dlt.source\ndef a(): ...\n@dlt.source\ndef b(): ...\n")
    with pytest.raises(InputError, match="2 functions that are dlt sources"):
        foreign_sources.new(project.workspace(), "two", "dlt", None, None, emit=project.emit)


def test_a_name_that_is_taken_stays_as_it_is(project):
    with pytest.raises(InputError, match="has a plugin `tap-shop` already"):
        foreign_sources.new(project.workspace(), "shop", "dlt", None, None, emit=project.emit)
    assert project.text() == ENTRIES
