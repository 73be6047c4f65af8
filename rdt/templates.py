"""Pages from templates: a module has the numbers and the choices, the template beside it the words."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from rdt.digests import ROOT

if TYPE_CHECKING:
    import jinja2

# Braces and per cent signs are LaTeX's own.
_LATEX = {
    **{"block_start_string": "<%", "block_end_string": "%>"},
    **{"variable_start_string": "<<", "variable_end_string": ">>"},
    **{"comment_start_string": "<#", "comment_end_string": "#>"},
}


def filled(template: str, /, **values: Any) -> str:
    """Text of a template with ``values`` in it; HTML escapes them, Markdown and LaTeX do not.

    ``template`` is its path below ``rdt/``. The module that fills it has the path as one string, by which the digest
    of its code finds the template (``rdt.provenance.code``). Raises jinja2.UndefinedError for a value that is missing.
    """
    return _environment(latex=template.endswith(".tex.jinja")).get_template(template).render(values)


@functools.cache
def _environment(latex: bool) -> jinja2.Environment:
    import jinja2  # not above: most commands write no page

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(ROOT / "rdt"),
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **(_LATEX if latex else {}),
    )
