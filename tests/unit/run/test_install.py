"""Real uv, real environments; the packages are tiny wheels made on the spot, so no network is needed."""

import base64
import hashlib
import os
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest

from headwater.base.errors import EnvironmentProblemError, InputError, RunFailedError
from headwater.model.event import Install, Notice
from headwater.model.plugin import Definition, Plugin, PluginKind, Resolved
from headwater.run.install import InstallJob, install, job, update_pins
from headwater.store import venvs

LOCAL = "--no-index --find-links wheels"


def wheel(root: Path, name: str, version: str = "1.0", *, program: str | None = None, source: str = "") -> Path:
    """A package whose program prints its version."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    files = {
        f"{module}.py": f"{source}\ndef main():\n    print('{name} {version}')\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{program or name} = {module}:main\n",
    }
    record = ""
    for path, text in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        record += f"{path},sha256={digest},{len(text.encode())}\n"
    folder = root / "wheels"
    folder.mkdir(exist_ok=True)
    made = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(made, "w") as archive:
        for path, text in files.items():
            archive.writestr(path, text)
        archive.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")
    return made


def job_for(
    root: Path, pip_url: str, *, name: str = "tap-tiny", kind: PluginKind = PluginKind.EXTRACTOR, **given
) -> InstallJob:
    env = {"PATH": os.environ["PATH"], "HOME": str(root), "UV_CACHE_DIR": str(root / "cache")} | given.pop("env", {})
    secrets = given.pop("secrets", ())
    definition = Definition(
        plugin_type=kind, name=name, namespace=name.replace("-", "_"), variant="acme", pip_url=pip_url, **given
    )
    resolved = Resolved(
        kind=kind, name=name, definition=definition, chain=(Plugin(kind=kind, name=name),), venv_name=name
    )
    made = job(resolved, root=root, home=root / ".headwater", env=env, secrets=secrets)
    assert made is not None
    return made


def output_of(root: Path, name: str = "tap-tiny", program: str | None = None) -> str:
    path = venvs.executable(root / ".headwater", PluginKind.EXTRACTOR, name, program or name)
    return subprocess.run([path], capture_output=True, text=True, check=True).stdout.strip()


def quiet(_event: object) -> None:
    pass


def test_a_plugin_gets_an_environment_with_its_program(tmp_path):
    wheel(tmp_path, "tap-tiny")
    events = []

    (done,) = install([job_for(tmp_path, f"tap-tiny {LOCAL}")], emit=events.append)

    assert done.status == "installed"
    assert output_of(tmp_path) == "tap-tiny 1.0"
    assert [event.status for event in events if isinstance(event, Install)] == ["started", "installed"]


def test_the_packages_are_pinned_with_hashes_and_the_pins_name_no_index(tmp_path):
    made = wheel(tmp_path, "tap-tiny")
    install([job_for(tmp_path, f"tap-tiny {LOCAL}")], emit=quiet)

    header, pin, digest = (tmp_path / "plugins/extractors/tap-tiny--acme.requirements.txt").read_text().splitlines()

    assert header.startswith("# headwater pins: inputs=")
    assert header.endswith(f"python={sys.version_info[0]}.{sys.version_info[1]} platform=any")
    assert pin == "tap-tiny==1.0 \\"
    assert digest == f"    --hash=sha256:{hashlib.sha256(made.read_bytes()).hexdigest()}"


def test_a_newer_package_is_not_taken_while_the_pins_fit(tmp_path):
    wheel(tmp_path, "tap-tiny")
    install([job_for(tmp_path, f"tap-tiny {LOCAL}")], emit=quiet)
    wheel(tmp_path, "tap-tiny", "2.0")

    install([job_for(tmp_path, f"tap-tiny {LOCAL}")], emit=quiet, clean=True)
    assert output_of(tmp_path) == "tap-tiny 1.0"

    update_pins(job_for(tmp_path, f"tap-tiny {LOCAL}"), emit=quiet)
    install([job_for(tmp_path, f"tap-tiny {LOCAL}")], emit=quiet)
    assert output_of(tmp_path) == "tap-tiny 2.0"


def test_a_package_with_another_content_than_pinned_is_refused_and_the_old_environment_stays(tmp_path):
    wheel(tmp_path, "tap-tiny")
    install([job_for(tmp_path, f"tap-tiny {LOCAL}")], emit=quiet)
    wheel(tmp_path, "tap-tiny", source="import os  # not what was pinned")
    other_machine = {"UV_CACHE_DIR": str(tmp_path / "other-cache")}

    with pytest.raises(RunFailedError) as caught:
        install([job_for(tmp_path, f"tap-tiny {LOCAL}", env=other_machine)], emit=quiet, force=True)

    assert "Hash mismatch" in (caught.value.why or "")
    assert caught.value.hint.endswith("headwater install --clean tap-tiny")
    assert output_of(tmp_path) == "tap-tiny 1.0"


def test_an_environment_that_is_current_is_skipped_without_starting_anything(tmp_path):
    wheel(tmp_path, "tap-tiny")
    wanted = job_for(tmp_path, f"tap-tiny {LOCAL}")
    assert not venvs.is_current(wanted.requirement)
    install([wanted], emit=quiet)
    assert venvs.is_current(wanted.requirement)
    events = []

    (done,) = install([wanted], emit=events.append)

    assert done.status == "skipped"
    assert events == [Install(plugin="tap-tiny", status="skipped")]


def test_a_changed_pip_url_builds_anew_and_pins_anew(tmp_path):
    wheel(tmp_path, "tap-tiny")
    wheel(tmp_path, "tap-tiny", "2.0")
    install([job_for(tmp_path, f"tap-tiny==1.0 {LOCAL}")], emit=quiet)

    install([job_for(tmp_path, f"tap-tiny {LOCAL}")], emit=quiet)

    assert output_of(tmp_path) == "tap-tiny 2.0"


def test_constraints_and_overrides_of_the_definition_hold(tmp_path):
    for version in ("1.0", "2.0", "3.0"):
        wheel(tmp_path, "tap-tiny", version)
        wheel(tmp_path, "lib-tiny", version)

    install(
        [job_for(tmp_path, f"tap-tiny lib-tiny {LOCAL}", constraints=("tap-tiny<3",), overrides=("lib-tiny==1.0",))],
        emit=quiet,
    )

    assert output_of(tmp_path) == "tap-tiny 2.0"
    assert output_of(tmp_path, program="lib-tiny") == "lib-tiny 1.0"


def test_a_constraint_file_beside_the_project_counts_by_its_content(tmp_path):
    for version in ("1.0", "2.0"):
        wheel(tmp_path, "tap-tiny", version)
    (tmp_path / "limits.txt").write_text("tap-tiny<2\n")
    install([job_for(tmp_path, f"tap-tiny -c limits.txt {LOCAL}")], emit=quiet)
    assert output_of(tmp_path) == "tap-tiny 1.0"

    (tmp_path / "limits.txt").write_text("tap-tiny<3\n")
    install([job_for(tmp_path, f"tap-tiny -c limits.txt {LOCAL}")], emit=quiet)
    assert output_of(tmp_path) == "tap-tiny 2.0"


def test_a_variable_in_the_pip_url_is_taken_from_the_environment(tmp_path):
    wheel(tmp_path, "tap-tiny")
    install([job_for(tmp_path, "tap-tiny==$TINY --no-index --find-links wheels", env={"TINY": "1.0"})], emit=quiet)
    assert output_of(tmp_path) == "tap-tiny 1.0"

    with pytest.raises(InputError, match="`TINY` is not set"):
        job_for(tmp_path, "tap-tiny==$TINY")


def test_a_package_in_a_folder_is_installed_without_pins_and_that_is_said(tmp_path):
    project = tmp_path / "my-tap"
    project.mkdir()
    (project / "tap_mine.py").write_text("def main():\n    print('mine')\n")
    # A build backend that needs no download: the folder brings it.
    (project / "backend.py").write_text(BACKEND)
    (project / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "tap-mine"\nversion = "1.0"\n'
    )
    events = []

    install([job_for(tmp_path, "-e ./my-tap", name="tap-mine")], emit=events.append)

    assert output_of(tmp_path, "tap-mine") == "mine"
    assert [event.text for event in events if isinstance(event, Notice)] == [
        "tap-mine: packages are not pinned: `-e ./my-tap` has no fixed content"
    ]
    assert not (tmp_path / "plugins").exists()


def test_a_missing_program_is_an_error_that_lists_those_there_are(tmp_path):
    wheel(tmp_path, "tap-tiny", program="tiny-extract")

    with pytest.raises(RunFailedError) as caught:
        install([job_for(tmp_path, f"tap-tiny {LOCAL}")], emit=quiet)

    assert caught.value.reference == "plugin-executable-missing"
    assert caught.value.what == "the packages of `tap-tiny` bring no program `tap-tiny`"
    assert caught.value.why == "they bring `tiny-extract`"
    assert caught.value.hint == "name it: `executable: tiny-extract`"


def test_a_utility_needs_no_program_of_its_name(tmp_path):
    wheel(tmp_path, "tool-tiny")
    (done,) = install([job_for(tmp_path, f"tool-tiny {LOCAL}", name="tool", kind=PluginKind.UTILITY)], emit=quiet)
    assert done.status == "installed"


def test_one_failure_leaves_the_others_installed(tmp_path):
    wheel(tmp_path, "tap-tiny")
    events = []

    with pytest.raises(RunFailedError) as caught:
        install(
            [
                job_for(tmp_path, f"no-such-package {LOCAL}", name="tap-lost"),
                job_for(tmp_path, f"tap-tiny {LOCAL}"),
            ],
            emit=events.append,
            parallelism=2,
        )

    assert caught.value.reference == "plugin-install-failed"
    assert caught.value.what == "cannot install `tap-lost`"
    assert "no-such-package" in (caught.value.why or "")
    assert output_of(tmp_path) == "tap-tiny 1.0"
    assert not list((tmp_path / ".headwater/extractors/tap-lost/venvs").iterdir())
    assert ("tap-lost", "failed") in [(event.plugin, event.status) for event in events if isinstance(event, Install)]


def test_an_index_out_of_reach_is_said_so(tmp_path):
    job_ = job_for(
        tmp_path,
        "tap-tiny-not-cached --index-url http://someone:hunter2secret@127.0.0.1:9/simple",
        env={"UV_HTTP_RETRIES": "0"},
    )

    with pytest.raises(EnvironmentProblemError) as caught:
        install([job_], emit=quiet)

    assert caught.value.reference == "no-network"
    assert caught.value.what == "cannot install `tap-tiny`: the package index is not reachable"
    assert "hunter2secret" not in f"{caught.value.why}"


def test_a_python_that_is_not_there_is_said_so(tmp_path):
    wheel(tmp_path, "tap-tiny")
    with pytest.raises(EnvironmentProblemError) as caught:
        install([job_for(tmp_path, f"tap-tiny {LOCAL}", python="3.5")], emit=quiet)
    assert caught.value.reference == "python-not-found"
    assert caught.value.hint == "uv python install 3.5"


def test_plugins_that_share_an_environment_share_its_build(tmp_path):
    wheel(tmp_path, "tap-tiny")
    wanted = job_for(tmp_path, f"tap-tiny {LOCAL}")
    events = []

    done = install([wanted, wanted], emit=events.append)

    assert [each.status for each in done] == ["installed", "installed"]
    assert len([event for event in events if isinstance(event, Install) and event.status == "started"]) == 1


def test_two_installers_at_once_build_once(tmp_path):
    wheel(tmp_path, "tap-tiny")
    wanted = job_for(tmp_path, f"tap-tiny {LOCAL}")
    statuses: list[str] = []

    def one() -> None:
        statuses.extend(each.status for each in install([wanted], emit=quiet))

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(statuses) == ["installed", "skipped"]


def test_bytecode_is_compiled_also_where_the_machine_forbids_to_write_it(tmp_path):
    wheel(tmp_path, "tap-tiny")
    install([job_for(tmp_path, f"tap-tiny {LOCAL}", env={"PYTHONDONTWRITEBYTECODE": "1"})], emit=quiet)
    assert list((tmp_path / ".headwater/extractors/tap-tiny/venv").glob("lib/python*/site-packages/__pycache__/tap*"))


def test_an_environment_moves_with_its_project(tmp_path):
    before = tmp_path / "before"
    before.mkdir()
    wheel(before, "tap-tiny")
    install([job_for(before, f"tap-tiny {LOCAL}")], emit=quiet)

    before.rename(tmp_path / "after")

    assert output_of(tmp_path / "after") == "tap-tiny 1.0"
    assert venvs.is_current(job_for(tmp_path / "after", f"tap-tiny {LOCAL}").requirement)


def test_a_package_that_imports_pkg_resources_gets_it(tmp_path):
    wheel(tmp_path, "tap-tiny", source="import pkg_resources")
    wheel(tmp_path, "setuptools", "70.0")
    with zipfile.ZipFile(tmp_path / "wheels/setuptools-70.0-py3-none-any.whl", "a") as archive:
        archive.writestr("pkg_resources/__init__.py", "")
    wheel(tmp_path, "setuptools", "82.0")

    install([job_for(tmp_path, f"tap-tiny {LOCAL}")], emit=quiet)

    assert "setuptools==70.0" in (tmp_path / "plugins/extractors/tap-tiny--acme.requirements.txt").read_text()


def test_an_interrupt_ends_the_build_and_leaves_nothing_half_made(tmp_path):
    project = tmp_path / "slow-tap"
    project.mkdir()
    (project / "backend.py").write_text("import time\ntime.sleep(60)\n")
    (project / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "tap-slow"\nversion = "1.0"\n'
    )

    def interrupt(event: object) -> None:
        if isinstance(event, Notice):  # the packages are about to be installed
            raise KeyboardInterrupt

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        install([job_for(tmp_path, "-e ./slow-tap", name="tap-slow")], emit=interrupt)

    assert time.monotonic() - begun < 50
    assert not list((tmp_path / ".headwater/extractors/tap-slow/venvs").iterdir())


@pytest.mark.e2e
def test_a_target_from_the_public_index_is_installed_and_pinned(tmp_path):
    wanted = job_for(tmp_path, "target-jsonl", name="target-jsonl", kind=PluginKind.LOADER, env=dict(os.environ))
    install([wanted], emit=quiet)

    pinned = (tmp_path / "plugins/loaders/target-jsonl--acme.requirements.txt").read_text()
    assert "singer-python==" in pinned
    assert "://" not in pinned
    program = venvs.executable(tmp_path / ".headwater", PluginKind.LOADER, "target-jsonl", "target-jsonl")
    assert "--config" in subprocess.run([program, "--help"], capture_output=True, text=True, check=True).stdout


BACKEND = """
import os, zipfile
INFO = "tap_mine-1.0.dist-info"
def get_requires_for_build_editable(config_settings=None): return []
def build_editable(directory, config_settings=None, metadata_directory=None):
    name = "tap_mine-1.0-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(directory, name), "w") as archive:
        archive.writestr("tap_mine.pth", os.path.dirname(os.path.abspath(__file__)))
        archive.writestr(INFO + "/METADATA", "Metadata-Version: 2.1\\nName: tap-mine\\nVersion: 1.0\\n")
        archive.writestr(INFO + "/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr(INFO + "/entry_points.txt", "[console_scripts]\\ntap-mine = tap_mine:main\\n")
        archive.writestr(INFO + "/RECORD", "")
    return name
"""
