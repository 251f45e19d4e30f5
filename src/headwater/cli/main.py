"""The command line's entry: options that hold for every command, and how an error reaches the screen."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from headwater import __version__
from headwater.base.errors import ExitCode, HeadwaterError
from headwater.cli import exits
from headwater.cli.lazy import LazyGroup
from headwater.cli.settings import Settings

_HERE = "headwater.cli.commands"
COMMANDS = {
    "demo": (f"{_HERE}.demo", "From nothing to an answered question on real data"),
    "init": (f"{_HERE}.init", "Create a project"),
    "add": (f"{_HERE}.add", "Add plugins to the project"),
    "remove": (f"{_HERE}.remove", "Remove plugins from the project"),
    "install": (f"{_HERE}.install", "Install the project's plugins"),
    "lock": (f"{_HERE}.lock", "Write down the definitions of plugins"),
    "plugin": (f"{_HERE}.plugin", "List the project's plugins and those of the hub"),
    "hub": (f"{_HERE}.hub", "Ask the hub for plugins, or make one"),
    "config": (f"{_HERE}.config", "Show and change settings"),
    "select": (f"{_HERE}.select", "Choose streams and columns"),
    "environment": (f"{_HERE}.environment", "List, add and remove environments"),
    "job": (f"{_HERE}.job", "Name lists of blocks"),
    "schedule": (f"{_HERE}.schedule", "Say when jobs are due, and run one by name"),
    "run": (f"{_HERE}.run", "Run pipelines, commands and jobs"),
    "el": (f"{_HERE}.el", "Run one extractor into one loader"),
    "elt": (f"{_HERE}.el:with_transform", "Run one extractor into one loader, then dbt"),
    "invoke": (f"{_HERE}.invoke", "Run a plugin's program or command"),
    "test": (f"{_HERE}.test", "Run the tests of plugins and the checks of models"),
    "state": (f"{_HERE}.state", "Show and change where pipelines go on from"),
    "logs": (f"{_HERE}.logs", "Show past runs"),
    "rejects": (f"{_HERE}.rejects", "List, reload and drop records that were set aside"),
    "verify": (f"{_HERE}.verify", "Compare what was loaded with its source"),
    "models": (f"{_HERE}.models", "Bring models from dbt, and to dbt"),
    "query": (f"{_HERE}.query", "Read the warehouse with SQL"),
    "compile": (f"{_HERE}.compile", "Write the resolved project as JSON"),
    "doctor": (f"{_HERE}.doctor", "Check the project and this machine"),
    "upgrade": (f"{_HERE}.upgrade", "Bring a project to this version"),
    "docs": (f"{_HERE}.aside:docs", "Say where the documentation is"),
    "dragon": (f"{_HERE}.aside:dragon", "Summon a dragon"),
    "schema": (f"{_HERE}.aside:schema", "Nothing: the system database needs no schema"),
    "cloud": (f"{_HERE}.aside:cloud", "Nothing: there is nothing to log in to"),
    "tap": (f"{_HERE}.tap", "Run a native source as a Singer tap"),
    "target": (f"{_HERE}.target", "Run a native destination as a Singer target"),
}


class _Root(LazyGroup):
    """Turns whatever ends a command into an exit code, as long as the options are known that say how to tell it."""

    def invoke(self, ctx: click.Context) -> int:
        try:
            result = super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit):
            raise
        except HeadwaterError as error:
            from headwater.cli import problems  # only a failing command needs it, here and below

            problems.print_error(error, ctx.obj)
            return exits.spelled(error.exit_code, ctx.obj, error.reference)
        except click.Abort:
            return exits.spelled(_aborted(), ctx.obj)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            return exits.spelled(ExitCode.INTERRUPTED, ctx.obj)
        except BrokenPipeError:
            _forget_stdout()
            return int(ExitCode.DONE)
        except Exception as error:  # noqa: BLE001 - a bug of ours: the user gets a line and a file to send, no traceback
            from headwater.cli import problems

            problems.print_bug(error, ctx.obj, ctx.invoked_subcommand)
            return int(ExitCode.FAILED)
        if isinstance(result, ExitCode):  # a plain number is that of a plugin's program
            return exits.spelled(result, ctx.obj)
        return int(result) if isinstance(result, int) else int(ExitCode.DONE)


def _aborted() -> ExitCode:
    """Somebody answered a question with Ctrl-C or no, or nobody was there to answer."""
    if sys.stdin.isatty():
        click.echo("aborted", err=True)
        return ExitCode.INTERRUPTED
    click.echo("error: there is nobody to ask; give the answer as an argument, or with --force or --yes", err=True)
    return ExitCode.INPUT


def _forget_stdout() -> None:
    """The reader went away (`headwater logs list | head`), no error of ours: what is still buffered goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@click.group(
    cls=_Root,
    table=COMMANDS,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "token_normalize_func": lambda token: token.replace("_", "-"),
    },
)
@click.option("--cwd", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Work in this folder.")
@click.option("--environment", "-e", help="Use this environment of the project.")
@click.option("--no-environment", is_flag=True, help="Use no environment.")
@click.option("--env-file", type=click.Path(path_type=Path, dir_okay=False), help="Read variables from this file.")
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error", "critical", "disabled"], case_sensitive=False),
    default="info",
    show_default=True,
    envvar=["HEADWATER_LOG_LEVEL", "MELTANO_CLI_LOG_LEVEL"],
    help="Show events from this level on.",
)
@click.option(
    "--log-format",
    type=click.Choice(["auto", "plain", "json", "key_value", "colored", "uncolored"]),
    default="auto",
    show_default=True,
    envvar=["HEADWATER_LOG_FORMAT", "MELTANO_CLI_LOG_FORMAT"],
    help="`auto` (or `colored`) is a live display on a terminal and plain lines elsewhere.",
)
@click.option(
    "--log-config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Log as this file says (`dictConfig` in YAML); the project's logging.yaml, if it has one.",
)
@click.option("--database-uri", hidden=True, help="As the setting `database_uri`; may stand behind a command, too.")
@click.version_option(__version__, prog_name="headwater")
@click.pass_context
def root(context: click.Context, /, **options: object) -> None:
    """Headwater: from any source to a number people trust."""
    default = click.core.ParameterSource.DEFAULT
    given = frozenset(name for name in options if context.get_parameter_source(name) is not default)
    context.obj = Settings.from_options(options, given)


def main() -> None:
    """Run the command line and exit with a code from the one table."""
    # Arrow's allocator keeps what is freed for a while, in each thread: half of a load's memory. To keep none of it
    # costs a page fault for each page that is used again (ADR 22). Milliseconds; it reads this when it is loaded.
    os.putenv("MIMALLOC_PURGE_DELAY", "10")
    sys.exit(run(sys.argv[1:]))


def database_uri_first(arguments: list[str]) -> list[str]:
    """`--database-uri`, which every command takes, brought before the command; what belongs to a plugin stays."""
    if "invoke" in arguments:
        return arguments
    for spot, word in enumerate(arguments):
        name, equals, _ = word.replace("_", "-", 1).partition("=")
        if word == "--":
            break
        if name == "--database-uri":
            end = spot + (1 if equals else 2)
            return [*arguments[spot:end], *arguments[:spot], *arguments[end:]]
    return arguments


def run(arguments: list[str]) -> int:
    """The command line as a function: the exit code for these arguments. Prints; raises nothing."""
    try:
        return int(
            root.main(args=database_uri_first(arguments), prog_name="headwater", standalone_mode=False) or ExitCode.DONE
        )
    except click.exceptions.NoArgsIsHelpError as error:
        # Who says only `headwater` wants to see what there is; a group without a command is half a command.
        is_root = error.ctx.parent is None
        click.echo(error.ctx.get_help(), err=not is_root)
        return int(ExitCode.DONE if is_root else ExitCode.INPUT)
    except click.ClickException as error:
        from headwater.cli import problems

        problems.print_error(problems.usage_error(error))
        return int(ExitCode.INPUT)
