"""``rdt import CRATE``: results that another machine made, to look at, to check, and to go on from."""

from __future__ import annotations

import argparse
from pathlib import Path

from rdt.commands.arguments import experiment_option, open_workspace
from rdt.provenance.imported import import_crate

EPILOG = """\
CRATE is what `rdt export --crate` wrote. Every file that is taken has the digest that its manifest records. From
captions and scores alone come tables, claims and report, and `rdt verify` computes the scores again; networks that are
not in the crate are trained as ever. To go on with its networks, export them with --weights.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt import``."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("crates", nargs="+", type=Path, metavar="CRATE", help="a zip file of `rdt export --crate`")
    experiment_option(parser)


def run(args: argparse.Namespace) -> None:
    """Import, and print what was taken."""
    paths = open_workspace(args).paths
    for crate in args.crates:
        taken = import_crate(crate, paths)
        print(f"{crate}: {len(taken.new)} outputs taken into {paths.root}, {len(taken.same)} were here")
        for path in taken.kept:
            print(f"  {path} is another one here, which is kept")
