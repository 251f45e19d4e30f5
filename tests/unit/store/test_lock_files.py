import pytest

from headwater.base.errors import InputError
from headwater.model.plugin import Command, Definition, PluginKind
from headwater.model.setting import Setting, SettingKind
from headwater.store import lock_files

TAP = Definition(
    plugin_type=PluginKind.EXTRACTOR,
    name="tap-shop",
    namespace="tap_shop",
    variant="acme",
    pip_url="acme-tap-shop",
    capabilities=("catalog", "discover"),
    settings=(Setting(name="token", kind=SettingKind.STRING, sensitive=True),),
    commands={"version": Command(args="--version"), "dump": Command(args="-d", executable="shop-dump")},
    constraints=("requests<3",),
    extras={"select": ["orders.*"]},
)


def test_a_lock_file_has_its_keys_in_order_and_ends_in_a_newline(tmp_path):
    file = lock_files.write(tmp_path, TAP)

    assert file == tmp_path / "plugins/extractors/tap-shop--acme.lock"
    assert (
        file.read_text()
        == """\
{
  "plugin_type": "extractors",
  "name": "tap-shop",
  "namespace": "tap_shop",
  "variant": "acme",
  "pip_url": "acme-tap-shop",
  "capabilities": [
    "catalog",
    "discover"
  ],
  "settings": [
    {
      "name": "token",
      "kind": "string",
      "sensitive": true
    }
  ],
  "commands": {
    "version": "--version",
    "dump": {
      "args": "-d",
      "executable": "shop-dump"
    }
  },
  "select": [
    "orders.*"
  ],
  "constraints": [
    "requests<3"
  ]
}
"""
    )


def test_what_was_written_is_read_back(tmp_path):
    lock_files.write(tmp_path, TAP)
    assert lock_files.read(tmp_path, PluginKind.EXTRACTOR, "tap-shop", "acme") == TAP
    assert lock_files.read(tmp_path, PluginKind.EXTRACTOR, "tap-shop") == TAP


def test_a_plugin_without_a_lock_file_is_none(tmp_path):
    assert lock_files.read(tmp_path, PluginKind.LOADER, "target-none") is None


def test_the_original_variant_has_no_suffix(tmp_path):
    assert lock_files.path(tmp_path, PluginKind.UTILITY, "tool", "original").name == "tool.lock"


def test_a_lock_file_of_meltano_is_read_with_its_odd_parts(tmp_path):
    text = b"""{"plugin_type": "extractors", "name": "tap-old", "namespace": "tap_old", "variant": null, "docs": null,
      "settings": [{"name": "port", "kind": "integer", "value": 5432, "tooltip": null, "of_later": 1},
                   {"name": "odd", "kind": "a-kind-of-later"},
                   {"name": "secret", "kind": "password", "options": [{"label": "A", "value": "a"}]}],
      "settings_group_validation": [["port"], ["odd", "secret"]],
      "dialect": "old", "commands": {"dump": {"args": "-d", "container_spec": {"image": "x"}}}}"""

    found = lock_files.parse(text, file="tap-old.lock")

    assert found.variant == "original"
    assert [setting.kind for setting in found.settings] == [SettingKind.INTEGER, None, SettingKind.PASSWORD]
    assert found.settings_group_validation == (("port",), ("odd", "secret"))
    assert found.extras == {"dialect": "old"}
    assert found.commands["dump"].container_spec == {"image": "x"}


@pytest.mark.parametrize(
    "text", [b"{", b"[]", b'{"plugin_type": "nothing"}', b'{"plugin_type": "loaders", "name": "x", "settings": [{}]}']
)
def test_a_broken_lock_file_is_named(text):
    with pytest.raises(InputError) as caught:
        lock_files.parse(text, file="plugins/loaders/x.lock")
    assert caught.value.reference == "lock-file-invalid"
    assert caught.value.where.file == "plugins/loaders/x.lock"


def test_several_locked_variants_need_a_choice(tmp_path):
    folder = tmp_path / "plugins/extractors"
    folder.mkdir(parents=True)
    for variant in ("acme", "other"):
        (folder / f"tap-shop--{variant}.lock").write_text("{}")

    with pytest.raises(InputError) as caught:
        lock_files.read(tmp_path, PluginKind.EXTRACTOR, "tap-shop")

    assert caught.value.what == "`tap-shop` is locked in several variants: `acme`, `other`"
    assert caught.value.hint == "say which in the project file: variant: acme"


def test_removing_takes_the_pins_along_and_may_be_done_twice(tmp_path):
    file = lock_files.write(tmp_path, TAP)
    pins = file.with_suffix(".requirements.txt")
    pins.write_text("")

    lock_files.remove(tmp_path, PluginKind.EXTRACTOR, "tap-shop")
    lock_files.remove(tmp_path, PluginKind.EXTRACTOR, "tap-shop")

    assert not file.exists()
    assert not pins.exists()
