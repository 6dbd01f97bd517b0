"""Load the templates of HTML pages from a package."""

from __future__ import annotations

import jinja2

from archiver.naming.ref_names import to_readable


def template(package: str, template_name: str, **filters: object) -> jinja2.Template:
    """Load the template ``template_name`` of ``package``, with ``filters`` added to those of jinja2.

    Rendering escapes all values for HTML, shows the name for people instead of each name in the ref form, and
    raises jinja2.UndefinedError for a missing value. The compiled template is not stored between runs, because a
    command renders a single page.

    Raises jinja2.TemplateError if the template is missing or invalid.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=to_readable,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(filters)
    return environment.get_template(template_name)
