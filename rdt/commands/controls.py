"""``rdt controls EXPERIMENT``: what each proposal gains over what controls for it."""

from __future__ import annotations

import argparse

from rdt.commands.arguments import experiment_argument
from rdt.commands.sides import make_side
from rdt.tables.controls import write_controls


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt controls``."""
    experiment_argument(parser)


def run(args: argparse.Namespace) -> None:
    """Score the networks of the controls, write their table, and print where it is."""
    make_side(args, "controls", write_controls)
