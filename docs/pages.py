"""What the site (`make docs`) has beside docs/: pages from elsewhere in the repository, and links that lead out of it.

Pages name files by relative paths, as they lie in the repository. Where such a file is a page of the site, the link
leads there; where it is another file of the repository, its text alone is shown; where it is nothing, the build fails.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
# Where pages that lie elsewhere stand in the site: files, and folders with all in them. What is not there is left out.
ELSEWHERE = {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md", "loadtests/results/": "results/"}
SHOWN = {".md", ".svg"}
BLOCK = re.compile(r"(^ *```.*?^ *```$)", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"!?\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from elsewhere, with the pictures in them."""
    for lies, stands in ELSEWHERE.items():
        for path in sorted((ROOT / lies).rglob("*")) if lies.endswith("/") else [ROOT / lies]:
            if path.suffix in SHOWN and path.exists():
                uri = stands + path.relative_to(ROOT).as_posix().removeprefix(lies)
                files.append(File.generated(config, uri, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Have each link lead to where its file stands in the site."""
    lies = Path(str(page.file.abs_src_path)).parent.relative_to(ROOT).as_posix()
    stands = posixpath.dirname(page.file.src_uri)

    def lead(link: re.Match[str]) -> str:
        path, mark, anchor = link[2].partition("#")
        if not path or ":" in path:
            return link[0]
        named = posixpath.normpath(posixpath.join(lies, path))
        found = _in_site(named)
        if files.get_file_from_path(found) is not None:
            return link[0].replace(f"({link[2]})", f"({posixpath.relpath(found, stands)}{mark}{anchor})")
        if not named.startswith("docs/") and (ROOT / named).exists():
            return link[1]
        return link[0]  # MkDocs tells that it leads nowhere

    parts = BLOCK.split(markdown)
    return "".join(part if index % 2 else LINK.sub(lead, part) for index, part in enumerate(parts))


def _in_site(named: str) -> str:
    for lies, stands in ELSEWHERE.items():
        if named.startswith(lies):
            return stands + named.removeprefix(lies)
    return named.removeprefix("docs/")
