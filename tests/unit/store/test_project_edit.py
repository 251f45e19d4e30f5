import threading
from textwrap import dedent

import pytest

from headwater.base.errors import InputError
from headwater.model.plugin import PluginKind
from headwater.store import project_edit
from headwater.store.project_file import load

EXTRACTOR, LOADER = PluginKind.EXTRACTOR, PluginKind.LOADER
BEFORE = """\
# The shop's project
default_environment: dev   # change with care

plugins:
  extractors:
  # the shop
  - name: tap-shop
    config:
      host: "shop.example.com"   # not the replica
      auth.user: me
      auth:
        method: basic
    select: [ 'orders.*', '!orders.note' ]

  # GitHub
  - name: tap-github
include_paths: [more.yml]
environments:
- name: dev
- name: prod
  config:
    plugins:
      extractors:
      - name: tap-shop
        config:
          host: prod.example.com
jobs:
- name: daily
  tasks: [tap-shop target-x]
"""
MORE = "plugins:\n    loaders:\n    - name: target-x # kept\n"


@pytest.fixture
def root(tmp_path):
    (tmp_path / "headwater.yml").write_text(BEFORE)
    (tmp_path / "more.yml").write_text(MORE)
    return tmp_path


def difference(root, before=BEFORE, file="headwater.yml"):
    """The lines that went and came, without those that stayed."""
    import difflib

    lines = difflib.unified_diff(before.splitlines(), (root / file).read_text().splitlines(), n=0, lineterm="")
    load(root)
    return "".join(f"{line}\n" for line in list(lines)[2:] if not line.startswith("@@"))


def refusal(call, *arguments, **named):
    with pytest.raises(InputError) as caught:
        call(*arguments, **named)
    error = caught.value
    return f"{error.what} [{error.reference}]" + (f" - {error.hint}" if error.hint else "")


def test_a_plugin_is_added_behind_the_last_of_its_kind(root):
    project_edit.add_plugin(load(root), EXTRACTOR, {"name": "tap-new", "variant": "v", "config": {"a": [1, "x: y"]}})
    assert difference(root) == dedent("""\
        +  - name: tap-new
        +    variant: v
        +    config:
        +      a:
        +      - 1
        +      - 'x: y'
        """)


def test_the_first_plugin_of_a_kind_gets_its_list(root):
    project_edit.add_plugin(load(root), PluginKind.UTILITY, {"name": "dbt"})
    assert difference(root) == "+  utilities:\n+  - name: dbt\n"


def test_the_first_plugin_of_an_empty_project(tmp_path):
    (tmp_path / "headwater.yml").write_text("# nothing yet\n")
    project_edit.add_plugin(load(tmp_path), LOADER, {"name": "target-x"})
    expected = "# nothing yet\nplugins:\n  loaders:\n    - name: target-x\n"
    assert (tmp_path / "headwater.yml").read_text() == expected


def test_a_plugin_is_removed_and_the_next_ones_comment_stays(root):
    project_edit.remove_plugin(load(root), EXTRACTOR, "tap-shop")
    assert difference(root) == "".join(f"-{line}\n" for line in BEFORE.splitlines()[6:13])


def test_the_last_plugin_goes_with_its_list_from_the_file_it_stands_in(root):
    project_edit.remove_plugin(load(root), LOADER, "target-x")
    assert (root / "more.yml").read_text() == "{}\n"
    assert load(root).plugin("target-x") is None


def test_a_plugin_entry_is_updated(root):
    project_edit.update_plugin(load(root), EXTRACTOR, "tap-github", {"variant": "v", "pip_url": None})
    assert difference(root) == "+    variant: v\n"


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (("host",), "x", '-      host: "shop.example.com"   # not the replica\n+      host: x   # not the replica\n'),
        (("auth", "user"), "you", "-      auth.user: me\n+      auth.user: you\n"),
        (("auth.method",), "token", "-        method: basic\n+        method: token\n"),
        (("auth", "scope"), "all", "+        scope: all\n"),
        (("a.b",), 1, "+      a.b: 1\n"),
        (("a", "b"), True, "+      a:\n+        b: true\n"),
        (("_select",), ["*.*"], "+      _select:\n+      - '*.*'\n"),
    ],
)
def test_a_setting_is_changed_where_it_stands(root, path, value, expected):
    project_edit.set_config(load(root), EXTRACTOR, "tap-shop", path, value)
    assert difference(root) == expected


def test_a_setting_of_an_included_plugin_is_written_to_its_file(root):
    project_edit.set_config(load(root), LOADER, "target-x", ("path",), "out")
    assert difference(root) == ""
    assert difference(root, MORE, "more.yml") == "+      config:\n+          path: out\n"


def test_an_environment_overrides_a_setting(root):
    project_edit.set_config(load(root), EXTRACTOR, "tap-shop", ("host",), "p", environment="prod")
    project_edit.set_config(load(root), LOADER, "target-x", ("path",), "out", environment="dev")
    assert difference(root) == dedent("""\
        +  config:
        +    plugins:
        +      loaders:
        +      - name: target-x
        +        config:
        +          path: out
        -          host: prod.example.com
        +          host: p
        """)


def test_unsetting_takes_what_is_empty_along(root):
    project_edit.unset_config(load(root), EXTRACTOR, "tap-shop", ("auth", "method"))
    assert difference(root) == "-      auth:\n-        method: basic\n"
    project_edit.unset_config(load(root), EXTRACTOR, "tap-shop", ("host",), environment="prod")
    assert load(root).environment("prod").plugins == ()
    assert (
        (root / "headwater.yml")
        .read_text()
        .endswith("- name: dev\n- name: prod\njobs:\n- name: daily\n  tasks: [tap-shop target-x]\n")
    )


def test_resetting_leaves_the_name(root):
    project_edit.reset_config(load(root), EXTRACTOR, "tap-shop")
    assert difference(root) == "".join(f"-{line}\n" for line in BEFORE.splitlines()[7:13])
    project_edit.reset_config(load(root), EXTRACTOR, "tap-shop", environment="prod")
    project_edit.reset_config(load(root), EXTRACTOR, "tap-shop", environment="dev")
    assert load(root).environment("prod").plugins == ()


def test_patterns_are_added_and_removed(root):
    project_edit.add_select(load(root), "tap-shop", ["orders.*", "users.id"])
    project_edit.remove_select(load(root), "tap-shop", ["!orders.note"])
    assert difference(root) == dedent("""\
        -    select: [ 'orders.*', '!orders.note' ]
        +    select: [orders.*, users.id]
        """)
    project_edit.remove_select(load(root), "tap-shop", ["orders.*", "users.id"])
    assert difference(root) == "-    select: [ 'orders.*', '!orders.note' ]\n"


def test_patterns_of_one_environment(root):
    project_edit.add_select(load(root), "tap-github", ["*.*", "!a.b"], environment="prod")
    assert difference(root) == "+      - name: tap-github\n+        select:\n+        - '*.*'\n+        - '!a.b'\n"
    project_edit.clear_select(load(root), "tap-github", environment="prod")
    assert difference(root) == ""


def test_an_extra_is_set_and_unset(root):
    project_edit.set_extra(load(root), EXTRACTOR, "tap-github", ("metadata", "a", "replication-key"), "id")
    assert difference(root) == "+    metadata:\n+      a:\n+        replication-key: id\n"
    project_edit.unset_extra(load(root), EXTRACTOR, "tap-github", ("metadata.a.replication-key",))
    assert difference(root) == ""


def test_environments_jobs_and_schedules_come_and_go(root):
    project_edit.add_environment(load(root), "staging")
    project_edit.add_job(load(root), {"name": "hourly", "tasks": ["a b", ["c", "d"]]})
    project_edit.add_schedule(load(root), {"name": "s", "interval": "@daily", "job": "hourly"})
    project_edit.update_schedule(load(root), "s", {"interval": "0 * * * *"})
    project_edit.update_job(load(root), "daily", {"tasks": ["tap-shop target-y"]})
    assert difference(root) == dedent("""\
        +- name: staging
        -  tasks: [tap-shop target-x]
        +  tasks: [tap-shop target-y]
        +- name: hourly
        +  tasks:
        +  - a b
        +  - - c
        +    - d
        +schedules:
        +- name: s
        +  interval: 0 * * * *
        +  job: hourly
        """)
    project_edit.remove_schedule(load(root), "s")
    project_edit.remove_job(load(root), "hourly")
    project_edit.remove_environment(load(root), "staging")
    assert difference(root) == "-  tasks: [tap-shop target-x]\n+  tasks: [tap-shop target-y]\n"


def test_a_project_setting_is_set_for_all_or_for_one_environment(root):
    project_edit.set_setting(load(root), ("state_backend", "uri"), "s3://x")
    project_edit.set_setting(load(root), ("elt.buffer_size",), 5, environment="dev")
    assert difference(root) == "+  config:\n+    elt:\n+      buffer_size: 5\n+state_backend:\n+  uri: s3://x\n"
    project_edit.unset_setting(load(root), ("elt.buffer_size",), environment="dev")
    project_edit.unset_setting(load(root), ("state_backend.uri",))
    assert difference(root) == ""


def test_what_is_not_there_is_not_removed(root):
    project = load(root)
    assert refusal(project_edit.remove_plugin, project, EXTRACTOR, "tap-shp") == (
        "extractor `tap-shp` not found [unknown-extractor] - did you mean `tap-shop`?"
    )
    assert refusal(project_edit.unset_config, project, EXTRACTOR, "tap-shop", ("port",)) == (
        "`port` is not set for `tap-shop` in the project files [nothing-to-remove]"
        " - headwater config list shows where each value comes from"
    )
    assert refusal(project_edit.unset_config, project, EXTRACTOR, "tap-github", ("a",), environment="prod") == (
        "environment `prod` says nothing of extractor `tap-github` [nothing-to-remove]"
        " - headwater --environment prod config list tap-github"
    )
    assert refusal(project_edit.remove_select, project, "tap-shop", ["order.*"]) == (
        "`order.*` is not in `select` of `tap-shop` [nothing-to-remove] - did you mean `orders.*`?"
    )
    assert refusal(project_edit.clear_select, project, "tap-github").startswith("`select` is not set for `tap-github`")
    assert refusal(project_edit.remove_environment, project, "prd") == (
        "environment `prd` not found [unknown-environment] - did you mean `prod`?"
    )
    assert difference(root) == ""


def test_a_name_is_taken_once_and_holds_no_colon(root):
    project = load(root)
    assert refusal(project_edit.add_plugin, project, EXTRACTOR, {"name": "tap-shop"}) == (
        "there is already an extractor named `tap-shop` [duplicate-name]"
    )
    assert refusal(project_edit.add_environment, project, "a:b") == (
        "the name `a:b` holds a `:` [bad-name] - choose another, for example `a-b`"
    )
    assert refusal(project_edit.set_setting, project, ("default_enviroment",), "x") == (
        "setting `default_enviroment` not found [unknown-setting] - did you mean `default_environment`?"
    )
    assert difference(root) == ""


def test_commands_at_the_same_time_all_take_effect(root):
    project = load(root)
    threads = [
        threading.Thread(target=project_edit.set_config, args=(project, EXTRACTOR, "tap-github", (f"k{n}",), n))
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert load(root).plugin("tap-github").config == {f"k{n}": n for n in range(8)}


def test_a_plugin_that_another_command_removed_meanwhile_is_not_made_anew(root):
    project = load(root)
    project_edit.remove_plugin(project, EXTRACTOR, "tap-github")
    assert refusal(project_edit.set_config, project, EXTRACTOR, "tap-github", ("a",), 1) == (
        "extractor `tap-github` is no longer in the project [nothing-to-change]"
    )
