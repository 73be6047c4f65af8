"""``rdt verify [CELL]``: from a cell of a table down to the data, by digest, and its scores computed again."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from tqdm import tqdm

from rdt.commands.arguments import experiment_option, open_workspace
from rdt.data.published import CHECKSUMS, PUBLISHED, read_checksums
from rdt.digests import file_digest
from rdt.experiment.plan import Cell, find_cell
from rdt.files import read_json
from rdt.metrics.names import CHEAP
from rdt.provenance import steps
from rdt.provenance.imported import imported
from rdt.provenance.links import BrokenLinkError, Walk, stop_there
from rdt.provenance.manifest import manifest_path, output_files
from rdt.workspace import Workspace

EPILOG = """\
A cell is table/row/column as in the tables' CSV, for instance 'II/RDT◇/xe/C'. Without one, all cells are verified;
METEOR and SPICE, which take long, are computed again only for a named cell, and are otherwise known by digest.
What is a user's own (photographs, published features) is not read: its annotations are.
The first broken link is named, with exit code 1. With --repair every output behind a broken link is removed, and the
next `snakemake` makes it again, with all that depends on it.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt verify``."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("--repair", action="store_true", help="remove what is broken, so that snakemake makes it again")
    parser.add_argument("cell", nargs="?", metavar="CELL", help="table/row/column (default: every cell)")
    experiment_option(parser)


def run(args: argparse.Namespace) -> None:
    """Verify, and print what was verified."""
    from rdt.scoring.recompute import check_table, recompute, why_empty

    workspace = open_workspace(args)
    if args.repair:
        print(repair(workspace))
        return
    cells = [find_cell(workspace.plan, args.cell)] if args.cell else list(workspace.plan.cells)
    metrics = frozenset({cells[0].metric} if args.cell else CHEAP)
    check_published({cell.table for cell in cells})
    measured = [cell for cell in cells if cell.runs]
    if args.cell and not measured:
        cell = cells[0]
        print(f"{args.cell}: {cell.reason or f'quoted from {PUBLISHED.name}/table_{cell.table}.csv, as recorded'}")
        return
    walk = follow(workspace, measured, everything=not args.cell)
    for table in dict.fromkeys(cell.table for cell in cells):
        check_table(workspace.plan, workspace.paths, table, [cell for cell in cells if cell.table == table])
    count, left = recompute(workspace, measured, metrics)
    if args.cell and not count:
        left |= why_empty(workspace, cells[0])
    print(print_walk(args.cell, measured, walk, count, left))


def repair(workspace: Workspace) -> str:
    """Remove every output that a broken link leads from; returns what to say of it.

    Raises BrokenLinkError for what no step makes again.
    """
    broken: dict[Path, str] = {}

    def note(error: BrokenLinkError) -> None:
        if error.output is None:
            raise error
        broken.setdefault(error.output, f"{error.where}: {error.problem}")

    follow(workspace, [], everything=True, broken=note)
    for output in broken:
        remove_output(output)
    if not broken:
        return "nothing is broken"
    lines = [f"removed {output} ({problem})" for output, problem in broken.items()]
    again = f"snakemake --cores 2 all --config experiment={workspace.experiment.name}"
    return "\n".join([*lines, f"`{again}` makes them again"])


def remove_output(output: Path) -> None:
    """Remove the files of an output and, first, its manifest."""
    path = manifest_path(output)
    manifest = read_json(path) if path.is_file() else {}
    path.unlink(missing_ok=True)
    for file in output_files(output, manifest) if "files" in manifest else ():
        file.unlink(missing_ok=True)


def check_published(tables: set[str]) -> None:
    """Check the paper's numbers against their recorded digests."""
    recorded = read_checksums()
    for table in sorted(tables):
        path = steps.named(PUBLISHED / f"table_{table}.csv")
        if file_digest(path) != recorded.get(path.name):
            problem = f"is not the transcription of the paper that {CHECKSUMS} records"
            raise BrokenLinkError(path, problem, "restore it, for instance with `git checkout`")


def follow(
    workspace: Workspace,
    cells: Sequence[Cell],
    everything: bool,
    broken: Callable[[BrokenLinkError], None] = stop_there,
) -> Walk:
    """Follow the links from the tables and the claims down, all of them or those behind ``cells``."""
    targets = [workspace.paths.tables, *([workspace.paths.claims] if everything else [])]
    wanted = (lambda target, name: True) if everything else _matters(workspace, cells)
    with tqdm(desc="read", unit=" files", disable=None, leave=False) as progress:
        roots = (workspace.paths.root, workspace.paths.reports)
        walk = Walk(roots, wanted, lambda path: progress.update(), imported(workspace.paths), broken)
        for target in targets:
            walk.follow(target)
    return walk


def _matters(workspace: Workspace, cells: Sequence[Cell]) -> Callable[[Path, str], bool]:
    """Which inputs of the tables and of the scores matter to ``cells``: not other tables, splits and networks."""
    paths = workspace.paths
    own = {f"{run}/{cell.stage}" for cell in cells for run in cell.runs}
    own |= {f"scores/{cell.role}-{cell.split}" for cell in cells} | {f"published/{cell.table}" for cell in cells}
    mixed = {paths.tables, *(paths.score_set(cell.role, cell.split) for cell in cells)}
    shared = {"annotations", "skipped", "vocabulary", "index", "rows", "probe"}

    def wanted(target: Path, name: str) -> bool:
        return target not in mixed or name in own or name.partition("/")[0] in shared

    return wanted


def print_walk(name: str | None, cells: Sequence[Cell], walk: Walk, count: int, left: dict[str, str]) -> str:
    """What is printed when nothing is broken."""
    tables = ", ".join(dict.fromkeys(cell.table for cell in cells))
    what = name or f"the measured cells of Tables {tables}: {len(cells):,}"
    lines = [
        f"verified: {what}",
        f"  files as recorded, from the tables down to the data: {walk.files:,} ({walk.bytes / 2**20:,.1f} MiB)",
        *([f"  known by their digest alone, left out of what was imported: {walk.absent:,}"] if walk.absent else []),
        f"  scores that came out the same, computed again from the captions: {count:,}",
    ]
    return "\n".join([*lines, *(f"  {metric}: {reason}" for metric, reason in left.items())])
