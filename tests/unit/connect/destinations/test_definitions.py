from __future__ import annotations

from typing import Literal, get_args, get_origin

import msgspec
import pytest

from headwater.connect import registry
from headwater.connect.destinations.definitions import DEFINITIONS
from headwater.connect.stages.definitions import FLATTENING, STREAM_MAPS


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda one: one.name)
def test_a_definition_says_what_its_module_takes(definition):
    fields = {one.encode_name: one for one in msgspec.structs.fields(registry.destination(definition.native).Settings)}
    # The others are those of stages before it.
    settings = [setting for setting in definition.settings if setting not in (*STREAM_MAPS, *FLATTENING)]
    assert {setting.name: setting.value for setting in settings} == {name: one.default for name, one in fields.items()}
    assert len(settings) == len(fields)
    for setting in settings:
        one = fields[setting.name]
        assert setting.description
        choices = get_args(one.type) if get_origin(one.type) is Literal else ()
        assert {option.value for option in setting.options} == set(choices)


def test_databases_tell_a_transformer_their_dialect_and_schema():
    told = {one.name: one.extras for one in DEFINITIONS if one.extras}
    assert {name: extras["dialect"] for name, extras in told.items()} == {
        "target-duckdb": "duckdb",
        "target-postgres": "postgres",
        "target-mysql": "mysql",
    }
    assert told["target-postgres"]["target_schema"] == "$TARGET_POSTGRES_DEFAULT_TARGET_SCHEMA"


def test_every_destination_has_a_definition():
    assert {one.native for one in DEFINITIONS} == set(registry.DESTINATIONS)
