"""Cost of an experiment, counted in multiply-adds from its sizes; nothing here is measured.

A multiply-add of a matrix product counts, element-wise work does not; a backward pass counts as two forward
passes. GPU hours follow from a rate that is assumed (``RATE``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rdt.experiment.plan import CaptionJob, Plan
from rdt.experiment.runs import Run
from rdt.experiment.settings import GRID_CELLS, Method, ModelSettings, Role

RATE = 10e12  # multiply-adds a second; an RTX 4090, the paper's GPU, has 41e12 at most in float32
FORWARD_BACKWARD = 3  # forward passes that one pass with its gradients is worth


@dataclass(frozen=True)
class RoleSizes:
    """What the cost of a role's networks depends on besides the experiment: images by split, words, features."""

    images: Mapping[str, int]
    words: int
    grid_dim: int
    global_dim: int


@dataclass(frozen=True)
class CostLine:
    """Jobs of one kind and the multiply-adds of all of them."""

    kind: str
    jobs: int
    multiply_adds: float

    @property
    def gpu_hours(self) -> float:
        """GPU hours at the assumed rate."""
        return self.multiply_adds / RATE / 3600


def cost(plan: Plan, sizes: Mapping[Role, RoleSizes]) -> tuple[CostLine, ...]:
    """The jobs of a plan by kind, in the order in which they first run."""
    found: dict[str, list[float]] = {}
    for run_id, stage in plan.trainings:
        run = plan.runs[run_id]
        found.setdefault(training_kind(run, stage), []).append(_training(plan, run, stage, sizes[run.role]))
    for job in plan.captions:
        found.setdefault(f"caption the {job.split} split", []).append(_captioning(plan, job, sizes))
    return tuple(CostLine(kind, len(parts), sum(parts)) for kind, parts in found.items())


_PHASES = {"xe": "cross-entropy", "rl": "self-critical"}


def training_kind(run: Run, stage: str) -> str:
    """Kind of job that the training of a stage is counted among."""
    return f"train a {run.kind}, {_PHASES[stage[:2]]}"


def _training(plan: Plan, run: Run, stage: str, sizes: RoleSizes) -> float:
    """One training job: every epoch of its train split, and its evaluations on the selection split."""
    training, method, is_rl = plan.experiment.training, run.method, stage.startswith("rl")
    network = NetworkWork(plan.experiment.model, method, sizes, cascade=stage.endswith("2"))
    copies = method.captions_per_image
    if run.kind == "teacher":
        epochs = training.teacher_rl_epochs if is_rl else run.xe_epochs
        sampled = copies if is_rl else 0  # word by word
        image = FORWARD_BACKWARD * network.encode_teacher() + (FORWARD_BACKWARD * copies + sampled) * network.decode()
        evaluation = network.encode_teacher() + network.decode()
    else:
        epochs = training.rl_epochs if is_rl else run.xe_epochs
        passes = copies * (FORWARD_BACKWARD + method.self_condition)
        image = FORWARD_BACKWARD * network.encode() + passes * network.denoise()
        evaluation = network.encode() + training.evaluate_steps * network.denoise()
    evaluations = -(-epochs // training.evaluate_every)
    return epochs * sizes.images["train"] * image + evaluations * sizes.images[method.select_on] * evaluation


def _captioning(plan: Plan, job: CaptionJob, sizes: Mapping[Role, RoleSizes]) -> float:
    """One caption job; its words are known from the role that the network was trained on."""
    run = plan.runs[job.run]
    network = NetworkWork(plan.experiment.model, run.method, sizes[run.role], cascade=job.stage.endswith("2"))
    if run.kind == "teacher":
        image = network.encode_teacher() + plan.experiment.training.teacher_beam * network.decode()
    else:
        image = (1 + job.draws) * (network.encode() + job.steps * network.denoise())
    return sizes[job.role].images[job.split] * image


@dataclass(frozen=True)
class NetworkWork:
    """Multiply-adds of a captioner (``encode``, ``denoise``) and of its teacher (``encode_teacher``, ``decode``)."""

    model: ModelSettings
    method: Method
    sizes: RoleSizes
    cascade: bool = False

    @property
    def tokens(self) -> int:
        """Number of visual tokens, N."""
        return GRID_CELLS + int(self.method.cls)

    @property
    def bits(self) -> int:
        return (self.sizes.words - 1).bit_length()

    def encode(self) -> float:
        """Multiply-adds of an image, once for all its captions: visual encoder, keys and values of the decoder."""
        return self._visual(ranked=True) + self._visual_keys(self.model.sentence_layers)

    def encode_teacher(self) -> float:
        return self._visual(ranked=False) + self._visual_keys(self.model.semantic_layers + self.model.sentence_layers)

    def denoise(self) -> float:
        """Multiply-adds of one step of one caption: Semantic Transformer, Sentence Decoder, head, expected bits."""
        n, dim, layers = self.method.length, self.model.dim, self.model.semantic_layers
        channels = (3 if self.cascade else 2) * self.bits
        both = 2 * n  # the noisy sentence and the retrieved one
        semantic = max(0, layers - 1) * self._block(both, both) + min(1, layers) * self._block(n, both)
        out = n * self.sizes.words * (dim + self.bits)
        return n * channels * dim + semantic + self.model.sentence_layers * self._sentence_block() + out

    def decode(self) -> float:
        """Multiply-adds of one caption of the teacher, all its words."""
        layers = self.model.semantic_layers + self.model.sentence_layers
        return layers * self._sentence_block() + self.method.length * self.model.dim * self.sizes.words

    def _visual(self, ranked: bool) -> float:
        n, dim, method = self.tokens, self.model.dim, self.method
        embedding = dim * (GRID_CELLS * self.sizes.grid_dim + int(method.cls) * self.sizes.global_dim)
        layer = self._block(n, n)
        if ranked and method.lambda_e > 0:  # a second weighted sum over masked keys, and the fusion
            layer += n**2 * dim + (2 * n * dim**2 if method.fusion == "concat" else 0)
        return embedding + self.model.visual_layers * layer

    def _visual_keys(self, layers: int) -> float:
        return layers * 2 * self.tokens * self.model.dim**2

    def _block(self, queries: int, keys: int) -> float:
        """Self-attention of some of the positions to all of them, and their feed-forward."""
        dim = self.model.dim
        attention = 2 * (queries + keys) * dim**2 + 2 * queries * keys * dim
        return attention + 2 * queries * dim * self.model.ffn

    def _sentence_block(self) -> float:
        """A block of the decoder, whose visual keys and values are made in ``encode``."""
        n, dim = self.method.length, self.model.dim
        return self._block(n, n) + 2 * n * dim**2 + 2 * n * self.tokens * dim
