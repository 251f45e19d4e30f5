"""Every way in which a tap and a target can end, one before the other: is it a success, who is to blame, and which
state is kept."""

from __future__ import annotations

import itertools
import json
import sys

import pytest

# Each ends as its config says: with exit code 0 or 1, or killed. A tap that is told to stop ends in the same way.
TAP = """
import json, os, signal, sys, time
config = json.load(open(sys.argv[sys.argv.index("--config") + 1]))

def end(*_):
    if config["end"] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(config["end"])

signal.signal(signal.SIGTERM, end)
print('{"type":"SCHEMA","stream":"s","schema":{"properties":{"n":{"type":"integer"}}},"key_properties":[]}')
print('{"type":"RECORD","stream":"s","record":{"n":1}}')
print('{"type":"STATE","value":{"n":1}}', flush=True)
while not config["first"]:  # there is always more: it is not done when the target ends
    print('{"type":"RECORD","stream":"s","record":{"n":2}}', flush=True)
    time.sleep(0.001)
end()
"""
TARGET = """
import json, os, signal, sys
config = json.load(open(sys.argv[sys.argv.index("--config") + 1]))
for line in sys.stdin:
    if json.loads(line)["type"] == "STATE":
        if config["receipt"]:
            print(json.dumps(json.loads(line)["value"]), flush=True)
        if config["first"]:
            break
if config["end"] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
os._exit(config["end"])
"""
ENDS = (0, 1, "killed")
WORDS = {0: "0", 1: "failed with exit code 1", "killed": "was killed by SIGKILL"}


def expected(tap, target, first):
    """The error's first line; None for a success."""
    if first == "tap":
        if tap != 0:
            return f"extractor `tap` {WORDS[tap]} [extractor-failed]"
        return f"loader `target` {WORDS[target]} [loader-failed]" if target != 0 else None
    if target == 0:
        return "loader `target` ended before it had read everything [loader-quit-early]"
    return f"loader `target` {WORDS[target]} [loader-failed]"


@pytest.mark.parametrize("receipt", [True, False], ids=["receipt", "no receipt"])
@pytest.mark.parametrize("first", ["tap", "target"], ids=lambda who: f"{who} first")
@pytest.mark.parametrize(("tap", "target"), [*itertools.product(ENDS, ENDS)])
def test_verdict(tap, target, first, receipt, figures, hw):
    """What a target has vouched for is kept, however the run ends; what it has not is never kept. A target that took
    all its input and printed no state has kept to the protocol: the next run sends everything again."""
    for name, text in {"tap": TAP, "target": TARGET}.items():
        hw.write(f"bin/{name}", f"#!{sys.executable} -S\n{text}").chmod(0o755)
    tap_config = {"end": tap, "first": first == "tap"}
    target_config = {"end": target, "first": first == "target", "receipt": receipt}
    plugins = {
        "extractors": [{"name": "tap", "namespace": "tap", "executable": "./bin/tap", "config": tap_config}],
        "loaders": [{"name": "target", "namespace": "target", "executable": "./bin/target", "config": target_config}],
    }
    text = {"default_environment": "dev", "environments": [{"name": "dev"}], "plugins": plugins}
    hw.write("headwater.yml", json.dumps(text))
    done = hw("run", "tap", "target")
    error = expected(tap, target, first)
    assert done.code == (0 if error is None else 1), done.err
    if error is not None:
        assert done.error.splitlines()[0] == f"error: {error}"
    if receipt:
        assert hw.state("dev:tap-to-target") == {"n": 1}
    else:
        assert hw("state", "get", "dev:tap-to-target").out == "{}\n"
    figures("verdict table", f"tap {tap} × target {target} × {first} first × {'' if receipt else 'no '}receipt")
