import pytest

from headwater.base.errors import InputError
from headwater.cli.problems import error_text
from headwater.model.plugin import Plugin, PluginKind
from headwater.model.project import Job, Project
from headwater.plan.blocks import Alone, Pipeline, group

K = PluginKind


def plugin(kind, name, line=0, **keys):
    return Plugin(kind=kind, name=name, file="headwater.yml" if line else "", line=line, **keys)


PLUGINS = (
    plugin(K.EXTRACTOR, "tap-x"),
    plugin(K.LOADER, "target-y"),
    plugin(K.MAPPER, "masker", 7, extras={"mappings": [{"name": "hide"}, {"name": "hash"}]}),
    plugin(K.UTILITY, "dbt"),
)
DAILY = Job(name="daily", tasks=(("tap-x", "target-y"), ("dbt:run",)), file="headwater.yml", line=20)
PROJECT = Project(root="/p", file="/p/headwater.yml", plugins=PLUGINS, jobs=(DAILY,))


def names(*words, project=PROJECT):
    return [item.name for item in group(project, words)]


def refusal(*words, project=PROJECT):
    with pytest.raises(InputError) as caught:
        group(project, words)
    return error_text(caught.value)


def test_an_extractor_and_the_next_loader_form_a_pipeline():
    (pipeline,) = group(PROJECT, ["tap-x", "target-y"])
    assert isinstance(pipeline, Pipeline)
    assert (pipeline.extractor.text, pipeline.loader.text, pipeline.mappers) == ("tap-x", "target-y", ())


def test_mappings_stand_between_them():
    (pipeline,) = group(PROJECT, ["tap-x", "hide", "hash", "target-y"])
    assert [(word.plugin.name, word.mapping) for word in pipeline.mappers] == [("masker", "hide"), ("masker", "hash")]
    assert pipeline.name == "tap-x → hide → hash → target-y"


def test_other_plugins_and_commands_stand_alone():
    found = group(PROJECT, ["dbt", "dbt:test", "tap-x", "target-y", "tap-x:about"])
    assert [type(item) for item in found] == [Alone, Alone, Pipeline, Alone]
    assert found[3].word.command == "about"


def test_a_job_is_replaced_by_its_tasks():
    assert names("daily", "dbt:docs") == ["tap-x → target-y", "dbt:run", "dbt:docs"]


def test_a_pipeline_may_cross_the_border_of_a_job():
    tap_only = Project(
        root="/p", file="/p/headwater.yml", plugins=PLUGINS, jobs=(Job(name="get", tasks=(("tap-x",),)),)
    )
    assert names("get", "target-y", project=tap_only) == ["tap-x → target-y"]


def test_nothing_gives_nothing():
    assert names() == []


def test_an_unknown_block_is_told_with_the_nearest_name():
    assert refusal("tap-z", "target-y") == (
        "error: headwater.yml: block `tap-z` not found: it is no plugin, mapping or job of this project "
        "[unknown-block]\n"
        "hint: did you mean `tap-x`?"
    )


def test_an_unknown_block_that_is_like_none_can_be_added():
    assert refusal("pandas:run").endswith("[unknown-block]\nhint: headwater add pandas")


def test_an_extractor_at_the_end_has_nowhere_to_go():
    assert refusal("tap-x") == (
        "error: loader missing at the end: `tap-x` is an extractor and its rows need somewhere to go "
        "[loader-missing]\n"
        "hint: headwater run tap-x target-duckdb"
    )


@pytest.mark.parametrize("word", ["dbt", "dbt:run", "tap-x", "target-y:about"])
def test_a_pipeline_is_not_broken_by_another_block(word):
    assert refusal("tap-x", word, "target-y").startswith(f"error: loader missing before `{word}`: `tap-x`")


@pytest.mark.parametrize(("word", "kind"), [("target-y", "loader"), ("hide", "mapper")])
def test_loaders_and_mappings_need_an_extractor(word, kind):
    assert refusal(word) == (
        f"error: `{word}` is a {kind} and needs an extractor before it [bad-block-order]\n"
        f"hint: headwater run TAP {word}"
    )


def test_a_mapper_itself_is_no_block():
    assert refusal("tap-x", "masker", "target-y") == (
        "error: headwater.yml:7: `masker` is a mapper: a run names one of its mappings [bad-block-order]\n"
        "hint: use one of: hide, hash"
    )


def test_a_mapping_may_have_the_name_of_its_mapper():
    mapper = plugin(K.MAPPER, "hide", extras={"mappings": [{"name": "hide"}]})
    project = Project(root="/p", file="/p/headwater.yml", plugins=(*PLUGINS[:2], mapper))
    assert names("tap-x", "hide", "target-y", project=project) == ["tap-x → hide → target-y"]


def test_a_job_may_not_have_the_name_of_a_plugin():
    job = Job(name="dbt", tasks=(("dbt:run",),), file="jobs.yml", line=3)
    assert refusal("dbt", project=Project(root="/p", file="/p/headwater.yml", plugins=PLUGINS, jobs=(job,))) == (
        "error: jobs.yml:3: `dbt` is both a plugin and a job [ambiguous-block]\nhint: give the job another name"
    )


def test_a_mapping_may_not_have_the_name_of_another_plugin():
    mapper = plugin(K.MAPPER, "m", 9, extras={"mappings": [{"name": "dbt"}]})
    project = Project(root="/p", file="/p/headwater.yml", plugins=(*PLUGINS, mapper))
    assert refusal("dbt", project=project) == (
        "error: headwater.yml:9: `dbt` is both a plugin and a mapping of `m` [ambiguous-block]\n"
        "hint: give the mapping another name"
    )


def test_two_mappers_may_not_share_a_mapping():
    other = plugin(K.MAPPER, "other", 12, extras={"mappings": [{"name": "hide"}]})
    project = Project(root="/p", file="/p/headwater.yml", plugins=(*PLUGINS, other))
    assert refusal("tap-x", "hide", "target-y", project=project) == (
        "error: headwater.yml:12: the mapping `hide` is defined by `masker` and `other` [ambiguous-block]\n"
        "hint: give one of them another name"
    )
