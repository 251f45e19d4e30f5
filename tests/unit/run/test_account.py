import pytest

from headwater.run.account import _path

PROPERTIES = {
    "a": {"properties": {"b": {"properties": {"c__d": {}}}}},
    "a__b": {"properties": {"x": {}}},
    "plain__name": {},
    "text": {"type": "string"},
}


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("plain__name", None),
        ("text__b", None),
        ("unknown__b", None),
        ("a__b__c__d", "a.b.c__d"),
        ("a__b__x", "a__b.x"),
    ],
)
def test_a_flattened_column_is_found_in_the_catalog(name, path):
    assert _path(name, PROPERTIES) == path
