"""What the documentation is checked by, and the pages that are made: they find what is wrong."""

import check_links
import pytest
import site_hooks

from motionalign.tasks.schema import schema


def test_links_of_the_repository():
    """Without the site, which scripts/test.sh builds."""
    files = [check_links.ROOT / name for name in check_links.markdown_files()]
    assert len(files) > 10
    assert [line for path in files for line in check_links.check_file(path)] == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("[a](there.md)", None),
        ("[a](there.md#two-words)", None),
        ("[a](there.md#two-words-1) and [b](#here)", None),
        ("[a](absent.md)", "there is no"),
        ("[a](there.md#three)", "has no heading #three"),
        ("[a](#three)", "has no heading #three"),
        ('<img src="absent.png">', "there is no"),
        ("```\n[a](absent.md)\n```", None),
        ("`[a](absent.md)` is how a link is written", None),
        ("[a](https://example.com/absent.md)", None),
    ],
)
def test_a_broken_link_is_found(tmp_path, monkeypatch, text, wrong):
    monkeypatch.setattr(check_links, "ROOT", tmp_path)
    (tmp_path / "there.md").write_text("# Two `words`\n\n## Two words\n")
    page = tmp_path / "page.md"
    page.write_text(f"# Here\n\n{text}\n")
    broken = check_links.check_file(page)
    assert len(broken) == (wrong is not None)
    if wrong:
        assert broken[0].startswith("page.md:3: ")
        assert wrong in broken[0]


def test_a_broken_link_of_the_site_is_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<h1 id="x"></h1><a href="b.html#y"></a><a href="#x"></a><a href="https://example.com"></a>'
    )
    assert check_links.check_site(tmp_path)[0].endswith("b.html#y: there is no such file")
    (tmp_path / "b.html").write_text('<a href="a.html#x"></a><img src="c.png">')
    assert [line.rpartition(": ")[2] for line in check_links.check_site(tmp_path)] == [
        "there is no such anchor",
        "there is no such file",
    ]
    (tmp_path / "b.html").write_text('<h2 id="y"></h2>')
    assert check_links.check_site(tmp_path) == []
    assert "holds no page" in check_links.check_site(tmp_path / "empty")[0]


def test_links_of_the_repository_lead_to_pages():
    text = "[a](docs/structure.md) [b](#below) [c](CHANGELOG.md#x) [d](https://example.com)"
    assert site_hooks.relinked(text, "CONTRIBUTING.md") == (
        "[a](structure.md) [b](#below) [c](changelog.md#x) [d](https://example.com)"
    )
    text = "[a](../../CONTRIBUTING.md#y) [b](config.md) [c](../images/imports.svg)"
    assert site_hooks.relinked(text, "docs/reference/index.md") == (
        "[a](../contributing.md#y) [b](config.md) [c](../images/imports.svg)"
    )


def test_the_config_page_has_every_field():
    page = site_hooks.config_page()
    for name, field in schema().fields.items():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` |")]
        assert field.meaning.replace("|", "\\|") in row
        assert row.replace("\\|", "").count("|") == 7
    step = next(line for line in page.splitlines() if line.startswith("| `data.step` |"))
    assert "`data.sampling` is `conseq`" in step
    assert "## model.motion" in page
