"""From the words of `headwater run a b c` to groups: which plugins form one pipeline, which run alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from headwater.base.errors import InputError, Where
from headwater.base.text import did_you_mean
from headwater.model.plugin import Plugin, PluginKind
from headwater.model.project import Project


class Word(Struct, frozen=True, kw_only=True):
    """One block word. `mapping` is set when the word named a mapper's mapping, `command` after a colon."""

    plugin: Plugin
    command: str | None = None
    mapping: str | None = None

    @property
    def text(self) -> str:
        if self.mapping:
            return self.mapping
        return f"{self.plugin.name}:{self.command}" if self.command else self.plugin.name


class Pipeline(Struct, frozen=True, kw_only=True):
    """Extractor → mappers → loader. `retries` is what its job says of them."""

    extractor: Word
    loader: Word
    mappers: tuple[Word, ...] = ()
    retries: int | None = None

    @property
    def name(self) -> str:
        return " → ".join(word.text for word in (self.extractor, *self.mappers, self.loader))


class Alone(Struct, frozen=True, kw_only=True):
    """A plugin (or one of its commands) that runs by itself. `retries` is what its job says of them."""

    word: Word
    retries: int | None = None

    @property
    def name(self) -> str:
        return self.word.text


Group = Pipeline | Alone


def group(project: Project, words: Sequence[str]) -> tuple[Group, ...]:
    """Group words left to right; jobs are replaced by their tasks first.

    An extractor opens a pipeline, mappers follow, the first loader closes it; a plugin's command stands alone,
    whatever its kind. Everything is checked before anything runs. Raises InputError: `unknown-block`,
    `ambiguous-block`, `loader-missing`, `bad-block-order`.
    """
    groups: list[Group] = []
    extractor: Word | None = None
    mappers: list[Word] = []
    for word, retries in [(_word(project, text), retries) for text, retries in _expand(project, words)]:
        kind = word.plugin.kind
        if extractor is None:
            if word.command is not None:
                groups.append(Alone(word=word, retries=retries))
            elif kind is PluginKind.EXTRACTOR:
                extractor = word
            elif kind in (PluginKind.LOADER, PluginKind.MAPPER):
                raise InputError(
                    "bad-block-order",
                    f"`{word.text}` is a {kind} and needs an extractor before it",
                    hint=f"headwater run TAP {word.text}",
                )
            else:
                groups.append(Alone(word=word, retries=retries))
        elif kind is PluginKind.MAPPER:
            mappers.append(word)
        elif kind is PluginKind.LOADER and word.command is None:
            groups.append(Pipeline(extractor=extractor, loader=word, mappers=tuple(mappers), retries=retries))
            extractor, mappers = None, []
        else:
            raise _loader_missing(extractor, f"before `{word.text}`")
    if extractor is not None:
        raise _loader_missing(extractor, "at the end")
    return tuple(groups)


def _loader_missing(extractor: Word, place: str) -> InputError:
    return InputError(
        "loader-missing",
        f"loader missing {place}: `{extractor.text}` is an extractor and its rows need somewhere to go",
        hint=f"headwater run {extractor.text} target-duckdb",
    )


def _expand(project: Project, words: Sequence[str]) -> Iterator[tuple[str, int | None]]:
    """Each word with the retries of the job it came from."""
    for word in words:
        job = next((job for job in project.jobs if job.name == word), None)
        if job is None:
            yield word, None
            continue
        if project.plugin(word) is not None:
            raise InputError(
                "ambiguous-block",
                f"`{word}` is both a plugin and a job",
                where=Where(job.file, job.line),
                hint="give the job another name",
            )
        for task in job.tasks:
            yield from ((text, job.retries) for text in task)


def _word(project: Project, text: str) -> Word:
    name, _, command = text.partition(":")
    plugin = next((item for item in project.plugins if item.name == name and item.kind is not PluginKind.MAPPER), None)
    owner = _mapping_owner(project, text)
    if plugin is not None and owner is not None:
        raise InputError(
            "ambiguous-block",
            f"`{text}` is both a plugin and a mapping of `{owner.name}`",
            where=Where(owner.file, owner.line),
            hint="give the mapping another name",
        )
    if owner is not None:
        return Word(plugin=owner, mapping=text)
    if plugin is not None:
        return Word(plugin=plugin, command=command or None)
    mapper = project.plugin(name, PluginKind.MAPPER)
    if mapper is None:
        raise _unknown(project, text)
    raise InputError(
        "bad-block-order",
        f"`{name}` is a mapper: a run names one of its mappings",
        where=Where(mapper.file, mapper.line),
        hint=f"use one of: {', '.join(mapping_names(mapper)) or '(it has no mappings)'}",
    )


def mapping_names(plugin: Plugin) -> tuple[str, ...]:
    """The names of a mapper's mappings, in file order."""
    mappings = plugin.extras.get("mappings")
    return tuple(str(item["name"]) for item in mappings or () if isinstance(item, dict) and "name" in item)


def _mapping_owner(project: Project, name: str) -> Plugin | None:
    owners = [
        plugin for plugin in project.plugins if plugin.kind is PluginKind.MAPPER and name in mapping_names(plugin)
    ]
    if len(owners) > 1:
        raise InputError(
            "ambiguous-block",
            f"the mapping `{name}` is defined by {' and '.join(f'`{owner.name}`' for owner in owners)}",
            where=Where(owners[1].file, owners[1].line),
            hint="give one of them another name",
        )
    return owners[0] if owners else None


def _unknown(project: Project, text: str) -> InputError:
    name = text.partition(":")[0]
    known = [plugin.name for plugin in project.plugins if plugin.kind is not PluginKind.MAPPER]
    known += [name for plugin in project.plugins for name in mapping_names(plugin)]
    known += [job.name for job in project.jobs]
    guess = did_you_mean(name, known)
    return InputError(
        "unknown-block",
        f"block `{text}` not found: it is no plugin, mapping or job of this project",
        where=Where(project.file_name),
        hint=f"did you mean `{guess}`?" if guess else f"headwater add {name}",
    )
