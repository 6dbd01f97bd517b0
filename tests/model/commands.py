"""Commands of the program, as a person types them, within this process."""

from __future__ import annotations

import io
import json
import os
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest.mock import patch

from archiver.cli.main import main


def run_command(root: Path, *arguments: str, exit_code: int = 0) -> str:
    """Run a command with the settings in ``root``, without a terminal; return what it printed.

    Raises AssertionError for another exit code.  The caller closes its own archive before a command that writes.
    """
    output = io.TextIOWrapper(io.BytesIO(), "utf-8")
    errors = io.TextIOWrapper(io.BytesIO(), "utf-8")
    with redirect_stdout(output), redirect_stderr(errors), patch("sys.stdin", io.StringIO()):
        code = main(["--config", os.fspath(root / "archiver.toml"), "--wait", "0", *arguments])
    printed, problem = (_text_of(stream) for stream in (output, errors))
    assert code == exit_code, f"{arguments} ended with {code}: {problem}"
    return printed


def read_json(root: Path, *arguments: str) -> Any:
    """Return what a command prints with ``--json``."""
    return json.loads(run_command(root, *arguments, "--json"))


def _text_of(stream: io.TextIOWrapper) -> str:
    stream.flush()
    data = stream.buffer
    assert isinstance(data, io.BytesIO)
    return data.getvalue().decode()
