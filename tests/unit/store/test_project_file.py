import time
from textwrap import dedent

import pytest

from headwater.base.errors import InputError
from headwater.model.plugin import Command, PluginKind
from headwater.model.setting import SettingKind
from headwater.store import project_template
from headwater.store.project_fields import is_one_slip_away
from headwater.store.project_file import find_root, load


@pytest.fixture
def project(tmp_path):
    """Loads a project of the given files; the first argument is headwater.yml."""

    def make(text="", **files):
        write(tmp_path, "headwater.yml", text)
        for name, content in files.items():
            write(tmp_path, name.replace("__", "/") + ".yml", content)
        return load(tmp_path)

    return make


def write(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text).lstrip("\n"))


def refusal(call, *arguments, **files):
    with pytest.raises(InputError) as caught:
        call(*arguments, **files)
    error = caught.value
    lines = [f"error: {error.what} [{error.reference}]"]
    lines += [f"  at {error.where}"] if error.where else []
    lines += [f"  {error.why}"] if error.why else []
    lines += [f"hint: {error.hint}"] if error.hint else []
    return "\n".join(lines)


def test_the_nearest_folder_with_a_project_file_is_the_root(tmp_path):
    write(tmp_path, "outer/meltano.yml", "")
    write(tmp_path, "outer/inner/headwater.yml", "")
    (tmp_path / "outer/inner/deep").mkdir()
    assert find_root(tmp_path / "outer/inner/deep") == tmp_path / "outer/inner"
    assert find_root(tmp_path / "outer") == tmp_path / "outer"
    assert find_root(tmp_path) is None


def test_headwater_yml_wins_over_meltano_yml_in_the_same_folder(tmp_path):
    write(tmp_path, "meltano.yml", "project_id: old")
    assert load(tmp_path).project_id == "old"
    write(tmp_path, "headwater.yml", "project_id: new")
    assert load(tmp_path).project_id == "new"
    assert load(tmp_path).file == str(tmp_path / "headwater.yml")


def test_a_plugin_entry_is_read_as_written(project):
    plugin = project("""
        plugins:
          extractors:
          - name: tap-x
            inherit_from: tap-base
            pip_url: null
            python: 3.10
            capabilities: [catalog, state]
            settings_group_validation: [[a, b], [c]]
            settings:
            - name: a.b
              kind: integer
              value: 1
              options: [{label: One, value: 1}, 2]
            commands:
              test: --test
              long: {args: -v, executable: other}
            env: {PORT: 0123, ON: yes, EMPTY: }
            config:
              a: {b: 1}
              _select: ['*.*']
            select: ['a.*']
            metadata: {a: {replication-key: id}}
    """).plugins[0]
    assert (plugin.kind, plugin.name, plugin.inherit_from) == (PluginKind.EXTRACTOR, "tap-x", "tap-base")
    assert plugin.pip_url is None
    assert plugin.python == "3.10"
    assert plugin.capabilities == ("catalog", "state")
    assert plugin.settings_group_validation == (("a", "b"), ("c",))
    assert plugin.settings[0].kind is SettingKind.INTEGER
    assert [option.value for option in plugin.settings[0].options] == [1, 2]
    assert plugin.commands == {"test": Command(args="--test"), "long": Command(args="-v", executable="other")}
    assert plugin.env == {"PORT": "0123", "ON": "yes", "EMPTY": ""}
    assert plugin.config == {"a": {"b": 1}, "_select": ["*.*"]}
    assert plugin.extras == {"select": ["a.*"], "metadata": {"a": {"replication-key": "id"}}}
    assert (plugin.file, plugin.line) == ("headwater.yml", 3)
    assert (plugin.lines["config.a.b"], plugin.lines["select"], plugin.lines["env.PORT"]) == (19, 21, 17)
    assert not plugin.is_custom


def test_project_settings_are_flattened(project):
    read = project("""
        default_environment: dev
        state_backend:
          uri: s3://bucket
          s3: {endpoint_url: http://x}
        elt.buffer_size: 10
        env: {A: 1}
        requires_meltano: '>=4'
    """)
    assert read.settings == {
        "default_environment": "dev",
        "state_backend.uri": "s3://bucket",
        "state_backend.s3.endpoint_url": "http://x",
        "elt.buffer_size": 10,
    }
    assert (read.default_environment, read.env, read.requires_meltano) == ("dev", {"A": "1"}, ">=4")
    assert read.lines["state_backend"] == 2


def test_environments_say_what_differs(project):
    (environment,) = project("""
        environments:
        - name: prod
          env: {A: b}
          state_id_suffix: $SUFFIX
          config:
            elt: {buffer_size: 5}
            plugins:
              extractors:
              - name: tap-x
                config: {host: p}
                select: [a.*]
                my_own: 1
    """).environments
    (plugin,) = environment.plugins
    assert (environment.name, environment.env, environment.state_id_suffix) == ("prod", {"A": "b"}, "$SUFFIX")
    assert environment.settings == {"elt.buffer_size": 5}
    assert (plugin.config, plugin.extras) == ({"host": "p"}, {"select": ["a.*"], "my_own": 1})
    assert (plugin.lines["config.host"], plugin.line) == (10, 9)


@pytest.mark.parametrize(
    ("tasks", "expected"),
    [
        ("tap-a target-b", (("tap-a", "target-b"),)),
        ("[tap-a target-b, dbt:run]", (("tap-a", "target-b"), ("dbt:run",))),
        ("[[tap-a, target-b], 'dbt:run \"x y\"']", (("tap-a", "target-b"), ("dbt:run", "x y"))),
        ("[]", ()),
    ],
)
def test_tasks_are_lists_of_words(project, tasks, expected):
    (job,) = project(f"jobs:\n- name: daily\n  tasks: {tasks}\n").jobs
    assert job.tasks == expected


def test_schedules_run_a_job_or_two_plugins(project):
    first, second = project("""
        schedules:
        - {name: a, interval: '@daily', job: daily, env: {A: b}}
        - {name: b, interval: 0 * * * *, extractor: tap-x, loader: target-y, transform: skip, start_date: 2020-01-01}
    """).schedules
    assert (first.job, first.env, second.extractor, second.interval) == ("daily", {"A": "b"}, "tap-x", "0 * * * *")


def test_included_files_are_merged_in(project):
    read = project(
        """
        include_paths: [conf/*.yml, conf/a.yml, headwater.yml, none/*.yml]
        plugins:
          extractors: [{name: tap-x}]
        """,
        conf__a="plugins:\n  extractors:\n  - name: tap-a\n",
        conf__b="jobs:\n- name: daily\n  tasks: tap-a target-b\nenvironments:\n- name: dev\n",
    )
    assert [(plugin.name, plugin.file, plugin.line) for plugin in read.plugins] == [
        ("tap-x", "headwater.yml", 3),
        ("tap-a", "conf/a.yml", 3),
    ]
    assert (read.jobs[0].file, read.environments[0].file) == ("conf/b.yml", "conf/b.yml")


def test_an_empty_file_is_a_project(project):
    assert project("").plugins == ()
    assert project("plugins:\n  extractors:\nenvironments:\njobs:\n").environments == ()


def test_no_project_file(tmp_path):
    assert refusal(load, tmp_path) == (
        f"error: there is no headwater.yml and no meltano.yml in `{tmp_path}` [no-project]\n"
        f"hint: headwater init {tmp_path}"
    )


EXTRACTOR = "plugins:\n  extractors:\n  - name: tap-x\n"
REFUSALS = {
    "default_enviroment: dev\n": """
        error: unknown key `default_enviroment` in `headwater.yml` [unknown-key]
          at headwater.yml:1
        hint: did you mean `default_environment`?""",
    "plugins:\n  extractor: []\n": """
        error: unknown key `extractor` in `plugins` [unknown-key]
          at headwater.yml:2
        hint: did you mean `extractors`?""",
    EXTRACTOR + "    variant: v\n    pip_ulr: tap-x\n": """
        error: unknown key `pip_ulr` in extractor `tap-x` [unknown-key]
          at headwater.yml:5
        hint: did you mean `pip_url`?""",
    EXTRACTOR + "    _select: [a]\n": """
        error: unknown key `_select` in extractor `tap-x` [unknown-key]
          at headwater.yml:4
        hint: did you mean `select`?""",
    EXTRACTOR + "    config: host\n": """
        error: `config` in extractor `tap-x` must be a mapping, not text [wrong-type]
          at headwater.yml:4
        hint: write `key: value` lines, indented, below `config:`""",
    EXTRACTOR + "    capabilities: catalog\n": """
        error: `capabilities` in extractor `tap-x` must be a list, not text [wrong-type]
          at headwater.yml:4
        hint: write each entry on a line of its own below `capabilities:`, beginning with `- `""",
    EXTRACTOR + "    hidden: 1\n": """
        error: `hidden` in extractor `tap-x` must be true or false, not a number [wrong-type]
          at headwater.yml:4""",
    EXTRACTOR + "    env:\n      A: [1]\n": """
        error: `env.A` in extractor `tap-x` must be text, not a list [wrong-type]
          at headwater.yml:5
        hint: write one value, in quotes if in doubt""",
    EXTRACTOR + "    settings:\n    - name: a\n      kind: integr\n": """
        error: unknown kind `integr` of setting `a` [unknown-setting-kind]
          at headwater.yml:6
        hint: did you mean `integer`?""",
    EXTRACTOR + "    settings:\n    - name: a\n      sensitve: true\n": """
        error: unknown key `sensitve` in setting `a` [unknown-key]
          at headwater.yml:6
        hint: did you mean `sensitive`?""",
    EXTRACTOR + "    commands:\n      go: {arg: x}\n": """
        error: unknown key `arg` in command `go` [unknown-key]
          at headwater.yml:5
        hint: did you mean `args`?""",
    "plugins: []\n": """
        error: `plugins` in `headwater.yml` must be a mapping, not a list [wrong-type]
          at headwater.yml:1
        hint: write `key: value` lines, indented, below `plugins:`""",
    "plugins:\n  loaders:\n    name: target-x\n": """
        error: `loaders` in `plugins` must be a list, not a mapping [wrong-type]
          at headwater.yml:2
        hint: write each entry on a line of its own below `loaders:`, beginning with `- `""",
    "plugins:\n  loaders:\n  - target-x\n": """
        error: `loaders[1]` in `plugins` must be a mapping with a `name`, not text [wrong-type]
          at headwater.yml:3
        hint: write the entry as `- name: …`""",
    "plugins:\n  loaders:\n  - variant: v\n": """
        error: a nameless loader has no `name` [missing-key]
          at headwater.yml:3
        hint: add `name: target-jsonl`""",
    "plugins:\n  loaders:\n  - name: a:b\n": """
        error: the name `a:b` holds a `:` [bad-name]
          at headwater.yml:3
          the colon stands between a plugin and its command, and between the parts of a state id
        hint: rename it, for example to `a-b`""",
    EXTRACTOR + "  - name: tap-x\n": """
        error: there are two extractors named `tap-x` [duplicate-name]
          at headwater.yml:4
          the other one stands in headwater.yml:3
        hint: rename or remove one of the two""",
    "environments:\n- name: dev\n  state_id_sufix: x\n": """
        error: unknown key `state_id_sufix` in environment `dev` [unknown-key]
          at headwater.yml:3
        hint: did you mean `state_id_suffix`?""",
    "environments:\n- name: dev\n  config: {plugins: {loaders: [{name: a, pip_url: b}]}}\n": """
        error: `pip_url` of loader `a` cannot differ between environments [unknown-key]
          at headwater.yml:3
        hint: move it to the plugin's own entry below `plugins.loaders`""",
    "jobs:\n- name: daily\n": """
        error: job `daily` has no `tasks` [missing-key]
          at headwater.yml:2
        hint: add `tasks: [tap-github target-jsonl]`""",
    "jobs:\n- name: daily\n  tasks: [a, 'b \"c']\n": """
        error: cannot split a task of job `daily` into words: no closing quotation [bad-task]
          at headwater.yml:3
          b "c
        hint: close the quote""",
    "schedules:\n- name: daily\n  interval: '@daily'\n": """
        error: schedule `daily` has neither a `job` nor an `extractor` with a `loader` [missing-key]
          at headwater.yml:2
        hint: add `job: NAME`""",
    "include_paths: [../x.yml]\n": """
        error: `include_paths` holds `../x.yml`, which is not inside the project [include-outside-project]
          at headwater.yml:1
        hint: name files relative to the project folder, such as `conf/*.yml`""",
    "- plugins\n": """
        error: `headwater.yml` must be a mapping, not a list [wrong-type]
          at headwater.yml:1
        hint: write `key: value` lines, such as `default_environment: dev`""",
}


@pytest.mark.parametrize("text", REFUSALS)
def test_what_is_wrong_is_named_with_its_place(project, text):
    assert refusal(project, text) == dedent(REFUSALS[text]).lstrip("\n")


def test_a_typo_is_refused_in_meltano_yml_too_but_an_unknown_setting_is_kept(tmp_path):
    write(tmp_path, "meltano.yml", "my_company: {team: data}\nproject_id: x\n")
    assert load(tmp_path).settings == {"my_company.team": "data", "project_id": "x"}
    write(tmp_path, "meltano.yml", "plugns: {}\n")
    assert refusal(load, tmp_path).splitlines()[0] == "error: unknown key `plugns` in `meltano.yml` [unknown-key]"


def test_an_included_file_holds_the_four_lists_only(project):
    assert refusal(project, "include_paths: [more.yml]", more="env: {A: b}\n") == (
        "error: `env` cannot stand in an included file [unknown-key]\n"
        "  at more.yml:1\n"
        "  an included file holds `plugins`, `schedules`, `environments` and `jobs`\n"
        "hint: move it to headwater.yml"
    )


def test_a_name_taken_in_another_file_is_refused_with_both_places(project):
    text = "include_paths: [more.yml]\n" + EXTRACTOR
    assert refusal(project, text, more=EXTRACTOR) == (
        "error: there are two extractors named `tap-x` [duplicate-name]\n"
        "  at more.yml:3\n"
        "  the other one stands in headwater.yml:4\n"
        "hint: rename or remove one of the two"
    )


def test_a_link_out_of_the_project_is_not_followed(tmp_path):
    write(tmp_path, "secret.yml", "plugins: {}")
    write(tmp_path, "project/headwater.yml", "include_paths: ['*.yml']\n")
    (tmp_path / "project/link.yml").symlink_to(tmp_path / "secret.yml")
    assert refusal(load, tmp_path / "project") == (
        "error: `include_paths` leads to `link.yml`, which is a link out of the project [include-outside-project]\n"
        "  at headwater.yml:1\n"
        f"  it points to {tmp_path}/secret.yml\n"
        "hint: copy the file into the project"
    )


def test_the_same_name_may_be_used_for_two_kinds(project):
    read = project("plugins:\n  extractors: [{name: x}]\n  loaders: [{name: x}]\n")
    assert read.plugin("x", PluginKind.LOADER).kind is PluginKind.LOADER


@pytest.mark.parametrize(
    ("word", "known", "expected"),
    [
        ("confg", "config", True),
        ("configg", "config", True),
        ("cnofig", "config", True),
        ("comfig", "config", True),
        ("ocnfig", "config", True),
        ("config", "config", False),
        ("confs", "config", False),
        ("uri", "url", False),
        ("mappings", "mapping_name", False),
    ],
)
def test_one_slip_is_a_letter_too_many_too_few_wrong_or_swapped(word, known, expected):
    assert is_one_slip_away(word, known) is expected


def test_a_project_of_423_lines_is_loaded_in_under_15_ms(tmp_path):
    entry = "  - name: tap-{0}\n    variant: v\n    config:\n      host: h\n      port: {0}\n    select:\n    - a.*\n"
    write(tmp_path, "headwater.yml", "plugins:\n  extractors:\n" + "".join(entry.format(n) for n in range(60)) + "\n")
    load(tmp_path)
    times = []
    for _ in range(5):
        started = time.process_time()
        load(tmp_path)
        times.append(time.process_time() - started)
    assert min(times) < 0.015


def test_a_new_project_loads(tmp_path):
    written = project_template.create(tmp_path / "new", project_id="0-1")
    read = load(tmp_path / "new")
    assert (read.project_id, read.default_environment) == ("0-1", "dev")
    assert [item.name for item in read.environments] == ["dev", "staging", "prod"]
    assert [str(path.relative_to(tmp_path / "new")) for path in written] == [
        "headwater.yml",
        ".gitignore",
        "README.md",
        "models/.gitkeep",
        "data/.gitkeep",
        "output/.gitignore",
    ]


def test_a_folder_with_a_project_is_left_alone_unless_forced(tmp_path):
    write(tmp_path, "meltano.yml", "version: 1\n")
    write(tmp_path, "README.md", "mine")
    assert refusal(project_template.create, tmp_path, project_id="x") == (
        "error: there is a project in this folder already [project-exists]\n"
        f"  at {tmp_path}/meltano.yml\n"
        "hint: use another folder, or --force to write a new project file over it"
    )
    project_template.create(tmp_path, project_id="x", force=True)
    assert (tmp_path / "README.md").read_text() == "mine"
    assert load(tmp_path).project_id == "x"
