"""``rdt verify [CELL]``: from a cell of a table down to the data, by digest, and its scores computed again."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from tqdm import tqdm

from rdt.commands.arguments import experiment_option, open_workspace
from rdt.data.published import CHECKSUMS, PUBLISHED, read_checksums
from rdt.data.vocabulary import Vocabulary
from rdt.digests import file_digest
from rdt.experiment.plan import Cell, find_cell
from rdt.files import read_json
from rdt.metrics.corpus import Scorer
from rdt.metrics.names import CHEAP, METRICS
from rdt.provenance import steps
from rdt.provenance.links import BrokenLinkError, Walk
from rdt.scoring.measurements import look_up
from rdt.scoring.recompute import Recomputer, caption_sets, check_table
from rdt.scoring.references import targets_of
from rdt.workspace import Workspace

EPILOG = """\
A cell is table/row/column as in the tables' CSV, for instance 'II/RDT◇/xe/C'. Without one, all cells are verified;
METEOR and SPICE, which take long, are computed again only for a named cell, and are otherwise known by digest.
What is a user's own (photographs, published features) is not read: its annotations are.
The first broken link is named, with exit code 1.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt verify``."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("cell", nargs="?", metavar="CELL", help="table/row/column (default: every cell)")
    experiment_option(parser)


def run(args: argparse.Namespace) -> None:
    """Verify, and print what was verified."""
    workspace = open_workspace(args)
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


def check_published(tables: set[str]) -> None:
    """Check the paper's numbers against their recorded digests."""
    recorded = read_checksums()
    for table in sorted(tables):
        path = steps.named(PUBLISHED / f"table_{table}.csv")
        if file_digest(path) != recorded.get(path.name):
            problem = f"is not the transcription of the paper that {CHECKSUMS} records"
            raise BrokenLinkError(path, problem, "restore it, for instance with `git checkout`")


def follow(workspace: Workspace, cells: Sequence[Cell], everything: bool) -> Walk:
    """Follow the links from the tables and the claims down, all of them or those behind ``cells``."""
    targets = [workspace.paths.tables, *([workspace.paths.claims] if everything else [])]
    wanted = (lambda target, name: True) if everything else _matters(workspace, cells)
    with tqdm(desc="read", unit=" files", disable=None, leave=False) as progress:
        walk = Walk((workspace.paths.root, workspace.paths.reports), wanted, seen=lambda path: progress.update())
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


def recompute(workspace: Workspace, cells: Sequence[Cell], metrics: frozenset[str]) -> tuple[int, dict[str, str]]:
    """Compute the scores behind ``cells`` again from the captions, without any kept answer.

    Returns how many numbers that were, and the metrics that were left out with the reason.
    """
    found = caption_sets(cells)
    count = 0
    with Scorer() as scorer:
        unknown = scorer.not_run([name for name in METRICS if name in metrics])
        for role, split in dict.fromkeys((captions.role, captions.split) for captions in found):
            again = Recomputer(workspace.paths, targets_of(workspace, role, split), scorer)
            for captions, its_cells in found.items():
                if (captions.role, captions.split) == (role, split):
                    words = Vocabulary.load(workspace.paths.vocabulary(workspace.plan.runs[captions.network.run].role))
                    count += again.check(captions, its_cells, metrics - unknown.keys(), words)
    asked = {cell.metric for cell in cells}
    left = {name: "known by digest only; name a cell to compute it" for name in sorted(asked - metrics)}
    return count, left | unknown


def why_empty(workspace: Workspace, cell: Cell) -> dict[str, str]:
    """Why a cell has no number, by its metric; empty if it has one."""
    documents = [read_json(workspace.paths.scores(run, cell.stage, cell.role, cell.split)) for run in cell.runs]
    reasons = [value for document in documents if isinstance(value := look_up(cell, document), str)]
    return {cell.metric: reasons[0]} if reasons else {}


def print_walk(name: str | None, cells: Sequence[Cell], walk: Walk, count: int, left: dict[str, str]) -> str:
    """What is printed when nothing is broken."""
    tables = ", ".join(dict.fromkeys(cell.table for cell in cells))
    what = name or f"the measured cells of Tables {tables}: {len(cells):,}"
    lines = [
        f"verified: {what}",
        f"  files as recorded, from the tables down to the data: {walk.files:,} ({walk.bytes / 2**20:,.1f} MiB)",
        f"  scores that came out the same, computed again from the captions: {count:,}",
    ]
    return "\n".join([*lines, *(f"  {metric}: {reason}" for metric, reason in left.items())])
