"""`headwater test`."""

from __future__ import annotations

import sys

import click

from headwater.cli import starting
from headwater.cli.options import installing
from headwater.cli.settings import Settings

_WIDTH = 60


@click.command("test")
@click.option("--all", "everything", is_flag=True, help="Run the tests of all plugins.")
@installing
@click.argument("tests", nargs=-1, metavar="PLUGIN[:TEST]...")
@click.pass_obj
def command(settings: Settings, everything: bool, install: str | None, tests: tuple[str, ...]) -> int:
    """Run the tests of plugins: their commands whose names begin with `test`, the checks of `models`, of Soda
    and of Great Expectations.

    Ends with exit code 1 when one of them does not end with 0.
    """
    from headwater.ops import invoke, plugin_tests, runs

    workspace = settings.workspace()
    chosen = plugin_tests.chosen(workspace, tests, everything=everything)
    for name, kind in dict.fromkeys((test.plugin.name, test.plugin.kind) for test in chosen if not test.is_step):
        invoke.prepare(workspace, name, kind, install=install, containers=False)
    if install == "only":
        return 0
    codes = {}
    for test in chosen:
        click.secho(f" {test.name} ".center(_WIDTH + 20, "="), bold=True)
        sys.stdout.flush()
        if test.is_step:
            codes[test.name] = starting.start(settings, workspace, runs.Request(blocks=(test.name,)), install)
        else:
            codes[test.name] = plugin_tests.run(workspace, test)
    click.echo()
    for name, code in codes.items():
        click.echo(f"{name:.<{_WIDTH}} {'success' if code == 0 else 'failure'}")
    failed = sum(code != 0 for code in codes.values())
    how = "with failures" if failed else "successfully"
    click.echo(f"Testing completed {how}. {len(codes) - failed} test(s) successful. {failed} test(s) failed.")
    return 1 if failed else 0
