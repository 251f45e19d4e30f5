from time import process_time

import pytest

from headwater.base.errors import InputError
from headwater.transform import seeds
from headwater.transform.models import plan_models


def test_models_stand_after_those_they_read_otherwise_by_name(models):
    folder = models(
        top="from middle join base using (id)",
        middle="from analytics.Base",
        base="from shop.orders",
        alone="select 1",
    )
    planned = plan_models(folder)
    assert [(model.name, model.parents, [s.words for s in model.sources]) for model in planned] == [
        ("alone", (), []),
        ("base", (), ["shop.orders"]),
        ("middle", ("base",), []),
        ("top", ("middle", "base"), []),
    ]


def test_a_schema_makes_a_loaded_table_of_the_same_name_a_source(models):
    (model,) = plan_models(models(orders="from shop.orders"))
    assert (model.parents, model.sources[0].words) == ((), "shop.orders")


def test_folders_below_are_searched(models):
    folder = models(a="select 1")
    (folder / "staging").mkdir()
    (folder / "staging" / "b.sql").write_text("from a")
    assert [model.file for model in plan_models(folder)] == ["models/a.sql", "models/staging/b.sql"]


def test_hidden_files_and_folders_are_left_out(models):
    folder = models(a="select 1", **{".b": "select 1"})
    (folder / ".checkpoints").mkdir()
    (folder / ".checkpoints" / "c.sql").write_text("select 1")
    assert [model.name for model in plan_models(folder)] == ["a"]


def test_a_cycle_names_the_files(models):
    with pytest.raises(InputError) as caught:
        plan_models(models(a="from b", b="from c", c="from a", d="from c"))
    assert (caught.value.reference, caught.value.why) == (
        "model-cycle",
        "models/a.sql → models/b.sql → models/c.sql → models/a.sql",
    )


def test_a_model_that_reads_itself_is_a_cycle(models):
    with pytest.raises(InputError) as caught:
        plan_models(models(orders="from orders"))
    assert caught.value.what == "`orders` reads itself"


def test_two_files_of_one_name_are_refused(models):
    folder = models(orders="select 1")
    (folder / "old").mkdir()
    (folder / "old" / "Orders.sql").write_text("select 2")
    with pytest.raises(InputError) as caught:
        plan_models(folder)
    assert (caught.value.reference, caught.value.why) == ("model-twice", "the other one is models/old/Orders.sql")


def test_a_name_sql_could_not_write_is_refused_with_a_better_one(models):
    with pytest.raises(InputError) as caught:
        plan_models(models(**{"by-day": "select 1"}))
    assert caught.value.hint == "mv models/by-day.sql models/by_day.sql"


def test_an_empty_folder_is_said(tmp_path):
    with pytest.raises(InputError, match="no model in"):
        plan_models(tmp_path)


def test_yaml_says_what_a_model_becomes_and_means(models):
    folder = models(orders="select 1", customers="select 2")
    (folder / "models.yml").write_text(
        "models:\n  - name: orders\n    description: All orders\n    materialized: view\n    checks: [whatever]\n"
    )
    customers, orders = plan_models(folder)
    assert (orders.materialized, orders.description) == ("view", "All orders")
    assert (customers.materialized, customers.description) == ("table", "")


@pytest.mark.parametrize(
    ("yaml", "where", "what", "hint"),
    [
        ("models:\n  - name: ordrs\n", ":2", "no SQL file for the model `ordrs`", "did you mean `orders`?"),
        ("models:\n  - name: x\n", ":2", "no SQL file for the model `x`", "write models/x.sql"),
        (
            "models:\n  - name: orders\n    materialised: view\n",
            ":3",
            "unknown key `materialised`",
            "did you mean `materialized`?",
        ),
        (
            "models:\n  - name: orders\n    materialized: tabel\n",
            ":3",
            "`orders` can't be materialized as `tabel`",
            None,
        ),
        ("model:\n  - name: orders\n", ":1", "unknown key `model`", "did you mean `models`?"),
        ("models: orders\n", ":1", "`models` must be a list of mappings", "write each model as `- name: …`"),
        ("models:\n  - name: orders\n  - name: orders\n", ":3", "`orders` is described twice", "keep one of the two"),
    ],
)
def test_typos_in_yaml_are_refused_with_their_line(models, yaml, where, what, hint):
    folder = models(orders="select 1")
    (folder / "models.yml").write_text(yaml)
    with pytest.raises(InputError) as caught:
        plan_models(folder)
    error = caught.value
    assert (str(error.where), error.what, error.hint) == (f"models/models.yml{where}", what, hint)


def test_a_long_chain_has_no_limit_of_depth(models):
    chain = {f"m{i:04}": f"from m{i + 1:04}" for i in range(1500)}
    assert plan_models(models(**chain, m1500="select 1"))[0].name == "m1500"


def test_five_hundred_models_are_planned_fast(models):
    sql = (
        "with o as (from shop.orders) "
        "select o.id, count(*) filter (where amount > 1) as n from o join m{} using (id) group by all"
    )
    folder = models(m0="select 1 as id", **{f"m{i}": sql.format(i - 1) for i in range(1, 500)})
    plan_models(folder)
    started = process_time()
    plan_models(folder)
    assert process_time() - started < 3  # CPU: a third of a second


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("def model(:\n", 1, "is not Python: "),
        ("x = 1\n", 1, "has no function `model`"),
        ("\ndef model(*tables):\n    return 1\n", 2, "takes more than named parameters"),
        ("def model(a,\n          n=3):\n    return a\n", 2, "has a parameter `n` whose default is no text"),
        ("def model(a='select from where'):\n    return a\n", 1, "is not valid SQL"),
    ],
)
def test_a_python_model_that_can_not_be_meant_is_refused_with_its_line(models, text, line, what):
    folder = models(a="select 1")
    (folder / "made.py").write_text(text)
    with pytest.raises(InputError) as caught:
        plan_models(folder)
    assert what in caught.value.what
    assert str(caught.value.where) == f"models/made.py:{line}"


def test_a_python_model_reads_what_its_parameters_name(models):
    folder = models(a="select 1")
    (folder / "made.py").write_text("def model(a, b='shop.b', *, c='select x from a join shop.c using (x)'): ...")
    (made,) = (model for model in plan_models(folder) if model.kind == "python")
    assert (made.parents, [source.words for source in made.sources]) == (("a",), ["shop.b", "shop.c"])


def test_this_is_read_only_on_marked_lines(models):
    folder = models(log="select * from shop.log\nwhere id > (select max(id) from this)")
    (folder / "models.yml").write_text("models: [{name: log, materialized: incremental}]")
    with pytest.raises(InputError) as caught:
        plan_models(folder)
    assert (caught.value.reference, str(caught.value.where)) == ("bad-incremental", "models/log.sql:2")


def test_an_incremental_model_needs_a_key_or_a_mark(models):
    folder = models(log="select * from shop.log")
    (folder / "models.yml").write_text("models: [{name: log, materialized: incremental}]")
    with pytest.raises(InputError, match="`log` would add all of its rows again and again"):
        plan_models(folder)


@pytest.mark.parametrize(
    ("yaml", "where", "what"),
    [
        (
            "models:\n- name: a\n  unique_key: id\n",
            ":3",
            "`unique_key` means nothing for a model that is",
        ),
        ("models:\n- name: a\n  materialized: snapshot\n", ":3", "the snapshot `a` needs a `unique_key`"),
        (
            "models:\n- name: a\n  materialized: incremental\n  unique_key: id\n  updated_at: x\n",
            ":5",
            "`updated_at` means nothing",
        ),
        ("models:\n- name: a\n  materialized: snapshot\n  unique_key: 3\n", ":4", "must be a column or a list"),
        (
            "seeds:\n- name: s\n  columns:\n  - name: x\n    type: int\n",
            ":5",
            "a column of the seed `s` can't be",
        ),
        ("seeds:\n- name: t\n", ":2", "no CSV file for the seed `t`"),
    ],
)
def test_what_yaml_says_of_keys_and_seeds_has_to_make_sense(models, yaml, where, what):
    folder = models(a="select 1 as id")
    (folder.parent / "seeds").mkdir()
    (folder.parent / "seeds" / "s.csv").write_text("x\n1\n")
    (folder / "models.yml").write_text(yaml)
    with pytest.raises(InputError) as caught:
        plan_models(folder, seeds=folder.parent / "seeds")
    assert what in caught.value.what
    assert str(caught.value.where) == f"models/models.yml{where}"


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("", ":1", "has no columns"),
        ("a,a\n1,2\n", ":1", "can't be read"),
        ("a,b\n1\n", "", "can't be read"),
        ("a\nx\n", ":1", "has no column `b`"),
        ("b\nx\n", "", "can't be read"),
    ],
)
def test_a_seed_that_can_not_be_read_is_said(tmp_path, text, where, what):
    path = tmp_path / "s.csv"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        seeds.rows(path, "seeds/s.csv", {"b": "integer"})
    assert what in caught.value.what
    assert str(caught.value.where) == f"seeds/s.csv{where}"
