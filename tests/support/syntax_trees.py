"""The syntax trees of the package's modules, for tests of how the code is written."""

from __future__ import annotations

import ast
import functools
from pathlib import Path


@functools.cache
def parse_module(path: Path) -> ast.Module:
    """Parse a module. All callers share the tree, and change nothing in it."""
    return ast.parse(path.read_text("utf-8"))


@functools.cache
def nodes_of_module(path: Path) -> tuple[ast.AST, ...]:
    """Every node of a module, outer ones first."""
    return tuple(ast.walk(parse_module(path)))
