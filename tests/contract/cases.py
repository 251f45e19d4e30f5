"""The register of the cases of loading: which test holds which.

    python tests/contract/cases.py        lists case, title, tests

Every case of `destinations/test_cases.py` counts by itself; the others are named here. A test of the architecture fails
when a case has no test, or names one that is not there.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[1]
ON_DATABASES = "contract/destinations/test_cases.py"

_PROTOCOL = "unit/connect/singer/test_parse_protocol.py"
_VALUES = "unit/connect/singer/test_parse_values.py"
_SHAPES = "unit/connect/singer/test_parse_shapes.py"
_EVERY = "contract/destinations/test_every_destination.py"
_DUCKDB = "unit/connect/destinations/test_duckdb.py"
_NAMES = "contract/destinations/test_names.py"
_MYSQL = "unit/connect/destinations/mysql/test_session.py"
_MYSQL_TABLES = "unit/connect/destinations/mysql/test_tables.py"
_POSTGRES = "unit/connect/destinations/postgres/test_session.py"
_POSTGRES_TABLES = "unit/connect/destinations/postgres/test_tables.py"
_PIPE = "unit/run/test_pipe.py"
_COPY = "unit/run/test_copy.py"
_STATES = "unit/store/test_states.py"
_RELIABILITY = "e2e/reliability"
_HANGS = "contract/test_hangs.py"
_POSTGRES_LIMITS = "unit/connect/destinations/postgres/test_limits.py"

# Number: title, tests as `file::function`.
CASES: dict[int, tuple[str, tuple[str, ...]]] = {
    9: ("log text among the messages", (f"{_PROTOCOL}::test_9_log_text_on_stdout_is_recognised",)),
    24: (
        "a state comes out when its rows are safe",
        ("unit/connect/singer/test_faces.py::test_a_full_batch_is_committed_at_the_next_state",),
    ),
    29: ("a state is passed on byte for byte", (f"{_EVERY}::test_the_checkpoint_is_read_back_byte_for_byte",)),
    31: ("files of a batch", (f"{_SHAPES}::test_31_batch_files_are_records",)),
    32: ("files of a batch from elsewhere", (f"{_SHAPES}::test_32_batch_files_outside_are_refused",)),
    33: ("a file of a batch is cut", (f"{_SHAPES}::test_33_a_missing_or_cut_batch_file_fails_before_its_state",)),
    45: ("a line that is too long", (f"{_PROTOCOL}::test_45_a_line_that_is_too_long_names_stream_and_setting",)),
    53: (
        "more than a destination takes",
        ("unit/connect/destinations/mysql/test_rows.py::test_a_row_larger_than_a_packet_is_refused_before_it_is_sent",),
    ),
    96: (
        "a table that can't hold every text",
        (f"{_MYSQL_TABLES}::test_what_a_table_of_others_can_not_hold_is_refused_before_a_row_is_loaded",),
    ),
    129: (
        "a column that somebody else made narrower",
        (
            f"{_DUCKDB}::test_a_table_made_by_someone_else_is_judged_before_a_row_is_loaded",
            f"{_MYSQL_TABLES}::test_what_a_table_of_others_can_not_hold_is_refused_before_a_row_is_loaded",
        ),
    ),
    130: (
        "a view on a column that has to change",
        (
            f"{ON_DATABASES}::test_130_a_view_on_a_column_goes_on_or_is_named",
            f"{_POSTGRES_TABLES}::test_a_view_on_a_column_that_would_have_to_change_is_named_and_nothing_is_done",
        ),
    ),
    132: ("somebody drops what is loaded into", (f"{ON_DATABASES}::test_132_what_somebody_drops_comes_back",)),
    133: (
        "two change one table",
        (
            f"{_POSTGRES}::test_two_pipelines_load_one_table_in_turn",
            f"{_MYSQL}::test_two_pipelines_load_one_table_in_turn",
        ),
    ),
    135: (
        "books of a later release",
        (f"{_DUCKDB}::test_books_of_a_later_release_are_left_alone",),
    ),
    146: (
        "no key, killed and run again",
        ("contract/destinations/test_kill.py::test_kills_at_random_instants_lose_nothing_and_double_nothing",),
    ),
    149: (
        "changes of one key stay in order",
        ("contract/destinations/test_model.py::test_the_tables_are_those_of_the_model",),
    ),
    **{
        number: (title, (f"{_NAMES}::test_every_name_is_stored_as_the_page_says_and_read_back",))
        for number, title in {
            151: "names that are too long",
            152: "names that differ in case",
            153: "names with quotes",
            154: "names that are SQL",
            156: "names that are words of SQL",
            157: "names that differ in punctuation",
            158: "names in any script",
            159: "no name",
            160: "names that drivers would fill in",
            165: "names of our own columns",
            166: "names of the database's own columns",
        }.items()
    },
    155: ("streams that are SQL", (f"{_NAMES}::test_every_name_can_be_a_stream",)),
    168: ("the tap fails", (f"{_COPY}::test_of_a_tap_that_dies_only_what_a_state_covers_is_loaded",)),
    169: ("rows after the last state", (f"{_COPY}::test_rows_after_the_last_state_are_loaded_when_the_tap_ends_well",)),
    170: (
        "the tap is killed",
        (f"{_PIPE}::test_a_tap_that_is_killed_in_the_middle_of_a_line_is_blamed_and_not_the_target",),
    ),
    171: (
        "the tap hangs",
        (
            f"{_PIPE}::test_a_hang_is_ended_after_the_time_without_a_sign_of_life",
            f"{_RELIABILITY}/test_stalls.py::test_a_tap_that_hangs",
        ),
    ),
    172: ("a flood of log lines", (f"{_PIPE}::test_a_flood_of_stderr_does_not_block_and_says_what_it_left_out",)),
    173: ("the target fails", (f"{_PIPE}::test_a_target_that_dies_ends_the_run_and_the_tap",)),
    174: ("the target ends early", (f"{_PIPE}::test_a_target_that_ends_early_with_success_has_failed",)),
    175: ("killed between commit and state", (f"{_RELIABILITY}/test_kill_matrix.py::test_a_signal_at_any_instant",)),
    176: ("killed before the commit", (f"{_RELIABILITY}/test_kill_matrix.py::test_a_signal_at_any_instant",)),
    177: ("told to stop", ("e2e/test_interruptions.py::test_a_signal_ends_a_native_load_with_what_was_vouched_for",)),
    178: (
        "told to stop twice",
        ("e2e/test_interruptions.py::test_a_second_ctrl_c_stops_a_plugin_that_does_not_listen",),
    ),
    179: (
        "the parent is killed",
        (
            "unit/base/test_process.py::test_children_and_their_children_die_with_a_killed_parent",
            "e2e/test_interruptions.py::test_after_a_kill_between_two_programs_the_next_run_goes_on_and_nothing_private_stays",
        ),
    ),
    180: (
        "the power fails",
        (
            "unit/base/test_files.py::test_a_file_has_its_name_only_when_it_is_on_the_disk",
            "unit/store/test_runs.py::test_a_run_that_was_killed_is_failed_as_soon_as_somebody_looks",
        ),
    ),
    181: (
        "a full disk",
        (
            "e2e/test_disk_full.py::test_a_full_disk_under_the_warehouse_keeps_the_old_rows",
            f"{_RELIABILITY}/test_full_disks.py::test_files_that_may_not_grow",
        ),
    ),
    182: (
        "nobody reads any more",
        (
            "e2e/test_singer_faces.py::test_a_tap_whose_reader_goes_away_ends_quietly",
            f"{_RELIABILITY}/test_broken_pipes.py::test_the_side_that_died_is_named",
        ),
    ),
    183: (
        "the database starts anew",
        (f"{_RELIABILITY}/test_restarts.py::test_a_database_that_crashes_in_the_middle_of_a_load",),
    ),
    184: (
        "the answer of a commit is lost",
        (f"{_RELIABILITY}/test_lost_answers.py::test_a_connection_that_is_lost_at_commit",),
    ),
    186: ("a deadlock", (f"{_POSTGRES}::test_a_deadlock_is_tried_again", f"{_MYSQL}::test_a_deadlock_is_tried_again")),
    185: (
        "a connection that a firewall swallows",
        (
            f"{_HANGS}::test_a_load_whose_connection_is_swallowed_goes_on_over_another",
            f"{_HANGS}::test_a_read_whose_connection_is_swallowed_is_lost",
        ),
    ),
    187: (
        "a reader in the way",
        (
            f"{_MYSQL}::test_a_reader_in_the_way_of_a_change_is_waited_for",
            f"{_RELIABILITY}/test_locks.py::test_a_session_that_holds_the_table",
        ),
    ),
    188: (
        "time and space that the server sets bounds to",
        (
            f"{_POSTGRES_LIMITS}::test_time_limits_of_the_role_do_not_hold_for_a_load",
            f"{_POSTGRES_LIMITS}::test_a_load_that_needs_more_temporary_space_than_it_gets",
        ),
    ),
    189: (
        "credentials that expire",
        (f"{_RELIABILITY}/test_credentials.py::test_credentials_that_expire_in_mid_run",),
    ),
    190: ("two runs of one pipeline", (f"{_RELIABILITY}/test_two_starts.py::test_of_two_that_start_at_once_one_runs",)),
    191: ("two pipelines, one table", (f"{_MYSQL}::test_two_pipelines_load_one_table_in_turn",)),
    192: (
        "a lock whose holder died",
        (
            f"{_MYSQL}::test_the_lock_of_a_holder_that_died_is_free_and_the_dead_can_write_no_more",
            f"{_RELIABILITY}/test_locks.py::test_a_writer_that_was_thought_dead",
        ),
    ),
    193: ("a clock that jumps", (f"{_RELIABILITY}/test_clocks.py::test_a_clock_that_jumps_between_runs",)),
    194: (
        "the state can't be read at the start",
        ("unit/run/test_state_backend_down.py::test_nothing_starts_when_the_state_can_not_be_read",),
    ),
    195: (
        "the copy of the state is lost",
        ("e2e/test_failures.py::test_a_lost_system_database_costs_no_state_of_a_native_load",),
    ),
    196: ("a damaged state", (f"{_STATES}::test_a_damaged_file_is_passed_over_for_the_generation_before",)),
    197: (
        "a state of another source, books of a later release",
        (
            "unit/connect/sources/files/test_files.py::test_a_state_of_another_source_is_refused",
            f"{_DUCKDB}::test_books_of_a_later_release_are_left_alone",
        ),
    ),
    198: ("many writers of one file", ("unit/base/test_files.py::test_writers_at_once_never_mix",)),
    199: (
        "a warehouse that was put back to yesterday",
        (f"{_COPY}::test_the_checkpoint_that_stands_with_the_data_outranks_the_copy",),
    ),
    200: (
        "the loader is killed",
        (f"{_RELIABILITY}/test_kill_loaders.py::test_a_signal_at_the_target",),
    ),
    201: (
        "a slow target",
        (f"{_RELIABILITY}/test_stalls.py::test_a_slow_target_holds_up_the_tap_and_costs_no_memory",),
    ),
    202: (
        "a slow tap with small rows",
        (f"{_COPY}::test_a_silent_tap_does_not_hold_back_what_its_state_covers",),
    ),
    203: ("records that can't be loaded", (f"{_PROTOCOL}::test_203_bad_records_can_be_set_aside",)),
    204: ("a table that changed without its rows", (f"{_MYSQL}::test_a_column_without_its_rows_does_no_harm",)),
    205: (
        "what a killed run left lying",
        (
            "contract/destinations/test_leftovers.py::test_half_written_files_are_gone_after_the_next_load",
            "unit/base/test_scratch.py::test_the_scratch_folder_of_a_killed_process_is_wiped_by_the_next",
        ),
    ),
    206: (
        "packages that are renewed while a run is at work",
        ("unit/store/test_venvs.py::test_a_swap_keeps_the_environment_before_and_no_more",),
    ),
    207: (
        "many that try again at once",
        ("unit/run/test_attempts.py::test_pauses_double_and_differ_by_chance",),
    ),
}


def functions(path: Path) -> set[str]:
    return {node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


def on_databases() -> dict[int, str]:
    """Numbers and titles of `destinations/test_cases.py`, read from its text."""
    for node in ast.parse((TESTS / ON_DATABASES).read_text()).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "CASES":
            assert isinstance(node.value, ast.Dict)
            pairs = zip(node.value.keys, node.value.values, strict=True)
            return {key.value: call.args[0].value for key, call in pairs}  # type: ignore[union-attr,attr-defined,misc]  # literals
    raise AssertionError


def register() -> Iterator[tuple[int, str, tuple[str, ...]]]:
    """Every case with its title and its tests, by number."""
    found = {number: (title, (f"{ON_DATABASES}::test_case",)) for number, title in on_databases().items()}
    for number, (title, tests) in CASES.items():
        found[number] = (title, (*found.get(number, ("", ()))[1], *tests))
    for number in sorted(found):
        yield number, *found[number]


if __name__ == "__main__":
    for number, title, tests in register():
        print(f"{number:>4}  {title:<50} {', '.join(tests)}")  # noqa: T201 - that is what it is for
