"""Write TOML, which the standard library only reads: by other code than the one that writes a new archiver.toml."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

from archiver.config.value_types import encode_file_name


def dump_value(value: object) -> str:
    """Return a value as TOML writes it."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(key)} = {dump_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(dump_value, value)) + "]"
    if isinstance(value, os.PathLike):
        value = encode_file_name(os.fspath(value))
    return repr(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def dump_tables(tables: Mapping[str, Mapping[str, object]], prefix: str = "") -> str:
    """Return a document: a table in brackets for each, and for each below ``filings``."""
    parts = []
    for name, table in tables.items():
        if name == "filings":
            parts.append(dump_tables(table, "filings."))  # type: ignore[arg-type]
            continue
        head = f"{prefix}{json.dumps(name, ensure_ascii=False) if prefix else name}"
        lines = [f"{key} = {dump_value(value)}" for key, value in table.items()]
        parts.append("\n".join([f"[{head}]", *lines, ""]))
    return "\n".join(parts)
