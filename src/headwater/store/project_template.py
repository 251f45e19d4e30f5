"""What a new project consists of."""

from __future__ import annotations

from pathlib import Path

from headwater.base.errors import InputError, Where
from headwater.base.files import write_atomic
from headwater.store.project_file import OWN_FILE, project_file

_PROJECT = """\
# Sources and destinations come into this file with `headwater add`.
default_environment: dev
project_id: {project_id}

environments:
  - name: dev
  - name: staging
  - name: prod
"""

_GITIGNORE = """\
# Secrets, and what the program makes anew.
.env
.headwater/
.meltano/
output/*
!output/.gitignore
*.duckdb
*.duckdb.wal
.*.lease/
"""

_README = """\
# {name}

A Headwater project.

| | |
|---|---|
| `headwater.yml` | sources, destinations, environments, jobs, schedules |
| `models/` | SQL models, one `SELECT` a file |
| `data/` | small files that belong to the project |
| `output/` | what loaders write here; not under version control |
| `.env` | secrets of this machine; not under version control |

```sh
headwater add tap-github target-duckdb     # a source and a destination
headwater config set tap-github repositories '["owner/name"]'
headwater run tap-github target-duckdb
```
"""


def create(folder: Path, *, project_id: str, force: bool = False) -> list[Path]:
    """Write a new project into `folder`, which is made when absent; answers the files written, in order.

    Files that are there already stay as they are; `force` replaces the project file, and nothing else. Raises
    InputError (`project-exists`) without `force` when the folder holds a project.
    """
    present = project_file(folder)
    if present is not None and not force:
        raise InputError(
            "project-exists",
            "there is a project in this folder already",
            where=Where(str(present)),
            hint="use another folder, or --force to write a new project file over it",
        )
    if folder.exists() and not folder.is_dir():
        raise InputError("not-a-folder", f"`{folder}` is a file", hint="choose another name")
    files = {
        OWN_FILE: _PROJECT.format(project_id=project_id),
        ".gitignore": _GITIGNORE,
        "README.md": _README.format(name=folder.name),
        "models/.gitkeep": "",
        "data/.gitkeep": "",
        "output/.gitignore": "*\n!.gitignore\n",
    }
    written = []
    for name, text in files.items():
        path = folder / name
        if not path.exists() or (name == OWN_FILE and force):
            write_atomic(path, text.encode())
            written.append(path)
    return written
