"""The site of docs/: every link leads somewhere, and nothing is fetched from elsewhere."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
# What a browser loads by itself, beside links that a person follows.
LOADED = re.compile(r"""<(?:script|img|iframe|source)\b[^>]*\bsrc=["']?([^"'\s>]+)|<link\b([^>]*)>""")


def build(site: Path, config: str = "mkdocs.yml") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", config, "--site-dir", str(site)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = build(folder)
    assert built.returncode == 0, built.stderr
    return folder


def test_it_is_built_with_every_link_leading_somewhere(site: Path) -> None:
    assert (site / "howto" / "serve-onnx" / "index.html").exists()
    assert (site / "results" / "qps" / "nothing-cached-gateway.svg").exists()
    assert not (site / "pages.py").exists()


def test_links_lead_to_where_a_page_stands_and_to_no_file_outside(site: Path) -> None:
    page = (site / "load-tests" / "index.html").read_text()
    assert 'href="../results/qps/"' in page
    page = (site / "training" / "index.html").read_text()
    assert "<code>training/templates</code>" in page
    assert 'training/templates"' not in page


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        for source, link in LOADED.findall(page.read_text()):
            target = source or (re.findall(r'rel="?(?:stylesheet|icon|preconnect|preload)', link) and link) or ""
            assert "//" not in target, f"{page.relative_to(site)} loads {target}"
    for style in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import )[\"']?(https?:)?//", style.read_text()), style


@pytest.mark.parametrize(
    "broken", ["[a](nothing.md)", "[a](http.md#nowhere)", "[a](../gateway/nothing.py)", "![a](no.svg)"]
)
def test_a_link_that_leads_nowhere_fails(tmp_path: Path, broken: str) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "pages.py").write_text((DOCS / "pages.py").read_text())
    (docs / "index.md").write_text(f"# A page\n\n{broken}\n")
    (docs / "http.md").write_text("# Another\n\n`[in code](is no link)`\n\n```\n[a](nothing.md)\n```\n")
    config = (ROOT / "mkdocs.yml").read_text()
    (tmp_path / "mkdocs.yml").write_text(re.sub(r"^nav:.*?(?=^validation)", "", config, flags=re.DOTALL | re.MULTILINE))
    built = build(tmp_path / "site", str(tmp_path / "mkdocs.yml"))
    assert built.returncode == 1
    assert broken.partition("(")[2].rstrip(")").rpartition("#")[2] in built.stderr
    (docs / "index.md").write_text("# A page\n\n[a](http.md), and [a file](../mkdocs.yml)\n")
    built = build(tmp_path / "site", str(tmp_path / "mkdocs.yml"))
    assert built.returncode == 0, built.stderr


def test_every_decision_is_in_their_list() -> None:
    listed = (DOCS / "decisions" / "README.md").read_text()
    assert [page.name for page in sorted((DOCS / "decisions").glob("0*.md")) if f"({page.name})" not in listed] == []
