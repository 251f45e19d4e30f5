from __future__ import annotations

import msgspec
import pytest

from headwater.connect.sources.mysql.settings import Settings
from headwater.connect.sources.mysql_definition import MYSQL
from headwater.connect.stages.definitions import STREAM_MAPS
from headwater.model.plugin import PluginKind
from headwater.store import hub


def test_every_setting_of_the_variant_it_stands_in_for_is_one_of_its_own():
    leading = hub.find(PluginKind.EXTRACTOR, "tap-mysql", "transferwise")
    assert leading is not None
    assert {setting.name for setting in leading.settings} <= {setting.name for setting in MYSQL.settings}


def test_what_is_defined_is_what_is_decoded_with_the_same_defaults():
    defined = {setting.name: setting.value for setting in MYSQL.settings if setting not in STREAM_MAPS}
    fields = {one.encode_name: one for one in msgspec.structs.fields(Settings)}
    assert set(defined) == set(fields)
    made = msgspec.to_builtins(Settings())
    assert {name: value for name, value in defined.items() if value is not None} == {
        name: made[name] for name, value in defined.items() if value is not None
    }


@pytest.mark.parametrize("name", ["lookback_seconds", "lookback_units"])
def test_nobody_can_look_ahead(name):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({name: -1}, Settings)


def test_the_password_is_not_shown():
    assert "canary" not in repr(Settings(password="canary"))


def test_a_list_of_databases_goes_before_one():
    assert Settings(filter_dbs=" a, b ,", database="c").databases == ("a", "b")
    assert Settings(database="c").databases == ("c",)
    assert Settings().databases == ()
