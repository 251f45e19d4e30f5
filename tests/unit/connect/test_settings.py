"""Settings that projects give to taps and targets of the Singer SDK are taken by native ones."""

from __future__ import annotations

import pytest

from headwater.base.errors import InputError
from headwater.connect import registry
from headwater.connect.settings import decode
from headwater.connect.stages import mapper

SDK = {
    "add_record_metadata": True,
    "validate_records": False,
    "batch_size_rows": 1000,
    "stream_maps": {},
    "stream_map_config": {},
    "faker_config": {"seed": 1},
    "flattening_enabled": True,
    "flattening_max_depth": 2,
    "flattening_separator": "__",
    "flattening_max_key_length": 63,
}


def settings(name, config, tmp_path):
    if name == "mapper":
        return mapper.check_settings(config, name="mapper", where=None)
    is_source = name in ("tap-files", "tap-postgres")
    module = (registry.source if is_source else registry.destination)(name.partition("-")[2])
    needed = {"tap-files": {"paths": []}, "tap-postgres": {}}.get(name, {})
    return decode(module, {**needed, **config}, name=name, root=tmp_path)


ENDS = ["tap-postgres", "target-duckdb", "target-postgres", "target-mysql", "target-jsonl"]


@pytest.mark.parametrize("name", ENDS)
def test_the_settings_of_the_sdk_are_taken(name, tmp_path):
    assert settings(name, SDK, tmp_path) == settings(name, {}, tmp_path)


@pytest.mark.parametrize("name", [*ENDS, "mapper"])
def test_another_separator_is_refused_where_objects_are_to_be_flattened(name, tmp_path):
    for asks in ({"flattening_enabled": True}, {"flattening_max_depth": 1}):
        with pytest.raises(InputError) as caught:
            settings(name, {"flattening_separator": ".", **asks}, tmp_path)
        assert (caught.value.reference, caught.value.what) == (
            "wrong-setting-type",
            f"`flattening_separator` of `{name}` can only be `__`",
        )


@pytest.mark.parametrize("asks", [{}, {"flattening_enabled": False, "flattening_max_depth": 3}])
def test_a_separator_that_separates_nothing_is_taken(asks, tmp_path):
    settings("target-postgres", {"flattening_separator": ".", **asks}, tmp_path)
    settings("mapper", {"flattening_separator": ".", **asks}, tmp_path)


def test_a_part_of_a_setting_that_nobody_knows_is_refused(tmp_path):
    with pytest.raises(InputError) as caught:
        settings("tap-files", {"streams": [{"name": "a", "path": "a.csv"}, {"name": "b", "delimitr": ";"}]}, tmp_path)
    error = caught.value
    assert (error.reference, error.what) == ("unknown-setting", "`streams[1]` of `tap-files` has no setting `delimitr`")
    assert error.hint == "did you mean `delimiter`?"


def test_a_setting_that_nobody_knows_is_refused(tmp_path):
    with pytest.raises(InputError) as caught:
        settings("target-postgres", {"flattening_seperator": "__"}, tmp_path)
    assert caught.value.reference == "unknown-setting"
