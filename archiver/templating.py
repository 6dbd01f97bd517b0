"""HTML pages from the templates of a package."""

from __future__ import annotations

import jinja2


def template(package: str, name: str, **filters: object) -> jinja2.Template:
    """Load a template of ``package`` that escapes what is filled in, and for which a missing value is an error.

    A command renders one page, so nothing compiled is kept from one run to the next.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    return environment.get_template(name)
