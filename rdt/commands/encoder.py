"""rdt encoder: train the two-tower encoder on the primary train split."""

from __future__ import annotations

import argparse

import torch

from rdt.commands.arguments import experiment_argument, open_workspace
from rdt.data.vocabulary import Vocabulary
from rdt.features.inputs import open_dataset
from rdt.features.two_tower import TwoTower
from rdt.model.weights import save_weights
from rdt.provenance import steps
from rdt.provenance.code import code_digest
from rdt.training.encoder import CODE, SEED, Contrast, Pairs, encoder_budget
from rdt.training.loop import fit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt encoder``."""
    experiment_argument(parser)


def run(args: argparse.Namespace) -> None:
    """Train the encoder and write its weights."""
    workspace = open_workspace(args)
    encoder, folder = workspace.experiment.encoder, workspace.paths.encoder
    torch.set_num_threads(encoder.threads)
    torch.manual_seed(SEED)
    with workspace.make(steps.encoder(workspace.experiment, workspace.paths), seed=SEED) as job:
        dataset = open_dataset(workspace.experiment, workspace.paths, "primary")
        vocabulary = Vocabulary.load(workspace.paths.vocabulary("primary"))
        train, val = (Pairs.load(dataset, split, vocabulary, encoder.image_size) for split in ("train", "val"))
        model = TwoTower(vocabulary.size, encoder.width).to(memory_format=torch.channels_last)
        identity = {
            "configuration": repr(encoder),
            "vocabulary": vocabulary.digest,
            "code": code_digest(CODE),
        }
        checkpoint = folder / "checkpoint.pt"
        task = Contrast(train, val)
        outcome = fit(model, task, encoder_budget(encoder, len(train.image_ids)), checkpoint, identity, job.metrics)
        save_weights(folder / "model.safetensors", outcome.ema)
        checkpoint.unlink()
