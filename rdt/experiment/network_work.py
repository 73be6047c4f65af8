"""Multiply-adds of a network, counted from its sizes: matrix products count, element-wise work does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rdt.experiment.settings import GRID_CELLS, Experiment, Method, ModelSettings, Role

FORWARD_BACKWARD = 3  # forward passes that one pass with its gradients is worth
CLIP_DIMS = (2048, 512)  # of a grid cell of RN101, and of the global vector


@dataclass(frozen=True)
class RoleSizes:
    """What the cost of a role's networks depends on besides the experiment: images by split, words, features."""

    images: Mapping[str, int]
    words: int
    grid_dim: int
    global_dim: int


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

    def train(self) -> float:
        """Multiply-adds of an image and its captions in a step of cross-entropy; the first pass counts by its share."""
        passes = self.method.captions_per_image * (FORWARD_BACKWARD + self.method.self_condition)
        return FORWARD_BACKWARD * self.encode() + passes * self.denoise()

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


def feature_dims(experiment: Experiment, role: Role) -> tuple[int, int]:
    """Dimensions of a grid cell and of the global vector of a role's images."""
    if experiment.data[role].features or experiment.encoder is None:
        return CLIP_DIMS
    return experiment.encoder.width, experiment.encoder.width
