"""The denoising of one caption, step by step (Alg. 1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rdt.captioning.generate import FIRST, Sampling, decode, denoise_captions
from rdt.captioning.photos import Stretch, predictions, stretches
from rdt.data.dataset import Image
from rdt.report.gallery import ROLE, SPLIT, Gallery, ShownNetwork


@dataclass(frozen=True)
class Denoising:
    """What a network predicts of one image at each of its steps, and the caption that the chain ends in.

    ``certainty``: for each step and position, the mean size of the predicted bits, from 0 to 1. ``retrieved``: the
    sentence that it is conditioned on.
    """

    image: Image
    retrieved: str
    steps: int
    stretches: tuple[Stretch, ...]
    caption: str
    certainty: tuple[tuple[float, ...], ...]


def denoise(gallery: Gallery, network: ShownNetwork, image: Image) -> Denoising:
    """The chain that captioned an image, run once more with the same noise."""
    plan = gallery.workspace.plan
    run, job = plan.runs[network.id.run], plan.caption_job(*network.id, ROLE, SPLIT)
    model, inputs, split = gallery.network(network), gallery.inputs(network), gallery.split(network, (image,))
    sampling = Sampling(run.method, job.steps, run.seed)
    with predictions(model) as predicted:
        bits = denoise_captions(model, split, np.array([FIRST]), sampling, gallery.first_captions(network, split))
    captions = [decode(model, step, inputs.vocabulary, run.method)[0][0] for step in predicted]
    return Denoising(
        image=image,
        retrieved=inputs.vocabulary.decode(split.retrieved[0, FIRST].tolist()),
        steps=len(predicted),
        stretches=stretches(captions),
        caption=decode(model, bits, inputs.vocabulary, run.method)[0][0],
        certainty=tuple(tuple(step[0].abs().mean(dim=-1).tolist()) for step in predicted),
    )
