"""Sources that a package offers by entry point: real wheels in real environments, without network."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import uv

from headwater.base.errors import HeadwaterError, InputError
from headwater.ops import foreign_sources, own_sources, planning, plugins, tap_tests

PYPROJECT = """
[project]
name = "acme-sources"
version = "1.0"
[project.entry-points."headwater.sources"]
orders = "acme_sources.orders"
shop = "acme_sources:shop.yml"
gone = "acme_sources.gone"
[build-system]
requires = ["uv_build>=0.9,<1"]
build-backend = "uv_build"
"""
ORDERS = '''
"""Orders of Acme."""
from headwater.sources import Secret, stream
from .inner import numbers

@stream(keys="id", cursor="id", ordered=True)
def orders(api_key: Secret, count: int = 3, bookmark: int = 0):
    if api_key == "wrong":
        raise PermissionError("the key is wrong")
    yield from ({"id": n} for n in numbers(bookmark, count))
'''
SHOP = """
base_url: "{{ config.url }}"
auth: {type: bearer, token: "{{ config.token }}"}
streams:
  orders: {path: /orders, keys: id}
"""
LOCAL = "acme-sources --no-index --find-links wheels"


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("acme")
    package = folder / "src" / "acme_sources"
    package.mkdir(parents=True)
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (package / "__init__.py").write_text("")
    (package / "orders.py").write_text(ORDERS)
    # Beside the module that uses it, under a name that the standard library has, too.
    (package / "json.py").write_text("raise RuntimeError('not this one')\n")
    (package / "inner.py").write_text("import json\ndef numbers(first, last):\n    return range(first, last)\n")
    (package / "shop.yml").write_text(SHOP)
    command = [uv.find_uv_bin(), "build", "--quiet", "--wheel", "--offline", "--python", sys.executable, str(folder)]
    subprocess.run([*command, "--out-dir", str(folder / "wheels")], check=True)
    return folder / "wheels"


def _project(lab, wheels: Path, source: str, **config: object):
    project = lab()
    if not (project.root / "wheels").exists():
        (project.root / "wheels").symlink_to(wheels)
    settings = "".join(f"\n      {name}: {value}" for name, value in config.items())
    project.write(
        "headwater.yml",
        f"plugins:\n  extractors:\n  - name: tap-acme\n    source: {source}\n    pip_url: {LOCAL}\n"
        + (f"    config:{settings}\n" if settings else ""),
    )
    return project


def _installed(project, name: str = "tap-acme"):
    workspace = project.workspace()
    plugins.install_missing(workspace, [planning.plugin(workspace, name)], emit=project.emit)


def _outcomes(project, name: str = "tap-acme") -> dict[str, tuple[str, str]]:
    checks = tap_tests.run(project.workspace(), name, emit=project.emit, cancel=project.cancel)
    return {check.name: (check.outcome, check.detail) for check in checks}


def test_functions_of_a_package_are_streams_and_their_parameters_settings(lab, wheels):
    project = _project(lab, wheels, "package:acme-sources/orders", api_key="right", count=200)
    _installed(project)
    known = foreign_sources.definition(project.root, "package:acme-sources/orders")
    assert (known.native, known.description, known.variant) == ("python", "Orders of Acme.", "package")
    shown = {one.name: (one.sensitive, one.required, one.value) for one in known.settings if not one.hidden}
    assert shown["api_key"] == (True, True, None)
    assert shown["count"] == (False, False, None)
    assert "(`3`, if nothing is set)" in next(one.description for one in known.settings if one.name == "count")
    outcomes = _outcomes(project)
    assert [name for name, (outcome, _) in outcomes.items() if outcome == "failed"] == []
    assert outcomes["sends valid messages to the end"][1].startswith("200 rows of 1 stream,")


def test_what_goes_wrong_in_the_package_names_its_line(lab, wheels):
    project = _project(lab, wheels, "package:acme-sources/orders", api_key="wrong")
    _installed(project)
    detail = _outcomes(project)["discovers what its source offers"][1]
    assert "acme_sources/orders.py:9: the code of `package:acme-sources/orders` failed in `orders`" in detail


def test_a_yaml_file_of_a_package_describes_an_api(lab, wheels, api):
    api.answer = lambda _asked: [{"id": 1}, {"id": 2}]
    project = _project(lab, wheels, "package:acme-sources/shop", token="s3cret", url=api.url)
    _installed(project)
    known = foreign_sources.definition(project.root, "package:acme-sources/shop")
    assert known.native == "rest"
    assert [one.name for one in known.settings if one.sensitive] == ["token"]
    assert _outcomes(project)["sends valid messages to the end"][1].startswith("2 rows of 1 stream,")
    assert api.asked[-1].headers["authorization"] == "Bearer s3cret"


def test_what_a_package_does_not_offer_is_told(lab, wheels):
    said = {
        "package:acme-sources": "the package `acme-sources` offers 3 sources",
        "package:acme-sources/order": "the package `acme-sources` offers no source `order`",
        "package:acme-sources/gone": "the package `acme-sources` has no `acme_sources.gone`",
    }
    for source, text in said.items():
        project = _project(lab, wheels, source)
        _installed(project)
        assert _outcomes(project)["discovers what its source offers"][1].startswith(text)


def test_a_name_that_can_be_none_is_refused_with_its_line(lab):
    project = lab()
    project.write("headwater.yml", "plugins: {extractors: [{name: tap-acme, source: 'package:a b'}]}\n")
    said = project.refusal(lambda: _outcomes(project))
    assert "headwater.yml:1: `package:a b` names no package" in said


def test_a_new_package_runs_as_it_is_and_edits_count_at_once(lab):
    project = lab()
    made = own_sources.new_package(project.workspace(), "orders")
    assert (made.plugin, made.file) == ("tap-orders", "sources/tap-orders")
    _installed(project, "tap-orders")
    assert [name for name, (outcome, _) in _outcomes(project, "tap-orders").items() if outcome == "failed"] == []
    code = project.root / made.file / "src/tap_orders/__init__.py"
    code.write_text(code.read_text().replace("count: int = 3", "count: int = 7"))
    assert _outcomes(project, "tap-orders")["sends valid messages to the end"][1].startswith("7 rows")
    with pytest.raises(HeadwaterError, match="the project has a plugin `tap-orders` already"):
        own_sources.new_package(project.workspace(), "orders")


def test_a_source_that_the_package_does_not_offer_leaves_nothing_behind(lab, wheels):
    project = lab()
    (project.root / "wheels").symlink_to(wheels)
    project.write("headwater.yml", "plugins: {}\n")
    with pytest.raises(InputError, match="the package `acme-sources` offers no source `order`"):
        foreign_sources.new(project.workspace(), "acme", "package", "acme-sources/order", LOCAL, emit=project.emit)
    assert "tap-acme" not in project.text()
    assert list((project.root / "plugins").rglob("*.*")) == []
