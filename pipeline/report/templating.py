"""How pages are made from the templates."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from zskel.pipeline.report.tables import percent

if TYPE_CHECKING:
    from markupsafe import Markup


def render_template(name: str, local: Callable[[str], str], **values: Any) -> str:
    """A page: one string that needs nothing else to be shown.

    Args:
        name: Of a template in ``pipeline/report/templates``.
        local: What a link becomes within the page.
        values: What the template shows. Beside them it has ``inline``, which puts a file
            of the templates into the page as it is.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    loader = PackageLoader("zskel.pipeline.report")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, local=local)

    def inline(file: str) -> Markup:
        # Style and script are ours; escaping would break them.
        return Markup(loader.get_source(environment, file)[0])

    return environment.get_template(name).render(inline=inline, **values).rstrip() + "\n"
