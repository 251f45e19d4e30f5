"""`run`, `el`, `elt` and what they leave behind: what arrives, what plugins are started with, which state is kept."""

from __future__ import annotations

import pytest

from drop_in import ASPECTS, PROJECTS, Case, Played, _seen

PAIR = "tap-notes target-lines"
ID = "dev:tap-notes-to-target-lines"
RAN = ("exit", "json", "loaded")
STARTED = ("exit", "arguments", "config", "catalogs", "states")


def _catalogs(played: Played):
    """What each sync was told to extract, metadata in the order of their places."""
    found = {name: seen["catalog"] for name, seen in _seen(played).items() if "catalog" in seen}
    for catalog in found.values():
        for stream in catalog["streams"]:
            stream["metadata"].sort(key=lambda item: item["breadcrumb"])
    return found


def _states(played: Played):
    """What each sync went on from. Meltano hands the state to a discovery, too."""
    syncs = {name: seen for name, seen in _seen(played).items() if "--discover" not in seen["arguments"]}
    return {name: seen["state"] for name, seen in syncs.items() if "state" in seen}


def _starts(played: Played):
    """The arguments of each start of a plugin, of a discovery only that it is one."""
    found = {name: seen["arguments"] for name, seen in _seen(played).items()}
    return {name: ["--discover"] if "--discover" in words else words for name, words in found.items()}


CATALOG = (
    '{"streams": [{"tap_stream_id": "notes", "stream": "notes", "schema": {"properties": '
    '{"id": {"type": "integer"}}}, "metadata": [{"breadcrumb": [], "metadata": {"selected": true}}]}]}'
)
# Lines of a log that programs look for; what belongs to one run is left out.
LINES = (
    "Environment 'dev' is active",
    "Running job with name '",
    "Using systemdb state backend",
    "Reading state from Database",
    "Reading state from Local Filesystem",
    "No state was found, complete import.",
    "Found state in ",
    "Using custom catalog in ",
    "Using cached catalog file",
    "Running catalog discovery",
    "Performing full refresh, ignoring state left behind by any previous runs.",
    "Incremental state has been updated at ",
    "Extractor failed",
    "Loader failed",
    "Mappers failed",
    "Run timed out",
    "Block run completed",
    "Run completed",
    "Dry run, but would have run block 1/2.",
    "Dry run, but would have run block 2/2.",
)


def _said(played: Played):
    """How often each of `LINES` is said by each command. How often a state is kept is a matter of moments."""
    return [
        {line: 1 if " state" in line else found for line in LINES if (found := step.err.count(line))}
        for step in played.steps
    ]


ASPECTS["said"] = _said
ASPECTS["catalogs"] = _catalogs
ASPECTS["states"] = _states
ASPECTS["starts"] = _starts

SUFFIXED = (PROJECTS / "running" / "meltano.yml").read_text()
SUFFIXED = (
    SUFFIXED.replace("  - name: dev\n", "  - name: dev\n    state_id_suffix: $TEAM-${BRANCH}\n", 1)
    + "\nenv:\n  TEAM: data\n"
)
LEVELS = """\
default_environment: dev
project_id: 6f2d0a6e-6b1b-4a3a-9a3c-0d6a34f6a002
env:
  EXTRA_A: project
  EXTRA_B: project
  EXTRA_C: project
  EXTRA_D: project
environments:
- name: dev
  env:
    EXTRA_C: environment
    EXTRA_D: environment
    EXTRA_E: environment of $EXTRA_SHELL
  config:
    plugins:
      extractors:
      - name: tap-notes
        env:
          EXTRA_D: here
          EXTRA_F: here
        config:
          url: https://$EXTRA_C.example
plugins:
  extractors:
  - name: tap-notes
    namespace: notes_source
    executable: ./bin/tap
    capabilities: [catalog, discover, state]
    settings:
    - name: url
      env: NOTES_URL
    - name: token
      sensitive: true
    - name: depth
      kind: integer
      value: 3
    - name: opened.at
    - name: tags
      kind: array
    env:
      EXTRA_D: plugin
      EXTRA_G: plugin $EXTRA_C
    config:
      opened.at: $EXTRA_SHELL+$EXTRA_DOTENV+$EXTRA_A
      tags: [a, b]
  loaders:
  - name: target-lines
    namespace: target_lines
    executable: ./bin/target
    settings:
    - name: folder
      value: output
    config:
      folder: out-$MELTANO_EXTRACT_DEPTH-$MELTANO_EXTRACTOR_NAMESPACE
  utilities:
  - name: say
    namespace: say
    executable: ./bin/tool
    settings:
    - name: word
      value: hello
"""
LATER = {"TAP_NOTES_FAIL_AFTER": "notes"}


def run(name, says, *script, compare=RAN, command="run", **more):
    return Case(name=name, command=command, says=says, script=script, compare=compare, project="running", **more)


def get(state_id=ID):
    return f"state get {state_id}"


STATE = [
    run("run-complete", "a complete run leaves its state", f"run {PAIR}", get()),
    run("run-incremental", "the next run goes on from there", f"run {PAIR}", f"run {PAIR}", get()),
    run("run-failed-partly", "a tap that fails leaves the state of what it did", f"run {PAIR}", get(), env=LATER),
    run(
        "run-after-failure",
        "and the next run goes on from that",
        f"run {PAIR}",
        "--environment dev config set tap-notes fail_after none",
        f"run {PAIR}",
        get(),
        files={".env": "TAP_NOTES_FAIL_AFTER=notes\n"},
        compare=("exit", "loaded"),
    ),
    run(
        "run-merge",
        "`--state-strategy merge` keeps what the run did not touch",
        f'state set {ID} \'{{"singer_state": {{"bookmarks": {{"other": {{"id": 9}}}}}}}}\' --force',
        f"run {PAIR} --state-strategy merge --full-refresh",
        get(),
    ),
    run(
        "run-merge-old-flag",
        "`--merge-state` says the same",
        f'state set {ID} \'{{"singer_state": {{"bookmarks": {{"other": {{"id": 9}}}}}}}}\' --force',
        f"run {PAIR} --merge-state",
        get(),
    ),
    run(
        "run-overwrite",
        "`--state-strategy overwrite` replaces it, also on a full refresh",
        f'state set {ID} \'{{"singer_state": {{"bookmarks": {{"other": {{"id": 9}}}}}}}}\' --force',
        f"run {PAIR} --state-strategy overwrite --full-refresh",
        get(),
    ),
    run("run-full-refresh", "from the beginning", f"run {PAIR}", f"run {PAIR} --full-refresh", get()),
    run(
        "run-full-refresh-merges",
        "a full refresh keeps the bookmarks of other streams",
        f'state set {ID} \'{{"singer_state": {{"bookmarks": {{"other": {{"id": 9}}}}}}}}\' --force',
        f"run {PAIR} --full-refresh",
        get(),
    ),
    run(
        "run-full-refresh-variable",
        "`MELTANO_RUN_FULL_REFRESH`",
        f"run {PAIR}",
        f"run {PAIR}",
        env={"MELTANO_RUN_FULL_REFRESH": "true"},
    ),
    run("run-suffix", "`--state-id-suffix`", f"run {PAIR} --state-id-suffix x", get(f"{ID}:x"), "state list"),
    run(
        "run-suffix-variable",
        "`MELTANO_RUN_STATE_ID_SUFFIX`",
        f"run {PAIR}",
        get(f"{ID}:v"),
        env={"MELTANO_RUN_STATE_ID_SUFFIX": "v"},
    ),
    run(
        "run-suffix-environment",
        "`state_id_suffix` of the environment: its own variables are not known there",
        f"--environment prod run {PAIR}",
        get("prod:tap-notes-to-target-lines"),
        get("prod:tap-notes-to-target-lines:production"),
    ),
    run(
        "run-suffix-of-the-shell",
        "`state_id_suffix` with variables of the shell and of the project's `env`",
        f"run {PAIR}",
        "state list",
        files={"meltano.yml": SUFFIXED},
        env={"BRANCH": "fix-1"},
        compare=("exit", "lines"),
    ),
    run(
        "run-tap-command",
        "a command of a tap",
        "run tap-notes:hello",
        differs={"exit": "it is run, as `invoke` does it; Meltano asks for a loader"},
        better=True,
    ),
    run(
        "run-no-state-update",
        "state is neither read nor written",
        f"run {PAIR}",
        f"run {PAIR} --no-state-update",
        get(),
    ),
    run(
        "run-two-pipelines",
        "each pipeline has its state",
        f"run {PAIR} tap-more target-lines",
        get(),
        get("dev:tap-more-to-target-lines"),
    ),
    run("el-state-id", "`--state-id`", f"el {PAIR} --state-id mine", get("mine"), command="el"),
    run(
        "el-state-id-variable",
        "`MELTANO_STATE_ID`",
        f"el {PAIR}",
        get("mine"),
        env={"MELTANO_STATE_ID": "mine"},
        command="el",
    ),
    run(
        "el-incremental",
        "goes on from there",
        f"el {PAIR} --state-id mine",
        f"el {PAIR} --state-id mine",
        get("mine"),
        command="el",
    ),
    run(
        "el-ephemeral",
        "without a state id, from the beginning",
        f"el {PAIR}",
        f"el {PAIR}",
        compare=("exit", "loaded"),
        command="el",
    ),
    run(
        "el-state-file",
        "`--state`",
        f"el {PAIR} --state-id mine --state state.json",
        get("mine"),
        files={"state.json": '{"bookmarks": {"notes": {"id": 2}}}'},
        compare=(*RAN, "states"),
        command="el",
    ),
    run(
        "el-catalog-file",
        "`--catalog`",
        f"el {PAIR} --state-id mine --catalog catalog.json",
        get("mine"),
        files={
            "catalog.json": CATALOG,
        },
        compare=(*RAN, "catalogs"),
        command="el",
    ),
    run(
        "el-select",
        "`--select`: these streams only",
        f"el {PAIR} --state-id mine --select authors",
        get("mine"),
        command="el",
    ),
    run(
        "el-exclude",
        "`--exclude`: all but these",
        f"el {PAIR} --state-id mine --exclude authors",
        get("mine"),
        command="el",
    ),
    run(
        "el-select-two",
        "both may come again",
        f"el {PAIR} --state-id m -s notes -s authors -e notes",
        get("m"),
        command="el",
    ),
    run(
        "el-full-refresh",
        "`--full-refresh`",
        f"el {PAIR} --state-id m",
        f"el {PAIR} --state-id m --full-refresh",
        get("m"),
        command="el",
    ),
    run(
        "el-select-refresh",
        "one stream anew, the state of the others stays",
        f"el {PAIR} --state-id m",
        f"el {PAIR} --state-id m --full-refresh --select authors",
        get("m"),
        command="el",
    ),
    run(
        "el-merge",
        "`--state-strategy merge`",
        f"el {PAIR} --state-id m --select notes",
        f"el {PAIR} --state-id m --select authors --state-strategy merge",
        get("m"),
        command="el",
    ),
    run(
        "el-overwrite",
        "`--state-strategy overwrite`",
        f"el {PAIR} --state-id m",
        f"el {PAIR} --state-id m --select authors --full-refresh --state-strategy overwrite",
        get("m"),
        command="el",
    ),
    run("el-failed", "a tap that fails", f"el {PAIR} --state-id m", get("m"), env=LATER, command="el"),
    run(
        "elt-skip",
        "`--transform skip` and no `--transform`",
        f"elt {PAIR} --transform skip --state-id m",
        f"elt {PAIR} --state-id m",
        get("m"),
        command="elt",
    ),
]

DUMPS = [
    run(
        "el-dump-config",
        "`--dump extractor-config`, with its secrets",
        f"el {PAIR} --dump extractor-config",
        compare=("exit", "json"),
        env={"TAP_NOTES_TOKEN": "t0ken"},
        command="el",
    ),
    run(
        "el-dump-loader-config",
        "`--dump loader-config`",
        f"el {PAIR} --dump loader-config",
        compare=("exit", "json"),
        command="el",
    ),
    run(
        "el-dump-catalog",
        "`--dump catalog`",
        f"el {PAIR} --dump catalog --select notes",
        compare=("exit", "catalog streams"),
        command="el",
    ),
    run(
        "el-dump-state",
        "`--dump state`",
        f"el {PAIR} --state-id m",
        f"el {PAIR} --state-id m --dump state",
        compare=("exit", "json"),
        command="el",
    ),
    run(
        "el-dump-no-state",
        "`--dump state` without one",
        f"el {PAIR} --state-id m --dump state",
        compare=("exit",),
        command="el",
    ),
    run(
        "el-unknown",
        "a plugin that is not there",
        "el tap-nope target-lines",
        compare=("exit",),
        command="el",
    ),
    run("el-usage", "an argument too few", "el tap-notes", compare=("exit",), command="el"),
    run(
        "invoke-dump-config",
        "`--dump config`, with its secrets",
        "invoke --dump config tap-notes",
        compare=("exit", "json"),
        env={"TAP_NOTES_TOKEN": "t0ken"},
        command="invoke",
    ),
    run(
        "invoke-dump-catalog",
        "`--dump catalog`",
        "invoke --dump=catalog tap-notes",
        compare=("exit", "catalog streams"),
        command="invoke",
    ),
]

STARTS = [
    run("run-starts", "arguments, config files, catalog", f"run {PAIR}", compare=STARTED),
    run(
        "run-starts-again", "the state file of the second run", f"run {PAIR}", f"run {PAIR}", compare=("exit", "states")
    ),
    run("run-environment-tap", "variables that plugins find", f"run {PAIR}", compare=("exit", "environment")),
    run(
        "run-environment-prod",
        "those of an environment too",
        f"--environment prod run {PAIR} say:stage",
        compare=("exit", "environment"),
    ),
    run(
        "run-environment-mapper",
        "a mapper between them, with the settings of its mapping",
        "run tap-notes shout target-lines",
        compare=("exit", "environment"),
    ),
    run(
        "run-environment-heir",
        "a plugin that inherits",
        "run tap-more target-lines",
        compare=("exit", "environment"),
    ),
    run(
        "run-environment-levels",
        "`env` of the project, of the environment, of a plugin and of a plugin in the environment, and `.env`",
        f"run {PAIR} say",
        compare=("exit", "environment", "config"),
        files={"meltano.yml": LEVELS, ".env": "EXTRA_DOTENV=dotenv\nEXTRA_A=dotenv\nTAP_NOTES_DEPTH=4\n"},
        env={"EXTRA_B": "shell", "EXTRA_SHELL": "shell"},
    ),
    run(
        "run-environment-nested",
        "variables in `env` that name others",
        f"run {PAIR}",
        compare=("exit", "environment"),
        files={"meltano.yml": LEVELS.replace("EXTRA_B: project", "EXTRA_B: $EXTRA_SHELL")},
        env={"EXTRA_SHELL": "shell"},
        differs={"environment": "Meltano leaves those in the project's `env` as they are written"},
        better=True,
    ),
    run(
        "el-environment",
        "what `el` gives them",
        f"el {PAIR} --state-id mine",
        compare=("exit", "environment"),
        command="el",
    ),
    run(
        "run-environment-secret",
        "a secret of the extractor is no business of the loader",
        f"run {PAIR}",
        compare=("exit", "environment"),
        env={"TAP_NOTES_TOKEN": "t0ken"},
        differs={"environment": "unless `share_extractor_secrets` says so"},
        better=True,
    ),
    run(
        "run-selected",
        "a selection, in the catalog the tap gets",
        "run tap-more target-lines",
        compare=("exit", "catalogs", "loaded"),
    ),
    run(
        "run-variable-select",
        "`TAP_NOTES__SELECT`",
        f"run {PAIR}",
        compare=("exit", "catalogs", "loaded"),
        env={"TAP_NOTES__SELECT": '["notes.text"]'},
    ),
    run(
        "run-variable-filter",
        "`TAP_NOTES__SELECT_FILTER`",
        f"run {PAIR}",
        compare=("exit", "catalogs", "loaded"),
        env={"TAP_NOTES__SELECT_FILTER": '["!notes"]'},
    ),
    run(
        "run-variable-config",
        "a setting from a variable",
        f"run {PAIR}",
        compare=("exit", "config"),
        env={"TAP_NOTES_URL": "https://other.example"},
    ),
    run(
        "run-metadata",
        "`metadata` and `schema` of an extractor",
        f"run {PAIR}",
        compare=("exit", "catalogs", "loaded"),
        env={
            "TAP_NOTES__METADATA": '{"notes": {"replication-method": "FULL_TABLE"}}',
            "TAP_NOTES__SCHEMA": '{"notes": {"text": {"type": "string"}}}',
        },
    ),
    run(
        "run-mapper",
        "a mapping between tap and target",
        "run tap-notes shout target-lines",
        compare=("exit", "loaded", "config"),
    ),
    run(
        "run-mapper-variable",
        "variables in a mapping",
        "--environment prod run tap-notes whisper target-lines",
        compare=("exit", "loaded"),
        differs={"loaded": "Meltano does not know the environment's own variables there, and puts nothing in"},
        better=True,
    ),
    run("run-two-mappers", "one after the other", "run tap-notes shout shout target-lines", compare=("exit", "loaded")),
    run(
        "run-refresh-catalog",
        "`--refresh-catalog` discovers again",
        f"run {PAIR}",
        f"run {PAIR} --refresh-catalog",
        compare=("exit", "starts"),
    ),
    run(
        "run-cached-catalog",
        "the catalog is discovered once",
        f"run {PAIR}",
        f"run {PAIR}",
        compare=("exit", "starts"),
    ),
]

BLOCKS = [
    run("run-job", "a job", "run notes", compare=("exit", "loaded")),
    run("run-nested-job", "a job of nested tasks", "run nested", compare=("exit", "loaded")),
    run(
        "run-job-of-one-text",
        "a job whose tasks are one text",
        "run one-text",
        compare=("exit", "loaded"),
        differs=dict.fromkeys(("exit", "loaded"), "Meltano looks for a block of each letter"),
        better=True,
    ),
    run("run-job-and-blocks", "jobs and blocks", "run notes say:hi", compare=("exit", "loaded")),
    run("run-command", "a command of a plugin", "run say:hi", compare=("exit", "arguments")),
    run("run-command-fails", "a command that fails ends the run", f"run say:fail {PAIR}", compare=("exit", "loaded")),
    run("run-command-unknown", "a command that is not there", "run say:nope", compare=("exit",)),
    run(
        "run-tap-fails",
        "a tap that fails at once",
        f"run {PAIR} say:hi",
        compare=("exit", "loaded", "arguments"),
        env={"TAP_NOTES_FAIL": "3"},
    ),
    run(
        "run-target-fails",
        "a target that fails",
        f"run {PAIR} say:hi",
        compare=("exit", "loaded"),
        env={"TARGET_LINES_FAIL": "3"},
    ),
    run(
        "run-unknown",
        "a block that is not there: nothing runs",
        f"run {PAIR} tap-nope target-lines",
        compare=("exit", "loaded"),
    ),
    run(
        "run-no-loader",
        "a tap without a target: nothing runs",
        f"run {PAIR} tap-more",
        compare=("exit", "loaded"),
    ),
    run("run-loader-first", "a target without a tap", "run target-lines", compare=("exit",)),
    run(
        "run-mapper-name",
        "a mapper by its own name",
        "run tap-notes map-text target-lines",
        compare=("exit",),
    ),
    run(
        "run-nothing",
        "no block at all",
        "run",
        compare=("exit",),
        differs={"exit": "a run of nothing is a mistake in the script that starts it"},
        better=True,
    ),
    run(
        "run-no-environment",
        "without an environment",
        f"--no-environment run {PAIR}",
        compare=("exit",),
        differs={"exit": "an environment is used when there is one"},
        better=True,
    ),
    run(
        "run-dry", "`--dry-run` starts nothing", f"run --dry-run {PAIR} say:hi", compare=("exit", "loaded", "arguments")
    ),
    run(
        "run-id",
        "`--run-id` must be a UUID",
        f"run --run-id 7 {PAIR}",
        f"run --run-id 6f2d0a6e-6b1b-4a3a-9a3c-0d6a34f6a001 {PAIR}",
        compare=("exit",),
    ),
    run(
        "run-merge-twice",
        "`--merge-state` beside `--state-strategy`",
        f"run --merge-state --state-strategy overwrite {PAIR}",
        compare=("exit",),
    ),
    run("run-timeout-zero", "`--timeout 0` is refused", f"run --timeout 0 {PAIR}", compare=("exit",)),
    run("run-underscores", "underscores in options", f"run --full_refresh --state_id_suffix x {PAIR}", get(f"{ID}:x")),
    run(
        "run-no-install",
        "`--no-install`, `--install`, `--only-install`",
        f"run --no-install {PAIR}",
        f"run --install {PAIR}",
        "run --only-install tap-notes target-lines",
        compare=("exit",),
    ),
]

SAID = [
    run("said-run", "what the log says of a run and the next one", f"run {PAIR}", f"run {PAIR}", compare=("said",)),
    run("said-full", "of a full refresh", f"run {PAIR}", f"run --full-refresh {PAIR}", compare=("said",)),
    run("said-two", "of two pipelines and a command", f"run {PAIR} tap-more target-lines say:hi", compare=("said",)),
    run("said-tap-fails", "of a tap that fails", f"run {PAIR} say:hi", compare=("said",), env={"TAP_NOTES_FAIL": "3"}),
    run(
        "said-target-fails", "of a target that fails", f"run {PAIR}", compare=("said",), env={"TARGET_LINES_FAIL": "3"}
    ),
    run("said-command-fails", "of a command that fails", f"run say:fail {PAIR}", compare=("said",)),
    run(
        "said-dry",
        "of `--dry-run`",
        f"run --dry-run {PAIR} say:hi",
        compare=("said",),
        differs={"said": "nothing is said of a run that is none: neither its environment nor its end"},
    ),
    run(
        "said-file",
        "where states are kept in a folder",
        "config set meltano state_backend.uri file://$HOME/states",
        f"run {PAIR}",
        compare=("said",),
        differs={"said": "that there is no state is said wherever states are kept"},
        better=True,
    ),
    run(
        "said-given",
        "of a state and a catalog that are given",
        f"run {PAIR}",
        compare=("said",),
        files={"state.json": '{"bookmarks": {}}', "catalog.json": CATALOG},
        env={"TAP_NOTES__STATE": "state.json", "TAP_NOTES__CATALOG": "catalog.json"},
        differs={"said": "it is said where states are kept, though the one that is given counts"},
    ),
]

CASES = [*STATE, *DUMPS, *STARTS, *BLOCKS, *SAID]


def _catalog_streams(played: Played):
    """Of a printed catalog: which streams are chosen, and which of their properties."""
    found = []
    for catalog in ASPECTS["json"](played):
        streams = (catalog or {}).get("streams") or ()
        found.append(
            {
                stream["stream"]: sorted(
                    "/".join(item["breadcrumb"]) for item in stream["metadata"] if item["metadata"].get("selected")
                )
                for stream in streams
            }
        )
    return found


ASPECTS["catalog streams"] = _catalog_streams


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_answers_as_meltano_does(case: Case, same) -> None:
    same(case)
