from __future__ import annotations

import pytest

from headwater.ops import files

PROJECT = """
plugins:
  files:
    - name: files-x
      namespace: files_x
      pip_url: files-x
      update:
        orchestrate/*.yml: true
        orchestrate/mine.yml: false
"""
HEADER = """\
# This file comes from the bundle `files-x` and is replaced when its files are upgraded.
# To keep changes of your own, take the bundle out of the project file or set for it:
#   update: {orchestrate/a.yml: false}

"""


@pytest.fixture
def bundle(lab):
    made = lab(PROJECT)
    place = ".headwater/files/files-x/venv/lib/python3.11/site-packages/bundle"
    for name, text in {"orchestrate/a.yml": "a: 1\n", "orchestrate/mine.yml": "m: 1\n", "readme.md": "hi\n"}.items():
        made.write(f"{place}/{name}", text)
    made.write(f"{place}/__init__.py", "")
    made.bundle = made.root / place
    return made


def test_a_bundle_brings_its_files(bundle):
    copied = files.create(bundle.workspace(), "files-x")
    assert copied.created == ("orchestrate/a.yml", "orchestrate/mine.yml", "readme.md")
    assert bundle.text("orchestrate/a.yml") == f"{HEADER}a: 1\n"
    assert bundle.text("readme.md") == "hi\n"
    assert not (bundle.root / "__init__.py").exists()


def test_a_file_that_is_there_stays(bundle):
    bundle.write("readme.md", "my own\n")
    copied = files.create(bundle.workspace(), "files-x")
    assert copied.kept == ("readme.md",)
    assert bundle.text("readme.md") == "my own\n"
    assert files.create(bundle.workspace(), "files-x").created == ()


def test_only_managed_files_are_replaced(bundle):
    files.create(bundle.workspace(), "files-x")
    for name in ("orchestrate/a.yml", "orchestrate/mine.yml", "readme.md"):
        bundle.write(name, "changed\n")
        (bundle.bundle / name).write_text("new: 2\n")
    (copied,) = files.update(bundle.workspace())
    assert copied.updated == ("orchestrate/a.yml",)
    assert bundle.text("orchestrate/a.yml") == f"{HEADER}new: 2\n"
    assert bundle.text("orchestrate/mine.yml") == bundle.text("readme.md") == "changed\n"
    assert files.update(bundle.workspace())[0].updated == ()


def test_a_bundle_that_is_not_installed_is_named(lab):
    lab = lab(PROJECT)
    assert lab.refusal(files.update, lab.workspace()) == (
        "error: `files-x` is not installed [not-installed]\nhint: headwater install files-x"
    )
