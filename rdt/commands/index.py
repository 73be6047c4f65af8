"""``rdt index EXPERIMENT --role ROLE``: sentences of the train pool retrieved for every image of a role."""

from __future__ import annotations

import argparse

from rdt.commands.arguments import experiment_argument, open_workspace
from rdt.experiment import settings
from rdt.experiment.settings import ROLES
from rdt.features.inputs import open_dataset
from rdt.features.retrieval import retrieve, train_pool, write_retrieved
from rdt.features.store import FeatureStore
from rdt.files import atomic_folder
from rdt.provenance import steps


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt index``."""
    experiment_argument(parser)
    parser.add_argument("--role", required=True, choices=ROLES)


def run(args: argparse.Namespace) -> None:
    """Write the retrieved sentences of every image of the role."""
    workspace = open_workspace(args)
    method, paths = workspace.experiment.method, workspace.paths
    source = settings.pool_role(args.role)
    step = steps.index(workspace.experiment, paths, args.role)
    with workspace.make(step, role=args.role) as job:
        pool = train_pool(open_dataset(workspace.experiment, paths, source), FeatureStore.open(paths.features(source)))
        store = FeatureStore.open(paths.features(args.role))
        images = [int(image) for image in store.image_ids]
        # image ids are those of one data set: another role's images own nothing in this pool
        exclude_own = method.exclude_own and args.role == source
        found = retrieve(pool, store.query, images, method.retrieved, exclude_own)
        with atomic_folder(step.target) as partial:
            write_retrieved(partial, pool, images, found)
        job.metrics({"pool": len(pool.texts), "similarity_of_first": float(found.similarity[:, 0].mean())})
