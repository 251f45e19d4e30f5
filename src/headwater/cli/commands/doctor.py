"""`headwater doctor`."""

from __future__ import annotations

import click

from headwater.base.errors import ExitCode
from headwater.cli.options import JSON
from headwater.cli.output import print_json
from headwater.cli.settings import Settings

MARKS = {"ok": "ok  ", "warning": "warn", "failed": "FAIL"}


@click.command("doctor")
@JSON
@click.pass_obj
def command(settings: Settings, as_json: bool) -> int:
    """Check the machine, the project file, the plugins and their settings. Changes nothing.

    Exits with 2 when something is wrong.
    """
    from headwater.ops import doctor

    findings = doctor.examine(lambda: settings.workspace(default_environment=True))
    if as_json:
        print_json(findings)
    else:
        for finding in findings:
            click.echo(f"{MARKS[finding.status]}  {finding.subject}: {finding.text}")
            if finding.hint:
                click.echo(f"      hint: {finding.hint}")
    failed = any(finding.status == "failed" for finding in findings)
    return int(ExitCode.INPUT if failed else ExitCode.DONE)
