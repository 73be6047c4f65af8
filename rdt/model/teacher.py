"""The autoregressive Transformer teacher: the same visual encoder and decoder blocks, word by word."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from rdt.experiment.settings import Method, ModelSettings
from rdt.model.blocks import KeyValue, SentenceBlock, grow
from rdt.model.dropout import Dropout
from rdt.model.visual import VisualEncoder

EOS = 0

Visual = tuple[KeyValue, ...]


class Teacher(nn.Module):
    """p(word | words before it, image); token rows are (n, L), ended by id 0, which also begins them."""

    def __init__(self, sizes: ModelSettings, method: Method, vocab_size: int, grid_dim: int, global_dim: int) -> None:
        super().__init__()
        self.length = method.length
        plain = replace(method, lambda_f=1.0, lambda_e=0.0)
        self.visual = VisualEncoder(sizes, plain, grid_dim, global_dim)
        self.word = nn.Embedding(vocab_size, sizes.dim)
        self.position = nn.Embedding(method.length, sizes.dim)
        self.norm = nn.LayerNorm(sizes.dim)
        self.dropout = Dropout(sizes.dropout)
        self.blocks = nn.ModuleList(
            SentenceBlock(sizes.dim, sizes.heads, sizes.ffn, sizes.dropout)
            for _ in range(sizes.semantic_layers + sizes.sentence_layers)
        )
        self.head = nn.Linear(sizes.dim, vocab_size)

    def encode(self, grid: Tensor, global_: Tensor) -> Visual:
        """Features of B images -> keys and values of each decoder layer."""
        tokens = self.visual(grid, global_)
        return tuple(block.cross_attention.keys(tokens) for block in self.blocks)

    def _embed(self, words: Tensor, first: int) -> Tensor:
        position = self.position.weight[first : first + words.shape[1]]
        return self.dropout(self.norm(self.word(words) + position))

    def forward(self, rows: Tensor, visual: Visual) -> Tensor:
        """Logits (n, L, V) of every word of ``rows`` (n, L), given those before it."""
        x = self._embed(torch.cat([torch.full_like(rows[:, :1], EOS), rows[:, :-1]], dim=1), 0)
        for block, keys in zip(self.blocks, visual, strict=True):
            x = block(x, keys, causal=True)
        return self._logits(x)

    def _logits(self, x: Tensor) -> Tensor:
        """In the precision of the weights, also where the layers run in a lower one."""
        return self.head(x).to(self.head.weight.dtype)

    def _step(self, words: Tensor, at: int, past: list[KeyValue | None], visual: Visual) -> tuple[Tensor, list]:
        """Logits (n, V) after ``words`` (n,) at position ``at``, and the grown keys."""
        x = self._embed(words[:, None], at)
        grown = []
        for block, keys, old in zip(self.blocks, visual, past, strict=True):
            grown.append(grow(old, block.self_attention.keys(x)))
            x = block(x, keys, past=grown[-1])
        return self._logits(x[:, 0]), grown

    @torch.no_grad()
    def sample(
        self,
        visual: Visual,
        captions: int,
        generator: torch.Generator,
        anywhere: Callable[[Tensor], bool] = torch.any,
    ) -> Tensor:
        """``captions`` rows for each image, drawn word by word: (B captions, L).

        Ends when ``anywhere`` (n,) says that no row goes on, here or in the other parts of a divided batch.
        """
        n = visual[0][0].shape[0] * captions
        device = visual[0][0].device
        rows = torch.zeros(n, self.length, dtype=torch.long, device=device)
        words = rows[:, 0]
        alive = torch.ones(n, dtype=torch.bool, device=device)
        past: list[KeyValue | None] = [None] * len(self.blocks)
        for at in range(self.length - 1):
            logits, past = self._step(words, at, past, visual)
            words = torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0] * alive
            rows[:, at] = words
            alive = alive & (words != EOS)
            if not anywhere(alive):
                break
        return rows

    @torch.no_grad()
    def beam_search(self, visual: Visual, beam: int) -> Tensor:
        """The most probable row that a beam of that width finds, for each image: (B, L).

        Log-probabilities are summed, not averaged over words; a finished row stays in the beam.
        """
        images = visual[0][0].shape[0]
        device = visual[0][0].device
        rows = torch.zeros(images, beam, self.length, dtype=torch.long, device=device)
        score = torch.full((images, beam), -torch.inf, device=device)
        score[:, 0] = 0.0
        alive = torch.ones(images, beam, dtype=torch.bool, device=device)
        past: list[KeyValue | None] = [None] * len(self.blocks)
        words = rows[:, :, 0]
        first_row = torch.arange(images, device=device)[:, None] * beam
        for at in range(self.length - 1):
            logits, grown = self._step(words.reshape(-1), at, past, visual)
            log_p = logits.log_softmax(-1).view(images, beam, -1)
            ended = torch.full_like(log_p, -torch.inf)
            ended[:, :, EOS] = 0.0  # a finished row goes on with the end token, at no cost
            log_p = torch.where(alive[:, :, None], log_p, ended)
            vocab_size = log_p.shape[-1]
            score, best = (score[:, :, None] + log_p).flatten(1).topk(beam, dim=1)
            parent, words = best // vocab_size, best % vocab_size
            rows = rows.gather(1, parent[:, :, None].expand_as(rows)).clone()
            rows[:, :, at] = words
            alive = alive.gather(1, parent) & (words != EOS)
            if not alive.any():
                break
            order = (first_row + parent).reshape(-1)
            past = [(k[order], v[order]) for k, v in grown]
        return rows[:, 0]
