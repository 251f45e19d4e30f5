"""A secret that no definition knows."""

from __future__ import annotations

from headwater.ops import settings
from headwater.ops.workspace import find

PROJECT = """\
plugins:
  extractors:
    - name: tap-x
      namespace: tap_x
      executable: ./tap
"""


def test_a_secret_nobody_defined_reaches_the_plugin_and_is_known_as_one(tmp_path):
    (tmp_path / "headwater.yml").write_text(PROJECT)
    settings.set_value(find(tmp_path), "tap-x", None, ("token",), "hunter22")
    assert (tmp_path / ".env").read_text() == "TAP_X_TOKEN=hunter22\n"
    assert "token: '${TAP_X_TOKEN}'" in (tmp_path / "headwater.yml").read_text()
    workspace = find(tmp_path)
    assert settings.effective(workspace, "tap-x", unsafe=True) == {"token": "hunter22"}
    assert settings.effective(workspace, "tap-x") == {"token": "(redacted)"}
    settings.unset(workspace, "tap-x", None, ("token",))
    assert "TAP_X_TOKEN" not in (tmp_path / ".env").read_text() + (tmp_path / "headwater.yml").read_text()
