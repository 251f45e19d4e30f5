import time
from textwrap import dedent

import pytest
import yaml as pyyaml

from headwater.base import yaml
from headwater.base.errors import EnvironmentProblemError, InputError
from headwater.base.files import write_atomic
from headwater.base.yaml_edit import changed, edit
from headwater.base.yaml_write import render


def parsed(text: str) -> yaml.Document:
    return yaml.parse(dedent(text).lstrip("\n"), "headwater.yml")


def message(error: InputError) -> str:
    lines = [f"error: {error.what} [{error.reference}]", f"  at {error.where}"]
    lines += [f"  {line}" for line in (error.why or "").splitlines()]
    return "\n".join(lines + ([f"hint: {error.hint}"] if error.hint else []))


def refusal(text: str) -> str:
    with pytest.raises(InputError) as caught:
        parsed(text)
    return message(caught.value)


def after(text: str, change) -> str:
    document = parsed(text)
    return changed(document, document.source, change)


def test_every_key_and_item_has_its_line():
    document = parsed("""
        version: 1
        # a comment
        plugins:
          extractors:
          - name: tap-a
            config:
              host: x
          -
            name: tap-b
    """)
    assert document.data["plugins"]["extractors"][0]["config"] == {"host": "x"}
    assert document.line(("plugins",)) == 3
    assert document.line(("plugins", "extractors", 0, "config", "host")) == 7
    assert document.line(("plugins", "extractors", 1, "name")) == 9
    assert document.line(("plugins", "extractors", 1, "no such key")) == 9
    assert str(document.where("plugins", "extractors")) == "headwater.yml:4"


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("true", True),
        ("~", None),
        ("", None),
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", 1000),
        ("1e3", 1000.0),
        ("-.inf", float("-inf")),
        ("3.10", 3.1),
        ("1.2.3", "1.2.3"),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00Z"),
        ("'1'", "1"),
        ("!!str 1", "1"),
    ],
)
def test_scalars_mean_what_yaml_1_2_says(written, value):
    found = parsed(f"key: {written}").data["key"]
    assert (type(found), found) == (type(value), value)


def test_a_scalar_can_be_had_as_it_is_written():
    document = parsed("""
        python: 3.10
        port: &port 0123
        flag: True
        again: *port
        nothing: ~
    """)
    texts = [document.text((key,)) for key in ("python", "port", "flag", "again", "nothing")]
    assert texts == ["3.10", "0123", "True", "123", None]


def test_merge_keys_give_way_to_own_keys():
    document = parsed("""
        base: &base {host: a, port: 1}
        other:
          <<: *base
          port: 2
    """)
    assert document.data["other"] == {"host": "a", "port": 2}
    assert document.line(("other", "host")) == 1


def test_aliases_share_nothing_in_memory():
    data = parsed("one: &a [1]\ntwo: *a").data
    data["two"].append(2)
    assert data["one"] == [1]


def test_an_empty_file_has_no_data():
    assert parsed("# nothing\n").data is None


def test_broken_yaml_shows_the_line_and_a_caret():
    assert refusal("plugins:\n  extractors:\n  - name: tap-a\n    pip_url: tap: a\n") == dedent("""\
        error: the YAML is broken: mapping values are not allowed in this context [broken-yaml]
          at headwater.yml:4
              pip_url: tap: a
                          ^
        hint: check the indentation, and put quotes around a value that holds `: `""")


def test_a_bracket_left_open_names_the_line_it_was_opened_in():
    assert refusal("a: [1,\nb: 2\n") == dedent("""\
        error: the YAML is broken: what opens here is not closed [broken-yaml]
          at headwater.yml:1
          a: [1,
             ^
        hint: close the bracket or quote""")


def test_a_quote_left_open_is_shown_where_it_opens():
    assert refusal("a: 1\nb: 'x\nc: 2\n").splitlines()[1:4] == ["  at headwater.yml:2", "  b: 'x", "     ^"]


def test_a_tab_is_explained():
    assert refusal("a:\n\tb: 1\n") == dedent("""\
        error: the YAML is broken: found character that cannot start any token [broken-yaml]
          at headwater.yml:2
           b: 1
          ^
        hint: indent with spaces, not tabs""")


def test_a_key_written_twice_is_refused_with_both_lines():
    assert refusal("config:\n  host: a\n  port: 1\n  host: b\n") == dedent("""\
        error: `host` is written twice in one mapping [duplicate-key]
          at headwater.yml:4
          first in line 2, again in line 4
        hint: keep one of the two""")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\n---\nb: 2\n", "a second YAML document starts here, a file holds one"),
        ("a: !ENV x\n", "the tag `!ENV` has no meaning here"),
        ("a: !!python/name:os.system x\n", "the tag `!!python/name:os.system` has no meaning here"),
        ("? [1]\n: 2\n", "a list or mapping cannot be a key"),
        ("a: &a [*a]\n", "`*a` stands before its anchor `&a` is complete"),
        ("a: *b\n", "`*b` stands before its anchor `&b` is complete"),
        ("a: \x01\n", "the YAML is broken: control characters are not allowed"),
        ("[" * 200, "nested more than 100 levels deep"),
    ],
)
def test_what_has_no_place_in_a_project_file_is_refused(text, expected):
    assert refusal(text).splitlines()[0] == f"error: {expected} [broken-yaml]"


def test_an_alias_bomb_is_refused_at_once():
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    started = time.process_time()
    assert "aliases add up to more than 100000 values" in refusal("\n".join(levels))
    assert time.process_time() - started < 2


def test_a_file_that_is_too_large_not_utf8_or_absent_is_refused(tmp_path):
    path = tmp_path / "x.yml"
    for content, reference in ((b"a" * (yaml.MAX_BYTES + 1), "yaml-too-large"), (b"a: \xff\n", "broken-yaml")):
        path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            yaml.read(path)
        assert caught.value.reference == reference
    with pytest.raises(InputError, match="there is no file"):
        yaml.read(tmp_path / "absent.yml")
    with pytest.raises(EnvironmentProblemError, match="is a directory"):
        yaml.read(tmp_path)


def test_the_reader_without_libyaml_reads_the_same(monkeypatch):
    text = "a: &x {b: [1, 'two', 3.5]}\nc:\n  <<: *x\n  d: |\n    text\n"
    expected = parsed(text).data
    monkeypatch.setattr(yaml, "_Loader", pyyaml.SafeLoader)
    assert parsed(text).data == expected == {"a": {"b": [1, "two", 3.5]}, "c": {"b": [1, "two", 3.5], "d": "text\n"}}


def test_a_change_leaves_every_other_byte_alone():
    before = dedent("""\
        version: 1      # as it was
        plugins:
            extractors:
            # GitHub, with the token of the bot
            - name:   "tap-github"
              config: { token: 'x',  n: 1 }

            # the shop
            - name: tap-shop
              config:
                  host: a # one
                  # user: b
        """)

    def change(data):
        data["plugins"]["extractors"][0]["pip_url"] = "tap-github==1.0"
        data["plugins"]["extractors"][1]["config"]["host"] = "b"
        data["plugins"]["extractors"][1]["config"]["ports"] = [1, 2]

    assert after(before, change) == dedent("""\
        version: 1      # as it was
        plugins:
            extractors:
            # GitHub, with the token of the bot
            - name:   "tap-github"
              config: { token: 'x',  n: 1 }
              pip_url: tap-github==1.0

            # the shop
            - name: tap-shop
              config:
                  host: b # one
                  ports:
                  - 1
                  - 2
                  # user: b
        """)


def test_a_removed_entry_leaves_the_comments_around_it():
    before = "list:\n  # first\n  - name: a\n    x: 1  # gone\n  # second\n  - name: b\n# end\n"
    assert after(before, lambda data: data["list"].pop(0)) == "list:\n  # first\n  # second\n  - name: b\n# end\n"


def test_the_first_key_behind_a_dash_gives_its_place_to_the_next():
    before = "list:\n- name: a\n  x: 1\n"
    assert after(before, lambda data: data["list"][0].pop("name")) == "list:\n- x: 1\n"


def test_items_are_added_where_they_belong():
    before = "list:\n  - a\n  - c\n"
    assert after(before, lambda data: data["list"].insert(1, "b")) == "list:\n  - a\n  - b\n  - c\n"
    assert after(before, lambda data: data["list"].insert(0, "z")) == "list:\n  - z\n  - a\n  - c\n"


@pytest.mark.parametrize(
    ("before", "value", "expected"),
    [
        ("k: 1 # why\n", {"a": 1}, "k: # why\n  a: 1\n"),
        ("k: {}\n", {"a": [1]}, "k:\n  a:\n    - 1\n"),
        ("k: [a, b]\n", ["a", "!c.*"], "k: [a, '!c.*']\n"),
        ("k:\n", "x", "k: x\n"),
        ("k:\n  a: 1\n", {}, "k: {}\n"),
        ("k: |\n  old\n\n\nz: 1\n", "new", "k: new\n\n\nz: 1\n"),
        ("k: 1", "two\nlines\n", "k: |\n  two\n  lines\n"),
        ("k: 1\r\nz: 2\r\n", {"a": "b"}, "k:\r\n  a: b\r\nz: 2\r\n"),
        ("k: &a 1\n", 2, "k: 2\n"),
    ],
)
def test_a_value_takes_the_place_of_another(before, value, expected):
    document = yaml.parse(before, "x")
    assert changed(document, before, lambda data: data.update(k=value)) == expected


def test_an_alias_is_replaced_where_it_stands_only():
    before = "base: &base\n  a: 1\nuse: *base\n"
    assert after(before, lambda data: data["use"].update(a=2)) == "base: &base\n  a: 1\nuse:\n  a: 2\n"


def test_a_merged_key_is_overridden_in_its_mapping():
    before = "base: &base\n  a: 1\nuse:\n  b: 2\n  <<: *base\n"
    expected = "base: &base\n  a: 1\nuse:\n  b: 2\n  <<: *base\n  a: 3\n"
    assert after(before, lambda data: data["use"].update(a=3)) == expected


def test_a_change_of_what_an_anchor_shares_is_refused():
    with pytest.raises(InputError) as caught:
        after("base: &base\n  a: 1\nuse: *base\n", lambda data: data["base"].update(a=2))
    assert message(caught.value) == dedent("""\
        error: cannot change `headwater.yml` at this place: a YAML anchor or an unusual layout stands there \
[cannot-edit-yaml]
          at headwater.yml
        hint: make the change in your editor""")


def test_a_key_in_the_long_form_is_left_to_an_editor_but_does_not_stand_in_the_way():
    before = "? a\n: 1\nb: 1\n"
    assert after(before, lambda data: data.update(b=2)) == "? a\n: 1\nb: 2\n"
    with pytest.raises(InputError, match="cannot change"):
        after(before, lambda data: data.update(a=2))


@pytest.mark.parametrize(
    "text",
    [
        *("yes", "N", "1", "1.5", "null", "2024-01-01", "12:30", "*.*", "!a", "a: b", "a #b", "it's", "", " x", "x "),
        *("- a", "@a", "%a", "`a", "{a}", "a,b", "#", "~", "|", "a\nb", "a\n\nb\n", "\ta\nb", "a\\b\n", "\x00", "é😀"),
        *("C:\\x", "a\r\nb", "---", "x:", "http://x/#y", "$VAR", "${VAR}", "012", "0o7", "<<", "=", "\x85", "\ufeff"),
        "\u2028",
    ],
)
def test_any_text_is_read_back_as_it_was_written(text):
    written = render({"k": text, "list": [text], "deep": {"list": [{"k": text}]}})
    assert yaml.parse(written, "x").data == {"k": text, "list": [text], "deep": {"list": [{"k": text}]}}
    # A reader of YAML 1.1 has the same text.
    assert pyyaml.safe_load(written)["k"] == text


def test_a_file_is_edited_under_its_lock_and_keeps_its_mode(tmp_path):
    path = tmp_path / "real.yml"
    write_atomic(path, b"\xef\xbb\xbfa: 1\n", mode=0o640)
    link = tmp_path / "link.yml"
    link.symlink_to(path)
    edit(link, lambda data: data.update(b=2), lock=tmp_path / "lock")
    assert path.read_bytes() == b"\xef\xbb\xbfa: 1\nb: 2\n"
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640


def test_nothing_is_written_without_a_difference(tmp_path):
    path = tmp_path / "x.yml"
    path.write_text("a:   1\n")
    before = path.stat().st_ino
    edit(path, lambda data: data.update(a=1), lock=tmp_path / "lock")
    assert path.stat().st_ino == before
