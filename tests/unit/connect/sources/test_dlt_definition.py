"""A dlt source as a plugin, from the text of its module."""

from __future__ import annotations

import pytest

from headwater.base.errors import InputError
from headwater.connect.sources.dlt_definition import definition, is_absent, is_of_project, reference, sources
from headwater.connect.stages.definitions import STREAM_MAPS

CODE = '''\
raise SystemExit("nobody runs this")

@dlt.source(max_table_nesting=2)
def shop(
    region: str,
    token: str = dlt.secrets.value,
    database: ConnectionStringCredentials = None,
    page: int = 100,
    schema: Optional[str] = dlt.config.value,
    limits: List[int] = dlt.config.value,
    updated: dlt.sources.incremental[str] = dlt.sources.incremental("at"),
):
    """Orders of the shop.

    More.
    """

@dlt.resource
def countries(): ...
'''


@pytest.fixture
def root(tmp_path):
    (tmp_path / "sources/shop").mkdir(parents=True)
    (tmp_path / "sources/shop/__init__.py").write_text(CODE)
    return tmp_path


def own(found):
    return found.settings[: -len(STREAM_MAPS) - 1]


def test_the_parameters_of_the_function_are_settings(root):
    found = definition(root, "dlt:shop.shop")
    assert [(one.name, one.value, one.required, one.sensitive) for one in own(found)] == [
        ("region", None, True, False),
        ("token", None, True, True),
        ("database", None, False, True),
        ("page", 100, False, False),
        ("schema", None, False, False),
        ("limits", None, True, False),
    ]
    assert (found.description, found.pip_url, found.native) == ("Orders of the shop.", "dlt>=1", "dlt")


def test_what_may_stand_in_files_of_dlt_is_not_required(root):
    (root / ".dlt").mkdir()
    assert not any(one.required for one in own(definition(root, "dlt:shop.shop")))


def test_a_function_is_followed_to_where_it_stands(root):
    (root / "sources/front.py").write_text("from .shop import shop as orders\n")
    (root / "sources/shop/inner.py").write_text(CODE)
    (root / "sources/shop/__init__.py").write_text("from .inner import shop\n")
    assert own(definition(root, "dlt:front.orders"))[0].name == "region"


def test_an_installed_module_is_read_where_it_is_installed(root, tmp_path):
    packages = tmp_path / "site-packages"
    (packages / "acme").mkdir(parents=True)
    (packages / "acme/api.py").write_text("def things(key: TSecretStrValue): ...\n")
    assert own(definition(root, "dlt:acme.api.things")) == ()
    (setting,) = own(definition(root, "dlt:acme.api.things", [packages]))
    assert (setting.name, setting.sensitive, setting.required) == ("key", True, True)
    assert (is_of_project(root, "dlt:acme.api.things"), is_of_project(root, "dlt:shop.shop")) == (False, True)


def test_one_word_is_a_source_of_dlt_itself():
    assert reference("rest_api") == "dlt.sources.rest_api.rest_api"


def test_what_such_a_source_needs_is_installed_with_it(root):
    assert definition(root, "dlt:sql_database").pip_url == "dlt[sql_database]>=1"
    assert definition(root, "dlt:rest_api").pip_url == "dlt>=1"


def test_a_function_that_is_not_there_is_told_with_the_next_best(root):
    with pytest.raises(InputError) as caught:
        definition(root, "dlt:shop.shopp")
    assert caught.value.what == "`sources/shop/__init__.py` has no function `shopp`"
    assert caught.value.hint == "did you mean `shop`?"


@pytest.mark.parametrize("name", ["dlt:", "dlt:a-b.c", "dlt:a.b:c", "dlt:.a"])
def test_what_can_be_no_function_is_refused(root, name):
    with pytest.raises(InputError, match="names no function"):
        definition(root, name)


def test_a_name_that_the_text_does_not_show_may_be_there(root):
    (root / "sources/made.py").write_text("thing = make()\n")
    assert own(definition(root, "dlt:made.thing")) == ()


def test_the_functions_that_are_marked_as_sources_are_found(root):
    assert sources(root, "shop") == ["shop"]
    assert sources(root, "nowhere") is None


def test_a_word_that_names_no_source_of_dlt_is_known_when_dlt_is_there(root, tmp_path):
    brought = tmp_path / "site-packages"
    (brought / "dlt" / "sources" / "rest_api").mkdir(parents=True)
    (brought / "dlt" / "sources" / "rest_api" / "__init__.py").write_text("def rest_api(): ...\n")
    assert not is_absent(root, "dlt:rest_api", [brought])
    assert is_absent(root, "dlt:nothing", [brought])
    # A module of a package may be anywhere that Python looks.
    assert not is_absent(root, "dlt:acme.shop", [brought])
