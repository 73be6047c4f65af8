"""``rdt index EXPERIMENT --role ROLE``: sentences of the train pool retrieved for every image of a role."""

from __future__ import annotations

import argparse

import numpy as np

from rdt import chain
from rdt.config import ROLES
from rdt.data.dataset import Dataset
from rdt.features.store import FeatureStore
from rdt.inputs import open_dataset
from rdt.io import atomic_folder
from rdt.retrieval import Pool, build_pool, retrieve, write_retrieved
from rdt.stages import open_stage, stage_arguments


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt index``."""
    stage_arguments(parser)
    parser.add_argument("--role", required=True, choices=ROLES)


def train_pool(dataset: Dataset, store: FeatureStore) -> Pool:
    """The captions of a train split with their vectors."""
    texts, images, vectors = [], [], []
    for image in dataset.split("train"):
        texts += [" ".join(caption.tokens) for caption in image.captions]
        images += [image.id] * len(image.captions)
        vectors.append(store.captions_of(image.id)[: len(image.captions)])
    return build_pool(texts, np.concatenate(vectors), images)


def run(args: argparse.Namespace) -> None:
    """Write the retrieved sentences of every image of the role."""
    stage = open_stage(args)
    method, paths = stage.experiment.method, stage.paths
    source = chain.pool_role(args.role)
    step = chain.index(stage.experiment, paths, args.role)
    with stage.make(step, role=args.role) as job:
        pool = train_pool(open_dataset(stage.experiment, paths, source), FeatureStore.open(paths.features(source)))
        store = FeatureStore.open(paths.features(args.role))
        images = [int(image) for image in store.image_ids]
        # image ids are those of one data set: another role's images own nothing in this pool
        exclude_own = method.exclude_own and args.role == source
        found = retrieve(pool, store.query, images, method.retrieved, exclude_own)
        with atomic_folder(step.target) as partial:
            write_retrieved(partial, pool, images, found)
        job.metrics({"pool": len(pool.texts), "similarity_of_first": float(found.similarity[:, 0].mean())})
