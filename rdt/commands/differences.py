"""``rdt differences EXPERIMENT``: what each difference between the paper and the released code is worth."""

from __future__ import annotations

import argparse

from rdt.commands.arguments import experiment_argument
from rdt.commands.sides import make_side
from rdt.tables.differences import write_differences


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt differences``."""
    experiment_argument(parser)


def run(args: argparse.Namespace) -> None:
    """Score the networks of the differences, write their table, and print where it is."""
    make_side(args, "differences", write_differences)
