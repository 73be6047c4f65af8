"""The ``captions`` step: the captions of one network on the splits that tables and later stages read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rdt.data.vocabulary import Vocabulary
from rdt.diffusion.bits import count_oov, decode_bits, encode_bits
from rdt.diffusion.sampler import sample
from rdt.draws import choose, generator, torch_seed
from rdt.experiment.settings import Method
from rdt.features.split import Split, sentence_input
from rdt.model.captioner import Captioner
from rdt.model.teacher import Teacher

IMAGES_PER_BATCH = 256
FIRST = 0  # the retrieved sentence of rank 1 conditions an ordinary caption


@dataclass(frozen=True)
class Sampling:
    """How Alg. 1 is run: T steps from the keyed noise of a seed."""

    method: Method
    steps: int
    seed: int


@torch.inference_mode()
def denoise_captions(
    model: Captioner, split: Split, sentences: np.ndarray, sampling: Sampling, cascade: np.ndarray | None = None
) -> Tensor:
    """Analog bits (n, L, b) of a caption of each image, conditioned on its sentence of rank ``sentences`` (n,).

    ``cascade``: token rows (n, L) of the first network. The noise of an image depends on the seed
    and its id alone, not on the batch that it is in.
    """
    device = model.codebook.device
    outputs = []
    for positions in _image_batches(len(split)):
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
            for positions in _image_batches(len(split))
        ]
    )


def _image_batches(images: int) -> Iterator[np.ndarray]:
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
