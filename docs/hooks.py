"""What the pages show that does not stand in docs/: files of the repository, and the help of the commands."""

from __future__ import annotations

from pathlib import Path

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from margin.cli import main
from margin.study.glossary import glossary

SHOWN = (
    "SECURITY.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "examples/*/README.md",
    "examples/*/*.png",
    "examples/*/*.webp",
)
INCLUDED = ("examples/architectures/README.md",)
"""What a page of docs/ holds in full already."""
COMMANDS = "reference/commands.md"
GLOSSARY = "glossary.md"
WIDTH = 80
"""Characters of a line of help."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Called by mkdocs with the files of docs/; ours are put under their own paths, so that links hold."""
    root = Path(config.config_file_path).parent
    for pattern in SHOWN:
        for path in sorted(root.glob(pattern)):
            if (name := path.relative_to(root).as_posix()) not in INCLUDED:
                files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Called by mkdocs with the text of each page.

    That of the commands gets what `--help` prints, the glossary what the page's tooltips say.
    """
    if page.file.src_uri == GLOSSARY:
        return "\n\n".join([markdown, *(f"{term.name}\n: {term}" for term in glossary().values())])
    if page.file.src_uri != COMMANDS:
        return markdown
    return "\n\n".join(
        [markdown, *(f"## margin {name}\n\n```text\n{help_of(name)}\n```" for name in main.commands)]
    )


def help_of(name: str) -> str:
    """What `margin NAME --help` prints."""
    command = main.commands[name]
    with click.Context(
        command, info_name=f"margin {name}", terminal_width=WIDTH, max_content_width=WIDTH
    ) as context:
        return command.get_help(context)
