"""The cosine noise schedule and one step of the diffusion in each direction (Eq. 1, 3-6).

Time is the paper's t' = t/T: 0 is clean, 1 is noise. The schedule is told by its log signal-to-noise
ratio lambda(t') = -gamma(t').
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

_OFFSET = 0.008  # keeps the noise of the first steps above zero
_FLOOR = 1e-5  # of sigma^2 / alpha^2, hence lambda <= -log(1e-5) = 11.5


def log_snr(t: Tensor) -> Tensor:
    """lambda(t) = -log(max(cos((t + 0.008) / 1.008 * pi / 2)^-2 - 1, 1e-5)), for t in [0, 1], any shape.

    Float64 in gives float64; everything else is computed and returned in float32, since half precision
    cannot tell 0.999 from 1. At t = 1 the cosine vanishes to rounding: -33.9 in float32, -74.7 in float64.
    """
    t = t if t.dtype == torch.float64 else t.float()
    angle = (t + _OFFSET) / (1 + _OFFSET) * (math.pi / 2)
    return -torch.log((torch.cos(angle) ** -2 - 1).clamp(min=_FLOOR))


def alpha_sigma(log_snr: Tensor) -> tuple[Tensor, Tensor]:
    """alpha = sqrt(sigmoid(lambda)) and sigma = sqrt(sigmoid(-lambda)) of Eq. 1 and 3; alpha^2 + sigma^2 = 1."""
    return torch.sigmoid(log_snr).sqrt(), torch.sigmoid(-log_snr).sqrt()


def diffuse(x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Eq. 1: x_t = alpha_t x_0 + sigma_t eps. x0, noise: (n, ...); t: (n,) in [0, 1]. Returns x0's shape and dtype."""
    alpha, sigma = (a.to(x0.dtype).reshape(-1, *[1] * (x0.dim() - 1)) for a in alpha_sigma(log_snr(t)))
    return alpha * x0 + sigma * noise


def reverse_coefficients(t: Tensor, s: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Eq. 3-6: the step from t down to s < t is x_s = coef_x x_t + coef_x0 x0_hat + noise_std eps.

    With c = -expm1(lambda_t - lambda_s): coef_x = alpha_s (1 - c) / alpha_t, coef_x0 = alpha_s c and
    noise_std = sigma_s sqrt(c). t, s: same shape, in [0, 1]; so are the three results.
    """
    lambda_t, lambda_s = log_snr(t), log_snr(s)
    alpha_t, _ = alpha_sigma(lambda_t)
    alpha_s, sigma_s = alpha_sigma(lambda_s)
    c = -torch.expm1(lambda_t - lambda_s)
    return alpha_s * (1 - c) / alpha_t, alpha_s * c, sigma_s * c.sqrt()
