"""A page of HTML as a list of elements that a test can ask."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "br", "image", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """Every element as (tag, attributes, text, tags around it); texts are kept as written."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str], list[str], tuple[str, ...]]] = []
        self._open: list[int] = []
        self.feed(html)
        self.close()
        assert not self._open, "an element is left open"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        around = tuple(self.elements[i][0] for i in self._open)
        self.elements.append((tag, {k: v or "" for k, v in attrs}, [], around))
        if tag not in VOID:
            self._open.append(len(self.elements) - 1)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {k: v or "" for k, v in attrs}, [], ()))

    def handle_endtag(self, tag: str) -> None:
        assert self.elements[self._open[-1]][0] == tag, f"{tag} closes {self.elements[self._open[-1]][0]}"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for i in self._open:
            self.elements[i][2].append(data)

    def all(self, tag: str = "", **attrs: str) -> list[tuple[dict[str, str], str]]:
        """Return (attributes, text) of the elements of a tag that carry these attribute words."""
        wanted = {key.rstrip("_").replace("_", "-"): value for key, value in attrs.items()}
        return [
            (found, "".join(text))
            for name, found, text, _ in self.elements
            if (not tag or name == tag) and all(value in found.get(key, "").split() for key, value in wanted.items())
        ]

    def text(self, tag: str = "", **attrs: str) -> str:
        return " ".join(self.all(tag, **attrs)[0][1].split())
