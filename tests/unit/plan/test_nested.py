from __future__ import annotations

import pytest

from headwater.plan.nested import join, leaves, nest, split


@pytest.mark.parametrize(
    ("name", "path"), [("a", ("a",)), ("a.b.c", ("a", "b", "c")), (r"a.b\.c", ("a", "b.c")), (r"\.", (".",))]
)
def test_names_and_paths(name, path):
    assert split(name) == path
    assert join(path) == name


def test_leaves_by_path():
    assert leaves({"a.b": 1, "a": {"c": [1], "d": {}}, r"x\.y": 2}) == {
        ("a", "b"): 1,
        ("a", "c"): [1],
        ("a", "d"): {},
        ("x.y",): 2,
    }
    assert leaves({"a.b": {"c.d": 1}}, dots=False) == {("a.b", "c.d"): 1}


def test_nesting_takes_leaves_back():
    tree = {"a": {"b": 1, "c": {}}, "x.y": [{"k.l": 1}]}
    assert nest(leaves(tree, dots=False)) == tree


def test_a_deeper_path_wins_over_a_value_in_its_way():
    assert nest({("a", "b"): 2, ("a",): 1}) == {"a": {"b": 2}}
