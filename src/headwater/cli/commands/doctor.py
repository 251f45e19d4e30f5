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
@click.option("--singer", is_flag=True, help="Also try each Singer tap and target, as `config test` does.")
@click.pass_obj
def command(settings: Settings, as_json: bool, singer: bool) -> int:
    """Check the machine, the project, its plugins, settings, states, connections, selections and tables.

    Opens native sources and destinations and writes nothing to them. Exits with 1 when something is wrong, with 0
    otherwise: warnings are no failure.
    """
    from headwater.ops import doctor

    findings = doctor.examine(lambda: settings.workspace(default_environment=True), singer=singer)
    if as_json:
        print_json(findings)
    else:
        for finding in findings:
            click.echo(f"{MARKS[finding.status]}  {finding.subject}: {finding.text}")
            if finding.hint:
                click.echo(f"      hint: {finding.hint}")
    failed = any(finding.status == "failed" for finding in findings)
    return int(ExitCode.FAILED if failed else ExitCode.DONE)
