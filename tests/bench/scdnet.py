"""A training step of SCD-Net's structure, written here to be timed beside ours.

As in SCD-Net (Luo et al. 2023) every caption has its image encoded for it, each denoising pass computes keys and
values of the image again, logits are made at every position in both passes, label smoothing compares with a dense
distribution over the vocabulary, attention is written out, and Adam, clipping and the moving average go tensor by
tensor. The layers' sizes, the retrieved sentence and the pass for self-conditioning are ours.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rdt.diffusion.bits import encode_bits
from rdt.diffusion.schedule import diffuse, log_snr
from rdt.experiment.settings import Method, ModelSettings
from rdt.model.blocks import LN_EPS
from rdt.model.captioner import TimeEmbedding
from rdt.training.batches import Batch


class Attention(nn.Module):
    """Multi-head attention with residual and norm: three maps, scores, softmax, dropout, all one by one."""

    def __init__(self, sizes: ModelSettings) -> None:
        super().__init__()
        self.heads = sizes.heads
        self.query, self.key, self.value, self.out = (nn.Linear(sizes.dim, sizes.dim) for _ in range(4))
        self.norm = nn.LayerNorm(sizes.dim, eps=LN_EPS)
        self.on_weights, self.on_output = nn.Dropout(sizes.dropout), nn.Dropout(sizes.dropout)

    def forward(self, x: Tensor, memory: Tensor, mask: Tensor) -> Tensor:
        """(n, M, dim), (n, N, dim), (n, 1, 1, N) added to the scores -> (n, M, dim)."""
        q, k, v = (
            linear(source).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for linear, source in ((self.query, x), (self.key, memory), (self.value, memory))
        )
        scores = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + mask
        attended = self.on_weights(scores.softmax(-1)) @ v
        return self.norm(self.on_output(self.out(attended.transpose(1, 2).flatten(2))) + x)


class Layer(nn.Module):
    """Self-attention, attention to an image where ``cross``, FFN."""

    def __init__(self, sizes: ModelSettings, cross: bool = False) -> None:
        super().__init__()
        self.attention = Attention(sizes)
        self.cross = Attention(sizes) if cross else None
        self.inner, self.outer = nn.Linear(sizes.dim, sizes.ffn), nn.Linear(sizes.ffn, sizes.dim)
        self.norm = nn.LayerNorm(sizes.dim, eps=LN_EPS)
        self.on_hidden, self.on_output = nn.Dropout(sizes.dropout), nn.Dropout(sizes.dropout)

    def forward(self, x: Tensor, mask: Tensor, visual: Tensor | None = None) -> Tensor:
        x = self.attention(x, x, mask)
        if self.cross is not None:
            x = self.cross(x, visual, x.new_zeros(len(x), 1, 1, visual.shape[1]))
        return self.norm(self.on_output(self.outer(self.on_hidden(F.relu(self.inner(x))))) + x)


class Embedding(nn.Module):
    """Sum of what is given, position and kind; norm and dropout."""

    def __init__(self, length: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.position, self.kind = nn.Embedding(length, dim), nn.Parameter(torch.randn(dim))
        self.norm, self.dropout = nn.LayerNorm(dim), nn.Dropout(dropout)

    def forward(self, *parts: Tensor) -> Tensor:
        return self.dropout(self.norm(sum(parts) + self.position.weight + self.kind))


class ScdNet(nn.Module):
    """Visual encoder, semantic transformer, sentence decoder, on grid features of width ``grid_dim``."""

    def __init__(self, sizes: ModelSettings, method: Method, vocab_size: int, grid_dim: int) -> None:
        super().__init__()
        dim, self.num_bits = sizes.dim, (vocab_size - 1).bit_length()
        self.grid = nn.Sequential(
            nn.Linear(grid_dim, dim), nn.ReLU(), nn.LayerNorm(dim), nn.Dropout(sizes.visual_dropout)
        )
        self.visual = nn.ModuleList(Layer(sizes) for _ in range(sizes.visual_layers))
        self.word, self.retrieved = nn.Embedding(vocab_size, dim), Embedding(method.length, dim, sizes.dropout)
        self.bits, self.time = nn.Linear(2 * self.num_bits, dim, bias=False), TimeEmbedding(dim)
        self.noisy = Embedding(method.length, dim, sizes.dropout)
        self.semantic = nn.ModuleList(Layer(sizes) for _ in range(sizes.semantic_layers))
        self.sentence = nn.ModuleList(Layer(sizes, cross=True) for _ in range(sizes.sentence_layers))
        self.head = nn.Sequential(nn.Dropout(sizes.dropout), nn.Linear(dim, vocab_size))
        codes = encode_bits(torch.arange(vocab_size), self.num_bits)
        self.register_buffer("codes", codes, persistent=False)

    def encode(self, grid: Tensor, captions: int) -> Tensor:
        """(B, 49, D) -> (B captions, 49, dim): every image as often as it has captions."""
        x = self.grid(grid.repeat_interleave(captions, dim=0))
        for layer in self.visual:
            x = layer(x, x.new_zeros(len(x), 1, 1, x.shape[1]))
        return x

    def denoise(
        self, x_t: Tensor, snr: Tensor, previous: Tensor, batch: Batch, retrieved: Tensor, visual: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Logits and expected bits of every position."""
        x = self.noisy(self.bits(torch.cat([previous, x_t], -1)), self.time(snr)[:, None])
        length = x.shape[1]
        seen = F.pad(batch.retrieved_mask.to(x.dtype), (length, 0), value=1.0)
        both = torch.cat([x, retrieved], dim=1)
        for layer in self.semantic:
            both = layer(both, (1 - seen)[:, None, None] * -10000)
        x = both[:, :length].contiguous()
        for layer in self.sentence:
            x = layer(x, x.new_zeros(len(x), 1, 1, length), visual)
        logits = self.head(x)
        return logits, logits.softmax(-1) @ self.codes.expand(len(x), -1, -1)

    def loss(self, batch: Batch, method: Method, self_condition: bool) -> Tensor:
        """L_XE and L_bit of a batch, weighted as ours."""
        visual = self.encode(batch.grid, method.captions_per_image)
        retrieved = self.retrieved(self.word(batch.retrieved))
        x_0, snr = encode_bits(batch.rows, self.num_bits), log_snr(batch.t)
        x_t = diffuse(x_0, batch.t, batch.noise)
        previous = torch.zeros_like(x_t)
        if self_condition:
            with torch.no_grad():
                previous = self.denoise(x_t, snr, previous, batch, retrieved, visual)[1]
        logits, bits = self.denoise(x_t, snr, previous, batch, retrieved, visual)
        ended = (batch.rows == 0).cumsum(-1)
        valid = (ended - (batch.rows == 0).long()) == 0
        xe = dense_label_smoothing(logits.flatten(0, 1), batch.rows.flatten(), method.label_smoothing)
        return method.lambda_xe * xe[valid.flatten()].mean() + method.lambda_bit * F.mse_loss(bits[valid], x_0[valid])


def dense_label_smoothing(logits: Tensor, ids: Tensor, smoothing: float) -> Tensor:
    """KL(target || softmax(logits)) of each of m rows, (m, V) and (m,) -> (m,), with the target written out."""
    target = torch.full_like(logits, smoothing / (logits.shape[-1] - 1))
    target.scatter_(1, ids[:, None], 1 - smoothing)
    return F.kl_div(logits.log_softmax(-1), target, reduction="none").sum(1)
