"""The steps of Soda and Great Expectations, with a small program in the place of their drivers."""

from __future__ import annotations

import threading

import pytest

from headwater.base.lease import lease
from headwater.model.event import Checked, Notice, Outcome


def soda(path, outcome="PASSED", file="orders.yml", **more):
    check = {"table": "shop.orders", "path": path, "type": path.rpartition(".")[2], "name": None, "line": 3, **more}
    return lambda root: {"check": {"file": f"{root}/soda/contracts/{file}", "outcome": outcome, **check}}


def trouble(why, file="orders.yml", **more):
    return lambda root: {"trouble": {"kind": "contract", "file": f"{root}/soda/contracts/{file}", "why": why, **more}}


def run(lab, *told, **more):
    lab.says(*(one(lab.root) if callable(one) else one for one in told), **more)
    return lab.run(lab.step())


def test_every_check_is_an_event_and_a_failing_one_fails_the_step(lab):
    ended = run(
        lab,
        soda("columns.id.checks.missing", column="id"),
        soda("checks.row_count", "FAILED", value=0, limits={"must_be_greater_than": 0}),
        soda("checks.freshness", "WARN", level="warn", value=30),
    )
    assert ended is Outcome.FAILED
    assert lab.outcomes == {
        "shop.orders.id.missing": "success",
        "shop.orders.row_count": "failed",
        "shop.orders.freshness": "failed",
    }
    assert (lab.problem.reference, lab.problem.exit_code) == ("checks-failed", 1)
    assert (lab.problem.what, lab.problem.where) == ("1 of 3 checks failed", "soda/contracts/orders.yml:3")
    assert lab.problem.why == ("`shop.orders.row_count`: 0 rows; must be greater than 0 (soda/contracts/orders.yml:3)")


def test_warnings_alone_stop_nothing(lab):
    assert run(lab, soda("checks.freshness", "WARN", level="warn", value=30)) is Outcome.SUCCESS


def test_the_driver_gets_its_folder_and_the_words_of_the_command(lab):
    lab.says()
    lab.run(lab.step(words=("verify", "orders")))
    assert (lab.root / "argv").read_text().split("checkers/")[
        1
    ] == f"soda_driver.py {lab.root}/soda --report verify orders"
    lab.run(lab.step("great_expectations", words=("checkpoint",)))
    assert (lab.root / "argv").read_text().split("checkers/")[1] == f"gx_driver.py {lab.root}/gx  --report checkpoint"


def test_checks_of_one_name_are_told_apart(lab):
    same = soda("checks.failed_rows")
    run(lab, same, same)
    assert lab.outcomes == {"shop.orders.failed_rows": "success", "shop.orders.failed_rows (2)": "success"}


def test_secrets_are_kept_out_of_what_the_tool_says(lab):
    run(lab, trouble("Could not connect to 'w': password hunter22 is wrong"))
    assert (lab.problem.reference, lab.problem.exit_code) == ("checker-not-connected", 3)
    assert lab.problem.why == "Could not connect to 'w': password (redacted) is wrong"


def test_tracebacks_are_left_out_of_what_the_tool_says(lab):
    run(
        lab, trouble('OperationalError: "no such host  (Background on this error at: x)". Traceback: "Traceback (most ')
    )
    assert (lab.problem.reference, lab.problem.why) == ("checker-not-connected", 'OperationalError: "no such host')


@pytest.mark.parametrize(
    ("why", "reference", "what", "where"),
    [
        (
            'Binder Error: Referenced column "nope" not found in FROM clause!\nCandidate bindings: "note"\n',
            "unknown-column",
            "the table that is checked has no column `nope`",
            "soda/contracts/orders.yml:8",
        ),
        (
            'column "nope" does not exist\nLINE 3',
            "unknown-column",
            "the table that is checked has no column `nope`",
            "soda/contracts/orders.yml:8",
        ),
        (
            'Catalog Error: Table with name order does not exist!\nDid you mean "orders"?',
            "unknown-table",
            "there is no table `order` in the warehouse",
            "soda/contracts/orders.yml",
        ),
        (
            'relation "shop.order" does not exist',
            "unknown-table",
            "there is no table `shop.order` in the warehouse",
            "soda/contracts/orders.yml",
        ),
        (
            "Data source type 'snowflake' not available. Make sure to install the required plugin",
            "checker-adapter-missing",
            "`soda-snowflake` is needed to connect, and is not installed with `soda`",
            "soda/contracts/orders.yml",
        ),
        (
            "Data source 'other' not found",
            "unknown-data-source",
            "the contract is for the data source `other`, which data_source.yml does not describe",
            "soda/contracts/orders.yml",
        ),
        (
            "Could not execute failed rows count query: selct",
            "bad-check",
            "a check can't be asked",
            "soda/contracts/orders.yml",
        ),
        ("YAML syntax error, in {root}/soda/contracts/orders.yml[3,3]", "bad-contract", "the contract can't be read",
         "soda/contracts/orders.yml:4"),
        ("Invalid check type 'mising'", "bad-contract", "the contract can't be read", "soda/contracts/orders.yml"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_contract_is_said_with_its_place(lab, why, reference, what, where):
    why = why.replace("{root}", str(lab.root))
    asked = soda("columns.nope.checks.missing", "NOT_EVALUATED", column="nope", line=8)
    assert run(lab, trouble(why), asked) is Outcome.FAILED
    assert (lab.problem.reference, lab.problem.what, lab.problem.where) == (reference, what, where)
    assert lab.problem.exit_code == 2
    assert lab.outcomes == {"shop.orders.nope.missing": "cancelled"}


def test_another_contract_is_verified_all_the_same_and_every_trouble_is_told(lab):
    run(
        lab,
        trouble("Invalid check type 'a'", file="a.yml"),
        trouble("Invalid check type 'b'", file="b.yml"),
        soda("checks.row_count", file="c.yml"),
    )
    assert lab.problem.where == "soda/contracts/a.yml"
    assert [event.text for event in lab.of(Notice)] == ["soda/contracts/b.yml: the contract can't be read"]
    assert lab.outcomes == {"shop.orders.row_count": "success"}


def test_a_contract_that_nobody_has_gets_a_guess(lab):
    run(lab, {"trouble": {"kind": "unknown-contract", "name": "ordrs", "known": ["orders"], "why": ""}})
    assert (lab.problem.reference, lab.problem.exit_code) == ("unknown-contract", 2)
    assert lab.problem.hint == "did you mean `soda:verify:orders`?"


def test_an_expectation_that_raised_is_a_mistake_and_no_failed_check(lab):
    told = {"file": f"{lab.root}/gx/expectations/o.json", "table": "o", "suite": "o", "type": "expect_x"}
    error = 'The column "nope" in BatchData does not exist.'
    lab.says({"check": {**told, "words": {"column": "nope"}, "severity": "critical", "success": False, "error": error}})
    lab.run(lab.step("great_expectations", words=("checkpoint",)))
    assert (lab.problem.reference, lab.problem.where) == ("unknown-column", "gx/expectations/o.json")
    assert lab.outcomes == {"o.nope.expect_x": "failed"}


def test_a_tool_that_dies_is_not_a_pass(lab):
    assert run(lab, soda("checks.row_count"), code=3, before="sys.stderr.write('boom\\n')") is Outcome.FAILED
    assert (lab.problem.reference, lab.problem.why) == ("command-failed", "boom")


def test_a_report_that_can_not_be_read_is_not_a_pass(lab):
    assert run(lab, "not json\n") is Outcome.FAILED
    assert lab.problem.reference == "bad-report"


def test_what_soda_takes_another_way_is_told_and_stops_nothing(lab):
    odd = {"file": f"{lab.root}/soda/contracts/orders.yml", "text": "'must_bee' is not a known threshold key"}
    assert run(lab, {"warning": odd}, soda("checks.row_count")) is Outcome.SUCCESS
    assert [(event.level, event.text) for event in lab.of(Notice)] == [
        ("warning", "soda/contracts/orders.yml: 'must_bee' is not a known threshold key")
    ]


def test_a_tool_that_is_stopped_ends_with_the_run(lab):
    lab.says(soda("checks.row_count")(lab.root), after="import time; time.sleep(600)")
    told = lab.events.append
    lab.hear = lambda event: (told(event), isinstance(event, Checked) and lab.cancel.set(2))
    assert lab.run(lab.step()) is Outcome.CANCELLED


def test_nothing_to_check_is_told(lab):
    assert run(lab) is Outcome.SUCCESS
    assert [event.text for event in lab.of(Notice)] == [f"no checks in {lab.root}/soda"]


def test_a_database_is_read_beside_others_and_not_while_it_is_written(lab):
    file = lab.root / "w.duckdb"
    file.touch()
    lab.says(soda("checks.row_count")(lab.root))
    with lease(file, exclusive=False, who="a reader"):
        assert lab.run(lab.step(files=[file])) is Outcome.SUCCESS
    runs = threading.Thread(target=lab.run, args=[lab.step(files=[file])])
    with lease(file, exclusive=True, who="load of orders"):
        runs.start()
        while not lab.of(Notice):
            assert runs.is_alive()
            threading.Event().wait(0.01)
    runs.join()
    assert "load of orders" in lab.of(Notice)[0].text
    assert lab.outcomes == {"shop.orders.row_count": "success"}


def test_a_database_that_is_not_there_is_said_before_the_tool_starts(lab):
    lab.says()
    assert lab.run(lab.step(files=[lab.root / "w.duckdb"])) is Outcome.FAILED
    assert (lab.problem.reference, (lab.root / "argv").exists()) == ("warehouse-missing", False)
