"""Each peer in an environment of its own, from PyPI, at the versions that were measured."""

from __future__ import annotations

import os
import subprocess
import tarfile
from pathlib import Path

CACHE = Path.home() / ".cache" / "headwater-benchmarks"

DUCKDB_LIBRARY = "@duckdb/node-bindings-linux-x64@1.5.6-r.1"

# The newest sling and ingestr on PyPI fetch their program from elsewhere at the first start: these carry it.
PACKAGES = {
    "dlt": [
        "dlt[duckdb,postgres,sql_database,parquet]==1.31.0",
        "connectorx==0.4.6",
        "adbc-driver-postgresql==1.13.0",
        "psycopg2-binary==2.9.13",
        "orjson==3.13.0",
        "pyarrow==26.0.1",
    ],
    "arrow": ["adbc-driver-manager==1.13.0", "adbc-driver-postgresql==1.13.0", "connectorx==0.4.6", "pyarrow==26.0.1"],
    "polars": ["polars==2.1.0", "pyarrow==26.0.1"],
    "sling": [
        "sling==1.4.11",
        "sling-linux-amd64==1.4.11",
        "duckdb-cli==1.5.5",  # sling writes through the command line of DuckDB, which wants these extensions
        "duckdb==1.5.5",
        "duckdb-extensions==1.5.5",
        "duckdb-extension-json==1.5.5",
        "duckdb-extension-httpfs==1.5.5",
    ],
    "ingestr": ["ingestr==1.1.22"],
    "meltanolabs-tap-postgres": ["meltanolabs-tap-postgres==0.10.0"],
    "meltanolabs-target-postgres": ["meltanolabs-target-postgres==0.8.1"],
    "pipelinewise-target-postgres": ["pipelinewise-target-postgres==2.1.2"],
    "target-duckdb": ["target-duckdb==0.8.0", "duckdb==1.5.6"],
    "target-jsonl": ["target-jsonl==0.1.4"],
    "duckdb": [
        "duckdb==1.5.5",
        "duckdb-extensions==1.5.5",
        "duckdb-extension-postgres-scanner==1.5.5",
        "pyarrow==26.0.1",
    ],
}


def binaries(name: str) -> Path:
    """The folder with the peer's programs. Made at the first call, and made again when the versions change."""
    venv = CACHE / "venvs" / name
    made = venv / "made-of.txt"
    wanted = "\n".join(PACKAGES[name])
    if not made.exists() or made.read_text() != wanted:
        env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        python = str(venv / "bin" / "python")
        subprocess.run(["uv", "venv", "--quiet", "--clear", "--python", "3.11", str(venv)], check=True, env=env)
        install = ["uv", "pip", "install", "--quiet", "--no-config", "--compile-bytecode", "-p", python]
        subprocess.run([*install, *PACKAGES[name]], check=True, env=env, cwd=CACHE)  # out of reach of our own pins
        made.write_text(wanted)
    return venv / "bin"


def duckdb_driver() -> Path:
    """A folder that names DuckDB's ADBC driver, which ingestr writes through and would fetch from elsewhere: the
    library as an npm package carries it."""
    folder = CACHE / "duckdb-driver"
    manifest = folder / "duckdb.toml"
    if not manifest.exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "pack", "--silent", DUCKDB_LIBRARY], check=True, cwd=folder, stdout=subprocess.DEVNULL)
        archive = next(folder.glob("*.tgz"))
        with tarfile.open(archive) as packed:
            packed.extractall(folder, filter="data")
        archive.unlink()
        library = folder / "package" / "libduckdb.so"
        manifest.write_text(f'name = "duckdb"\n[Driver]\nentrypoint = "duckdb_adbc_init"\nshared = "{library}"\n')
    return folder
