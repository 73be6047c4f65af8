"""Captions for photographs that are in no data set, by the networks of an experiment."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rdt.captioning.files import load_network
from rdt.captioning.generate import FIRST, Sampling, decode, denoise_captions, teacher_captions
from rdt.data.dataset import open_dataset
from rdt.data.photograph import open_image
from rdt.data.tokens import token_row
from rdt.data.vocabulary import Vocabulary
from rdt.errors import UserError
from rdt.experiment.runs import NetworkId, Run
from rdt.experiment.settings import Role, pool_role
from rdt.features.encode import TowerEncoder, load_encoder
from rdt.features.encoder import Encoder
from rdt.features.extraction import open_clip_encoder
from rdt.features.inputs import Inputs, open_inputs
from rdt.features.retrieval import retrieve, train_pool
from rdt.features.split import Split
from rdt.features.store import FeatureStore
from rdt.model.captioner import Captioner
from rdt.model.heatmap import encoder_heatmaps
from rdt.model.teacher import Teacher
from rdt.workspace import Workspace


@dataclass(frozen=True)
class Stretch:
    """Steps that follow each other with the same prediction; they count from 1."""

    first: int
    last: int
    caption: str


def stretches(captions: Sequence[str]) -> tuple[Stretch, ...]:
    """The captions of all steps, equal ones that follow each other as one."""
    found, first = [], 1
    for text, same in groupby(captions):
        last = first + len(list(same)) - 1
        found.append(Stretch(first, last, text))
        first = last + 1
    return tuple(found)


@dataclass(frozen=True)
class PhotoCaption:
    """What a network says of one photograph.

    ``retrieved``: the sentence of the train pool that it started from, and ``steps`` the captions that it
    predicted at each denoising step, both empty for a teacher, which has neither. ``heatmap``: (7, 7), summing
    to 1, of the visual tokens (section IV-D).
    """

    path: Path
    caption: str
    retrieved: str
    steps: tuple[str, ...]
    heatmap: np.ndarray


def caption(
    image_paths: Sequence[str | Path],
    run: str,
    experiment: str | Path = "scenes",
    data_root: str | Path | None = None,
) -> list[PhotoCaption]:
    """Captions of photographs by a trained network, in their order.

    ``run`` is a folder of ``results/<experiment>/runs`` in the working directory, and may name a network of it,
    ``<run>/xe``; otherwise it is the last one that was trained. ``experiment`` is a name or the path of a file.
    The caption of a photograph depends on its file and the run's seed alone. Raises UserError for a run that is
    not there, for one whose encoder is not at hand, and for a file that is no image.
    """
    workspace = Workspace.open(experiment, data_root)
    network = _network(workspace, run)
    role = workspace.plan.runs[network.run].role
    paths = [Path(path) for path in image_paths]
    missing = next((path for path in paths if not path.is_file()), None)
    if missing is not None:
        raise UserError(missing, "there is no such file", "correct the path of the photograph")
    torch.set_num_threads(workspace.experiment.training.threads)
    return caption_photos(workspace, network, encoded(workspace, role, paths, open_encoder(workspace, role)))


@dataclass(frozen=True)
class Photos:
    """Photographs as the networks of a role see them: ids, features, and the nearest sentence of the pool."""

    paths: tuple[Path, ...]
    store: FeatureStore
    retrieved: tuple[str, ...]


def _network(workspace: Workspace, run: str) -> NetworkId:
    """The network that ``<run>`` or ``<run>/<stage>`` means."""
    run_id, _, stage = run.strip("/").partition("/")
    trained = workspace.plan.stages(workspace.run(run_id))
    stage = stage or trained[-1]
    if stage not in trained:
        raise UserError(run, f"run {run_id} has no network '{stage}'", f"choose one of {', '.join(trained)}")
    return NetworkId(run_id, stage)


def photo_id(path: Path) -> int:
    """An image id from a file's content, so that its noise does not depend on where it lies or on its neighbours."""
    return int.from_bytes(hashlib.sha256(path.read_bytes()).digest()[:7])


def open_encoder(workspace: Workspace, role: Role) -> Encoder:
    """What made the features of a role: the experiment's own encoder, or CLIP, which needs the extra `clip`."""
    experiment, data = workspace.experiment, workspace.experiment.data[role]
    if data.features:
        return open_clip_encoder(data, Path(experiment.data_root))
    words = Vocabulary.load(workspace.paths.vocabulary("primary"))
    model = load_encoder(workspace.paths.encoder, words, experiment.encoder.width)
    return TowerEncoder(model, experiment.encoder.image_size)


def encoded(workspace: Workspace, role: Role, paths: Sequence[Path], encoder: Encoder) -> Photos:
    """Photographs through an encoder, each with the sentence of the role's pool that is nearest to it."""
    features = encoder.photographs([open_image(path) for path in paths])
    store = FeatureStore(
        folder=workspace.paths.features(role),
        image_ids=np.array([photo_id(path) for path in paths]),
        grid=features.grid,
        global_=features.global_,
        caption_image=np.zeros(0, np.int64),
        caption_global=np.zeros((0, features.global_.shape[1]), np.float32),
        separate_query=features.query,
    )
    source = pool_role(role)
    dataset = open_dataset(workspace.experiment, workspace.paths, source)
    pool = train_pool(dataset, FeatureStore.open(workspace.paths.features(source)))
    nearest = retrieve(pool, store.query, list(store.image_ids), 1, exclude_own=False).rows[:, FIRST]
    return Photos(tuple(paths), store, tuple(pool.texts[row] for row in nearest))


def caption_photos(workspace: Workspace, network: NetworkId, photos: Photos) -> list[PhotoCaption]:
    """What a network says of photographs, one after the other."""
    run = workspace.plan.runs[network.run]
    inputs = open_inputs(workspace.experiment, workspace.paths, run.role, run.role, run.method.length)
    opened = OpenedNetwork(workspace, run, inputs, load_network(workspace, inputs, network))
    first = None
    if network.stage.endswith("2"):
        first = caption_photos(workspace, NetworkId(run.id, network.stage[:-1]), photos)
    return [
        opened.describe(photos, at, None if first is None else opened.rows([first[at].caption]))
        for at in range(len(photos.paths))
    ]


@dataclass(frozen=True)
class OpenedNetwork:
    """A trained network with what it reads."""

    workspace: Workspace
    run: Run
    inputs: Inputs
    model: Captioner | Teacher

    def describe(self, photos: Photos, at: int, cascade: np.ndarray | None) -> PhotoCaption:
        """What it says of one photograph; ``cascade`` (1, L) is the first network's caption."""
        split = Split(
            image_ids=photos.store.image_ids[[at]],
            store=photos.store,
            feature_rows=np.array([at]),
            captions=(),
            retrieved=self.rows([photos.retrieved[at]])[:, None],
        )
        heatmap = encoder_heatmaps(self.model.visual, *split.features(np.array([0])))[-1, 0].numpy()
        if isinstance(self.model, Teacher):
            rows = teacher_captions(self.model, split, self.workspace.experiment.training.teacher_beam)
            return PhotoCaption(photos.paths[at], self.inputs.vocabulary.decode(rows[0].tolist()), "", (), heatmap)
        sampling = Sampling(self.run.method, self.run.method.steps, self.run.seed)
        with predictions(self.model) as predicted:
            bits = denoise_captions(self.model, split, np.array([FIRST]), sampling, cascade)
        steps = tuple(self._decode(step) for step in predicted)
        return PhotoCaption(photos.paths[at], self._decode(bits), photos.retrieved[at], steps, heatmap)

    def rows(self, captions: Sequence[str]) -> np.ndarray:
        """Token rows (n, L) of captions."""
        encode = self.inputs.vocabulary.encode
        return np.stack([token_row(encode(text.split()), self.inputs.length) for text in captions])

    def _decode(self, bits: Tensor) -> str:
        return decode(self.model, bits, self.inputs.vocabulary, self.run.method)[0][0]


@contextmanager
def predictions(model: Captioner) -> Iterator[list[Tensor]]:
    """The analog bits (n, L, b) that the network predicts inside, one for each time that it is asked."""
    found: list[Tensor] = []
    handle = model.head.register_forward_hook(lambda head, x, logits: found.append(model.expected_bits(logits)))
    try:
        yield found
    finally:
        handle.remove()
