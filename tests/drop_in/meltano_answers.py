"""Run by Meltano's own Python: resolves the plugins of many projects in one process.

Reads one JSON object a line (`random_projects.Drawn` as data), writes one JSON line with the answer to each.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import warnings
from pathlib import Path

import structlog
from meltano.core.environment import Environment
from meltano.core.plugin import PluginType
from meltano.core.plugin_invoker import invoker_factory
from meltano.core.project import Project


def answer(drawn, folder):
    for name, text in drawn["files"].items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    os.environ.clear()
    os.environ.update(drawn["environ"])
    project = Project(folder)
    if drawn["environment"]:
        project.refresh(environment=Environment.find(project.meltano.environments, drawn["environment"]))
    return {f"{kind} {name}": _plugin(project, kind, name) for kind, name in drawn["plugins"]}


def _plugin(project, kind, name):
    try:
        plugin = project.plugins.find_plugin(name, plugin_type=PluginType(f"{kind}s"))
        invoker = invoker_factory(project, plugin)
        settings = invoker.settings_service
        invoker.plugin_config_env = settings.as_env()
        config = settings.as_dict(extras=False, process=True)
        return {
            "config": _without_null(config),
            "extras": settings.as_dict(extras=True),
            "env": {key: value for key, value in invoker.env().items() if value is not None},
        }
    except Exception as error:  # noqa: BLE001 - whatever it refuses for is its answer
        return {"refused": type(error).__name__}


def _without_null(config):
    """As the config file is written: `SingerPlugin.process_config` and `write_config` leave null out."""
    return {key: value for key, value in config.items() if value is not None}


def _plain(value):
    return str(value) if isinstance(value, Path) else float(value)


def main():
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder).resolve() / "project"
            path.mkdir()
            found = json.dumps(answer(json.loads(line), path), default=_plain, sort_keys=True)
        print(found.replace(str(path), "<project>").replace(str(path).upper(), "<PROJECT>"), flush=True)


if __name__ == "__main__":
    main()
