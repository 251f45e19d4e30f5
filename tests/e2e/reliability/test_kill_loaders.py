"""The loader dies and the run lives: a Singer target by a signal, a session of our own by the server's word.

What a native destination does, it does within the run itself: who kills that loader kills the parent, see
test_kill_matrix.py. What can die alone is its session at the server. DuckDB has no server; there another program can
only stand in the way, see test_locks.py.
"""

from __future__ import annotations

import contextlib
from collections import Counter

import pytest

from .conftest import DATABASES, EVERY, LAST, METHODS, kills, rest, tries, wait_for_end
from .test_kill_matrix import SIGNALS, Story, hurt, programs


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("warehouse", DATABASES, indirect=True)
def test_a_signal_at_the_target(pipeline, warehouse, method, number, chance, until, group_members, figures, hw):
    """A Singer target can say what is safe, but has no word to say so again after its death: what it had committed and
    not yet told comes twice where rows have no keys. No more than that does, and nothing is lost."""
    made = pipeline(method, as_target=True)
    story = TargetStory(made)
    wanted = kills(method)
    hits = 0
    for _ in range(tries(wanted)):
        process = hw.start(*story.argv(), **story.env(), TAP_NUMBERS_PAUSE=0.0015)
        until(lambda p=process: p.poll() is not None or programs(hw.root, "target"), what="the target")
        rest(chance.uniform(0, 1.3))
        hits += hurt(programs(hw.root, "target"), number)
        code = wait_for_end(process, until, group_members, hw.root)
        # A Ctrl-C that comes before a program has set itself up ends it in Python's own way.
        assert "Traceback" not in hw.stderr or "KeyboardInterrupt" in hw.stderr
        assert code == 0 or (code == 1 and f"loader `{made.loader}`" in hw.stderr), hw.stderr
        story.check()
        story.go_on(ended_well=code == 0)
        if hits == wanted:
            break
    figures("kill matrix", f"{number.name} × Singer target × {method} × {warehouse.name}", hits)
    assert hits == wanted
    hw.ok(*story.argv(), **story.env(), TAP_NUMBERS_PAUSE=0)
    story.check()
    assert {*warehouse.rows()} == {*story.finished()}
    assert method == "append" or warehouse.rows() == story.finished()
    assert made.kept_state() == warehouse.reached() == story.upto
    story.check_versions()
    if method == "append":
        figures.most("kill matrix", f"rows of {LAST} that came twice after a death of a Singer target", story.twice)


class TargetStory(Story):
    """The same story, told by a Singer target: each run goes on from the state that was kept."""

    def __init__(self, made):
        self.rows = Counter()
        self.commits = 0
        self.started_at = 0
        self.twice = 0  # at most, after a death
        super().__init__(made)

    def check(self):
        rows = self.made.warehouse.rows()
        reached, commits = self.made.warehouse.checkpoint()
        kept = self.made.kept_state()
        assert reached % EVERY == 0
        if self.made.method == "append":
            if commits > self.commits:  # each run appends what it committed, from where it started
                self.rows.update(range(self.started_at + 1, reached + 1))
                self.twice = max(self.twice, reached - kept)
            assert Counter(number for number, _ in rows) == self.rows
            assert {text for _, text in rows} <= {text for _, text in self.made.expected("edition 1", self.upto)}
            assert kept <= max(self.rows, default=0), "the state is ahead of the data"
            self.commits, self.started_at = commits, kept
        elif self.made.method == "replace":
            assert rows in (self.former(), self.finished()), "half a replacement is to be seen"
        else:
            fresh = len(self.fresh())
            assert rows == self.finished()[:fresh] + self.former()[fresh:]
            assert kept <= fresh or (self.anew and kept == self.stood), "the state is ahead of the data"
        self.check_versions()

    def go_on(self, *, ended_well):
        if self.made.method == "append":
            self.upto = self.made.kept_state() + LAST
        else:
            # A full refresh that died before its first state was kept has left the old one, which falls short of the
            # end when the run before that died with all of its rows safe: it is asked for again.
            unbegun = self.anew and self.made.kept_state() == self.stood
            super().go_on(ended_well=ended_well)
            self.anew = self.anew or unbegun


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("warehouse", ["postgres", "mysql"], indirect=True)
def test_a_session_that_the_server_ends(pipeline, warehouse, method, chance, until, figures, hw):
    made = pipeline(method)
    story = Story(made)
    wanted = kills(method)
    hits = 0
    for _ in range(tries(wanted)):
        process = hw.start(*story.argv(), **story.env(), TAP_NUMBERS_PAUSE=0.00125)
        until(lambda p=process: p.poll() is not None or programs(hw.root, "tap_numbers"), what="the tap")
        for _ in range(2):
            rest(chance.uniform(0, 0.4))
            hits += end_sessions(warehouse)
        assert process.wait(60) == 0, hw.stderr
        assert warehouse.rows() == story.finished()
        assert made.kept_state() == warehouse.reached() == story.upto
        story.check_versions()
        story.go_on(ended_well=True)
        if hits >= wanted:
            break
    figures("kill matrix", f"session ended by the server × {method} × {warehouse.name}", hits)
    assert hits >= wanted


def end_sessions(warehouse, user=None):
    """End the sessions that load, as the server's own user or another; how many there were."""
    if warehouse.name == "postgres":
        return len(
            warehouse.server.sql(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where datname = 'reliability' and application_name like 'headwater%'"
            )
        )
    ours = f"select id from information_schema.processlist where user = '{user or warehouse.server.user}'"
    ended = 0
    for (number,) in warehouse.server.sql(f"{ours} and id <> connection_id()"):
        with contextlib.suppress(Exception):  # it has just gone
            warehouse.server.sql(f"kill connection {number}")
            ended += 1
    return ended
