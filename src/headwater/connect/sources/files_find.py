"""From settings to files: which streams there are and which files each has, in a fixed order."""

from __future__ import annotations

import fnmatch
import glob
import zipfile
from pathlib import Path, PurePosixPath

from msgspec import Struct

from headwater.base.errors import EnvironmentProblemError, InputError
from headwater.base.text import did_you_mean, listed
from headwater.connect.sources.files_settings import Settings, StreamSettings

PACKAGE = "package://"
FORMATS = {"csv": "csv", "tsv": "tsv", "jsonl": "jsonl", "ndjson": "jsonl", "parquet": "parquet", "pq": "parquet"}
_PACKED = ("gz", "zip")


class Dialect(Struct, frozen=True, kw_only=True):
    """How the text of a file is written; nothing is guessed. Parquet files have none of it. `is_chosen`: somebody
    named the delimiter, so a file with one column is meant to have one."""

    delimiter: str = ","
    is_chosen: bool = False
    quote: str = '"'
    escape: str | None = None
    encoding: str = "utf-8"
    header: bool = True
    columns: tuple[str, ...] = ()
    null_values: tuple[str, ...] = ()


class DataFile(Struct, frozen=True, kw_only=True):
    """A file, or one member of a zip file. `key` names it in the state: relative to the project where it can be."""

    key: str
    path: Path
    member: str | None
    packing: str | None
    format: str
    dialect: Dialect
    optional: bool
    max_unpacked_bytes: int
    max_unpack_ratio: int

    @property
    def label(self) -> str:
        """What an error calls it."""
        return self.key


class StreamFiles(Struct, frozen=True, kw_only=True):
    name: str
    keys: tuple[str, ...]
    files: tuple[DataFile, ...]


def streams(settings: Settings) -> list[StreamFiles]:
    """Every stream with its files, sorted by name and by key.

    Raises InputError when a pattern matches nothing (unless `optional`), a format is unknown, or nothing is set.
    """
    patterns = ([settings.path] if settings.path else []) + list(settings.paths)
    if not patterns and not settings.streams:
        raise InputError(
            "setting-missing",
            "the files source has no `path`, `paths` or `streams`",
            hint="headwater config set tap-files path 'data/*.csv'",
        )
    found: dict[str, dict[str, DataFile]] = {}
    keys = {name: tuple(columns) for name, columns in settings.keys.items()}
    for pattern in patterns:
        for file in _files(settings, StreamSettings(name="", path=pattern)):
            found.setdefault(_stem(file), {})[file.key] = file
    for stream in settings.streams:
        found.setdefault(stream.name, {}).update({file.key: file for file in _files(settings, stream)})
        if stream.keys:
            keys[stream.name] = tuple(stream.keys)
    for name in keys:
        if name not in found:
            near = did_you_mean(name, found)
            hint = f"did you mean `{near}`" if near else f"the streams are {listed(sorted(found))}"
            raise InputError("unknown-stream", f"`keys` names the stream `{name}`, which does not exist", hint=hint)
    return [
        StreamFiles(name=name, keys=keys.get(name, ()), files=tuple(files[key] for key in sorted(files)))
        for name, files in sorted(found.items())
    ]


def _files(settings: Settings, stream: StreamSettings) -> list[DataFile]:
    matches = _matches(settings, stream.path)
    if not matches and not _is_optional(settings, stream):
        raise InputError(
            "no-file-found",
            f"no file matches `{stream.path}`",
            why=None if stream.path.startswith(PACKAGE) else f"looked in {settings.root or Path.cwd()}",
            hint=f"ls {stream.path}" if not stream.path.startswith(PACKAGE) else "headwater install",
        )
    return [file for key, path in matches for file in _members(settings, stream, key, path)]


def _is_optional(settings: Settings, stream: StreamSettings) -> bool:
    return settings.optional if stream.optional is None else stream.optional


def _matches(settings: Settings, pattern: str) -> list[tuple[str, Path]]:
    """Pairs of state key and path."""
    if pattern.startswith(PACKAGE):
        inside = pattern.removeprefix(PACKAGE)
        return [
            (f"{PACKAGE}{path.relative_to(folder).as_posix()}", path)
            for folder in _site_packages(settings, pattern)
            for path in _glob(folder, inside)
        ]
    root = Path(settings.root).absolute()
    return [(_key(root, path), path) for path in _glob(root, pattern)]


def _site_packages(settings: Settings, pattern: str) -> list[Path]:
    folders = sorted(Path(settings.venv).glob("lib/python*/site-packages")) if settings.venv else []
    if not folders:
        raise EnvironmentProblemError(
            "not-installed",
            f"`{pattern}` points into the plugin's environment, which is not there",
            why="a `package://` path needs `pip_url` set to the package that brings the files",
            hint="headwater install",
        )
    return folders


def _glob(root: Path, pattern: str) -> list[Path]:
    literal = root / pattern
    if literal.is_file():  # a name may hold `[` or `*` itself
        return [literal]
    names = glob.glob(pattern, root_dir=root, recursive=True)  # noqa: PTH207 - Path.glob refuses absolute patterns
    return sorted(path for name in names if (path := root / name).is_file())


def _key(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def _members(settings: Settings, stream: StreamSettings, key: str, path: Path) -> list[DataFile]:
    packing = path.suffix.lower().lstrip(".")
    if packing != "zip":
        named = path.with_suffix("") if packing == "gz" else path
        return [_data_file(settings, stream, key, path, named.name, packing="gz" if packing == "gz" else None)]
    names = _member_names(path, stream.member or settings.member)
    return [
        _data_file(settings, stream, f"{key}!{name}" if len(names) > 1 else key, path, name, packing="zip")
        for name in names
    ]


def _member_names(path: Path, pattern: str | None) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(item.filename for item in archive.infolist() if not item.is_dir())
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError("unreadable-file", f"`{path}` is not a zip file that can be read", why=str(error)) from error
    wanted = [name for name in names if fnmatch.fnmatch(name, pattern or "*") and not _is_litter(name)]
    if not wanted:
        raise InputError(
            "no-file-found",
            f"`{path}` has no member that matches `{pattern or '*'}`",
            why=f"it holds {listed(names)}" if names else "it is empty",
            hint="set `member` to a pattern that matches",
        )
    return wanted


def _is_litter(name: str) -> bool:
    """Finder and the like leave such members in archives."""
    parts = PurePosixPath(name).parts
    return "__MACOSX" in parts or parts[-1].startswith(".")


def _data_file(
    settings: Settings, stream: StreamSettings, key: str, path: Path, name: str, *, packing: str | None
) -> DataFile:
    kind = _format(stream.format or settings.format, name, key)
    delimiter = stream.delimiter or settings.delimiter or ("\t" if kind == "tsv" else ",")
    dialect = Dialect(
        delimiter=_character("delimiter", delimiter) or ",",
        is_chosen=bool(stream.delimiter or settings.delimiter),
        quote=_character("quote", settings.quote if stream.quote is None else stream.quote),
        escape=_character("escape", stream.escape or settings.escape or "") or None,
        encoding=stream.encoding or settings.encoding,
        header=settings.header if stream.header is None else stream.header,
        columns=tuple(stream.columns or settings.columns),
        null_values=tuple(settings.null_values if stream.null_values is None else stream.null_values),
    )
    return DataFile(
        key=key,
        path=path,
        member=name if packing == "zip" else None,
        packing=packing,
        format="csv" if kind == "tsv" else kind,
        dialect=dialect,
        optional=_is_optional(settings, stream),
        max_unpacked_bytes=settings.max_unpacked_bytes,
        max_unpack_ratio=settings.max_unpack_ratio,
    )


def _format(given: str | None, name: str, key: str) -> str:
    word = (given or PurePosixPath(name).suffix.lstrip(".")).lower()
    if word in FORMATS:
        return FORMATS[word]
    if given:
        near = did_you_mean(word, FORMATS)
        hint = f"did you mean `{near}`" if near else f"it is one of {listed(sorted(set(FORMATS)))}"
        raise InputError("unknown-format", f"`{given}` is not a file format", hint=hint)
    raise InputError(
        "unknown-format",
        f"the format of `{key}` does not show from its name",
        hint=f"set `format` to one of {listed(sorted(set(FORMATS)))}, or make the pattern narrower",
    )


def _character(setting: str, value: str) -> str:
    value = {"\\t": "\t", "tab": "\t"}.get(value, value)
    if len(value) > 1 or not value.isascii():
        raise InputError("invalid-setting", f"`{setting}` is `{value}`; it must be one ASCII character")
    return value


def _stem(file: DataFile) -> str:
    """`data/flights.csv.zip` → `flights`; the members of a zip file with more than one go by their own names."""
    many = file.member is not None and "!" in file.key
    name = PurePosixPath(file.member).name if many and file.member else file.path.name
    parts = name.split(".")
    while len(parts) > 1 and parts[-1].lower() in {*FORMATS, *_PACKED}:
        parts.pop()
    return ".".join(parts)
