"""``rdt why TARGET``: which input, parameter or module makes a result stale."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rdt.commands.arguments import experiment_option, open_workspace
from rdt.experiment.plan import cells_by_name
from rdt.provenance.staleness import Stale, find_step, stale
from rdt.provenance.steps import Chain, Step
from rdt.workspace import Workspace

SHOWN = 3  # outputs that are named for one reason
EPILOG = """\
TARGET is a file or folder of results/<experiment> or reports/<experiment>, by its path or from there ('encoder',
'tables'), or a cell table/row/column as in the tables' CSV. What is compared are contents, not dates: snakemake,
which also looks at dates, may do more.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt why``."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("target", metavar="TARGET", help="a file, a folder, or table/row/column")
    experiment_option(parser)


def run(args: argparse.Namespace) -> None:
    """Print what is stale behind the target, and why."""
    workspace = open_workspace(args)
    chain = Chain(workspace.plan, workspace.paths)
    print("\n".join(explanation(args.target, stale(chain, steps_behind(workspace, chain, args.target)))))


def steps_behind(workspace: Workspace, chain: Chain, target: str) -> list[Step]:
    """Everything that a target depends on, inputs first; of a cell only its own networks."""
    paths, cell = workspace.paths, cells_by_name(workspace.plan).get(target)
    if cell is None:
        return chain.behind(find_step(chain, Path(target), paths))
    captions = [chain.maker(paths.captions(run, cell.stage, "", "").parent) for run in cell.runs]
    scores = [chain.maker(paths.score_set(cell.role, cell.split))] if cell.runs else []
    return [*chain.behind(*captions), *scores, chain.maker(paths.tables)]


def explanation(target: str, found: Sequence[Stale]) -> list[str]:
    """Each reason once, with the outputs that it makes stale."""
    if not found:
        return [f"{target} is up to date: it was made with these inputs, parameters and modules"]
    outputs: dict[str, list[str]] = {}
    for one in found:
        for reason in one.reasons:
            outputs.setdefault(reason, []).append(str(one.target))
    lines = [f"{target} is stale:"]
    for reason, places in outputs.items():
        more = f" and {len(places) - SHOWN} more" if len(places) > SHOWN else ""
        lines.append(f"  {reason}: {', '.join(places[:SHOWN])}{more}")
    return lines
