"""What `headwater add --custom` asks for: all that a definition would say."""

from __future__ import annotations

import re
from typing import Any

import click

from headwater.base.errors import InputError
from headwater.model.plugin import PluginKind

_WITH_SETTINGS = (PluginKind.EXTRACTOR, PluginKind.LOADER, PluginKind.TRANSFORMER)
_SECRET_KINDS = ("password", "oauth")


def asked(name: str, kind: PluginKind) -> dict[str, Any]:
    """Asks for namespace, package, program, capabilities and settings, in this order; an empty answer takes what is
    shown. Raises InputError (`custom-needs-program`) where there is nobody to ask."""
    click.echo(f"adding the custom {kind} `{name}`; Return takes what stands in brackets", err=True)
    try:
        namespace = click.prompt("(namespace)", default=name.replace("-", "_"), err=True)
        pip_url = click.prompt("(pip_url) a package, or n when there is nothing to install", default=name, err=True)
        package = None if pip_url == "n" else pip_url
        executable = click.prompt("(executable)", default=_program(package or name), err=True)
        capabilities = _words("(capabilities)", "catalog,discover,state") if kind is PluginKind.EXTRACTOR else ()
        settings = _words("(settings) name or name:kind, with commas", "") if kind in _WITH_SETTINGS else ()
    except click.Abort:
        raise InputError(
            "custom-needs-program",
            f"`{name}` is custom and needs a package or a program",
            hint=f"headwater add {name} --custom --pip-url PACKAGE (or --executable PROGRAM)",
        ) from None
    return {
        "namespace": namespace,
        "pip_url": package,
        "executable": executable,
        "capabilities": capabilities,
        "settings": tuple(_setting(word) for word in settings),
    }


def _words(question: str, default: str) -> tuple[str, ...]:
    answer = click.prompt(question, default=default, show_default=bool(default), err=True)
    return tuple(word.strip() for word in answer.split(",") if word.strip())


def _program(package: str) -> str:
    """`git+https://host/tap-x.git` and `tap-x[s3]==1.2` are run as `tap-x`."""
    found = re.match(r"[\w.-]+?(?=\.git\b|[^\w.-]|$)", package.rstrip("/").rpartition("/")[2])
    return found.group() if found else package


def _setting(word: str) -> dict[str, Any]:
    name, _, kind = word.partition(":")
    setting: dict[str, Any] = {"name": name}
    if kind:
        setting["kind"] = kind
    if kind in _SECRET_KINDS:
        setting["sensitive"] = True
    return setting
