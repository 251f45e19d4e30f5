"""The specification of a connector as settings of a plugin."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headwater.base.errors import InputError
from headwater.connect.sources.airbyte_definition import definition, settings

RECORDED = Path(__file__).parents[4] / "fixtures" / "airbyte"
LOGINS = {
    "type": "object",
    "required": ["credentials", "repositories"],
    "properties": {
        "repositories": {"type": "array", "title": "Repositories", "description": "See <a href='x'>there</a>"},
        "credentials": {
            "type": "object",
            "oneOf": [
                {
                    "properties": {
                        "kind": {"type": "string", "const": "token"},
                        "token": {"type": "string", "airbyte_secret": True},
                    },
                    "required": ["token"],
                },
                {"properties": {"kind": {"type": "string", "const": "app"}, "app_id": {"type": "integer"}}},
            ],
        },
        "start_date": {"type": ["null", "string"], "format": "date-time", "order": 0},
        "mode": {"type": "string", "enum": ["fast", "slow"], "default": "fast"},
    },
}


def test_a_real_specification_is_read():
    said = json.loads((RECORDED / "spec.jsonl").read_text().splitlines()[-1])["spec"]["connectionSpecification"]
    assert [(one.name, one.kind.value, one.value) for one in settings(said)] == [
        ("count", "integer", 1000),
        ("seed", "integer", -1),
        ("records_per_slice", "integer", 1000),
        ("parallelism", "integer", 4),
        ("always_updated", "boolean", True),
    ]


def test_objects_are_settings_with_dots_and_choices_stand_beside_one_another():
    found = {one.name: one for one in settings(LOGINS)}
    assert list(found) == [
        *("start_date", "repositories"),
        *("credentials.kind", "credentials.token", "credentials.app_id"),
        "mode",
    ]
    assert [option.value for option in found["credentials.kind"].options] == ["token", "app"]
    assert [name for name, one in found.items() if one.sensitive] == ["credentials.token"]
    assert [name for name, one in found.items() if one.required] == ["repositories"]
    assert (found["mode"].value, found["repositories"].description) == ("fast", "See there")


def test_a_package_is_named_without_its_version():
    assert definition("airbyte:airbyte-source-faker").pip_url == "airbyte-source-faker"
    with pytest.raises(InputError, match="names no package"):
        definition("airbyte:airbyte-source-faker==7.2")
