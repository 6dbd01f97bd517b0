"""Wall clocks that are wrong, for whole programs: ``libfaketime`` from PyPI, which leaves the other clocks alone."""

from __future__ import annotations

import os
from pathlib import Path

import libfaketime


def at(days: float) -> dict[str, str]:
    """The environment of a program whose wall clock is that many days ahead."""
    return {
        **os.environ,
        "LD_PRELOAD": library(),
        "FAKETIME": f"{days:+}d",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def by_file(path: Path) -> dict[str, str]:
    """The environment of a program whose wall clock is off by what ``path`` says, as in ``+4000d``."""
    return {
        **os.environ,
        "LD_PRELOAD": library(),
        "FAKETIME_TIMESTAMP_FILE": os.fspath(path),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


def library() -> str:
    folder = Path(libfaketime.__file__).parent
    usual = folder / "vendor/libfaketime/src/libfaketime.so.1"
    return os.fspath(usual if usual.exists() else next(folder.rglob("libfaketime*.so*")))
