"""Which definition a name gets: of the project's hub, of this program, of its index, of the public hub."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from headwater.model.plugin import PluginKind
from headwater.ops import hub, hub_server, plugins
from headwater.store import lock_files

MINE = {
    "tap-github": "name: tap-github\nvariant: mine\npip_url: ./mine\n",
    "tap-files": "name: tap-files\nvariant: mine\npip_url: ./files\n",
    "tap-only-here": "name: tap-only-here\nvariant: mine\npip_url: ./only\n",
}


@pytest.fixture
def address(tmp_path):
    folder = tmp_path / "definitions"
    folder.mkdir()
    for name, text in MINE.items():
        (folder / f"{name}.yml").write_text(text)
    with hub_server.server(hub_server.Definitions([folder], print), host="127.0.0.1", port=0) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def sources(lab, monkeypatch, tmp_path):
    """Sources of a project with these settings, and with what was noted in `.notes`."""
    monkeypatch.delenv("HEADWATER_HUB_OFFLINE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def make(text, **options):
        notes = []
        made = hub.Sources.of(lab(f"{text}\nplugins: {{}}\n").workspace(), note=notes.append, **options)
        made.notes = notes
        return made

    return make


def test_a_hub_that_the_project_names_is_asked_first(sources, address):
    mine = sources(f"hub_url: {address}")
    assert mine.find(None, "tap-github").pip_url == "./mine"
    assert mine.find(None, "tap-files").variant == "mine"
    assert mine.find(None, "tap-files", "headwater").native == "files"
    assert mine.find(None, "tap-github", "meltanolabs").pip_url == "meltanolabs-tap-github"
    assert mine.find(None, "dbt-duckdb").variant == "jwills"
    assert mine.variants(None, "tap-github") == ("mine", "meltanolabs", "singer-io")
    assert "tap-only-here" in mine.names(PluginKind.EXTRACTOR)
    assert mine.notes == []


def test_the_root_of_an_api_is_stronger_than_a_hub(sources, address):
    site = sources(f"hub_url: http://127.0.0.1:9\nhub_api_root: {address}/meltano/api/v1/\nhub_url_auth: Bearer x").site
    assert (site.root, site.auth, site.own) == (f"{address}/meltano/api/v1", "Bearer x", True)


def test_the_public_hub_is_asked_last(sources):
    site = sources("").site
    assert (site.root, site.own) == ("https://hub.meltano.com/meltano/api/v1", False)
    known = sources("", offline=True)
    assert known.find(None, "tap-files").native == "files"
    assert known.find(None, "tap-github").variant == "meltanolabs"


def test_the_index_stands_in_for_a_hub_that_does_not_answer(sources):
    away = sources("hub_url: http://127.0.0.1:9")
    assert away.find(None, "tap-github").variant == "meltanolabs"
    assert away.find(None, "tap-nowhere") is None
    assert away.notes == [
        (
            "the hub at http://127.0.0.1:9/meltano/api/v1 does not answer (connection refused): "
            "using the index that comes with this program"
        )
    ]


@pytest.mark.parametrize("offline", ["setting", "flag"])
def test_offline_nobody_is_asked(sources, offline):
    setting = "hub_offline: true" if offline == "setting" else ""
    away = sources(f"hub_url: http://127.0.0.1:9\n{setting}", offline=offline == "flag")
    assert away.find(None, "tap-nowhere") is None
    assert away.notes == []


def test_every_variant_is_offered_once(sources, address):
    rows = sources(f"hub_url: {address}").offered(PluginKind.EXTRACTOR)
    assert [(row.variant, row.default) for row in rows if row.name == "tap-github"] == [
        ("mine", True),
        ("meltanolabs", False),
        ("singer-io", False),
    ]
    assert hub.matching(rows, "ONLY-h") == [
        hub.Offered(type="extractor", name="tap-only-here", variant="mine", default=True)
    ]


def test_certificates_are_those_a_variable_names(lab, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/own.pem")
    assert hub.site(lab().workspace()).ca_file == Path("/etc/own.pem")
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/better.pem")
    assert hub.site(lab().workspace()).ca_file == Path("/etc/better.pem")


def test_a_certificate_file_that_is_not_there_is_named(sources, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    away = sources("hub_url: https://127.0.0.1:9")
    assert away.find(None, "tap-nowhere") is None
    assert "(certificates of `/nowhere.pem`: no such file or directory)" in away.notes[0]


def test_add_takes_the_definition_of_the_hub_and_locks_it(lab, sources, address):
    known = sources(f"hub_url: {address}")
    project = lab(f"hub_url: {address}\nplugins: {{}}\n")
    added = plugins.add(project.workspace(), "tap-only-here", plugins.AddRequest(), sources=known)
    assert (added.variant, added.existed) == ("mine", False)
    locked = lock_files.read(project.root, PluginKind.EXTRACTOR, "tap-only-here", "mine")
    assert locked.pip_url == "./only"


def test_outside_of_a_project_variables_say_which_hub(monkeypatch):
    monkeypatch.setenv("MELTANO_HUB_URL", "https://hub.example.com/")
    assert hub.site(None).root == "https://hub.example.com/meltano/api/v1"


@pytest.mark.parametrize("url", ["hub.example.com", "ftp://x", "https://", "https://me:word@x", "https://x/?a"])
def test_a_hub_is_built_for_an_address(lab, tmp_path, url):
    (tmp_path / "a.yml").write_text(MINE["tap-files"])
    shelf = hub.shelf([tmp_path / "a.yml"])
    assert (
        lab()
        .refusal(lambda _: hub.write(shelf, tmp_path / "out", url), None)
        .startswith(f"error: `{url}` is no address of a web server [bad-address]")
    )


def test_a_hub_may_have_the_bundled_plugins_too(tmp_path):
    (tmp_path / "a.yml").write_text(MINE["tap-github"])
    shelf = hub.shelf([tmp_path / "a.yml"], bundled=True)
    assert list(shelf.plugins[PluginKind.EXTRACTOR, "tap-github"]) == ["mine", "meltanolabs", "singer-io"]
    assert list(shelf.plugins[PluginKind.EXTRACTOR, "tap-postgres"]) == ["meltanolabs", "transferwise"]


def test_a_run_locks_what_the_hub_has_before_it_plans(lab, monkeypatch, tmp_path, address):
    monkeypatch.delenv("HEADWATER_HUB_OFFLINE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    project = lab(f"hub_url: {address}\nplugins: {{extractors: [{{name: tap-only-here}}]}}\n")
    workspace = project.workspace()
    plugins._lock(workspace, workspace.project.plugins, project.emit)
    assert lock_files.read(project.root, PluginKind.EXTRACTOR, "tap-only-here").pip_url == "./only"
    assert project.events == []
