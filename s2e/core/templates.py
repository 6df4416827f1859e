"""Pages and cards are templates, files of Jinja beside the code that fills them in."""

import functools
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined


def fill(template: Path, **values: Any) -> str:
    """The text of a template; in .html what is filled in is escaped.

    Line breaks between tags are left out: a template may be laid out as it reads best.
    """
    text = _environment(template.parent).get_template(template.name).render(values)
    return re.sub(r">\n\s*(?=<)", ">", text) if template.suffix == ".html" else text


@functools.cache
def _environment(folder: Path) -> Environment:
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=lambda name: name is not None and name.endswith(".html"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
