import sys

import pytest

from headwater.base.errors import InputError
from headwater.model.plugin import PluginKind
from headwater.store import pins, venvs

KIND = PluginKind.LOADER


def wanted(root, *args, **given):
    return venvs.Requirement(
        root=str(root),
        home=str(root / ".headwater"),
        kind=KIND,
        venv_name="target-a",
        variant="acme",
        args=args,
        **given,
    )


def build(root, mark):
    made = venvs.new_build(root / ".headwater", KIND, "target-a", mark)
    (made / "bin").mkdir(parents=True)
    (made / "bin/python").symlink_to(sys.executable)
    return made


def builds(root):
    return {path.name for path in (root / ".headwater/loaders/target-a/venvs").iterdir()}


def test_a_program_stands_below_the_kind_and_the_name(tmp_path):
    path = venvs.executable(tmp_path / ".headwater", PluginKind.UTILITY, "dbt", "dbt")
    assert path == tmp_path / ".headwater/utilities/dbt/venv/bin/dbt"


def test_a_pip_url_is_split_like_a_shell_line():
    assert venvs.split_args("tap-a 'b[x]>=1' --no-deps") == ("tap-a", "b[x]>=1", "--no-deps")
    with pytest.raises(InputError, match="cannot read"):
        venvs.split_args("tap-a 'open")


def test_the_fingerprint_changes_with_all_that_decides_the_packages(tmp_path):
    base = wanted(tmp_path, "tap-a")
    others = [
        wanted(tmp_path, "tap-a", "tap-b"),
        wanted(tmp_path, "tap-atap-b"),
        wanted(tmp_path, "tap-a", constraints=("b<1",)),
        wanted(tmp_path, "tap-a", overrides=("b<1",)),
        wanted(tmp_path, "tap-a", python="3.9"),
    ]
    marks = {venvs.fingerprint(each, None) for each in [base, *others]}
    assert len(marks) == 6
    assert venvs.fingerprint(base, None) == venvs.fingerprint(wanted(tmp_path, "tap-a"), None)


def test_an_environment_is_current_until_its_python_is_gone(tmp_path):
    one = wanted(tmp_path, "tap-a")
    home = tmp_path / ".headwater"
    assert not venvs.is_current(one)
    made = build(tmp_path, "a" * 64)
    venvs.swap(home, KIND, "target-a", made, venvs.fingerprint(one, None))
    assert venvs.is_current(one)

    (made / "bin/python").unlink()
    (made / "bin/python").symlink_to(tmp_path / "no-such-python")

    assert not venvs.is_current(one)


def test_a_swap_keeps_the_environment_before_and_no_more(tmp_path):
    home = tmp_path / ".headwater"
    made = []
    for mark in "abc":
        made.append(build(tmp_path, mark * 64))
        venvs.swap(home, KIND, "target-a", made[-1], "mark")
    assert venvs.venv(home, KIND, "target-a").resolve() == made[2]
    assert builds(tmp_path) == {made[1].name, made[2].name}

    last = build(tmp_path, "d" * 64)
    venvs.swap(home, KIND, "target-a", last, "mark", keep_previous=False)
    assert builds(tmp_path) == {last.name}


def test_a_real_folder_in_the_place_of_the_link_gives_way(tmp_path):
    home = tmp_path / ".headwater"
    old = venvs.venv(home, KIND, "target-a")
    old.mkdir(parents=True)
    made = build(tmp_path, "a" * 64)
    venvs.swap(home, KIND, "target-a", made, "mark")
    assert old.is_symlink()
    assert builds(tmp_path) == {made.name}


def test_another_python_is_asked_for_only_when_ours_is_not_supported(tmp_path):
    ours = f"{sys.version_info[0]}.{sys.version_info[1]}"
    assert venvs.python_request(wanted(tmp_path, "a", supported_pythons=("3.9", ours))) == ""
    assert venvs.python_request(wanted(tmp_path, "a", supported_pythons=("3.8", "3.10", "3.9"))) == "3.10|3.9|3.8"


def test_pins_fit_the_inputs_they_were_made_from(tmp_path):
    one = wanted(tmp_path, "tap-a")
    file = venvs.pin_file(one)
    assert file == tmp_path / "plugins/loaders/target-a--acme.requirements.txt"
    pins.write(
        file, "# a comment\na==1 \\\n    --hash=sha256:00\n", inputs=venvs.inputs(one), python="3.11", platform="any"
    )

    assert file.read_text().splitlines()[1:] == ["a==1 \\", "    --hash=sha256:00"]
    assert venvs.fitting_pins(one) is not None
    assert venvs.fitting_pins(wanted(tmp_path, "tap-b")) is None


@pytest.mark.parametrize(
    ("python", "platform", "fits"),
    [
        ("3.11", "any", True),
        ("9.9", "any", False),
        ("", "any", True),
        ("9.9", pins.this_platform(), False),
        ("", "plan9-mips", False),
    ],
)
def test_pins_of_a_newer_python_or_another_platform_do_not_fit(tmp_path, python, platform, fits):
    made = pins.write(tmp_path / "a.requirements.txt", "a==1", inputs="i", python=python, platform=platform)
    assert made.fit("i") is fits
    assert pins.read(tmp_path / "a.requirements.txt") == made


def test_a_requirements_file_of_someone_else_is_not_ours(tmp_path):
    (tmp_path / "a.requirements.txt").write_text("a==1\n")
    assert pins.read(tmp_path / "a.requirements.txt") is None
