"""Models with macros, loops and conditions become plain SQL, without dbt."""

import pytest

from headwater.transform.dbt.jinja import UnreadableError, Words
from headwater.transform.dbt.macros import found, rendered

WORDS = Words(table=str, source=lambda source, table: f"{source}.{table}", variables={"least": 3})
MACROS = """
{# money is kept in cents #}
{% macro euros(column, digits=2) -%}
  round({{ column }} / 100.0, {{ digits }})
{%- endmacro %}
{% macro methods() %}{{ return(['cash', 'card']) }}{% endmacro %}
{% macro now() %}{{ return(adapter.dispatch('now', 'own')()) }}{% endmacro %}
{% macro default__now() %}current_timestamp{% endmacro %}
{% macro duckdb__now() %}now(){% endmacro %}
{% macro fresh() %}{% if is_incremental() %}and at > (select max(at) from {{ this }}){% endif %}{% endmacro %}
{% macro asks() %}{% set x = run_query('select 1') %}{{ x }}{% endmacro %}
{% macro strict(x) %}{% if x > 9 %}{{ exceptions.raise_compiler_error('too much') }}{% endif %}{{ x }}{% endmacro %}
"""
KNOWN = {"": dict(found(MACROS)), "own": {}, "shelf": dict(found("{% macro one() %}1{% endmacro %}"))}


def read(text):
    return rendered(text, WORDS, KNOWN, "duckdb")


@pytest.mark.parametrize(
    ("text", "sql"),
    [
        ("select {{ euros('price') }} as price", "select round(price / 100.0, 2) as price\n"),
        ("select {{ euros('price', digits=0) }} from {{ ref('a') }}", "select round(price / 100.0, 0) from a\n"),
        (
            "{% set ways = methods() %}select id{% for w in ways %}\n, sum({{ w }}) as {{ w }}{% endfor %}\nfrom t",
            "select id\n, sum(cash) as cash\n, sum(card) as card\nfrom t\n",
        ),
        ("select {{ now() }}, {{ shelf.one() }}", "select now(), 1\n"),
        ("select {% if target.type == 'duckdb' %}1{% else %}2{% endif %}", "select 1\n"),
        ("{% if var('least') > 2 %}select {{ strict(3) }}{% endif %}", "select 3\n"),
        (
            "select * from {{ ref('a') }}\nwhere x\n{% if is_incremental() %}\nand y > {{ euros(1) }}\n{% endif %}",
            "select * from a\nwhere x\nand y > round(1 / 100.0, 2) -- incremental\n",
        ),
        (
            "select * from a where x\n{{ fresh() }}",
            "select * from a where x\nand at > (select max(at) from this) -- incremental\n",
        ),
        ("select 'a\n\nb'", "select 'a\n\nb'\n"),
    ],
)
def test_macros_become_plain_sql(text, sql):
    assert read(text).sql == sql


def test_what_a_macro_refers_to_is_told():
    macros = {"": dict(found("{% macro all() %}from {{ ref('b') }}{% endmacro %}"))}
    told = rendered("{{ config(materialized='view') }}select {{ config.get('x', 1) }} {{ all() }}", WORDS, macros, "x")
    assert (told.config, told.refs, told.sql) == ({"materialized": "view"}, ["b"], "select 1 from b\n")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("select {{ asks() }}", "'run_query' is undefined"),
        ("select {{ target.schema }}", "'dict object' has no attribute 'schema'"),
        ("select {{ strict(10) }}", "too much"),
        ("select {{ var('unknown') }}", "`{{ var('unknown') }}` has no value"),
        ("select {{ euros() }}", "parameter 'column' was not provided"),
        ("{% if execute %}select 1{% endif %}", "'execute' is undefined"),
        ("{% for x in y %}", "Unexpected end of template."),
        ("select {% if is_incremental() %}1{% else %}2{% endif %}", "`is_incremental()` takes lines away, too"),
    ],
)
def test_what_only_dbt_knows_is_refused(text, what):
    with pytest.raises(UnreadableError) as caught:
        read(text)
    assert what in str(caught.value)
