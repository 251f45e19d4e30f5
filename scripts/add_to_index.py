"""Adds a plugin from PyPI to the index that comes with the program:

    python scripts/add_to_index.py tap-x --variant acme --package acme-tap-x \
        --repo https://github.com/acme/tap-x --label X --description "Orders and customers of X"

The entry goes to its place in `index_plugins.yml`, and `build_index.py` installs the plugin, starts it and asks it for
its settings. One that does not install or start is taken out again: the exit code is 1. What its package says of its
settings may be added to and corrected in the entry afterwards (`settings:`), and read again: `build_index.py tap-x`.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path

import build_index

from headwater.model.plugin import PluginKind
from headwater.store.hub import guess_kind

FILE = Path(__file__).with_name("index_plugins.yml")
SECTIONS = [kind.section for kind in PluginKind]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--section", choices=SECTIONS, help="told by a name that begins with tap- or target-")
    parser.add_argument("--package", help="what pip installs; the name, unless it is given")
    parser.add_argument("--executable", help="the program; the name, unless it is given")
    for option in ("--variant", "--repo", "--label", "--description"):
        parser.add_argument(option, required=True)
    given = parser.parse_args()
    kind = guess_kind(given.name)
    section = given.section or (kind.section if kind else None)
    if section is None:
        parser.error(f"what is `{given.name}`? --section says it")
    lines = [("name", given.name), ("variant", given.variant), ("pip_url", given.package or given.name)]
    lines += [("executable", given.executable)] if given.executable else []
    lines += [("repo", given.repo), ("label", given.label), ("description", given.description)]
    before = FILE.read_text()
    FILE.write_text(placed(before, section, "".join(f"    {key}: {_yaml(value)}\n" for key, value in lines)))
    failed = build_index.main([f"{given.name}--{given.variant}"])
    if failed:
        FILE.write_text(before)
    return failed


def _yaml(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z][\w ,./()-]*|https://[\w./-]+", text) else json.dumps(text)


def placed(text: str, section: str, entry: str) -> str:
    """The list with the entry in it: by name, and behind the variants that are there."""
    name = entry.split()[1]
    entry = f"  - {entry[4:]}"
    before, heading, rest = text.partition(f"\n{section}:\n")
    if not heading:
        return f"{text}\n{section}:\n{entry}"
    below, following = re.match(r"((?:[ #].*\n)*)([\s\S]*)", rest).groups()  # type: ignore[union-attr]  # matches anything
    entries = re.split(r"(?m)^(?=  - name: )", below)
    place = sum(1 for one in entries if not one.strip() or one.split()[2] <= name)
    entries.insert(place, entry)
    return "".join([before, heading, *entries, following])


if __name__ == "__main__":
    sys.exit(main())
