"""`margin table`: the tables of a run's report, for a terminal or a paper."""

from __future__ import annotations

from pathlib import Path

import click

from margin.commands.report import CLUSTER, SEED, coverage
from margin.commands.session import PLACE
from margin.errors import MarginError
from margin.streams import show, written


@click.command(short_help="Tables of a run, for a terminal or a paper.")
@click.argument("run", type=PLACE)
@click.option("--only", multiple=True, metavar="KEY", help="Only this table; may be given several times.")
@click.option("--latex", is_flag=True, help="As LaTeX (booktabs), ready for \\\\input.")
@click.option("--markdown", is_flag=True, help="As Markdown.")
@click.option("--out", type=PLACE, help="A file to write to.  [default: stdout]")
@click.option(
    "--level", default=0.95, show_default=True, callback=coverage, help="Nominal coverage of the intervals."
)
@click.option("--seed", default=0, show_default=True, type=SEED, help="Of whatever is drawn at random.")
@CLUSTER
@click.option("--optional", is_flag=True, help="Add the costly separation measures.")
def table(
    run: Path,
    only: tuple[str, ...],
    latex: bool,
    markdown: bool,
    out: Path | None,
    level: float,
    seed: int,
    cluster: str | None,
    optional: bool,
) -> None:
    """Tables of RUN, the same that its report shows: by-mode, by-space, layers, separation, ..."""
    from margin.console import PlainConsole
    from margin.report.analyse import analyse
    from margin.report.latex import to_latex
    from margin.report.markdown import table_lines
    from margin.report.terminal import print_tables
    from margin.run.files import make_folder, require_apart, write_atomic
    from margin.run.run import open_run

    if latex and markdown:
        raise MarginError("--latex and --markdown: take one of the two")
    opened = open_run(run)
    if out is not None:
        require_apart(out, opened.files)
    report = analyse(opened, level=level, seed=seed, cluster=cluster, optional=optional)
    tables = {found.key: found for found in report.tables()}
    for key in only:
        if key not in tables:
            raise MarginError(f"--only {key!r} is unknown: this run has {', '.join(tables)}")
    chosen = [found for key, found in tables.items() if not only or key in only]
    if not (latex or markdown or out):
        print_tables(chosen, PlainConsole())
        return
    text = to_latex(chosen) if latex else "\n".join("\n".join(table_lines(found)) + "\n" for found in chosen)
    if out is None:
        show(text.rstrip("\n"))
    else:
        make_folder(out.parent)
        write_atomic(out, text.encode())
        written([out])
