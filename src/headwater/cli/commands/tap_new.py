"""`headwater tap new`."""

from __future__ import annotations

import sys
from typing import Literal, get_args

import click

from headwater.base.errors import InputError
from headwater.cli import listen
from headwater.cli.settings import Settings

Login = Literal["none", "bearer", "basic", "api_key"]
LOGINS = get_args(Login)
_SECRETS = {"bearer": "token", "basic": "user:password", "api_key": "API key"}


@click.group("new")
def command() -> None:
    """Write a source of your own."""


@command.command("python")
@click.argument("name", default="mine")
@click.option("--package", "is_package", is_flag=True, help="As a package to share, in the folder sources/tap-NAME.")
@click.pass_obj
def python(settings: Settings, name: str, *, is_package: bool) -> None:
    """Write sources/NAME.py, a source that runs as it is, and its entry in the project file, `tap-NAME`.

    A file that is there already is left as it is, and gets its entry.
    """
    from headwater.ops import own_sources

    make = own_sources.new_package if is_package else own_sources.new
    made = make(settings.workspace(default_environment=False), name)
    if made.wrote:
        click.echo(f"wrote {made.file}")
    click.echo(f"added extractor `{made.plugin}`")
    click.echo(f"next: headwater tap test {made.plugin}", err=True)


@command.command("rest")
@click.argument("name")
@click.option("--url", help="The address of one list of records, as a browser would take it.")
@click.option("--auth", type=click.Choice(LOGINS), help="What calls carry to say who asks; asked for with the address.")
@click.option("--header", default="X-API-Key", show_default=True, help="The header of an API key.")
@click.option("--stream", help="What the records are called; by default as the address ends.")
@click.option("--records", help="Where the records are in an answer, as `data.items`; found out by default.")
@click.option("--try/--no-try", "is_tried", default=True, help="Ask the API, up to three times.")
@click.pass_obj
def rest(
    settings: Settings,
    name: str,
    url: str | None,
    auth: Login | None,
    header: str,
    stream: str | None,
    records: str | None,
    is_tried: bool,
) -> None:
    """Ask an API, three times at most, and write sources/NAME.yml, which describes it as a source, and its entry
    `tap-NAME`.

    What is not given as an option is asked for. A secret is taken from TAP_NAME_TOKEN, TAP_NAME_API_KEY or
    TAP_NAME_USERNAME and TAP_NAME_PASSWORD, or asked for, and then kept in .env.
    """
    from headwater.ops import plugins, rest_sources

    workspace = settings.workspace(default_environment=False)
    try:
        if url is None:
            url = click.prompt("address of a list of records", err=True)
            auth = auth or click.prompt("auth", type=click.Choice(LOGINS), default="none", err=True)
    except click.Abort as error:
        if sys.stdin.isatty():
            raise
        click.echo(err=True)  # the question has no line end
        raise InputError(
            "bad-usage",
            "there is nobody to ask for the address and its login",
            hint=f"headwater tap new rest {name} --url https://api.example.com/orders --auth none",
        ) from error
    login: Login = auth or "none"
    secret = None
    if login != "none" and not rest_sources.has_secret(workspace, name, login):
        question = f"{_SECRETS[login]} (kept in .env; empty to set it later)"
        secret = _secret(question)
    wish = rest_sources.Wish(
        url=url, login=login, secret=secret, header=header, stream=stream, records=records, is_tried=is_tried
    )
    made = rest_sources.new(workspace, name, wish)
    for finding in made.findings:
        click.echo(f"{finding.what:<8} {finding.found} ({finding.sure})")
    if made.trouble is not None:
        click.echo(f"warning: the API could not be tried: {made.trouble}", err=True)
    click.echo(f"wrote {made.file}")
    click.echo(f"added extractor `{made.plugin}` with stream `{made.stream}`")
    if made.stored:
        click.echo(f"stored {', '.join(f'`{one}`' for one in made.stored)} in .env")
    for line in plugins.next_commands(settings.workspace(default_environment=False), made.plugin):
        if " config set " in line:
            click.echo(line, err=True)
    click.echo(f"next: headwater tap test {made.plugin}", err=True)


def _secret(question: str) -> str | None:
    """None where it is to be set later, or there is nobody to ask."""
    is_seen = sys.stdin.isatty()
    try:
        return click.prompt(question, default="", show_default=False, hide_input=is_seen, err=True) or None
    except click.Abort:
        if is_seen:
            raise
        click.echo(err=True)
        return None


_PIP_URL = "What to install, where it is more than the package itself: as `PACKAGE==1.2` or several in one text."


@command.command("airbyte")
@click.argument("name")
@click.argument("package", required=False)
@click.option("--pip-url", help=_PIP_URL)
@click.pass_obj
def airbyte(settings: Settings, name: str, package: str | None, pip_url: str | None) -> None:
    """Add a source connector of Airbyte that is a Python package, as `tap-NAME`, and install it.

    PACKAGE is by default `airbyte-source-NAME`. What settings it has is asked from the connector.
    """
    _foreign(settings, name, "airbyte", package, pip_url)


@command.command("dlt")
@click.argument("name")
@click.argument("function", required=False)
@click.option("--pip-url", help=_PIP_URL)
@click.pass_obj
def dlt(settings: Settings, name: str, function: str | None, pip_url: str | None) -> None:
    """Add a source of dlt, of a package or of the project's folder `sources`, as `tap-NAME`, and install what it needs.

    FUNCTION is MODULE.FUNCTION, or the name of a source that dlt brings itself; by default that is NAME.
    """
    _foreign(settings, name, "dlt", function, pip_url)


@command.command("package")
@click.argument("name")
@click.argument("package", required=False)
@click.option("--pip-url", help=_PIP_URL)
@click.pass_obj
def package(settings: Settings, name: str, package: str | None, pip_url: str | None) -> None:
    """Add a source that a Python package offers, as `tap-NAME`, and install it.

    PACKAGE is its name, NAME by default, and `PACKAGE/SOURCE` one source of several.
    """
    _foreign(settings, name, "package", package, pip_url)


def _foreign(
    settings: Settings,
    name: str,
    framework: Literal["airbyte", "dlt", "package"],
    named: str | None,
    pip_url: str | None,
) -> None:
    from headwater.ops import foreign_sources

    workspace = settings.workspace(default_environment=False)
    with listen.listening(settings) as emit:
        made = foreign_sources.new(workspace, name, framework, named, pip_url, emit=emit)
    click.echo(f"added extractor `{made.plugin}` with source `{made.source}`")
    for setting in made.required:
        click.echo(f"next: headwater config set {made.plugin} {setting} VALUE", err=True)
    click.echo(f"next: headwater tap test {made.plugin}", err=True)
