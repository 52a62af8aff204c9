"""How the documentation is built: ``python -m sphinx -W --keep-going -b html docs docs/_build/html``."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from docutils.nodes import Node
from sphinx.application import Sphinx
from sphinx.ext.napoleon.docstring import GoogleDocstring
from sphinx.util.docutils import SphinxDirective
from zope.interface.interface import Method

sys.path.insert(0, str(Path(__file__).parents[1]))

# Compiled modules do not show their signatures.
os.environ["AUTOBAHNLIKE_PURE"] = "1"

from autobahnlike import __version__
from autobahnlike.websocket import interfaces
from autobahnlike.wire import state
from autobahnlike.wire.options import option_docs
from autobahnlike.wire.state import TRANSITIONS, Input, State

project = "autobahnlike"
author = "autobahnlike contributors"
project_copyright = f"2026, {author}"
release = version = __version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
html_theme_options = {
    "description": "WebSocket for Twisted and asyncio",
    "fixed_sidebar": True,
    # Lines of code are up to 100 characters wide.
    "page_width": "1140px",
    "sidebar_width": "240px",
}
html_static_path: list[str] = []

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True, "undoc-members": True, "show-inheritance": True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
add_module_names = False
toc_object_entries_show_parents = "hide"

# Every reference to something of this package has to lead somewhere. The documentation of others is not consulted: a
# build needs no network.
nitpicky = True
nitpick_ignore_regex = [
    (r"py:.*", r"(?!autobahnlike).*"),
    # Private bases and aliases, and a type variable.
    (r"py:.*", r"autobahnlike\..*\._\w+"),
    (r"py:.*", r"autobahnlike\.wire\.http11\.HeadT"),
    (r"py:.*", r"autobahnlike\.app\.providers\.Values"),
]


def state_docs() -> str:
    """The table of the state machine as reStructuredText: a row for each state, a column for each input."""
    rows = [["", *(what.name for what in Input)]]
    for before in State:
        after = (TRANSITIONS.get((before, what)) for what in Input)
        rows.append([before.name, *(f"``{target.name}``" if target else "" for target in after)])
    lines = [".. list-table::", "   :header-rows: 1", "   :stub-columns: 1", ""]
    for row in rows:
        lines += [f"   {'* -' if position == 0 else '  -'} {cell}".rstrip() for position, cell in enumerate(row)]
    meanings = [f"``{what.name}``\n    {what.value[0].upper()}{what.value[1:]}." for what in Input]
    return "\n".join([*lines, "", *meanings, ""])


def state_drawing() -> str:
    """The drawing in the comment at the top of ``wire/state.py``."""
    blocks = Path(state.__file__).read_text().split("\n#\n")
    drawing = next(block for block in blocks if "►" in block)
    return "\n".join([".. code-block:: text", "", *(f"   {line[2:]}" for line in drawing.splitlines()), ""])


def interface_docs() -> str:
    """The zope Interfaces, which autodoc takes for data, as reStructuredText."""
    lines = [".. py:module:: autobahnlike.websocket.interfaces", "", *docstring_of(interfaces), ""]
    for name in interfaces.__all__:
        interface = getattr(interfaces, name)
        lines += [f".. py:class:: {name}({', '.join(base.__name__ for base in interface.__bases__)})", ""]
        lines += indented(docstring_of(interface))
        for member in interface:
            if member not in interface.names():
                continue
            described = interface[member]
            is_method = isinstance(described, Method)
            signature = described.getSignatureString() if is_method else ""
            lines += [f"   .. py:{'method' if is_method else 'attribute'}:: {member}{signature}", ""]
            lines += indented(indented(docstring_of(described)))
    return "\n".join(lines)


def docstring_of(documented: object) -> list[str]:
    """A docstring as lines of reStructuredText, and an empty line."""
    return [*str(GoogleDocstring(inspect.cleandoc(documented.__doc__ or ""))).splitlines(), ""]


def indented(lines: list[str]) -> list[str]:
    """The lines, indented by one level."""
    return [f"   {line}".rstrip() for line in lines]


class Generated(SphinxDirective):
    """``.. generated:: NAME``: a piece of documentation that is made from the code."""

    required_arguments = 1
    makers: ClassVar[dict[str, Callable[[], str]]] = {
        "drawing": state_drawing,
        "interfaces": interface_docs,
        "options": option_docs,
        "states": state_docs,
    }

    def run(self) -> list[Node]:
        return self.parse_text_to_nodes(self.makers[self.arguments[0]]())


def setup(app: Sphinx) -> None:
    app.add_directive("generated", Generated)
