"""`headwater upgrade`."""

from __future__ import annotations

import click

from headwater.cli.settings import Settings

PIP_URL = click.option("--pip-url", hidden=True, help="The installer's affair.")
FORCE = click.option("--force", is_flag=True, hidden=True, help="Nothing is in the way.")
SKIP_PACKAGE = click.option("--skip-package", is_flag=True, help="Say nothing of the package.")


@click.group("upgrade", invoke_without_command=True)
@SKIP_PACKAGE
@PIP_URL
@FORCE
@click.pass_context
def command(context: click.Context, skip_package: bool, pip_url: str | None, force: bool) -> None:  # noqa: ARG001 - see their help
    """Bring a project to this version of headwater. The program itself is upgraded by what installed it."""
    if context.invoked_subcommand is None:
        _all(context.obj, skip_package=skip_package)


@command.command("all")
@SKIP_PACKAGE
@PIP_URL
@FORCE
@click.pass_obj
def all_(settings: Settings, skip_package: bool, pip_url: str | None, force: bool) -> None:  # noqa: ARG001 - see their help
    """Everything below, in turn."""
    _all(settings, skip_package=skip_package)


@command.command("package")
@PIP_URL
@FORCE
def package(pip_url: str | None, force: bool) -> None:  # noqa: ARG001 - see their help
    """Say how the program is upgraded."""
    _say_package()


@command.command("files")
@click.pass_obj
def files(settings: Settings) -> None:
    """Bring managed files of file bundles to what their installed packages hold. Other files are left alone."""
    _files(settings)


@command.command("database")
@click.pass_obj
def database(settings: Settings) -> None:
    """Bring the system database to this version. Every command that opens it does so, too."""
    _database(settings)


def _all(settings: Settings, *, skip_package: bool) -> None:
    if not skip_package:
        _say_package()
    _files(settings)
    _database(settings)


def _say_package() -> None:
    click.echo("the program is upgraded by what installed it: uv tool upgrade headwater, or pip install -U headwater")


def _files(settings: Settings) -> None:
    from headwater.ops import files

    copied = files.update(settings.workspace(default_environment=False))
    changed = [path for item in copied for path in (*item.created, *item.updated)]
    for path in changed:
        click.echo(f"wrote {path}")
    if not changed:
        click.echo("managed files of file bundles: nothing to bring up to date")


def _database(settings: Settings) -> None:
    from headwater.ops import upgrades

    click.echo(f"the system database is at version {upgrades.database(settings.workspace(default_environment=False))}")
