"""Numbers are those of the loading cases."""

from headwater.connect.names import digest, identifiers, quote


def names(*words, max_length=63, fold_case=True, **rest):
    return identifiers(words, max_length=max_length, fold_case=fold_case, **rest)


def test_a_name_that_fits_stays():
    assert names("id", "a b", "a.b", "a-b", "日本", "😈", "select", "%(x)s") == {
        word: word for word in ("id", "a b", "a.b", "a-b", "日本", "😈", "select", "%(x)s")
    }


def test_151_long_names_are_cut_between_characters_and_stay_apart():
    one, two = "é" * 40 + "one", "é" * 40 + "two"
    found = names(one, two)
    assert found == {one: "é" * 27 + "_" + digest(one), two: "é" * 27 + "_" + digest(two)}
    assert all(len(word.encode()) <= 63 for word in found.values())


def test_152_names_that_differ_in_case_are_two_columns():
    assert names("foo", "Foo") == {"foo": "foo", "Foo": "Foo__" + digest("Foo")}
    assert names("foo", "Foo", fold_case=False) == {"foo": "foo", "Foo": "Foo"}


def test_95_names_that_differ_in_unicode_form_are_two_columns():
    composed, decomposed = "\u00e9", "e\u0301"
    assert len(set(names(composed, decomposed, fold_case=False).values())) == 2


def test_159_the_empty_name():
    assert names("", "_empty") == {"": "_empty", "_empty": "_empty__" + digest("_empty")}


def test_165_and_166_reserved_words_are_not_given_away():
    reserved = frozenset({"ctid", "_loaded_at"})
    assert names("ctid", "_Loaded_At", reserved=reserved) == {
        "ctid": "ctid__" + digest("ctid"),
        "_Loaded_At": "_Loaded_At__" + digest("_Loaded_At"),
    }


def test_a_name_keeps_the_identifier_it_had():
    known = names("Foo")
    assert names("foo", "Foo", known=known) == {"foo": "foo__" + digest("foo"), "Foo": "Foo"}


def test_a_name_that_looks_like_anothers_suffix_stays_apart():
    fake = "Foo__" + digest("Foo")
    assert len({word.casefold() for word in names("foo", fake, "Foo").values()}) == 3


def test_153_and_154_nothing_ends_a_quotation():
    assert quote('a"; drop table x; --') == '"a""; drop table x; --"'
    assert quote("a`b", "`") == "`a``b`"
