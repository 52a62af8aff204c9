"""The page of ``serve echo``."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser

import pytest

from autobahnlike.cli.page import PAGE


class Elements(HTMLParser):
    """Collects the elements of the page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(PAGE)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


@pytest.mark.parametrize(("tag", "directive"), [("script", "script-src"), ("style", "style-src")])
def test_the_policy_allows_what_the_page_contains_and_nothing_else(tag: str, directive: str) -> None:
    (source,) = re.findall(f"<{tag}>(.*?)</{tag}>", PAGE, re.DOTALL)
    digest = b64encode(sha256(source.encode()).digest()).decode()
    assert f"{directive} 'sha256-{digest}';" in PAGE


def test_the_page_loads_nothing() -> None:
    links = [
        value
        for _, attributes in Elements().found
        for name, value in attributes.items()
        if name in ("href", "src", "action", "data", "srcset")
    ]
    assert links == ["data:,"]
    assert not re.search(r"@import|url\(|https?://", PAGE)


def test_every_field_has_a_label_and_every_id_is_there_once() -> None:
    fields = PAGE.count("<input")
    assert fields == 5
    assert len(re.findall(r"<label[^>]*>[^<]+<input", PAGE)) == fields
    ids = [attributes["id"] for _, attributes in Elements().found if "id" in attributes]
    assert len(ids) == len(set(ids))
    wanted = set(re.findall(r'get\("([^"]+)"\)', PAGE)) | set(re.findall(r'\bon\("([^"]+)"', PAGE))
    assert wanted <= set(ids)
