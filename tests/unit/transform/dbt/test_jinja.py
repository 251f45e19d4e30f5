import pytest

from headwater.transform.dbt.jinja import UnreadableError, Words, plain

WORDS = Words(table=str, source=lambda source, table: f"{source}.{table}", variables={"least": 3})


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("select * from {{ ref('a') }};", "select * from a\n"),
        ("select * from {{ ref('package', 'a') }}", "select * from a\n"),
        ("{# why #}\nselect 1 -- {{ var('least') }}", "select 1 -- 3\n"),
        ("select {{ var('other', 'x') }} from {{source('s','t')}}", "select x from s.t\n"),
        (
            "select 1\n  {% if is_incremental() %}\n  where a > (select b from {{ this }})\n  {% endif %}\norder by 1",
            "select 1\n  where a > (select b from this) -- incremental\norder by 1\n",
        ),
        (
            "select 1\n{% if is_incremental() %}\nwhere a -- incremental\n{% endif %}\n",
            "select 1\nwhere a -- incremental\n",
        ),
        (
            "select 1 where a {% if is_incremental() %} and b {% endif %} or c",
            "select 1 where a\n and b -- incremental\n or c\n",
        ),
        ("{% snapshot s %}{{ config(unique_key='id') }}select 1{% endsnapshot %}", "select 1\n"),
    ],
)
def test_simple_jinja_becomes_plain_sql(text, sql):
    assert plain(text, WORDS).sql == sql


def test_configuration_and_references_are_told():
    found = plain("{{ config(materialized='table', tags=['x']) }}\nfrom {{ ref('a') }} join {{ ref('b') }}", WORDS)
    assert (found.config, found.refs) == ({"materialized": "table", "tags": ["x"]}, ["a", "b"])


@pytest.mark.parametrize(
    ("text", "what", "line"),
    [
        ("select 1\nfrom {{ target.schema }}.x", "`{{ target.schema }}`", 2),
        ("{{ var('unknown') }}", "`{{ var('unknown') }}`", 1),
        ("{% for a in b %}{% endfor %}", "`{% for a in b %}`", 1),
        ("{% if is_incremental() %} a {% else %} b {% endif %}", "`{% else %}`", 1),
        ("x\n{% if is_incremental() %}\n a", "an `if` without `endif`", 3),
    ],
)
def test_the_rest_is_refused_with_its_line(text, what, line):
    with pytest.raises(UnreadableError) as caught:
        plain(text, WORDS)
    assert (str(caught.value), caught.value.line) == (what, line)
