"""What a result depends on, as one short text: the source of its code and the settings it was made with."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
from functools import lru_cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

LENGTH = 16  # hexadecimal digits: 64 bits tell the configurations of any project apart


def fingerprint(modules: tuple[str, ...], packages: tuple[str, ...], **facts: Any) -> str:
    """A digest of `facts` (JSON values) and of the source of `modules` with all they import from `packages`."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())
    for name, text in source_files(modules, packages):
        digest.update(name.encode() + b"\0" + hashlib.sha256(text).digest())
    return digest.hexdigest()[:LENGTH]


@lru_cache(maxsize=32)
def source_files(modules: tuple[str, ...], packages: tuple[str, ...]) -> tuple[tuple[str, bytes], ...]:
    """Name and source of modules and of the modules they import, directly or not, that belong to `packages`."""
    found: dict[str, bytes] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        # The name decides first: to look for a module of a library would import the library.
        if name in found or (name not in modules and name.partition(".")[0] not in packages):
            continue
        path = _origin(name)
        if path is None:
            continue
        found[name] = path.read_bytes()
        waiting += _imported(found[name], name, is_package=path.name == "__init__.py")
        waiting.append(name.rpartition(".")[0])  # the package of a module runs before it
    return tuple(sorted(found.items()))


def _imported(source: bytes, module: str, *, is_package: bool) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = "." * node.level + (node.module or "")
            package = module if is_package else module.rpartition(".")[0]
            base = importlib.util.resolve_name(start, package) if node.level else start
            # What is imported from a package may be a module of it.
            names += [base, *(f"{base}.{alias.name}" for alias in node.names)]
    return names


def _origin(name: str) -> Path | None:
    spec = _spec(name)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None
    return Path(spec.origin)


def _spec(name: str) -> ModuleSpec | None:
    """Where a module comes from; none for a name inside a module, for which Python would import the module first."""
    parent = name.rpartition(".")[0]
    if parent:
        package = _spec(parent)
        if package is None or package.submodule_search_locations is None:
            return None
    try:
        return importlib.util.find_spec(name)
    except (ModuleNotFoundError, ValueError):
        return None
