"""Commands of dbt in a run, with a small program in the place of dbt."""

from __future__ import annotations

import json
import os
import sys
import threading
import time

import pytest

from headwater.base.lease import lease
from headwater.model.event import Checked, Level, Lineage, ModelBuilt, Outcome, PluginLine, StepFinished

ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="forks are safe on Linux only")


def test_models_and_tests_become_events(lab):
    lab.dbt(
        """
say("MainReportVersion", msg="Running with dbt=9")
node("model.shop.orders", "success", "SELECT 3", execution_time=0.5, adapter_response={"rows_affected": 3.0})
node("test.shop.unique_id.0123456789", "pass")
node("test.shop.few.0123456789", "warn", "Got 2 results", num_failures=2)
say("LogModelResult", msg="1 of 3 OK created")
"""
    )
    assert lab.run(lab.step("build")) is Outcome.SUCCESS
    assert lab.of(ModelBuilt) == [
        ModelBuilt(step="dbt:build", model="orders", outcome=Outcome.SUCCESS, rows=3, seconds=0.5)
    ]
    assert lab.of(Checked) == [
        Checked(step="dbt:build", check="unique_id", outcome=Outcome.SUCCESS),
        Checked(step="dbt:build", check="few", outcome=Outcome.FAILED, severity="warn", failing=2),
    ]
    assert lab.lines == ["Running with dbt=9"]


def test_a_command_that_only_reads_builds_and_passes_nothing(lab):
    lab.dbt("""
node("model.shop.orders", "success")
node("test.shop.unique_id.0123456789", "success")
node("model.shop.best", "error", "Compilation Error")
return 1
""")
    lab.run(lab.step("compile"))
    assert [(event.model, event.outcome) for event in lab.of(ModelBuilt)] == [("best", Outcome.FAILED)]
    assert lab.of(Checked) == []


def test_a_failure_names_the_model_its_file_and_what_was_left_out(lab):
    nodes = {
        key: {"unique_id": key, "name": key.split(".")[2], "resource_type": "model", "original_file_path": file}
        for key, file in {"model.shop.orders": "models/orders.sql", "model.shop.best": "models/best.sql"}.items()
    }
    nodes["model.shop.best"]["depends_on"] = {"nodes": ["model.shop.orders"]}
    lab.write("transform/target/manifest.json", json.dumps({"nodes": nodes}))
    lab.dbt(
        """
node("model.shop.orders", "error", "Runtime Error\\n  no column hunter22")
node("model.shop.best", "skipped")
return 1
"""
    )
    assert lab.run(lab.step("build")) is Outcome.FAILED
    assert (lab.problem.reference, lab.problem.exit_code) == ("dbt-failed", 1)
    assert lab.problem.what == "model `orders` failed"
    assert lab.problem.where == "transform/models/orders.sql"
    assert lab.problem.why == (
        "`orders` (transform/models/orders.sql): Runtime Error no column (redacted)\n"
        "not built, because they need it: best"
    )
    (lineage,) = lab.of(Lineage)
    assert lineage.nodes[1].needs == ("model.shop.orders",)
    assert [event.outcome for event in lab.of(ModelBuilt)] == [Outcome.FAILED, Outcome.CANCELLED]


def test_what_the_log_does_not_tell_is_read_from_the_results(lab):
    results = [{"unique_id": "test.shop.a.b.0123456789", "status": "fail", "failures": 4, "message": "Got 4 results"}]
    lab.dbt(
        f"""
os.makedirs("transform/target", exist_ok=True)
open("transform/target/run_results.json", "w").write({json.dumps({"results": results})!r})
return 1
"""
    )
    lab.run(lab.step("test"))
    assert lab.of(Checked) == [Checked(step="dbt:test", check="a.b", outcome=Outcome.FAILED, failing=4)]
    assert lab.problem.what == "test `a.b` failed"


def test_results_of_an_earlier_command_are_not_told_again(lab):
    lab.write("transform/target/run_results.json", '{"results": [{"unique_id": "model.s.old", "status": "error"}]}')
    os.utime(lab.root / "transform/target/run_results.json", (1, 1))
    lab.dbt("print('nothing to do')")
    assert lab.run(lab.step("run")) is Outcome.SUCCESS
    assert lab.of(ModelBuilt) == []


def test_results_of_the_command_just_before_are_not_told_again(lab):
    lab.dbt(
        """
if "run" in sys.argv:
    os.makedirs("transform/target", exist_ok=True)
    made = {"unique_id": "model.s.x", "status": "success"}
    open("transform/target/run_results.json", "w").write(json.dumps({"results": [made]}))
"""
    )
    assert lab.run(lab.step("run"), lab.step("debug")) is Outcome.SUCCESS
    assert [(event.step, event.model) for event in lab.of(ModelBuilt)] == [("dbt:run", "x")]


@pytest.mark.parametrize(
    ("said", "reference", "where"),
    [
        (
            "Compilation Error\n  Model 'model.shop.x' (models/x.sql) depends on a node named 'y' which was not found",
            "dbt-missing-ref",
            "transform/models/x.sql",
        ),
        ("Compilation Error\n  Found a cycle: model.shop.x --> model.shop.y", "dbt-cycle", "transform/models/x.sql"),
        ("Runtime Error\n  Could not find adapter type postgres!", "dbt-adapter-missing", None),
        (
            "Parsing Error\n  Error reading shop: x.sql - Syntax error near line 2",
            "dbt-project",
            "transform/models/x.sql:2",
        ),
        ("Runtime Error\n  Could not find profile named 'shop'", "dbt-profile", None),
        ("Runtime Error\n  The profile 'shop' does not have a target named 'prod'.", "dbt-profile", None),
        ("Runtime Error\n  No dbt_project.yml found at expected path", "no-dbt-project", "transform/dbt_project.yml"),
    ],
)
def test_a_project_that_dbt_cannot_read_is_the_users_to_mend(lab, said, reference, where):
    lab.write("transform/models/x.sql", "select 1")
    lab.dbt(f"say('MainEncounteredError', 'error', 'Encountered an error', exc={said!r})\nreturn 2")
    lab.run(lab.step("build"))
    assert (lab.problem.reference, lab.problem.where, lab.problem.exit_code) == (reference, where, 2)
    assert lab.problem.hint
    assert lab.problem.why == said


@pytest.mark.parametrize(
    ("said", "reference"),
    [
        ("Runtime Error\n  Could not find profile named 'shop'", "dbt-profile"),
        ("Error: Invalid value for '--profiles-dir': Path 'p/duckdb' does not exist.", "dbt-profile"),
        (
            'Runtime Error\n  Credentials in profile "s", target "t" invalid: Could not find adapter type snowflake!',
            "dbt-adapter-missing",
        ),
    ],
)
def test_what_is_wrong_with_the_profile_is_mended_in_its_file(lab, said, reference):
    lab.dbt(f"say('MainEncounteredError', 'error', 'Encountered an error', exc={said!r})\nreturn 2")
    lab.run(lab.step("build", env={"DBT_PROFILES_DIR": "profiles/duckdb"}))
    assert (lab.problem.reference, lab.problem.where) == (reference, "profiles/duckdb/profiles.yml")


def test_where_in_its_code_dbt_was_is_for_those_who_debug(lab):
    lab.dbt("say('MainEncounteredError', 'error', 'oh')\nsay('MainStackTrace', 'error', 'Traceback\\n  x')\nreturn 1")
    lab.run(lab.step("build"))
    assert [(event.level, event.text) for event in lab.of(PluginLine)] == [
        (Level.ERROR, "oh"),
        (Level.DEBUG, "Traceback"),
        (Level.DEBUG, "  x"),
    ]


def test_another_failure_shows_the_last_lines(lab):
    lab.dbt("print('the server is gone')\nreturn 1")
    lab.run(lab.step("debug"))
    assert (lab.problem.reference, lab.problem.why) == ("command-failed", "the server is gone")


def test_the_file_of_the_warehouse_is_ours_while_dbt_works(lab):
    lab.dbt(
        """
import fcntl
try:
    fcntl.flock(os.open("transform/.w.duckdb.lease/use", os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)
    print("free")
except BlockingIOError:
    print("held")
"""
    )
    lab.run(lab.step("build", files=("w.duckdb",)))
    assert lab.lines == ["held"]
    with lease(lab.root / "transform" / "w.duckdb", exclusive=True, who="test", timeout=0):
        pass


def test_packages_that_were_never_fetched_are_fetched_first(lab):
    lab.write("transform/packages.yml", "packages: []\n")
    lab.dbt("print(*sys.argv[1:])\nif sys.argv[1] == 'deps': os.mkdir('transform/dbt_packages')")
    lab.run(lab.step("build"))
    assert lab.lines == ["deps", "build"]
    lab.run(lab.step("build"))
    assert lab.lines == ["build"]


def test_packages_are_left_alone_when_that_is_said(lab):
    lab.write("transform/packages.yml", "packages: []\n")
    lab.dbt("print(*sys.argv[1:])")
    lab.run(lab.step("build", packages=False))
    assert lab.lines == ["build"]


WHO = """
global count
count += 1
print(os.getppid(), count, os.environ.get("FLAG"), os.getcwd(), *sys.argv[1:])
os.environ["FLAG"] = "left behind"
sys.exit(3 if "fail" in sys.argv else 0)
"""


@ON_LINUX
def test_commands_of_a_run_share_a_worker_and_nothing_else(lab):
    lab.dbt(WHO)
    assert lab.run(lab.step("run", env={"FLAG": "1"}), lab.step("test"), lab.step("docs")) is Outcome.SUCCESS
    (worker, *first), (again, *second), (once_more, *_) = (line.split() for line in lab.lines)
    assert worker == again == once_more
    assert first == ["1", "1", str(lab.root), "run"]
    assert second == ["1", "None", str(lab.root), "test"]


@ON_LINUX
def test_the_worker_is_gone_with_its_run(lab):
    lab.dbt(WHO)
    lab.run(lab.step("run"), lab.step("test"))
    worker = lab.lines[0].split()[0]
    with pytest.raises(ProcessLookupError):
        os.kill(int(worker), 0)


@ON_LINUX
def test_a_failure_in_the_worker_ends_the_run_with_its_code(lab):
    lab.dbt(WHO)
    assert lab.run(lab.step("fail"), lab.step("test")) is Outcome.FAILED
    assert lab.problem.what == "`dbt:fail` failed with exit code 3"
    assert len(lab.of(StepFinished)) == 1


@ON_LINUX
def test_a_worker_with_threads_is_left_for_a_plain_process(lab):
    lab.dbt(WHO)
    main = lab.root / "lib" / "dbt" / "cli" / "main.py"
    main.write_text(
        f"import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n{main.read_text()}"
    )
    assert lab.run(lab.step("run"), lab.step("test")) is Outcome.SUCCESS
    assert {line.split()[0] for line in lab.lines} == {str(os.getpid())}


@ON_LINUX
def test_a_worker_that_cannot_load_dbt_is_left_for_a_plain_process(lab):
    lab.dbt(WHO)
    steps = [lab.step(word, env={"PYTHONPATH": str(lab.root)}) for word in ("run", "test")]
    assert lab.run(*steps) is Outcome.SUCCESS


@ON_LINUX
def test_a_program_beside_a_python_without_dbt_runs_as_it_is(lab):
    lab.dbt("say('Note', msg='never')")
    program = lab.venv / "bin" / "dbt"
    program.write_text("#!/bin/sh\necho plain $*\nexit 3\n")
    (lab.root / "lib" / "dbt" / "cli" / "main.py").unlink()
    assert lab.run(lab.step("build")) is Outcome.FAILED
    assert lab.lines == ["plain build"]


def test_what_dbt_writes_as_json_reads_as_ever(lab):
    value = {"b": [1, 2.5, None, "ü"], "a": {}}
    lab.dbt(f"import io; f = io.StringIO(); json.dump({value!r}, f, sort_keys=True); say('Note', msg=f.getvalue())")
    assert lab.run(lab.step("build")) is Outcome.SUCCESS
    assert lab.lines == [json.dumps(value, sort_keys=True)]


def test_a_cancelled_command_gets_an_interrupt_and_its_worker_goes(lab):
    lab.dbt(
        """
try:
    open("started", "w").close()
    time.sleep(60)
except KeyboardInterrupt:
    print("cancelled", os.getppid(), flush=True)
    return 1
"""
    )

    def stop():
        while not (lab.root / "started").exists():
            time.sleep(0.01)
        lab.cancel.set(15)

    threading.Thread(target=stop, daemon=True).start()
    assert lab.run(lab.step("run"), lab.step("test")) is Outcome.CANCELLED
    assert lab.lines[0].startswith("cancelled")


@ON_LINUX
def test_a_worker_that_is_stopped_while_it_warms_up_leaves_no_folder(lab, monkeypatch):
    place = lab.root / "tmp"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    lab.dbt("return 1")
    lab.write("lib/dbt/adapters/duckdb.py", "")
    lab.write("lib/dbt/cli/main.py", (lab.root / "lib/dbt/cli/main.py").read_text().replace("pass", "time.sleep(60)"))
    steps = [lab.step(word, adapter="duckdb", env={"TMPDIR": str(place)}) for word in ("run", "test")]
    assert lab.run(*steps) is Outcome.FAILED
    assert list(place.iterdir()) == []
