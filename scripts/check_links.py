"""Checks the links of the documentation.

    python scripts/check_links.py                     relative links of all Markdown files
    python scripts/check_links.py --site=site         and those of the built site
    python scripts/check_links.py --external=list     lists the external links
    python scripts/check_links.py --external=request  requests each of them

It ends with status 1 where a link leads nowhere. Nothing is requested unless asked for.
"""

import argparse
import collections
import functools
import html.parser
import pathlib
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[1]

# Made when the site is built; `--site` checks links to it.
GENERATED = {ROOT / "docs/reference/config.md"}

_FENCE = re.compile(r"^\s*(```|~~~)")
_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$")
_LINK = re.compile(
    r"\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)|<(https?://[^>\s]+)>|(?:src|href)=\"([^\"]+)\""
)


def prose(path: pathlib.Path) -> Iterator[tuple[int, str]]:
    """The lines of a Markdown file that are no code, with their numbers."""
    inside = False
    for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
        if _FENCE.match(line):
            inside = not inside
        elif not inside:
            yield number, line


@functools.cache
def anchors(path: pathlib.Path) -> frozenset[str]:
    """The anchors of a Markdown file's headings, as GitHub makes them."""
    seen: collections.Counter[str] = collections.Counter()
    found = set()
    for _, line in prose(path):
        if heading := _HEADING.match(line):
            text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading[1])
            slug = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            found.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
            seen[slug] += 1
    return frozenset(found)


def links(path: pathlib.Path) -> Iterator[tuple[int, str]]:
    """(line, target) of the links of a Markdown file."""
    for number, line in prose(path):
        for link in _LINK.finditer(re.sub(r"`[^`]*`", "", line)):
            yield number, next(filter(None, link.groups()))


def is_external(target: str) -> bool:
    """Whether a link leaves the repository."""
    return urllib.parse.urlsplit(target).scheme in ("http", "https")


def check_file(path: pathlib.Path) -> list[str]:
    """The broken relative links of a Markdown file, a line each."""
    broken = []
    for number, target in links(path):
        if is_external(target) or target.startswith("mailto:"):
            continue
        where, _, anchor = target.partition("#")
        file = (path.parent / urllib.parse.unquote(where)).resolve() if where else path
        place = f"{path.relative_to(ROOT)}:{number}: {target}"
        if file in GENERATED:
            continue
        if not file.exists():
            broken.append(f"{place}: there is no {file}")
        elif anchor and file.suffix == ".md" and anchor not in anchors(file):
            broken.append(f"{place}: {file.relative_to(ROOT)} has no heading #{anchor}")
    return broken


class Page(html.parser.HTMLParser):
    """What a built page links to, and the anchors that it has."""

    def __init__(self, text: str) -> None:
        """Reads the text of a page."""
        super().__init__()
        self.targets: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keeps links and ids."""
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.targets.append(value)
            elif name in ("id", "name") and value:
                self.ids.add(value)


def check_site(site: pathlib.Path) -> list[str]:
    """The broken internal links of a built site, a line each."""
    pages = {path: Page(path.read_text("utf-8")) for path in sorted(site.rglob("*.html"))}
    if not pages:
        return [f"{site} holds no page: run `mkdocs build --strict`"]
    broken = []
    for path, page in pages.items():
        if path.name == "404.html":  # its links are those of a server's root
            continue
        for target in dict.fromkeys(page.targets):
            parts = urllib.parse.urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            file = path.parent / urllib.parse.unquote(parts.path) if parts.path else path
            file = file.resolve()
            if not file.exists():
                broken.append(f"{path}: {target}: there is no such file")
            elif (
                parts.fragment
                and file in pages
                and urllib.parse.unquote(parts.fragment) not in pages[file].ids
            ):
                broken.append(f"{path}: {target}: there is no such anchor")
    return broken


def request(url: str) -> str | None:
    """What is wrong with an external link, or None."""
    asked = urllib.request.Request(url, headers={"User-Agent": "Mozilla/5.0 (link check)"})
    try:
        with urllib.request.urlopen(asked, timeout=20):
            return None
    except (urllib.error.URLError, TimeoutError, ValueError) as error:
        return str(error)


def main() -> int:
    """Checks what the command line asks for; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--site", type=pathlib.Path, help="folder of the built site")
    parser.add_argument("--external", choices=("list", "request"))
    args = parser.parse_args()
    files = [ROOT / name for name in markdown_files()]
    broken = [line for path in files for line in check_file(path)]
    if args.site:
        broken += check_site(args.site.resolve())
    external = sorted({t for path in files for _, t in links(path) if is_external(t)})
    for url in external if args.external else []:
        wrong = request(url) if args.external == "request" else None
        print(url if wrong is None else f"{url}: {wrong}")
        broken += [f"{url}: {wrong}"] if wrong else []
    for line in broken:
        print(line, file=sys.stderr)
    print(
        f"{len(files)} Markdown files, {len(external)} external links, {len(broken)} broken links"
    )
    return 1 if broken else 0


def markdown_files() -> list[str]:
    """The project's Markdown files, relative to its root."""
    folders = (".", "benchmarks", "tests/golden", "docs", "docs/reference")
    return [
        path.relative_to(ROOT).as_posix()
        for folder in folders
        for path in sorted((ROOT / folder).glob("*.md"))
    ]


if __name__ == "__main__":
    sys.exit(main())
