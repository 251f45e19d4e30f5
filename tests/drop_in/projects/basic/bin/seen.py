"""Notes what a plugin was started with, in `seen/<plugin>-<number>.json` of the project."""

import json
import os
import sys
from pathlib import Path

# Of the environment: what a plugin may build on, not what a machine or a version happens to set.
NAMED = ("TAP_", "TARGET_", "MELTANO_", "NOTES_", "STAGE", "MAP_")


def note(plugin):
    """The parsed config, empty when there is none."""
    arguments = sys.argv[1:]
    config = {}
    if "--config" in arguments:
        config = json.loads(Path(arguments[arguments.index("--config") + 1]).read_text())
    folder = Path(os.environ.get("MELTANO_PROJECT_ROOT", ".")) / "seen"
    folder.mkdir(exist_ok=True)
    env = {name: value for name, value in sorted(os.environ.items()) if name.startswith(NAMED)}
    # A path's folder is the program's own affair.
    shown = [Path(item).suffix or Path(item).name if "/" in item else item for item in arguments]
    number = len(list(folder.glob(f"{plugin}-*.json"))) + 1
    file = folder / f"{plugin}-{number}.json"
    file.write_text(json.dumps({"arguments": shown, "config": config, "env": env}))
    return config
