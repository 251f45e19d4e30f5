"""`state`: what scripts read and write of it."""

from __future__ import annotations

import json

import pytest

from drop_in import Case

ID = "dev:tap-notes-to-target-lines"
ONE, TWO = '\'{"singer_state": {"n": 1.0, "deep": {"a": [1]}}}\'', '\'{"singer_state": {"m": 2, "deep": {"b": 3}}}\''
SET = f"state set --force {ID} {ONE}"
EXPORT = "state export"
EXPORTED = json.dumps({"a": {"completed": {"singer_state": {"n": 1}}, "partial": {}}, "b": {"completed": {}}})


def editor(text: str) -> dict[str, str]:
    """A program that writes `text` over the file it is given."""
    return {"editor": f"#!/bin/sh\nprintf '%s' '{text}' > \"$1\"\n"}


CASES = [
    Case(
        name="state-set-and-get",
        command="state set, state get",
        says="what was set comes back on one line",
        script=(SET, f"state get {ID}", f"state get {ID} --format pretty", f"state get {ID} --format json"),
        compare=("exit", "json", "lines"),
    ),
    Case(
        name="state-get-unknown",
        command="state get",
        says="no state is `{}`",
        script=("state get nothing",),
        compare=("exit", "lines"),
    ),
    Case(
        name="state-list",
        command="state list",
        says="an id a line, `--pattern` with `*`",
        script=(SET, "state set --force other " + TWO, "state list", "state list --pattern 'dev:*'"),
        compare=("exit", "lines"),
    ),
    Case(
        name="state-set-file",
        command="state set",
        says="`--input-file`",
        script=(f"state set --force {ID} --input-file s.json", f"state get {ID}"),
        files={"s.json": '{"singer_state": {"n": 1}}\n'},
        compare=("exit", "json"),
    ),
    Case(
        name="state-set-no-validate",
        command="state set",
        says="`--no-validate` keeps what is no Singer state",
        script=("state set --force --no-validate odd '{\"bookmarks\": 1}'", "state get odd", EXPORT, "state list"),
        compare=("exit", "json"),
    ),
    Case(
        name="state-set-asks",
        command="state set",
        says="without `--force` it asks, and `y` is yes",
        script=(f"state set {ID} {ONE}", f"state get {ID}"),
        stdin="y\n",
        compare=("exit", "json"),
    ),
    Case(
        name="state-set-invalid",
        command="state set",
        says="no `singer_state`, no JSON, nothing, or two at once is refused",
        script=(
            f"state set --force {ID} '{{\"bookmarks\": {{}}}}'",
            f"state set --force {ID} '{{nonsense'",
            f"state set --force {ID}",
            f"state set --force {ID} {ONE} --input-file s.json",
            "state list",
        ),
        files={"s.json": "{}"},
    ),
    Case(
        name="state-merge",
        command="state merge",
        says="objects are merged at every depth; `get` shows the sum, `export` the parts",
        script=(SET, f"state merge {ID} {TWO}", f"state get {ID}", EXPORT),
        compare=("exit", "json"),
    ),
    Case(
        name="state-merge-file-and-id",
        command="state merge",
        says="`--input-file` and `--from-state-id`",
        script=(
            SET,
            f"state merge {ID} --input-file s.json",
            f"state merge other --from-state-id {ID}",
            "state get other",
            EXPORT,
        ),
        files={"s.json": '{"singer_state": {"m": 2}}'},
        compare=("exit", "json"),
    ),
    Case(
        name="state-copy-and-move",
        command="state copy, state move",
        says="the destination is overwritten, the source of a move is gone",
        script=(
            SET,
            f"state copy --force {ID} second",
            "state move --force second third",
            "state get second",
            "state get third",
            "state list --pattern 't*'",
        ),
        compare=("exit", "json", "lines"),
    ),
    Case(
        name="state-copy-unknown",
        command="state copy, state move, state merge",
        says="a source that is not there",
        script=(
            "state copy --force nothing x",
            "state move --force nothing x",
            "state merge x --from-state-id nothing",
            "state list",
        ),
        compare=("exit", "lines"),
    ),
    Case(
        name="state-clear",
        command="state clear",
        says="one, one that is not there, all; an id and `--all` at once is refused",
        script=(
            SET,
            f"state copy --force {ID} e",
            f"state copy --force {ID} f",
            "state clear --force e",
            "state list",
            "state clear --force nothing",
            "state clear --force --all",
            "state list",
            "state clear --force --all x",
            "state clear --force",
        ),
        compare=("exit", "lines"),
    ),
    Case(
        name="state-edit",
        command="state edit",
        says="`$EDITOR` gets the state indented; what it leaves is kept",
        script=(SET, f"state edit --force {ID}", f"state get {ID}", EXPORT),
        files=editor('{"singer_state": {"n": 7}}'),
        env={"EDITOR": "sh ./editor"},
        compare=("exit", "json"),
    ),
    Case(
        name="state-edit-nothing",
        command="state edit",
        says="a file that is left as it is changes nothing",
        script=(SET, f"state edit --force {ID}", f"state get {ID}"),
        env={"EDITOR": "true"},
        compare=("exit", "json"),
    ),
    Case(
        name="state-edit-invalid",
        command="state edit",
        says="what is no state is refused, and the one before stays",
        script=(SET, f"state edit --force {ID}", f"state get {ID}"),
        files=editor('{"bookmarks": {}}'),
        env={"EDITOR": "sh ./editor"},
        compare=("exit", "json"),
    ),
    Case(
        name="state-export-and-import",
        command="state export, state import",
        says="what one exports the other imports",
        script=("state import all.json", "state list --pattern a", EXPORT, "state get a"),
        files={"all.json": EXPORTED},
        compare=("exit",),
    ),
    Case(
        name="state-import-stdin",
        command="state import",
        says="standard input, and what is imported overwrites",
        script=("state set --force a " + TWO, "state import", "state get a"),
        stdin='{"a": {"completed": {"singer_state": {"n": 1}}, "partial": {"singer_state": {"m": 2}}}}',
        compare=("exit", "json"),
    ),
    Case(
        name="state-import-invalid",
        command="state import",
        says="what is no export is refused",
        script=("state import bad.json", "state import list.json", "state list"),
        files={"bad.json": "{", "list.json": "[]"},
        compare=("exit", "lines"),
        differs={"exit": "1, as for any file that is no export; Meltano ends with 2 when it holds other JSON"},
    ),
    Case(
        name="state-in-a-folder",
        command="state",
        says="`state_backend.uri` with `file://`",
        script=(
            "config set meltano state_backend.uri file://$HOME/states",
            SET,
            f"state merge {ID} {TWO}",
            f"state get {ID}",
            EXPORT,
            f"state clear --force {ID}",
            f"state get {ID}",
        ),
        compare=("exit", "json"),
    ),
    Case(
        name="state-nowhere",
        command="state",
        says="a scheme that nothing offers",
        script=("state list",),
        env={"MELTANO_STATE_BACKEND_URI": "redis://me@there"},
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_state(case, same):
    same(case)
