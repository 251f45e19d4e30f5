r"""Names with dots and objects with keys are two spellings of one thing: `a.b: 1` is `a: {b: 1}`.

Between the two stands the path: `("a", "b")`. `\.` is a dot that belongs to the key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

Path = tuple[str, ...]

_DOT = re.compile(r"(?<!\\)\.")


def split(name: str) -> Path:
    r"""`a.b\.c` → `("a", "b.c")`."""
    return tuple(part.replace(r"\.", ".") for part in _DOT.split(name))


def join(path: Path) -> str:
    """The name that `split` takes apart to `path`."""
    return ".".join(part.replace(".", r"\.") for part in path)


def leaves(value: Mapping[Any, Any], *, dots: bool = True) -> dict[Path, Any]:
    """Every value that is not an object with keys, by its path. With `dots` the keys' dots are nesting too.

    An empty object is a leaf: it says "nothing", and that is a value.
    """
    flat: dict[Path, Any] = {}
    for key, item in value.items():
        path = split(str(key)) if dots else (str(key),)
        if isinstance(item, Mapping) and item:
            flat.update({path + below: leaf for below, leaf in leaves(item, dots=dots).items()})
        else:
            flat[path] = item
    return flat


def nest(flat: Mapping[Path, Any]) -> dict[str, Any]:
    """The object with these leaves. A deeper path wins over a value in its way."""
    tree: dict[str, Any] = {}
    for path in sorted(flat, key=len):
        put(tree, path, flat[path])
    return tree


def put(tree: dict[str, Any], path: Path, value: Any) -> None:
    """Set one leaf; two objects at one path become one, key by key."""
    for key in path[:-1]:
        below = tree.get(key)
        if not isinstance(below, dict):
            below = tree[key] = {}
        tree = below
    old = tree.get(path[-1])
    if isinstance(value, Mapping):
        tree[path[-1]] = dict(old) if isinstance(old, dict) else {}
        for key, item in value.items():
            put(tree[path[-1]], (str(key),), item)
    else:
        tree[path[-1]] = value
