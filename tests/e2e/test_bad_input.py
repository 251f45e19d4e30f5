"""What a person did wrong, and the whole message they get. Exit code 2 unless the test says otherwise."""

from __future__ import annotations

import re

import pytest

PROJECT = """\
default_environment: dev
environments: [{name: dev}]
plugins:
  extractors:
  - name: tap-files
    variant: headwater
    config:
      path: data/*.csv
  - name: tap-numbers
    namespace: numbers
    executable: ./bin/tap_numbers
    capabilities: [discover, catalog, state]
    settings:
    - {name: upto, kind: integer}
    - {name: token, required: true}
    config: {token: "x"}
  loaders:
  - name: target-duckdb
    variant: headwater
  - name: target-lines
    namespace: lines
    executable: ./bin/target_lines
"""


@pytest.fixture
def made(project):
    hw = project(PROJECT)
    hw.script("tap_numbers")
    hw.script("target_lines")
    hw.write("data/people.csv", "id,name\n1,Ada\n")
    return hw


def changed(hw, old, new):
    assert old in PROJECT
    hw.write("headwater.yml", PROJECT.replace(old, new))
    return hw


def refused(hw, *command, code=2, **env):
    """The error alone: a command that was refused says nothing else, and no traceback."""
    done = hw(*command, **env)
    assert (done.code, done.out) == (code, "")
    assert "Traceback" not in done.error
    return done.error.replace(str(hw.root), "ROOT")


def test_no_project(hw):
    assert refused(hw, "run", "tap-files", "target-duckdb") == (
        "error: no project here: neither `ROOT` nor a folder above it holds headwater.yml or meltano.yml [no-project]\n"
        "hint: headwater init (a new project here) or headwater demo (one with data)\n"
    )


def test_a_bracket_that_is_not_closed(made):
    made.write("headwater.yml", PROJECT + "    config: {after: [1, 2\n")
    assert refused(made, "run", "tap-files", "target-duckdb") == (
        "error: headwater.yml:23: the YAML is broken: what opens here is not closed [broken-yaml]\n"
        "      config: {after: [1, 2\n"
        "                      ^\n"
        "hint: close the bracket or quote\n"
    )


def test_a_quote_that_is_not_closed(made):
    changed(made, 'config: {token: "x"}', 'config: {token: "x}')
    error = refused(made, "run", "tap-files", "target-duckdb")
    assert error.splitlines()[0].startswith("error: headwater.yml:")
    assert '    config: {token: "x}' in error


def test_a_line_with_the_wrong_indentation(made):
    changed(made, "    executable: ./bin/tap_numbers", "   executable: ./bin/tap_numbers")
    assert refused(made, "run", "tap-files", "target-duckdb") == (
        "error: headwater.yml:11: the YAML is broken: did not find expected key [broken-yaml]\n"
        "     executable: ./bin/tap_numbers\n"
        "     ^\n"
        "hint: check the indentation of this line and for a quote left open above it\n"
    )


def test_a_section_that_is_no_list(project):
    hw = project("plugins:\n  extractors: tap-files\n")
    assert refused(hw, "run", "tap-files", "target-duckdb") == (
        "error: headwater.yml:2: `extractors` in `plugins` must be a list, not text [wrong-type]\n"
        "hint: write each entry on a line of its own below `extractors:`, beginning with `- `\n"
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "default_environment",
            "default_enviroment",
            (
                "error: headwater.yml:1: unknown key `default_enviroment` in `headwater.yml` [unknown-key]\n"
                "hint: did you mean `default_environment`?\n"
            ),
        ),
        (
            "extractors:",
            "extractorz:",
            (
                "error: headwater.yml:4: unknown key `extractorz` in `plugins` [unknown-key]\n"
                "hint: did you mean `extractors`?\n"
            ),
        ),
        (
            "executable: ./bin/tap_numbers",
            "exectuable: ./bin/tap_numbers",
            (
                "error: headwater.yml:11: unknown key `exectuable` in extractor `tap-numbers` [unknown-key]\n"
                "hint: did you mean `executable`?\n"
            ),
        ),
    ],
)
def test_an_unknown_key(made, old, new, message):
    changed(made, old, new)
    assert refused(made, "run", "tap-files", "target-duckdb") == message


def test_an_unknown_setting_of_a_native_plugin(made):
    changed(made, "path: data/*.csv", "path: data/*.csv\n      nul_values: [NA]")
    error = refused(made, "run", "tap-files", "target-duckdb")
    assert re.sub(r"headwater.yml:\d: ", "", error) == (
        "error: `tap-files` has no setting `nul_values` [unknown-setting]\nhint: did you mean `null_values`?\n"
    )


def test_a_block_that_does_not_exist(made):
    error = refused(made, "run", "tap-filse", "target-duckdb").replace("ROOT/", "")
    assert error == (
        "error: headwater.yml: block `tap-filse` not found: it is no plugin, mapping or job of this project "
        "[unknown-block]\n"
        "hint: did you mean `tap-files`?\n"
    )


def test_a_plugin_that_the_index_does_not_have(made):
    assert refused(made, "add", "tap-postgrs") == (
        "error: the hub has no plugin `tap-postgrs` [unknown-plugin]\nhint: did you mean `tap-postgres`?\n"
    )
    assert refused(made, "add", "tap-zzzzzzzz") == (
        "error: the hub has no plugin `tap-zzzzzzzz` [unknown-plugin]\n"
        "hint: headwater add tap-zzzzzzzz --custom --pip-url PACKAGE\n"
    )


def test_blocks_in_an_order_that_makes_no_pipeline(made):
    assert refused(made, "run", "tap-files") == (
        "error: loader missing at the end: `tap-files` is an extractor and its rows need somewhere to go "
        "[loader-missing]\n"
        "hint: headwater run tap-files target-duckdb\n"
    )
    assert refused(made, "run", "target-duckdb", "tap-files") == (
        "error: `target-duckdb` is a loader and needs an extractor before it [bad-block-order]\n"
        "hint: headwater run TAP target-duckdb\n"
    )


def test_a_misspelt_command_and_a_misspelt_option(made):
    assert refused(made, "rnu") == (
        "error: no such command `rnu` [bad-usage]\nhint: did you mean `run`? or: headwater --help\n"
    )
    assert refused(made, "run", "--frce") == (
        "error: no such option `--frce` [bad-usage]\nhint: did you mean `--force`? or: headwater run --help\n"
    )


def test_a_setting_of_the_wrong_type_in_the_file_in_a_variable_and_on_the_command_line(made):
    changed(made, "path: data/*.csv", "header: maybe")
    message = "the setting `header` of `tap-files` must be `true` or `false` [wrong-setting-type]\n"
    assert refused(made, "run", "tap-files", "target-duckdb") == (
        f"error: headwater.yml:8: {message}"
        "  headwater.yml:8 gives `maybe` (kind `boolean`)\n"
        "hint: headwater config set tap-files header …\n"
    )
    changed(made, "path: data/*.csv", "path: data/*.csv")
    assert refused(made, "run", "tap-files", "target-duckdb", TAP_FILES_HEADER="perhaps") == (
        f"error: {message}"
        "  TAP_FILES_HEADER gives `perhaps` (kind `boolean`)\n"
        "hint: headwater config set tap-files header …\n"
    )
    assert refused(made, "config", "set", "tap-files", "header", "maybe") == (
        "error: setting `header` of `tap-files` must be `true` or `false` [wrong-setting-type]\n"
        "  got `maybe`\n"
        "hint: headwater config list tap-files --all\n"
    )


def test_a_required_setting_that_is_missing(made):
    changed(made, 'config: {token: "x"}', "config: {upto: 3}")
    assert refused(made, "run", "tap-numbers", "target-duckdb") == (
        "error: headwater.yml:9: extractor `tap-numbers` needs the setting `token` [missing-setting]\n"
        "hint: headwater config set tap-numbers token …\n"
    )


def test_a_pattern_that_matches_no_file(made):
    (made.root / "data/people.csv").unlink()
    error = refused(made, "run", "tap-files", "target-duckdb")
    assert error == ("error: no file matches `data/*.csv` [no-file-found]\n  looked in ROOT\nhint: ls data/*.csv\n")


def test_a_tap_that_logs_to_stdout(made):
    changed(made, 'config: {token: "x"}', 'config: {token: "x", chatter: true}')
    assert refused(made, "run", "tap-numbers", "target-duckdb", code=1) == (
        "error: line 1 of the tap's output is log text, not a Singer message [tap-logs-to-stdout]\n"
        "  at byte 0: JSON is malformed: invalid character (byte 0); around it: Hello from the tap\n"
        "hint: let it log to stderr, or forward such lines: headwater config set TAP _tolerate_stdout_noise true\n"
    )
    assert refused(made, "run", "tap-numbers", "target-lines", code=1) == (
        "error: loader `target-lines` failed with exit code 1 [loader-failed]\n"
        "  json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)\n"
        "hint: the extractor may write something else than Singer messages to stdout: look at its first lines\n"
    )


def test_the_way_out_that_the_message_names_for_such_a_tap(made):
    changed(made, 'config: {token: "x"}', 'config: {token: "x", chatter: true}\n    tolerate_stdout_noise: true')
    assert "the tap wrote to stdout: Hello from the tap" in made.ok("run", "tap-numbers", "target-duckdb").err
    assert made.query("select count(*) from numbers.numbers") == [(10,)]


def test_a_program_that_is_not_there(made):
    (made.root / "bin/tap_numbers").unlink()
    error = refused(made, "run", "tap-numbers", "target-lines", code=3)
    assert error.splitlines()[0] == (
        "error: cannot start `tap-numbers`: `ROOT/bin/tap_numbers` was not found [cannot-start]"
    )


def test_a_plugin_that_does_not_build_shows_the_builder_s_own_words(made):
    made.write(
        "broken/pyproject.toml",
        "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"
        "[project]\nname = 'tap-broken'\nversion = '1.0'\n",
    )
    made.write("broken/backend.py", "def build_wheel(*_):\n    raise SystemExit('the moon is in the wrong phase')\n")
    changed(
        made,
        "  - name: tap-files",
        "  - name: tap-broken\n    namespace: broken\n    pip_url: ./broken\n  - name: tap-files",
    )
    for command in (("install", "tap-broken"), ("run", "tap-broken", "target-duckdb")):
        error = refused(made, *command, code=1)
        lines = error.splitlines()
        assert lines[0] == "error: cannot install `tap-broken` [plugin-install-failed]"
        assert lines[-1] == (
            'hint: its source does not build with this Python: try `python: "3.9"`, or newer parts in `overrides`'
        )
        assert "the moon is in the wrong phase" in error
    made.ok("run", "tap-files", "target-duckdb")  # the others are not held up


def test_a_plugin_whose_requirements_contradict_each_other(made):
    made.write("broken/pyproject.toml", "[project]\nname = 'tap-broken'\nversion = '1.0'\nrequires-python = '>=4'\n")
    changed(
        made,
        "  - name: tap-files",
        "  - name: tap-broken\n    namespace: broken\n    pip_url: ./broken\n  - name: tap-files",
    )
    error = refused(made, "install", "tap-broken", code=1)
    assert error.splitlines()[0] == "error: cannot install `tap-broken` [plugin-install-failed]"
    assert "Python>=4" in error.replace(" ", "")


def test_a_state_that_is_no_json(made):
    assert refused(made, "state", "set", "dev:x", "{nonsense", "--force") == (
        "error: the state is not a JSON object [invalid-state]\n"
        "  JSON is malformed: object keys must be strings (byte 1)\n"
        "hint: headwater state set ID '{\"singer_state\": {}}'\n"
    )
    assert refused(made, "state", "set", "dev:x", '{"bookmarks": {}}', "--force") == (
        "error: the state has no `singer_state` [invalid-state]\n"
        '  {"bookmarks": {}}\n'
        'hint: wrap it as {"singer_state": {…}}, or set it as it is: headwater state set --no-validate ID JSON\n'
    )
    assert refused(made, "state", "copy", "dev:nothing", "dev:x", "--force") == (
        "error: there is no state `dev:nothing` [no-such-state]\nhint: headwater state list\n"
    )


def test_an_environment_that_does_not_exist(made):
    error = refused(made, "--environment", "dve", "run", "tap-files", "target-duckdb").replace("ROOT/", "")
    assert error == (
        "error: headwater.yml: environment `dve` not found [unknown-environment]\nhint: did you mean `dev`?\n"
    )
