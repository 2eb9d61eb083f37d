"""Pages of the documentation site that are made when it is built.

mkdocs.yml names this file. CONTRIBUTING.md, CHANGELOG.md and benchmarks/README.md stand where
readers of the repository look for them, and become pages; reference/config.md is made from the
schema. Links are written as they are in the repository, and lead to the pages in the site.
"""

import pathlib
import posixpath
import re
import sys
from typing import TYPE_CHECKING

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

if TYPE_CHECKING:
    from motionalign.config import Schema

ROOT = pathlib.Path(__file__).resolve().parents[1]

# Files of the repository → their pages.
PAGES = {
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
}
_LINK = re.compile(r"(\]\()([^)#:\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages."""
    for source, page in PAGES.items():
        text = (ROOT / source).read_text("utf-8")
        files.append(File.generated(config, page, content=text))
    files.append(File.generated(config, "reference/config.md", content=config_page()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """A page's text with its relative links as they are in the site."""
    sources = {made: source for source, made in PAGES.items()}
    return relinked(markdown, sources.get(page.file.src_uri, f"docs/{page.file.src_uri}"))


def relinked(text: str, source: str) -> str:
    """The text of a file of the repository, with its relative links from page to page."""
    at = posixpath.dirname(_page(source))

    def to_page(link: re.Match) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[2]))
        return f"{link[1]}{posixpath.relpath(_page(target), at or '.')}{link[3] or ''})"

    return _LINK.sub(to_page, text)


def _page(path: str) -> str:
    """The page of a file of the repository, relative to docs/."""
    return PAGES.get(path, path.removeprefix("docs/"))


def config_page() -> str:
    """Tables of all config fields, one a section, in Markdown."""
    sys.path.insert(0, str(ROOT))
    from motionalign.tasks.schema import schema

    every = schema()
    sections: dict[str, list[str]] = {}
    for name in every.fields:
        section = ".".join(name.split(".")[:-1][:2])
        sections.setdefault(section, []).append(name)
    lines = [
        "# Config fields",
        "",
        "Made from the declarations in `motionalign/config.py` and in the registries, as is",
        "`python launch.py --help_config`. Set a field with `--config.FIELD=VALUE`.",
        "",
        "*Read if* names the choice that makes a field count; without one, every run reads it.",
        "A field that is set while nothing reads it is an error. *Resume* tells whether a resumed",
        "run may change the field.",
    ]
    for section, names in sections.items():
        lines += ["", f"## {section or 'The run'}", ""]
        lines += [
            "| field | default | values | meaning | read if | resume |",
            "|---|---|---|---|---|---|",
        ]
        lines += [_row(every, name) for name in names]
    return "\n".join(lines) + "\n"


def _row(every: "Schema", name: str) -> str:
    field = every.fields[name]
    default = "unset" if field.default is None else f"`{field.default!r}`"
    values = ", ".join(f"`{each}`" for each in field.choices) if field.choices else field.expected
    readers = [
        f"`{choice}` is " + (", ".join(f"`{value}`" for value in found) if found else "set")
        for choice, found in every.readers(name).items()
    ]
    cells = [f"`{name}`", default, values, field.meaning, "; ".join(readers), "yes" * field.free]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
