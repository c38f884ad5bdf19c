"""What MkDocs does not do by itself: the site is built from the same files that a reader of the repository sees.

- README, CONTRIBUTING, CHANGELOG and SECURITY become pages, and links between them and ``docs/`` work in both places.
- ``docs/quickstart.ipynb`` becomes a page with its stored outputs.
- Each package gets a page of its docstrings, and a name such as ``laiar/model.py::LaIAR`` becomes a link to it.
"""

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "whyact"
PAGES = {  # a file of the repository outside docs/ -> its page
    "README.md": "overview.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "LICENSE": "LICENSE.txt",
    "CITATION.cff": "CITATION.cff",
    "docs/quickstart.ipynb": "quickstart.md",
}
LINK = re.compile(r"\]\(([^)\s]+)\)")
ELSEWHERE = re.compile(
    r"""<(?:script|img|iframe|source|link)\b[^>]*?\b(?:src|href)=["']?(?:https?:)?//[^>]*>"""
    r"""|url\(["']?https?:[^)]*\)"""
)
REFERENCE = re.compile(r"(?<!\[)`([\w/]+)\.py(?:::([\w.]+))?`")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the pages of the API in the navigation, and the decisions that there are."""
    decisions = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    nav = list(config.nav or [])
    if decisions:
        nav.append({"Decisions": ["decisions/index.md", *(f"decisions/{path.name}" for path in decisions)]})
    nav.append({"API reference": [{name: f"reference/{name}.md"} for name in packages()]})
    config.nav = nav
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are no files of ``docs/``."""
    for source, target in PAGES.items():
        if not (ROOT / source).exists():
            continue
        text = (ROOT / source).read_text(encoding="utf-8")
        content = notebook_markdown(json.loads(text)) if source.endswith(".ipynb") else text
        files.append(File.generated(config, target, content=content))
    for name, modules in packages().items():
        files.append(File.generated(config, f"reference/{name}.md", content=reference_page(name, modules)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links at pages instead of files, and names of code at the API reference."""
    uri = page.file.src_uri
    source = next((path for path, target in PAGES.items() if target == uri), f"docs/{uri}")

    def relink(match: re.Match[str]) -> str:
        path, hash_sign, anchor = match[1].partition("#")
        if not path or re.match(r"[a-z]+:", path):
            return match[0]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
        target = PAGES.get(target, target.removeprefix("docs/"))
        return f"]({posixpath.relpath(target, posixpath.dirname(uri) or '.')}{hash_sign}{anchor})"

    def link_code(match: re.Match[str]) -> str:
        if not (PACKAGE / f"{match[1]}.py").is_file():
            return match[0]
        module = f"whyact.{match[1].replace('/', '.')}".removesuffix(".__init__")
        name = f"{module}.{match[2]}" if match[2] else module
        private = any(part.startswith("_") for part in name.split("."))
        return match[0] if private else f"[{match[0]}][{name}]"

    return REFERENCE.sub(link_code, LINK.sub(relink, markdown))


def on_post_build(config: MkDocsConfig) -> None:
    """Fail if a page loads anything from elsewhere: a font, a script, a picture."""
    for path in sorted(Path(config.site_dir).rglob("*")):
        if path.suffix in (".html", ".css"):
            request = ELSEWHERE.search(path.read_text(encoding="utf-8"))
            if request:
                raise PluginError(f"{path.relative_to(config.site_dir)} loads something from elsewhere: {request[0]}")


def packages() -> dict[str, list[str]]:
    """Return the modules of each package, and of whyact itself, as dotted names."""
    out: dict[str, list[str]] = {"whyact": []}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        if parts[-1] in ("__init__", "__main__"):
            continue
        out.setdefault(parts[0] if len(parts) > 1 else "whyact", []).append(".".join(("whyact", *parts)))
    return out


def reference_page(name: str, modules: list[str]) -> str:
    """Return the page of a package: a heading and the docstrings of each module."""
    parts = [f"# {name}"]
    for module in modules:
        parts.append(f"## {module.removeprefix('whyact.').replace('.', '/')}.py\n\n::: {module}")
    return "\n\n".join(parts) + "\n"


def notebook_markdown(notebook: dict[str, Any]) -> str:
    """Return a notebook as Markdown, with the outputs that are stored in it."""
    parts: list[str] = []
    for cell in notebook["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(text)
            continue
        parts.append(f"```python\n{text}\n```")
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            for kind in ("image/png", "image/jpeg"):
                if kind in data:
                    parts.append(
                        f"![the picture that this cell shows](data:{kind};base64,{''.join(data[kind]).strip()})"
                    )
                    break
            else:
                shown = "".join(output.get("text", data.get("text/plain", "")))
                parts.append(f"```text\n{shown.rstrip()}\n```")
    return "\n\n".join(parts) + "\n"
