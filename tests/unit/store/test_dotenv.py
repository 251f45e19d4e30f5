import pytest

from headwater.base.errors import InputError
from headwater.store import dotenv


@pytest.fixture
def path(tmp_path):
    return tmp_path / ".env"


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=1", "1"),
        ("export A=1", "1"),
        ("  A = some words  ", "some words"),
        ("A=x # comment", "x"),
        ("A=x#y", "x#y"),
        ("A=#x", "#x"),
        ("A= # comment", ""),
        ("A=", ""),
        ("A='x # y' # comment", "x # y"),
        (r"A='it\'s $B ${B} \n'", r"it's $B ${B} \n"),
        (r'A="a\nb\t\"c\" \\ \q"', 'a\nb\t"c" \\ \\q'),
        ('A="one\ntwo"', "one\ntwo"),
        ("A='one\ntwo'", "one\ntwo"),
        ("A=it's", "it's"),
        ("B=x\nA=${B}/y", "x/y"),
        ('B=x\nA="${B}/${C:-d}${E}$B"', "x/d$B"),
        ("A=1\nA=2", "2"),
        ("A=1\r\nB=2\r\n", "1"),
    ],
)
def test_a_value_is_read_as_python_dotenv_reads_it(path, line, value):
    path.write_bytes(line.encode())
    assert dotenv.read(path)["A"] == value


def test_references_reach_outside_the_file_last(path):
    path.write_text("A=${HOME}/${NAME}\nNAME=late\n")
    assert dotenv.read(path, outside={"HOME": "/h", "NAME": "n"})["A"] == "/h/n"


def test_a_name_without_a_value_is_left_out_and_no_file_is_no_variable(path):
    assert dotenv.read(path) == {}
    path.write_text("export A\n# B=1\n\nC=3")
    assert dotenv.read(path) == {"C": "3"}


@pytest.mark.parametrize("broken", ["B='secret", 'B="secret" x', "=secret", "B'secret"])
def test_a_broken_line_is_refused_without_its_text(path, broken):
    path.write_text(f"A=1\n{broken}\n")
    with pytest.raises(InputError) as caught:
        dotenv.read(path)
    error = caught.value
    assert (error.reference, str(error.where), error.what) == (
        "broken-dotenv",
        ".env:2",
        "this line is no `NAME=value`",
    )
    assert error.why == "a quote is not closed, or something stands behind the closing one"
    assert error.hint == "write NAME='value'"
    assert "secret" not in repr(error) + str(error.__dict__)


def test_setting_a_value_keeps_the_other_lines(path):
    path.write_bytes(b"# mine\r\n  A =  1 # one\r\nexport B='2'\r\nC=3")
    dotenv.set_value(path, "B", "two words")
    dotenv.set_value(path, "D", "4")
    assert path.read_bytes() == b"# mine\r\n  A =  1 # one\r\nexport B='two words'\r\nC=3\r\nD=4\r\n"


def test_the_file_is_private(path):
    dotenv.set_value(path, "A", "1")
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    dotenv.set_value(path, "B", "2")
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_link_stays_a_link(path, tmp_path):
    (tmp_path / "shared.env").write_text("A=1\n")
    path.symlink_to(tmp_path / "shared.env")
    dotenv.set_value(path, "B", "2")
    assert path.is_symlink()
    assert (tmp_path / "shared.env").read_text() == "A=1\nB=2\n"


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain/1:2", "A=plain/1:2\n"),
        ("", "A=\n"),
        ("two words", "A='two words'\n"),
        ("it's", 'A="it\'s"\n'),
        ("${B} $C", "A='${B} $C'\n"),
        ("it's $5", "A='it\\'s $5'\n"),
        ("-----BEGIN-----\nx\n", "A='-----BEGIN-----\nx\n'\n"),
        ("a\r\nb", 'A="a\\r\\nb"\n'),
        ("\\", "A='\\\\'\n"),
        ("#x", "A='#x'\n"),
    ],
)
def test_a_value_is_read_back_as_it_was_set(path, value, written):
    path.write_text("B=x\n")
    dotenv.set_value(path, "A", value)
    assert path.read_bytes().decode() == f"B=x\n{written}"
    assert dotenv.read(path)["A"] == value


def test_unsetting_removes_every_line_of_the_name(path):
    path.write_text("A=1\n# c\nB='x\ny'\nA=2\n")
    dotenv.unset_value(path, "A")
    assert path.read_text() == "# c\nB='x\ny'\n"
    with pytest.raises(InputError, match="`A` is not in the file"):
        dotenv.unset_value(path, "A")


def test_a_name_that_no_reader_takes_is_refused(path):
    with pytest.raises(InputError, match="`A B` cannot be a variable's name"):
        dotenv.set_value(path, "A B", "1")
