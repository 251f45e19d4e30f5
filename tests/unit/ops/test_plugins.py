import pytest
from msgspec.structs import replace

from headwater.base.errors import InputError
from headwater.model.plugin import PluginKind
from headwater.ops import definitions, plugins, required
from headwater.ops.hub import Sources
from headwater.ops.plugins import AddRequest
from headwater.ops.workspace import find

TAP = next(
    row for row in definitions.listing("tap-*") if row.runs == "Singer" and row.kind is PluginKind.EXTRACTOR
).name


def add(lab, name, **request):
    return plugins.add(lab.workspace(), name, AddRequest(**request))


def locks(lab):
    return sorted(path.name for path in (lab.root / "plugins").rglob("*.lock"))


def test_a_plugin_gets_an_entry_and_a_lock_file(lab):
    project = lab()
    added = add(project, TAP)
    assert (added.name, added.existed) == (TAP, False)
    assert f"- name: {TAP}" in project.text()
    assert locks(project) == [f"{TAP}--{added.variant}.lock"]


def test_adding_again_renews_the_lock_file_and_leaves_the_entry(lab):
    project = lab()
    add(project, TAP)
    before = project.text()
    (lock,) = (project.root / "plugins").rglob("*.lock")
    lock.unlink()
    assert add(project, TAP).existed
    assert (project.text(), lock.exists()) == (before, True)


def test_another_variant_needs_another_name(lab):
    project = lab("plugins:\n  extractors:\n  - {name: tap-files, variant: mine, namespace: x}\n")
    assert project.refusal(add, project, "tap-files", variant="headwater") == (
        "error: `tap-files` is in the project with variant `mine` [variant-differs]\n"
        "hint: headwater add tap-files --variant headwater --as tap-files--headwater"
    )


def test_typos_are_guessed(lab):
    project = lab()
    assert project.refusal(add, project, "tap-fils") == (
        "error: the hub has no plugin `tap-fils` [unknown-plugin]\nhint: did you mean `tap-files`?"
    )
    assert project.refusal(add, project, "tap-files", variant="headwatr") == (
        "error: `tap-files` has no variant `headwatr` [unknown-variant]\nhint: did you mean `headwater`?"
    )


@pytest.mark.parametrize(("name", "ours"), definitions.DONE_BY.items())
def test_who_asks_for_another_program_hears_of_ours_that_does_it(lab, name, ours):
    known = [found.name for found in definitions.NATIVE]
    assert ours in known
    assert name not in known
    project = lab()
    assert project.refusal(add, project, name) == (
        f"error: the hub has no plugin `{name}` [unknown-plugin]\n"
        f"hint: `{ours}` does that: headwater add {ours}; or headwater add {name} --custom --pip-url PACKAGE"
    )


def test_a_copy_inherits(lab):
    project = lab()
    add(project, "tap-files")
    assert add(project, "tap-files", as_name="tap-files--eu").name == "tap-files--eu"
    assert "  - name: tap-files--eu\n      inherit_from: tap-files\n".replace("  -", "    -") in project.text()


def test_a_custom_plugin(lab):
    project = lab()
    add(project, "tap-own", custom=True, executable="./tap")
    (row,) = plugins.listing(project.workspace())
    assert (row.kind, row.name, row.installed) == (PluginKind.EXTRACTOR, "tap-own", None)
    assert project.refusal(add, project, "tap-b", custom=True).splitlines()[0] == (
        "error: `tap-b` is custom and needs a package or a program [custom-needs-program]"
    )


def test_a_plugin_with_heirs_stays(lab):
    project = lab()
    add(project, "tap-files")
    add(project, "tap-files", as_name="tap-eu")
    assert project.refusal(plugins.remove, project.workspace(), "tap-files") == (
        "error: `tap-eu` inherits from `tap-files` [plugin-in-use]\nhint: headwater remove tap-eu tap-files"
    )


def test_remove_takes_the_entry_and_the_lock_file(lab):
    project = lab()
    add(project, TAP)
    plugins.remove(project.workspace(), TAP)
    assert (TAP in project.text(), locks(project)) == (False, [])


def test_a_definition_is_locked_when_it_is_first_used(lab):
    project = lab(f"plugins:\n  extractors:\n  - name: {TAP}\n  - {{name: tap-copy, inherit_from: {TAP}}}\n")
    workspace = project.workspace()
    plugins._lock(workspace, [workspace.project.plugin("tap-copy")], print)
    assert locks(project) == []  # it has no definition of its own, and its parent was not used
    plugins._lock(workspace, workspace.project.plugins, print)
    assert len(locks(project)) == 1


def test_native_and_custom_plugins_need_no_lock(lab):
    project = lab(
        "plugins:\n  extractors:\n  - {name: tap-files, variant: headwater}\n  - {name: tap-x, namespace: x}\n"
    )
    workspace = project.workspace()
    plugins._lock(workspace, workspace.project.plugins, print)
    assert locks(project) == []


def test_a_project_that_is_read_only_is_not_locked(lab):
    project = lab(f"project_readonly: true\nplugins:\n  extractors:\n  - name: {TAP}\n")
    workspace = project.workspace()
    plugins._lock(workspace, workspace.project.plugins, print)
    assert locks(project) == []


def test_next_commands(lab):
    project = lab()
    add(project, "tap-files")
    assert plugins.next_commands(project.workspace(), "tap-files") == [
        "next: headwater config set tap-files path VALUE"
    ]
    project.write(
        "headwater.yml", "plugins:\n  extractors:\n  - {name: tap-files, variant: headwater, config: {path: x}}\n"
    )
    assert plugins.next_commands(project.workspace(), "tap-files") == ["next: headwater add target-duckdb"]
    add(project, "target-duckdb")
    assert plugins.next_commands(project.workspace(), "tap-files") == ["next: headwater run tap-files target-duckdb"]
    assert plugins.next_commands(project.workspace(), "target-duckdb") == []


def test_requests_are_values():
    assert replace(AddRequest(), variant="x").variant == "x"


def test_adding_a_plugin_again_changes_what_is_given(tmp_path):
    (tmp_path / "headwater.yml").write_text("plugins: {}\n")
    plugins.add(find(tmp_path), "target-jsonl", AddRequest(variant="andyh1203"))
    plugins.add(find(tmp_path), "target-jsonl", AddRequest(variant="andyh1203", python="3.10"))
    assert "python: '3.10'" in (tmp_path / "headwater.yml").read_text()


def test_a_native_connector_has_no_lock_file(tmp_path):
    (tmp_path / "headwater.yml").write_text("plugins: {}\n")
    plugins.add(find(tmp_path), "target-duckdb", AddRequest())
    assert list(tmp_path.rglob("*.lock")) == [tmp_path / ".headwater" / "project.lock"]


def test_a_build_sees_no_secret_of_the_project(tmp_path):
    (tmp_path / ".env").write_text("TAP_X_TOKEN=hunter22\nUV_INDEX_URL=https://index.example.org/packages\n")
    (tmp_path / "headwater.yml").write_text(
        "plugins:\n  extractors:\n    - name: tap-x\n      namespace: tap_x\n      pip_url: tap-x\n"
    )
    workspace = find(tmp_path)
    [job] = plugins._jobs(workspace, workspace.project.plugins)
    assert "TAP_X_TOKEN" not in job.env
    assert job.env["UV_INDEX_URL"] == "https://index.example.org/packages"


def test_removing_a_plugin_names_what_stays_in_dotenv(tmp_path):
    (tmp_path / ".env").write_text("TAP_X_TOKEN=hunter22\nOTHER=1\n")
    (tmp_path / "headwater.yml").write_text(
        "plugins:\n  extractors:\n    - name: tap-x\n      namespace: tap_x\n      executable: ./tap\n"
    )
    assert plugins.remove(find(tmp_path), "tap-x") == ["TAP_X_TOKEN"]


REQUIRING = """\
plugins:
  utilities:
    - name: one
      namespace: one
      executable: one
      requires:
        utilities: [{name: sqlfluff}]
        loaders: [{name: there}]
  loaders:
    - {name: there, namespace: there, executable: there}
"""


def test_what_a_plugin_requires_is_added_once(tmp_path):
    (tmp_path / "headwater.yml").write_text(REQUIRING)
    workspace = find(tmp_path)
    of = plugins.Added(kind=PluginKind.UTILITY, name="one", variant=None, existed=True)
    sources = Sources.of(workspace, note=print, offline=True)
    assert [added.name for added in required.add(workspace, of, sources=sources)] == ["sqlfluff"]
    assert list(required.add(workspace, of, sources=sources)) == []
    assert (tmp_path / "plugins" / "utilities" / "sqlfluff--sqlfluff.lock").exists()


def test_a_requirement_that_names_no_plugin_is_an_error(tmp_path):
    (tmp_path / "headwater.yml").write_text(REQUIRING.replace("utilities: [{name: sqlfluff}]", "files: [dbt]"))
    of = plugins.Added(kind=PluginKind.UTILITY, name="one", variant=None, existed=True)
    with pytest.raises(InputError, match="names no plugin"):
        list(required.add(find(tmp_path), of, sources=Sources.of(find(tmp_path), note=print, offline=True)))
