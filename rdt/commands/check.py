"""``rdt check EXPERIMENT``: is the file right, and can its data be read?"""

from __future__ import annotations

import argparse

from rdt.experiment.file import check_data, load_experiment


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("experiment", help="name in experiments/, or path of a file")
    parser.add_argument("--data-root", metavar="FOLDER", help="instead of the file's data_root")


def run(args: argparse.Namespace) -> None:
    experiment = load_experiment(args.experiment, args.data_root)
    check_data(experiment)
    from rdt.captioning.readable import read_own_data  # here, since it imports numpy

    lines = read_own_data(experiment)
    roles = ", ".join(f"{role} ({data.source})" for role, data in experiment.data.items())
    print(f"{experiment.path}: method {experiment.method_name}, data {roles}, tables {', '.join(experiment.tables)}")
    print("\n".join(lines), end="\n" * bool(lines))
