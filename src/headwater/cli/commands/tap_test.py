"""`headwater tap test`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import click

from headwater.cli import listen
from headwater.cli.options import JSON, installing
from headwater.cli.output import print_json
from headwater.cli.settings import Settings
from headwater.cli.signals import cancelling

if TYPE_CHECKING:  # brings Arrow
    from headwater.ops.tap_tests import Check

_MARKS = {"passed": "ok", "failed": "FAILED", "skipped": "skipped"}


@click.command("test")
@click.argument("name")
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), help="Write the report as JUnit XML too.")
@JSON
@installing
@click.pass_obj
def command(settings: Settings, name: str, junit: Path | None, as_json: bool, install: str | None) -> int:
    """Test the extractor NAME of the project against the contract: discovery, schema, keys, each state, kill, empty
    streams, memory, cancel.

    It is read several times, with its settings and its selection; nothing is loaded. Exit code 1 when a check fails.
    """
    from headwater.ops import plugins, tap_tests

    workspace = settings.complete_workspace()
    checks = []
    with listen.listening(settings) as emit, cancelling() as cancel:
        if install == "only":
            plugins.install(workspace, [name], emit=emit)
            return 0
        for check in tap_tests.run(workspace, name, emit=emit, cancel=cancel, install=install):
            checks.append(check)
            if not as_json:
                click.echo(f"{_MARKS[check.outcome]:<8} {check.name:<36} {check.detail}")
    failed = sum(check.outcome == "failed" for check in checks)
    if junit is not None:
        junit.write_bytes(_junit(name, checks))
    if as_json:
        print_json({"plugin": name, "failed": failed, "checks": checks})
    else:
        click.echo(f"{failed} of {len(checks)} checks failed" if failed else f"`{name}` keeps the contract")
    return 1 if failed else 0


def _junit(name: str, checks: Sequence[Check]) -> bytes:
    suite = ET.Element(
        "testsuite",
        name=f"headwater tap test {name}",
        tests=str(len(checks)),
        failures=str(sum(check.outcome == "failed" for check in checks)),
        skipped=str(sum(check.outcome == "skipped" for check in checks)),
        time=f"{sum(check.seconds for check in checks):.3f}",
    )
    for check in checks:
        case = ET.SubElement(suite, "testcase", classname=name, name=check.name, time=f"{check.seconds:.3f}")
        if check.outcome == "failed":
            ET.SubElement(case, "failure", message=check.detail)
        elif check.outcome == "skipped":
            ET.SubElement(case, "skipped", message=check.detail)
        else:
            ET.SubElement(case, "system-out").text = check.detail
    text: bytes = ET.tostring(suite, encoding="utf-8", xml_declaration=True)
    return text
