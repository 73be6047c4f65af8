"""Alg. 1: from noise to the analog bits of a caption."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from rdt.diffusion.schedule import log_snr, reverse_coefficients

Denoiser = Callable[[Tensor, Tensor, Tensor], Tensor]
Generators = torch.Generator | Sequence[torch.Generator]


def _gaussian(shape: tuple[int, ...], generator: Generators, device: torch.device | str) -> Tensor:
    """Standard normal noise, drawn where the generator lives so that all devices see the same numbers."""
    if isinstance(generator, torch.Generator):
        return torch.randn(shape, generator=generator, device=generator.device).to(device)
    drawn = torch.empty(shape, device=generator[0].device)
    for row, own in zip(drawn, generator, strict=True):
        row.normal_(generator=own)
    return drawn.to(device)


@torch.inference_mode()
def sample(
    denoise: Denoiser,
    shape: tuple[int, ...],
    steps: int,
    delta: float,
    noise: bool,
    generator: Generators,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Analog bits x_0 after ``steps`` steps of Alg. 1, float32 of ``shape`` (n, L, num_bits).

    denoise(x_t, log_snr_t, previous_x0) predicts x_0: it gets x_t and the previous prediction in
    ``shape`` (zeros at the first step) and lambda(t') as (1,), of all rows. Its prediction is clamped to [-1, 1].
    steps: T, at least 1. delta: the time difference Delta in steps, s = max(0, t - 1 - Delta).
    noise: add mu eps (Eq. 7) after every step that ends above s = 0; False keeps the mean (Eq. 5).
    generator: one for the whole batch, or n of them, one per row: a row then depends on its own
    generator alone and not on the rows beside it.

    Raises ValueError for steps < 1, delta < 0 or a number of generators other than n.
    """
    if steps < 1 or delta < 0:
        raise ValueError(f"sampling needs steps >= 1 and delta >= 0, got steps={steps}, delta={delta}")
    if not isinstance(generator, torch.Generator) and len(generator) != shape[0]:
        raise ValueError(f"one generator per row: expected {shape[0]}, got {len(generator)}")
    # Whole steps until the division: then s is exactly 0 at the end, whatever delta is.
    starts = torch.arange(steps, 0, -1)
    t, s = starts / steps, (starts - 1 - delta).clamp(min=0) / steps
    coef_x, coef_x0, noise_std = reverse_coefficients(t, s)
    coefficients = torch.stack([coef_x, coef_x0, noise_std * (s > 0) if noise else torch.zeros_like(s)], dim=1)
    x = _gaussian(shape, generator, device)
    x0 = torch.zeros_like(x)
    for snr, (of_x, of_x0, of_noise) in zip(log_snr(t).to(device).split(1), coefficients.tolist(), strict=True):
        x0 = denoise(x, snr, x0).clamp(-1, 1)
        x = of_x * x + of_x0 * x0
        if of_noise:
            x = x + of_noise * _gaussian(shape, generator, device)
    return x
