from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from headwater.base.errors import InputError
from headwater.connect import settings
from headwater.connect.sources import postgres as source
from headwater.connect.sources.postgres_definition import POSTGRES
from headwater.model.plugin import PluginKind
from headwater.store import hub

# What stages make of the settings of any source, and two that go with their flattening.
OF_STAGES = ("stream_map", "faker_config", "flattening_")


def decoded(config):
    return settings.decode(source, config, name="tap-postgres", root=Path("/"))


def test_every_setting_of_the_variant_it_stands_in_for_is_one_of_its_own():
    other = hub.find(PluginKind.EXTRACTOR, "tap-postgres", "meltanolabs")
    fields = {field.encode_name for field in msgspec.structs.fields(source.Settings)}
    theirs = {setting.name.split(".")[0] for setting in other.settings if not setting.name.startswith(OF_STAGES)}
    assert theirs - fields == set()


def test_what_is_defined_is_what_is_decoded_with_the_same_defaults():
    fields = {field.encode_name for field in msgspec.structs.fields(source.Settings)}
    own = [setting for setting in POSTGRES.settings if not setting.name.startswith(OF_STAGES)]
    assert {setting.name.split(".")[0] for setting in own} == fields - {"env"}
    made = decoded(
        {setting.name: setting.value for setting in own if setting.value is not None and "." not in setting.name}
    )
    assert made == source.Settings()


@pytest.mark.parametrize("name", ["lookback_seconds", "lookback_units"])
def test_nobody_can_look_ahead(name):
    with pytest.raises(InputError, match="a setting of `tap-postgres` has the wrong type: expected `int` >= 0"):
        decoded({name: -1})


def test_the_password_is_not_shown():
    assert "canary" not in repr(source.Settings(password="canary", sqlalchemy_url="postgresql://u:canary@h/d"))


def test_keys_of_a_tunnel_are_secrets():
    secret = {setting.name for setting in POSTGRES.settings if setting.is_secret}
    assert {"password", "sqlalchemy_url", "ssh_tunnel.private_key", "ssh_tunnel.private_key_password"} <= secret
