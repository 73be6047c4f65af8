"""The ``captions`` stage: the captions of one network on the splits that tables and later stages read."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from rdt import chain
from rdt.config import Method
from rdt.data.vocabulary import Vocabulary
from rdt.device import open_device
from rdt.diffusion import count_oov, decode_bits, encode_bits, sample
from rdt.errors import UserError
from rdt.inputs import Inputs, caption_rows, open_inputs
from rdt.io import atomic_write_json
from rdt.model.captioner import Captioner
from rdt.model.networks import build, configuration
from rdt.model.teacher import Teacher
from rdt.plan import Captions
from rdt.showcase import show_captions, shown
from rdt.stages import Stage, open_stage, stage_arguments
from rdt.training.batches import Split, sentence_input
from rdt.training.draws import choose, generator, torch_seed
from rdt.weights import check_configuration, load_weights

IMAGES_PER_BATCH = 64
FIRST = 0  # the retrieved sentence of rank 1 conditions an ordinary caption


@dataclass(frozen=True)
class Sampling:
    """How Alg. 1 is run: T steps from the keyed noise of a seed."""

    method: Method
    steps: int
    seed: int


@torch.no_grad()
def denoise_captions(
    model: Captioner, split: Split, sentences: np.ndarray, sampling: Sampling, cascade: np.ndarray | None = None
) -> Tensor:
    """Analog bits (n, L, b) of a caption of each image, conditioned on its sentence of rank ``sentences`` (n,).

    ``cascade``: token rows (n, L) of the first network. The noise of an image depends on the seed
    and its id alone, not on the batch that it is in.
    """
    device = model.codebook.device
    outputs = []
    for positions in _batches(len(split)):
        retrieved, mask = sentence_input(split.retrieved[positions, sentences[positions]])
        bits = None if cascade is None else encode_bits(torch.from_numpy(cascade[positions]), model.num_bits)
        inputs = (*split.features(positions), retrieved, mask, bits)
        context = model.encode(*(value if value is None else value.to(device) for value in inputs))
        outputs.append(
            sample(
                lambda x_t, snr, previous, context=context: model.predict(x_t, snr, previous, context),
                shape=(len(positions), model.length, model.num_bits),
                steps=sampling.steps,
                delta=sampling.method.time_delta,
                noise=sampling.method.sample_noise,
                generator=[
                    torch.Generator().manual_seed(torch_seed(sampling.seed, "sample", int(image)))
                    for image in split.image_ids[positions]
                ],
                device=device,
            )
        )
    return torch.cat(outputs)


@torch.no_grad()
def teacher_captions(model: Teacher, split: Split, beam: int) -> Tensor:
    """Token rows (n, L) of the teacher's beam search."""
    device = model.word.weight.device
    return torch.cat(
        [
            model.beam_search(model.encode(*(x.to(device) for x in split.features(positions))), beam)
            for positions in _batches(len(split))
        ]
    )


def _batches(images: int) -> Iterator[np.ndarray]:
    for first in range(0, images, IMAGES_PER_BATCH):
        yield np.arange(first, min(images, first + IMAGES_PER_BATCH))


def sentence_ranks(split: Split, seed: int, draw: int | None, draws: int) -> np.ndarray:
    """Which retrieved sentence conditions each image (n,): the first, or the ``draw``-th of ``draws`` random ones."""
    if draw is None:
        return np.full(len(split), FIRST)
    available = split.retrieved.shape[1]
    return np.array(
        [choose(generator(seed, "sentence", int(image)), available, draws)[draw] for image in split.image_ids]
    )


def decode(model: Captioner, bits: Tensor, vocabulary: Vocabulary, method: Method) -> tuple[list[str], int]:
    """Captions of analog bits (n, L, b), and how many of their codes are outside the vocabulary."""
    ids = decode_bits(bits, vocabulary.size, oov=method.oov, codebook=model.codebook)
    return [vocabulary.decode(row) for row in ids.tolist()], int(count_oov(bits, vocabulary.size))


def write_results(path: Path, image_ids: Sequence[int], captions: Sequence[str]) -> None:
    """A COCO results file."""
    records = [{"image_id": int(image), "caption": caption} for image, caption in zip(image_ids, captions, strict=True)]
    atomic_write_json(path, records)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt captions``."""
    stage_arguments(parser)
    parser.add_argument("--run", required=True, help="id of the run, as in results/<experiment>/runs/")
    parser.add_argument("--stage", required=True, help="network of the run: xe, xe2, rl or rl2")


def run(args: argparse.Namespace) -> None:
    """Write every caption file of one network."""
    stage = open_stage(args)
    run = stage.run(args.run)
    jobs = stage.plan.captions_of(args.run, args.stage)
    if not jobs:
        known = ", ".join(sorted({job.trained_stage for job in stage.plan.captions if job.run == args.run}))
        raise UserError("--stage", f"no table needs captions of '{args.stage}' of run {args.run}", f"choose {known}")
    device = open_device(stage.experiment.training, stage.experiment.path)
    steps = chain.captions(stage.plan, stage.paths, run.id, args.stage)
    with stage.make(*steps, run=run, stage=args.stage) as track:
        for job in jobs:
            started = time.monotonic()
            inputs = open_inputs(stage.experiment, stage.paths, job.role, run.role, run.method.length)
            model = load_network(stage, inputs, args.run, args.stage).to(device)
            facts = write_captions(stage, job, inputs, model)
            rate = facts["images"] / (time.monotonic() - started)
            name = f"{job.stage}-{job.role}-{job.split}"
            track.metrics(
                {f"{name}/{key}": value for key, value in facts.items()} | {f"{name}/images_per_second": rate}
            )
            if job == shown(jobs, run.role):
                show_captions(stage, job, track, inputs, model)


def load_network(stage: Stage, inputs: Inputs, run_id: str, trained_stage: str) -> nn.Module:
    """The trained network of one stage, in evaluation mode; its configuration must be the plan's."""
    run = stage.plan.runs[run_id]
    folder = stage.paths.stage(run_id, trained_stage)
    dims = (inputs.grid_dim, inputs.global_dim)
    check_configuration(folder, configuration(stage.experiment, run, trained_stage, inputs.vocabulary, *dims))
    model = build(stage.experiment, run, trained_stage, inputs.vocabulary.size, *dims)
    load_weights(folder / "model.safetensors", model)
    return model.eval()


def write_captions(stage: Stage, job: Captions, inputs: Inputs, model: nn.Module) -> dict[str, float]:
    """Write the file of one split and those of its random draws; returns counts for tracking."""
    run = stage.plan.runs[job.run]
    split = inputs.split(job.split)
    if isinstance(model, Teacher):
        rows = teacher_captions(model, split, stage.experiment.training.teacher_beam)
        captions = [inputs.vocabulary.decode(row) for row in rows.tolist()]
        write_results(stage.paths.captions(job.run, job.stage, job.role, job.split), split.image_ids, captions)
        return {"images": len(split)}
    oov = words = 0
    sampling = Sampling(run.method, job.steps, run.seed)
    for draw in (None, *range(job.draws)):
        ranks = sentence_ranks(split, run.seed, draw, job.draws)
        cascade = None
        for first in stage.plan.caption_inputs(job):
            path = stage.paths.captions(first.run, first.stage, first.role, first.split, draw)
            cascade = caption_rows(path, split.image_ids, inputs.vocabulary, inputs.length)
        bits = denoise_captions(model, split, ranks, sampling, cascade)
        captions, outside = decode(model, bits, inputs.vocabulary, run.method)
        write_results(stage.paths.captions(job.run, job.stage, job.role, job.split, draw), split.image_ids, captions)
        oov, words = oov + outside, words + sum(len(caption.split()) for caption in captions)
    return {"images": len(split) * (job.draws + 1), "words": words, "codes_outside_vocabulary": oov}
