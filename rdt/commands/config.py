"""``rdt config EXPERIMENT``: the experiment with its preset, overrides and defaults filled in."""

from __future__ import annotations

import argparse
import dataclasses

import yaml

from rdt.experiment.file import load_experiment


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiment", help="name in experiments/, or path of a file")
    parser.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help="such as model.dim=32"
    )


def run(args: argparse.Namespace) -> None:
    resolved = dataclasses.asdict(load_experiment(args.experiment, overrides=args.overrides))
    listed = {key: list(value) if isinstance(value, tuple) else value for key, value in resolved.items()}
    print(yaml.safe_dump(listed, sort_keys=False), end="")
