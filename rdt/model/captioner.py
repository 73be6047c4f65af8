"""The Ranking Diffusion Transformer: visual features, a noisy sentence and a retrieved one -> words.

``Captioner.encode`` runs once per image, ``Captioner.hidden`` once per denoising step (Alg. 1,
lines 4-8).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rdt.diffusion.bits import codebook
from rdt.experiment.settings import Method, ModelSettings
from rdt.model.blocks import KeyValue, SelfBlock, SentenceBlock
from rdt.model.dropout import Dropout
from rdt.model.visual import VisualEncoder

TIME_FREQUENCIES = 128


@dataclass(frozen=True)
class Context:
    """What stays fixed over the denoising steps of n captions of B images.

    ``visual``: keys and values of each decoder layer, (B, H, N, d). ``retrieved``: (n, L', dim)
    with ``retrieved_mask`` (n, L'), True at words. ``cascade``: bits of the first cascade's
    captions (n, L, b), or None.
    """

    visual: tuple[KeyValue, ...]
    retrieved: Tensor
    retrieved_mask: Tensor
    cascade: Tensor | None = None


class TimeEmbedding(nn.Module):
    """log-SNR (n,) -> (n, dim), with learned Fourier frequencies."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.frequency = nn.Parameter(torch.empty(TIME_FREQUENCIES))
        self.inner = nn.Linear(2 * TIME_FREQUENCIES + 1, dim)
        self.outer = nn.Linear(dim, dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.frequency)

    def forward(self, log_snr: Tensor) -> Tensor:
        angle = 2 * torch.pi * log_snr[:, None] * self.frequency
        features = torch.cat([log_snr[:, None], angle.sin(), angle.cos()], dim=-1)
        return self.outer(F.silu(self.inner(features)))


class RetrievedSentence(nn.Module):
    """Word ids of the conditional sentence (n, L) -> (n, L, dim)."""

    def __init__(self, vocab_size: int, length: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.word = nn.Embedding(vocab_size, dim)
        self.position = nn.Embedding(length, dim)
        self.kind = nn.Parameter(torch.empty(dim))
        self.norm = nn.LayerNorm(dim)
        self.dropout = Dropout(dropout)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.kind)

    def forward(self, ids: Tensor) -> Tensor:
        return self.dropout(self.norm(self.word(ids) + self.position.weight[: ids.shape[1]] + self.kind))


class NoisySentence(nn.Module):
    """Analog bits (n, L, channels) and log-SNR (n,) -> (n, L, dim).

    The paper concatenates gamma to x_t (Alg. 1, line 4); as in SCD-Net it enters as an embedding
    that is added, which is the same up to the first linear layer.
    """

    def __init__(self, channels: int, length: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.bits = nn.Linear(channels, dim, bias=False)
        self.position = nn.Embedding(length, dim)
        self.time = TimeEmbedding(dim)
        self.kind = nn.Parameter(torch.empty(dim))
        self.norm = nn.LayerNorm(dim)
        self.dropout = Dropout(dropout)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        nn.init.normal_(self.kind)

    def forward(self, bits: Tensor, log_snr: Tensor) -> Tensor:
        time = self.time(log_snr).unsqueeze(1)
        return self.dropout(self.norm(self.bits(bits) + self.position.weight + time + self.kind))


class Captioner(nn.Module):
    """RDT; with ``cascade`` the second network, which also sees the first one's caption."""

    def __init__(
        self,
        sizes: ModelSettings,
        method: Method,
        vocab_size: int,
        grid_dim: int,
        global_dim: int,
        cascade: bool = False,
    ) -> None:
        super().__init__()
        self.length = method.length
        self.vocab_size = vocab_size
        self.num_bits = (vocab_size - 1).bit_length()
        self.visual = VisualEncoder(sizes, method, grid_dim, global_dim)
        channels = self.num_bits * (3 if cascade else 2)
        self.noisy = NoisySentence(channels, method.length, sizes.dim, sizes.dropout)
        self.retrieved = RetrievedSentence(vocab_size, method.length, sizes.dim, sizes.dropout)
        block = (sizes.dim, sizes.heads, sizes.ffn, sizes.dropout)
        self.semantic = nn.ModuleList(SelfBlock(*block) for _ in range(sizes.semantic_layers))
        self.sentence = nn.ModuleList(SentenceBlock(*block) for _ in range(sizes.sentence_layers))
        self.head = nn.Sequential(Dropout(sizes.dropout), nn.Linear(sizes.dim, vocab_size))
        self.register_buffer("codebook", codebook(vocab_size, self.num_bits), persistent=False)

    def encode(
        self,
        grid: Tensor,
        global_: Tensor,
        retrieved: Tensor,
        retrieved_mask: Tensor,
        cascade: Tensor | None = None,
    ) -> Context:
        """Features of B images and the conditional sentences (n, L) of their captions, in image order."""
        tokens = self.visual(grid, global_)
        return Context(
            visual=tuple(block.cross_attention.keys(tokens) for block in self.sentence),
            retrieved=self.retrieved(retrieved),
            retrieved_mask=retrieved_mask,
            cascade=cascade,
        )

    def hidden(self, x_t: Tensor, log_snr: Tensor, previous: Tensor, context: Context) -> Tensor:
        """Semantic Transformer, cut, Sentence Decoder: bits (n, L, b) -> (n, L, dim)."""
        channels = [previous, x_t] if context.cascade is None else [previous, x_t, context.cascade]
        x = self.noisy(torch.cat(channels, dim=-1), log_snr)
        length = x.shape[1]
        if self.semantic:
            x = torch.cat([x, context.retrieved], dim=1)
            mask = F.pad(context.retrieved_mask, (length, 0), value=True)[:, None, None, :]
            for block in self.semantic[:-1]:
                x = block(x, mask, outputs=x.shape[1])
            x = self.semantic[-1](x, mask, outputs=length)  # the cut: nothing reads the rest of the last block
        for block, visual in zip(self.sentence, context.visual, strict=True):
            x = block(x, visual)
        return x

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., dim) -> (..., V), in the precision of the codebook also where the layers run in a lower one."""
        return self.head(hidden).to(self.codebook.dtype)

    def expected_bits(self, logits: Tensor, codes: Tensor | None = None) -> Tensor:
        """The network's x_0: bits of the vocabulary averaged over softmax(logits), (..., V) -> (..., b).

        ``codes`` (V, b): the words' bits where those of another numbering are asked for.
        """
        with torch.autocast(logits.device.type, enabled=False):  # the words' small shares would be rounded away
            return logits.softmax(dim=-1) @ (self.codebook if codes is None else codes)

    def predict(self, x_t: Tensor, log_snr: Tensor, previous: Tensor, context: Context) -> Tensor:
        """f(x_t, gamma, G) of Eq. 2: (n, L, b) -> expected bits (n, L, b)."""
        return self.expected_bits(self.logits(self.hidden(x_t, log_snr, previous, context)))
