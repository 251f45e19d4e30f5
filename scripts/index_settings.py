"""A plugin's settings: from what it says of itself (`--about`), or from the configuration keys in its source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from headwater.model.setting import Option, Setting, SettingKind

_KINDS = {
    "string": SettingKind.STRING,
    "integer": SettingKind.INTEGER,
    "number": SettingKind.DECIMAL,
    "boolean": SettingKind.BOOLEAN,
    "array": SettingKind.ARRAY,
    "object": SettingKind.OBJECT,
}
_SECRET = re.compile(
    r"password|passphrase|secret|tokens?$|^token|api_?keys?$|app_keys$|private_key$|access_key$|credentials$|"
    r"connection_string|signing_key|^pat$|license_key|^sqlalchemy_url$",
    re.IGNORECASE,
)
_NOT_SECRET = re.compile(
    r"_(ids?|name|(?<!alchemy_)url|uri|path|file|type|expiry|expires|endpoint)$|^next_|public", re.IGNORECASE
)

# What the keys that many older plugins share mean: kind and description.
_COMMON = {
    "start_date": ("date_iso8601", "Records changed before this moment are not read"),
    "end_date": ("date_iso8601", "Records changed after this moment are not read"),
    "user_agent": ("string", "How requests name themselves, best with a mail address"),
    "request_timeout": ("integer", "Seconds to wait for an answer"),
    "page_size": ("integer", "Records per request"),
    "access_token": ("string", "Token that grants access"),
    "api_key": ("string", "Key that grants access"),
    "api_token": ("string", "Token that grants access"),
    "token": ("string", "Token that grants access"),
    "client_id": ("string", "Id of the OAuth application"),
    "client_secret": ("string", "Secret of the OAuth application"),
    "refresh_token": ("string", "OAuth token that new access tokens are got with"),
    "redirect_uri": ("string", "Redirect address of the OAuth application"),
    "host": ("string", "Host of the server"),
    "port": ("integer", "Port of the server"),
    "user": ("string", "Name to log in with"),
    "username": ("string", "Name to log in with"),
    "password": ("string", "Password to log in with"),
    "email": ("string", "Mail address to log in with"),
    "dbname": ("string", "Database to connect to"),
    "database": ("string", "Database to connect to"),
    "subdomain": ("string", "First part of the account's host name"),
    "domain": ("string", "Domain of the account"),
    "account_id": ("string", "Id of the account"),
    "aws_access_key_id": ("string", "Id of the AWS access key"),
    "aws_secret_access_key": ("string", "Secret part of the AWS access key"),
    "aws_session_token": ("string", "Session token of temporary AWS credentials"),
    "aws_profile": ("string", "Name of an AWS profile"),
    "aws_endpoint_url": ("string", "Address of a store that speaks the S3 interface"),
    "s3_bucket": ("string", "Name of the bucket"),
    "bucket": ("string", "Name of the bucket"),
    "s3_key_prefix": ("string", "Prefix of the names of objects"),
    "s3_acl": ("string", "Access rules for the objects written"),
    "region_name": ("string", "AWS region"),
    "batch_size_rows": ("integer", "Rows per batch"),
    "hard_delete": ("boolean", "Delete rows that the source reports as deleted"),
    "add_metadata_columns": ("boolean", "Add the `_sdc_` columns"),
    "primary_key_required": ("boolean", "Refuse streams without a primary key"),
    "flush_all_streams": ("boolean", "Write all streams when one batch is full"),
    "parallelism": ("integer", "Batches written at once; 0 decides by the number of streams"),
    "max_parallelism": ("integer", "The most batches written at once"),
    "validate_records": ("boolean", "Check each record against its schema"),
    "ssl": ("string", "`true` to connect with TLS"),
    "quota_percent_total": ("decimal", "Per cent of the API quota that may be used in all"),
    "quota_percent_per_run": ("decimal", "Per cent of the API quota that one run may use"),
}

# What every plugin made with the SDK understands.
_BUILT_IN = {
    "stream_maps": "Renames, filters and computes streams and fields",
    "stream_map_config": "Values that stream maps may use",
    "faker_config.seed": "Seed of the made-up values in stream maps",
    "faker_config.locale": "Locales of the made-up values in stream maps",
    "flattening_enabled": "Make nested objects columns",
    "flattening_max_depth": "How deep nested objects become columns",
    "flattening_max_key_length": "The most characters of a flattened column's name",
    "batch_config.encoding.format": "Format of batch files",
    "batch_config.encoding.compression": "Compression of batch files",
    "batch_config.storage.root": "Folder or address of batch files",
    "batch_config.storage.prefix": "Prefix of the names of batch files",
    "batch_size": "Records per batch",
    "batch_size_rows": "Records per batch",
    "batch_wait_limit_seconds": "Seconds after which a batch is written though it is not full",
    "add_record_metadata": "Add the `_sdc_` fields",
    "validate_records": "Check each record against its schema",
    "load_method": "Append rows, update by key, or overwrite the table",
    "hard_delete": "Delete rows that the source reports as deleted",
    "default_target_schema": "Schema for streams that name none",
    "sqlalchemy_url": "Address of the database as SQLAlchemy writes it, instead of host, user and so on",
    "start_date": "Records changed before this moment are not read",
}
_MAY_BE_SECRET = (SettingKind.STRING, SettingKind.ARRAY, SettingKind.OBJECT)


def settings_of_about(about: Mapping[str, Any]) -> tuple[Setting, ...]:
    """The settings in an `--about`: nested ones become dotted names."""
    return tuple(_flat(about["settings"], "", required=True))


def settings_in_source(sources: Iterable[str]) -> tuple[Setting, ...]:
    """The configuration keys that a Singer plugin's source reads: those it requires first, then by name."""
    required: dict[str, None] = {}
    read: dict[str, Any] = {}
    for source in sources:
        try:
            tree = ast.parse(source)
        except SyntaxError:
            continue
        for node in ast.walk(tree):
            required |= dict.fromkeys(_required_keys(node))
            read |= {key: default for key, default in _read_keys(node) if read.get(key) is None}
    names = [*required, *sorted(key for key in read if key not in required)]
    return tuple(_common(name, default=read.get(name), required=name in required) for name in names)


def capabilities_in_source(sources: Iterable[str]) -> tuple[str, ...]:
    """What the arguments that a Singer tap's source looks at say it can do."""
    text = "\n".join(sources)
    words = {"catalog": "catalog", "properties": "properties", "discover": "discover", "state": "state"}
    found = {word for option, word in words.items() if re.search(rf"args\.{option}\b", text)}
    if "catalog" in found:
        found.discard("properties")
    if "LOG_BASED" in text:
        found.add("log-based")
    return tuple(sorted(found))


def with_corrections(settings: tuple[Setting, ...], corrections: Mapping[str, Any]) -> tuple[Setting, ...]:
    """`false` drops a setting, a text is its description, a mapping any part of it; unknown names are added."""
    result = {setting.name: setting for setting in settings}
    for name, given in corrections.items():
        if given is False:
            result.pop(name, None)
            continue
        parts = {"description": given} if isinstance(given, str) else dict(given)
        found = result.get(name) or _common(name, default=None, required=False)
        shape = msgspec.to_builtins(found) | parts
        result[name] = msgspec.convert({key: item for key, item in shape.items() if item is not None}, Setting)
    return tuple(result.values())


def _flat(schema: Mapping[str, Any], prefix: str, *, required: bool) -> Iterable[Setting]:
    needed = set(schema.get("required", ())) if required else set()
    for name, part in schema.get("properties", {}).items():
        if part.get("properties") and _type(part) == "object":
            yield from _flat(part, f"{prefix}{name}.", required=name in needed)
            continue
        # The SDK says it twice: in the list of the object and in the property itself.
        default = part.get("default")
        kind = _kind(part)
        options = tuple(Option(value=value, label=str(value)) for value in part.get("enum", ()) if value is not None)
        yield Setting(
            name=f"{prefix}{name}",
            kind=SettingKind.OPTIONS if options and kind is SettingKind.STRING else kind,
            value=default,
            label=_label(name),
            # Of what a plugin says of itself only facts are taken; the sentences are its author's.
            description=_BUILT_IN.get(f"{prefix}{name}") or _COMMON.get(name.lower(), (None, None))[1],
            options=options,
            sensitive=bool(part.get("secret")) or (kind in _MAY_BE_SECRET and _is_secret(name)),
            required=name in needed and default is None,
        )


def _type(part: Mapping[str, Any]) -> str:
    types = part.get("type")
    if types is None:
        offered = part.get("anyOf", part.get("oneOf", ()))
        choices = [_type(choice) for choice in offered if isinstance(choice, Mapping)]
        choices = [choice for choice in choices if choice != "null"]
        return "string" if not choices or "string" in choices else choices[0]
    listed = [types] if isinstance(types, str) else [word for word in types if word != "null"]
    return "string" if not listed or "string" in listed else str(listed[0])


def _kind(part: Mapping[str, Any]) -> SettingKind:
    if part.get("format") in ("date-time", "date"):
        return SettingKind.DATE
    return _KINDS.get(_type(part), SettingKind.STRING)


def _common(name: str, *, default: Any, required: bool) -> Setting:
    kind, description = _COMMON.get(name.lower(), (None, None))
    if kind is None:
        # bool before int: True is an int.
        shapes = ((bool, "boolean"), (int, "integer"), (float, "decimal"), (list, "array"), (dict, "object"))
        kind = next((word for shape, word in shapes if isinstance(default, shape)), "string")
    return Setting(
        name=name,
        kind=SettingKind(kind),
        value=None if required or default in ("", [], {}) else default,
        label=_label(name),
        description=description,
        sensitive=_is_secret(name),
        required=required,
    )


def _is_secret(name: str) -> bool:
    return _SECRET.search(name) is not None and _NOT_SECRET.search(name) is None


def _required_keys(node: ast.AST) -> Iterable[str]:
    """The texts of a list that is called `REQUIRED_…KEYS`, or given to `parse_args`."""
    lists: list[ast.AST] = []
    if isinstance(node, ast.Assign):
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        if any(re.search(r"REQUIRED\w*(CONFIG|KEYS|PARAM)", name) for name in names):
            lists.append(node.value)
    elif isinstance(node, ast.Call):
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called == "parse_args":
            lists += [*node.args, *(keyword.value for keyword in node.keywords)]
    for found in lists:
        if isinstance(found, ast.List | ast.Tuple | ast.Set):
            yield from (item.value for item in found.elts if _is_key(item))


def _read_keys(node: ast.AST) -> Iterable[tuple[str, Any]]:
    """`config["key"]` and `config.get("key", default)`, however the mapping is reached."""
    if isinstance(node, ast.Subscript) and _is_config(node.value) and _is_key(node.slice):
        if isinstance(node.ctx, ast.Load):
            yield node.slice.value, None
    elif (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "get"
        and node.args
        and _is_config(node.func.value)
        and _is_key(node.args[0])
    ):
        try:
            default = ast.literal_eval(node.args[1]) if len(node.args) > 1 else None
        except ValueError:
            default = None
        yield node.args[0].value, default


def _is_config(node: ast.AST) -> bool:
    name = node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
    return re.fullmatch(r"_?(config|CONFIG|conn_config|connection_config|mdb_config|config_json)", name) is not None


def _is_key(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and re.fullmatch(r"[A-Za-z]\w*", node.value) is not None
    )


def _label(name: str) -> str:
    return " ".join(re.split(r"[._]+", name.strip("_"))).strip().capitalize()
