"""``rdt export --crate OUT.zip``: a finished experiment in one file."""

from __future__ import annotations

import argparse
from pathlib import Path

from rdt.commands import COMMANDS
from rdt.commands.arguments import experiment_option, open_workspace
from rdt.errors import UserError
from rdt.provenance.crate import write_crate
from rdt.provenance.steps import Chain


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt export``."""
    parser.add_argument("--crate", type=Path, required=True, metavar="OUT.zip", help="the RO-Crate to write")
    parser.add_argument(
        "--weights", action="store_true", help="with weights, features and index, to go on elsewhere: large"
    )
    experiment_option(parser)


def run(args: argparse.Namespace) -> None:
    """Write the crate, and print what it holds."""
    if args.crate.suffix != ".zip" or args.crate.is_dir():
        raise UserError("--crate", f"{args.crate} is no zip", "name a file that ends in .zip")
    workspace = open_workspace(args)
    does = {name: text for name, (_, text) in COMMANDS.items()}
    files = write_crate(Chain(workspace.plan, workspace.paths), args.crate, args.weights, does)
    print(f"{args.crate}: {files:,} files, {args.crate.stat().st_size / 2**20:,.1f} MiB")
