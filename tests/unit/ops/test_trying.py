import json

import pytest

from headwater.ops import trying

PROJECT = """\
plugins:
  extractors:
  - name: tap-numbers
    namespace: numbers
    executable: ./bin/tap_numbers
    capabilities: [discover, catalog, state]
    settings:
    - {name: upto, kind: integer}
    - {name: chatter, kind: boolean}
    - {name: secret, sensitive: true}
    - {name: die_after, kind: integer}
  - name: tap-gone
    namespace: gone
    executable: ./bin/nothing
  - {name: tap-files, variant: headwater, config: {path: none/*.csv}}
  loaders:
  - name: target-lines
    namespace: lines
    executable: ./bin/target_lines
    settings:
    - {name: die_after, kind: integer}
  - {name: target-duckdb, variant: headwater}
  utilities:
  - {name: say, namespace: say, executable: echo}
"""


@pytest.fixture
def project(lab):
    made = lab(PROJECT)
    made.program("tap_numbers")
    made.program("target_lines")
    return made


def attempt(project, name, **more):
    return trying.attempt(project.workspace(), name, emit=project.emit, cancel=project.cancel, **more).seen


def test_an_extractor_works_when_its_first_record_comes(project):
    assert attempt(project, "tap-numbers") == "the first record came from stream `numbers`"


def test_it_is_stopped_there(project, monkeypatch):
    monkeypatch.setenv("TAP_NUMBERS_UPTO", "100000000")
    assert attempt(project, "tap-numbers") == "the first record came from stream `numbers`"


def test_lines_that_are_no_messages_do_not_hide_it(project, monkeypatch):
    monkeypatch.setenv("TAP_NUMBERS_CHATTER", "true")
    assert attempt(project, "tap-numbers") == "the first record came from stream `numbers`"


def test_an_extractor_without_a_record(project, monkeypatch):
    monkeypatch.setenv("TAP_NUMBERS_UPTO", "0")
    assert project.refusal(attempt, project, "tap-numbers") == (
        "error: `tap-numbers` ended well but sent no record [no-record]\n"
        "  its source may be empty, or nothing in it is selected\n"
        "hint: headwater select tap-numbers --list"
    )


def test_a_program_that_does_not_start(project):
    assert project.refusal(attempt, project, "tap-gone").startswith("error: ")


def test_a_loader_that_fails_is_not_told_to_be_tested(project, monkeypatch):
    monkeypatch.setenv("TARGET_LINES_DIE_AFTER", "1")
    assert project.refusal(attempt, project, "target-lines", write_row=True) == (
        "error: loader `target-lines` failed with exit code 5 [loader-failed]\n"
        "  CRITICAL the warehouse is on fire\n"
        "hint: headwater config list target-lines"
    )


def test_a_loader_gets_no_row_unless_asked(project):
    attempt(project, "target-lines")
    assert (project.root / "loaded.jsonl").read_text() == ""
    assert attempt(project, "target-lines", write_row=True) == "it loaded one row into stream `headwater_test`"
    assert json.loads((project.root / "loaded.jsonl").read_text()) == {"id": 1}


def test_a_native_loader_is_left_as_it_was(project):
    assert attempt(project, "target-duckdb") == "it can be opened; nothing was written"
    assert not (project.root / "warehouse.duckdb").exists()


def test_a_native_loader_that_cannot_be_opened(project):
    project.write("warehouse.duckdb", "this is no database" * 1000)
    assert "[warehouse-unreadable]" in project.refusal(attempt, project, "target-duckdb")


def test_a_native_source_without_files(project):
    assert project.refusal(attempt, project, "tap-files").startswith("error: ")


def test_secrets_stay_out_of_what_is_shown(project, monkeypatch):
    monkeypatch.setenv("TAP_NUMBERS_SECRET", "hushhush")
    attempt(project, "tap-numbers")
    assert "hushhush" not in str(project.events)


def test_other_plugins_are_not_tried(project):
    assert project.refusal(attempt, project, "say") == (
        "error: headwater.yml:24: `say` is a utility: only extractors and loaders can be tested [not-testable]\n"
        "hint: headwater invoke say"
    )


def test_no_run_is_recorded(project):
    from headwater.ops import logs

    attempt(project, "tap-numbers")
    assert logs.listing(project.workspace(), 10) == []
