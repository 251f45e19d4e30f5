from __future__ import annotations

import copy

import pytest

from headwater.base.errors import InputError
from headwater.plan import drift
from headwater.plan.select import Rules, apply, listing, without_logs

STRING = {"type": ["null", "string"]}


def stream(name, *properties, **inclusions):
    schema = {"type": "object", "properties": {}}
    metadata = [{"breadcrumb": [], "metadata": {"inclusion": "available", "x": 1}}]
    for dotted in properties:
        node, crumb = schema, []
        for part in dotted.split("."):
            crumb += ["properties", part]
            node = node.setdefault("properties", {}).setdefault(part, {"type": "object"})
        metadata.append({"breadcrumb": crumb, "metadata": {"inclusion": inclusions.get(part, "available")}})
    return {"tap_stream_id": name, "stream": name, "schema": schema, "metadata": metadata, "kept": 10**30}


CATALOG = {
    "streams": [
        stream("users", "id", "name", "address", "address.city", "address.geo", "address.geo.lat", id="automatic"),
        stream("public.orders", "id", "blob", "note", id="automatic", blob="unsupported"),
    ]
}


def chosen(**rules):
    result, _ = apply(CATALOG, Rules(**rules))
    return [f"{item.stream}:{item.property}" for item in listing(result) if item.selection in ("selected", "automatic")]


def test_by_default_all_that_is_supported_is_selected():
    assert chosen() == [
        "users:id",
        "users:name",
        "users:address",
        "users:address.city",
        "users:address.geo",
        "users:address.geo.lat",
        "public.orders:id",
        "public.orders:note",
    ]


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        (["users.name"], ["users:id", "users:name"]),
        (["us?rs.n*"], ["users:id", "users:name"]),
        (["users.address.geo.lat"], ["users:id", "users:address", "users:address.geo", "users:address.geo.lat"]),
        (["public\\.orders"], ["public.orders:id", "public.orders:note"]),
        (["*.*", "!users"], ["public.orders:id", "public.orders:note"]),
        (["!users.*", "*.*"], ["public.orders:id", "public.orders:note"]),
        (["!*.name", "users.name", "users.address"], ["users:id", "users:address"]),
        (["public\\.orders.blob"], ["public.orders:id"]),
    ],
)
def test_includes_come_first_and_excludes_win(select, expected):
    assert chosen(select=select) == expected


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["users"], {"users"}),
        (["!users"], {"public.orders"}),
        (["*", "!public.*"], {"users"}),
        (["public\\.orders"], {"public.orders"}),
    ],
)
def test_a_filter_only_takes_streams_away(filters, expected):
    assert {item.split(":")[0] for item in chosen(select_filter=filters)} == expected
    assert chosen(select=["users"], select_filter=["users"])


def test_the_catalog_given_is_not_touched_and_what_nobody_knows_is_kept():
    before = copy.deepcopy(CATALOG)
    result, _ = apply(CATALOG, Rules())
    assert before == CATALOG
    assert result["streams"][0]["kept"] == 10**30
    assert result["streams"][0]["metadata"][0] == {
        "breadcrumb": [],
        "metadata": {"inclusion": "available", "x": 1, "selected": True},
    }


@pytest.mark.parametrize(
    "metadata",
    [
        {"users": {"replication-method": "INCREMENTAL", "name": {"is-key": True}}},
        {"users.replication-method": "INCREMENTAL", "users.name.is-key": True},
        {"use*": {"replication-method": "FULL_TABLE"}, "users": {"replication-method": "INCREMENTAL"}}
        | {"users.properties.name.is-key": True},
    ],
)
def test_metadata_is_set_on_streams_and_properties_and_the_last_rule_wins(metadata):
    result, warnings = apply(CATALOG, Rules(metadata=metadata))
    entries = {tuple(entry["breadcrumb"]): entry["metadata"] for entry in result["streams"][0]["metadata"]}
    assert entries[()]["replication-method"] == "INCREMENTAL"
    assert entries[("properties", "name")]["is-key"] is True
    assert warnings == []


def test_a_schema_rule_replaces_a_property_or_adds_it():
    result, _ = apply(CATALOG, Rules(schema={"users": {"name": STRING, "new": STRING}, "public\\.orders.n*": STRING}))
    users, orders = (item["schema"]["properties"] for item in result["streams"])
    assert (users["name"], users["new"], orders["note"]) == (STRING, STRING, STRING)
    assert {"breadcrumb": ["properties", "new"], "metadata": {"inclusion": "automatic", "selected": True}} in result[
        "streams"
    ][0]["metadata"]


def test_a_literal_that_matches_nothing_is_told_with_a_guess():
    _, warnings = apply(CATALOG, Rules(select=("*.*", "user.name", "!users.nam", "x*.y"), select_filter=("!usrs",)))
    assert warnings == [
        "stream `user` is not in the catalog; did you mean `users`?",
        "`!users.nam`: stream `users` has no property `nam`; did you mean `name`?",
        "stream `usrs` is not in the catalog; did you mean `users`?",
    ]


def test_a_stream_without_metadata_can_be_left_out():
    bare = {"streams": [{"tap_stream_id": "a", "schema": {"properties": {"x": STRING}}}, stream("b", "y")]}
    result, _ = apply(bare, Rules(select=("b.*",)))
    assert [item.selection for item in listing(result)] == ["excluded", "selected"]
    assert result["streams"][0]["selected"] is False


def test_nothing_selected_is_an_error_that_names_the_streams():
    with pytest.raises(InputError) as error:
        apply(CATALOG, Rules(select=("nope.*",)))
    assert (error.value.reference, error.value.why) == (
        "nothing-selected",
        "the source has `users`, `public.orders`",
    )


def test_a_custom_catalog_keeps_its_own_selection():
    own = {"streams": [{"tap_stream_id": "a", "metadata": [{"breadcrumb": [], "metadata": {"selected": True}}]}]}
    result, _ = apply(own, Rules(select=()))
    assert result == own


def test_what_is_no_catalog_is_refused():
    with pytest.raises(InputError, match="no list `streams`"):
        apply({"streams": [{"x": 1}]}, Rules())


def test_drift_is_told_in_sentences():
    def catalog(**streams):
        return {"streams": [{"tap_stream_id": k, "schema": {"properties": v}} for k, v in streams.items()]}

    before = catalog(a={"x": {"type": "integer"}, "y": STRING}, b={})
    after = catalog(a={"x": {"type": ["null", "string"], "format": "date"}, "z": STRING}, c={})
    assert [drift.sentence(change) for change in drift.changes(before, after)] == [
        "`a.x` changed from integer to string (date)",
        "`a.z` is new",
        "`a.y` is gone",
        "stream `c` is new",
        "stream `b` is gone",
    ]


@pytest.mark.parametrize("given", ["INCREMENTL", "incremental"])
def test_a_replication_method_that_nobody_knows_is_refused(given):
    with pytest.raises(InputError) as caught:
        apply(CATALOG, Rules(metadata={"users": {"replication-method": given}}))
    assert (caught.value.reference, caught.value.hint) == ("unknown-replication-method", "did you mean `INCREMENTAL`?")


def test_what_is_read_from_a_log_can_be_read_in_full_instead():
    metadata = {"users": {"replication-method": "LOG_BASED"}}
    logged, _ = apply(CATALOG, Rules(metadata=metadata))
    in_full, names = without_logs(logged)
    assert names == ["users"]
    (users,) = (stream for stream in in_full["streams"] if stream["tap_stream_id"] == "users")
    (top,) = (entry["metadata"] for entry in users["metadata"] if not entry["breadcrumb"])
    assert (top["replication-method"], users["replication_method"]) == ("FULL_TABLE", "FULL_TABLE")
    assert logged == apply(CATALOG, Rules(metadata=metadata))[0]
    assert without_logs(in_full) == (in_full, [])
