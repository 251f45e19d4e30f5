"""Signals at random instants, at every process of a load: nothing is lost, nothing comes twice, and the state that is
kept is never ahead of the data."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from itertools import pairwise
from pathlib import Path

import pytest

from .conftest import DATABASES, EVERY, LAST, METHODS, kills, rest, tries, wait_for_end

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("victim", ["tap", "parent"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("warehouse", DATABASES, indirect=True)
def test_a_signal_at_any_instant(
    pipeline, warehouse, method, victim, number, chance, until, group_members, figures, hw
):
    made = pipeline(method)
    story = Story(made)
    wanted = kills(method)
    hits = 0
    for _ in range(tries(wanted)):
        process = hw.start(*story.argv(), **story.env())
        until(lambda p=process: p.poll() is not None or taps(hw.root), what="the tap")
        rest(chance.uniform(0, 0.6))
        hits += hurt([process.pid] if victim == "parent" else taps(hw.root), number)
        code = wait_for_end(process, until, group_members, hw.root)
        assert victim == "tap" or "Traceback" not in hw.stderr
        story.check()
        story.go_on(ended_well=code == 0)
        if hits == wanted:
            break
    figures("kill matrix", f"{number.name} × {victim} × {method} × {warehouse.name}", hits)
    assert hits == wanted
    hw.ok(*story.argv(), **story.env(), TAP_NUMBERS_PAUSE=0)
    assert warehouse.rows() == story.finished()
    assert made.kept_state() == warehouse.reached() == story.upto
    story.check_versions()


class Story:
    """What the source has and what the destination may hold of it, over runs that are hurt.

    Rows that are appended go on from number to number. Rows with keys and whole contents come in editions: when one
    has arrived as a whole, the source has the next.
    """

    def __init__(self, made):
        self.made = made
        self.number = 1
        self.upto = LAST
        self.anew = made.method == "replace"
        self.left: int | None = None  # the state of an edition before, which a killed run could not replace
        if made.method != "append":
            made.hw.ok(*self.argv(), **self.env(), TAP_NUMBERS_PAUSE=0)
            self.number, self.anew = 2, True
        self.stood = made.kept_state()  # where the next run begins

    def argv(self):
        return self.made.argv(anew=self.anew)

    def env(self):
        return {"TAP_NUMBERS_EDITION": f"edition {self.number}", "TAP_NUMBERS_UPTO": self.upto}

    def finished(self):
        return self.made.expected(f"edition {self.number}", self.upto)

    def former(self):
        return self.made.expected(f"edition {self.number - 1}", self.upto)

    def go_on(self, *, ended_well):
        """After a run that was hurt, or that had ended before it could be."""
        self.stood = kept = self.made.kept_state()
        self.left = kept if kept > self.made.warehouse.reached() else None
        if self.made.method == "append":
            self.upto = self.made.warehouse.reached() + LAST
        elif self.made.warehouse.rows() == self.finished():
            self.number, self.anew = self.number + 1, True
        else:
            assert not ended_well
            # An upsert goes on where it was stopped, a replacement begins again.
            self.anew = self.made.method == "replace" or not self.fresh()

    def fresh(self):
        return [number for number, text in self.made.warehouse.rows() if text.startswith(f"edition {self.number} ")]

    def check(self):
        """What a reader may see after a fault, before anything has made up for it."""
        rows, reached = self.made.warehouse.rows(), self.made.warehouse.reached()
        kept = self.made.kept_state()
        # A run that starts anew leaves the kept state as it was until its own first commit is known to be safe. When it
        # dies just then, the next one begins by making the copy anew, unless it dies before that in its turn. What
        # counts is the checkpoint beside the data, and that is looked at here.
        unreplaced = kept == self.left or (self.anew and kept == self.stood)
        assert kept <= reached or unreplaced, "the state is ahead of the data"
        assert reached % EVERY == 0
        if self.made.method == "append":
            assert rows == self.made.expected("edition 1", reached)
        elif self.made.method == "replace":
            assert rows in (self.former(), self.finished()), "half a replacement is to be seen"
        else:
            fresh = len(self.fresh())
            assert rows == self.finished()[:fresh] + self.former()[fresh:]
            # Before the first commit of a run that starts anew, the checkpoint of the run before still stands.
            assert reached == (fresh or self.upto)
        self.check_versions()

    def check_versions(self):
        """Of a table that keeps history: every edition of every row once, each from when the one before ended."""
        if self.made.method != "history":
            return
        fresh, versions = set(self.fresh()), {}
        for number, text, since, until in self.made.warehouse.versions():
            versions.setdefault(number, []).append((text.split("x")[0], since, until))
        assert list(versions) == list(range(1, self.upto + 1))
        for number, found in versions.items():
            upto = self.number if number in fresh else self.number - 1
            assert [text for text, _, _ in found] == [f"edition {edition} {number}" for edition in range(1, upto + 1)]
            assert all(one[2] <= later[1] for one, later in pairwise(found))


def hurt(pids, number):
    """Send the signal; whether there was somebody to receive it."""
    sent = False
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            stat = Path(f"/proc/{pid}/stat")
            is_alive = stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"
            os.kill(pid, number)
            sent = sent or is_alive
    return sent


def taps(root):
    """Process ids of the taps that work in a folder."""
    return programs(root, "tap_numbers")


def programs(root, name):
    """Process ids of a script in a project's `bin`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (folder / "cmdline").read_bytes()
            if re.search(rf"bin/{name}\0".encode(), command) and (folder / "cwd").resolve() == root:
                found.append(int(folder.name))
    return found
