"""Who loads may no longer: the password changes or the user is locked while a run is under way, and its session ends.
What was committed stays, and with the new password the next run goes on."""

from __future__ import annotations

import pytest

from .conftest import LAST, rest, times
from .test_kill_loaders import end_sessions

USER = "reliability_loader"
CHANGES = {
    ("postgres", "password"): ("alter user {user} password '{new}'", None),
    ("postgres", "locked"): ("alter user {user} nologin", "alter user {user} login"),
    ("mysql", "password"): ("alter user {user} identified by '{new}'", None),
    ("mysql", "locked"): ("alter user {user} account lock", "alter user {user} account unlock"),
}


@pytest.fixture
def user(warehouse):
    """A user that may load, with the password `first-word`."""
    server = warehouse.server
    if warehouse.name == "postgres":
        if not server.sql(f"select 1 from pg_roles where rolname = '{USER}'"):
            server.sql(f"create user {USER}")
        server.sql(f"alter user {USER} login password 'first-word'")
        server.sql(f"grant create on database reliability to {USER}")
    else:
        server.sql(f"create or replace user {USER} identified by 'first-word'")
        server.sql(f"grant all on reliability.* to {USER}")
    yield USER
    if warehouse.name == "postgres":
        server.sql(f"drop owned by {USER}", "reliability")
    server.sql(f"drop user {USER}")


@pytest.mark.parametrize("what", ["password", "locked"])
@pytest.mark.parametrize("warehouse", ["postgres", "mysql"], indirect=True)
def test_credentials_that_expire_in_mid_run(pipeline, warehouse, what, user, chance, until, figures, hw):
    made = pipeline("append")
    change, undo = CHANGES[warehouse.name, what]
    name = warehouse.name.upper()
    hw.environ[f"TARGET_{name}_USER"] = user
    hw.environ[f"TARGET_{name}_PASSWORD"] = password = "first-word"
    upto = 25
    hw.ok(*made.argv(anew=False), TAP_NUMBERS_UPTO=upto)
    for number in range(times(1, 20)):
        upto += LAST
        process = hw.start(*made.argv(anew=False), TAP_NUMBERS_UPTO=upto, TAP_NUMBERS_PAUSE=0.004)
        until(lambda p=process, last=upto: p.poll() is not None or warehouse.reached() > last - LAST, what="a commit")
        rest(chance.uniform(0, 0.5))
        new = f"word-{number}"
        warehouse.server.sql(change.format(user=user, new=new))
        until(lambda: end_sessions(warehouse, user), what="a session")
        assert process.wait(60) == 3, hw.stderr
        assert ("[wrong-password]" if what == "password" else "[login-refused]") in hw.stderr, hw.stderr
        assert password not in hw.stderr
        reached = warehouse.reached()
        assert upto - LAST < reached < upto
        assert warehouse.rows() == made.expected("number", reached)
        assert made.kept_state() <= reached
        if undo:
            warehouse.server.sql(undo.format(user=user))
        else:
            hw.environ[f"TARGET_{name}_PASSWORD"] = password = new
        hw.ok(*made.argv(anew=False), TAP_NUMBERS_UPTO=upto)
        assert warehouse.rows() == made.expected("number", upto)
        assert made.kept_state() == warehouse.reached() == upto
        figures("credentials that expire", f"{what} × {warehouse.name}")
