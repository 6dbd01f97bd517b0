"""HTML pages, from the templates of a package."""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

import jinja2
from jinja2.bccache import Bucket


class _Compiled(jinja2.FileSystemBytecodeCache):
    """What Jinja compiled, kept where Python keeps what it compiled, and under the same condition:
    whoever may write there may change the program as well.
    """

    def __init__(self, package: Path) -> None:
        super().__init__(str(package / "__pycache__"), f"%s.jinja-{jinja2.__version__}")

    def load_bytecode(self, bucket: Bucket) -> None:
        """Take it from there, if it is there."""
        with suppress(OSError):
            super().load_bytecode(bucket)

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Keep it; where that cannot be, it is compiled again next time."""
        if not sys.dont_write_bytecode:
            with suppress(OSError):
                super().dump_bytecode(bucket)


def template(package: str, name: str, **filters: object) -> jinja2.Template:
    """A template of ``package``: what is filled in is escaped, and what is missing is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        bytecode_cache=_Compiled(Path(str(files(package)))),
    )
    environment.filters.update(filters)
    return environment.get_template(name)
