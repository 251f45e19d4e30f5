"""The tests of plugins: those of their commands whose names begin with `test`, and the checks of our own models.

Any other command of a plugin is a test, too, when it is named."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from headwater.base.errors import HeadwaterError, InputError, Where
from headwater.model.plugin import Plugin
from headwater.ops import invoke, planning
from headwater.ops.workspace import Workspace
from headwater.plan import alone, checkers, settled

_PREFIX = "test"


class PluginTest(Struct, frozen=True):
    """`is_step`: it is a step of a run, not a program."""

    plugin: Plugin
    command: str
    is_step: bool = False

    @property
    def name(self) -> str:
        return f"{self.plugin.name}:{self.command}"


def chosen(workspace: Workspace, words: Sequence[str], *, everything: bool) -> list[PluginTest]:
    """The tests of `PLUGIN` and `PLUGIN:TEST` words, in the project's order, or all there are.

    Raises InputError: `unknown-plugin`, `no-such-test`.
    """
    known = {plugin.name: _tests(workspace, plugin) for plugin in _plugins(workspace, words, everything=everything)}
    if everything:
        return [test for tests in known.values() for test in tests]
    wanted: list[PluginTest] = []
    for word in words:
        name, _, command = word.partition(":")
        found = [test for test in known[name] if command in ("", test.command)]
        found = found or [test for test in _named(workspace, name) if test.command == command]
        if not found:
            plugin = planning.plugin(workspace, name)
            names = ", ".join(test.name for test in known[name])
            raise InputError(
                "no-such-test",
                f"`{name}` has no test `{command}`" if command else f"`{name}` has no tests",
                where=Where(plugin.file, plugin.line),
                hint=f"it has: {names}" if names else f"headwater invoke --list-commands {name}",
            )
        wanted += [test for test in found if test not in wanted]
    return wanted


def run(workspace: Workspace, test: PluginTest) -> int:
    """The exit code of a test, which has our standard streams."""
    return invoke.invoke(workspace, test.name, test.plugin.kind, ())


def _plugins(workspace: Workspace, words: Sequence[str], *, everything: bool) -> list[Plugin]:
    if everything:
        return list(workspace.project.plugins)
    return [planning.plugin(workspace, name) for name in dict.fromkeys(word.partition(":")[0] for word in words)]


def _named(workspace: Workspace, name: str) -> list[PluginTest]:
    """What may be named as a test of the plugin though its name doesn't say that it is one."""
    plugin = planning.plugin(workspace, name)
    resolved = settled.ready(planning.facts(workspace), plugin).resolved
    if resolved.native == alone.MODELS or resolved.definition.driver is not None:
        return []
    return [PluginTest(plugin, command) for command in resolved.definition.commands]


def _tests(workspace: Workspace, plugin: Plugin) -> list[PluginTest]:
    try:
        resolved = settled.ready(planning.facts(workspace), plugin).resolved
    except HeadwaterError:
        return []  # something is wrong with a plugin: its own commands will say what
    if resolved.native == alone.MODELS:
        return [PluginTest(plugin, "check", is_step=True)]
    if (driver := resolved.definition.driver) is not None:
        return [PluginTest(plugin, name, is_step=True) for name in checkers.commands(driver, resolved.definition)]
    return [PluginTest(plugin, name) for name in resolved.definition.commands if name.startswith(_PREFIX)]
