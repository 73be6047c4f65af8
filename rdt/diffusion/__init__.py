"""Bit diffusion as pure functions on tensors: bits, noise schedule, sampler."""

from rdt.diffusion.bits import bit_width, codebook, count_oov, decode_bits, encode_bits
from rdt.diffusion.sampler import sample
from rdt.diffusion.schedule import alpha_sigma, diffuse, log_snr, reverse_coefficients

__all__ = [
    "alpha_sigma",
    "bit_width",
    "codebook",
    "count_oov",
    "decode_bits",
    "diffuse",
    "encode_bits",
    "log_snr",
    "reverse_coefficients",
    "sample",
]
