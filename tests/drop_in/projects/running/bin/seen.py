"""Notes what a plugin was started with, in `seen/<plugin>-<number>.json` of the project."""

import json
import os
import sys
from pathlib import Path

# Of the environment: what a plugin may build on, not what a machine or a version happens to set.
NAMED = ("TAP_", "TARGET_", "MELTANO_", "NOTES_", "STAGE", "MAP_", "SAY_", "EXTRA_")
FILES = {"--config": "config", "--catalog": "catalog", "--properties": "catalog", "--state": "state"}


def note(plugin):
    """The content of each file that was named, by what it is."""
    arguments = sys.argv[1:]
    given = {
        FILES[option]: json.loads(Path(arguments[place + 1]).read_text())
        for place, option in enumerate(arguments)
        if option in FILES
    }
    folder = Path(os.environ.get("MELTANO_PROJECT_ROOT", ".")) / "seen"
    folder.mkdir(exist_ok=True)
    env = {name: value for name, value in sorted(os.environ.items()) if name.startswith(NAMED)}
    # A path's folder is the program's own affair.
    shown = [Path(item).suffix or Path(item).name if "/" in item else item for item in arguments]
    number = len(list(folder.glob(f"{plugin}-*.json"))) + 1
    file = folder / f"{plugin}-{number}.json"
    file.write_text(json.dumps({"arguments": shown, "config": {}, **given, "env": env}))
    return {"config": {}, **given}
