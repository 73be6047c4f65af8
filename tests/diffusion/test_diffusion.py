"""Bits, noise schedule and sampler: the numbers of Eq. 1-7 and Alg. 1."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rdt.diffusion.bits import bit_width, codebook, count_oov, decode_bits, encode_bits
from rdt.diffusion.sampler import sample
from rdt.diffusion.schedule import alpha_sigma, diffuse, log_snr, reverse_coefficients

COCO = 10200


def rows(n: int, length: int = 20, vocab_size: int = COCO, seed: int = 0) -> torch.Tensor:
    ids = torch.randint(vocab_size, (n, length), generator=torch.Generator().manual_seed(seed))
    return encode_bits(ids, bit_width(vocab_size))


# Bits


def test_most_significant_bit_comes_first():
    assert encode_bits(torch.tensor([0, 1, 6]), 3).tolist() == [[-1, -1, -1], [-1, -1, 1], [1, 1, -1]]
    assert encode_bits(torch.tensor([[5]]), 3).dtype == torch.float32


@pytest.mark.parametrize(
    ("vocab_size", "width"), [(1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (1024, 10), (1025, 11), (COCO, 14), (16384, 14)]
)
def test_round_trip_of_whole_vocabularies(vocab_size: int, width: int):
    assert bit_width(vocab_size) == width
    ids = torch.arange(vocab_size)
    bits = encode_bits(ids, width)
    assert bits.abs().eq(1).all()
    assert torch.equal(decode_bits(bits, vocab_size), ids)
    assert torch.equal(codebook(vocab_size), bits)
    assert count_oov(bits, vocab_size) == 0


@given(st.integers(2, 300).flatmap(lambda v: st.tuples(st.just(v), st.lists(st.integers(0, v - 1), min_size=1))))
def test_round_trip_survives_noise_below_the_threshold(case: tuple[int, list[int]]):
    vocab_size, words = case
    ids = torch.tensor(words)
    bits = encode_bits(ids, bit_width(vocab_size)) * 0.01
    assert torch.equal(decode_bits(bits, vocab_size), ids)
    book = codebook(vocab_size)
    assert torch.equal(decode_bits(bits, vocab_size, "nearest", book), ids)


def test_6184_of_16384_codes_are_out_of_the_coco_vocabulary():
    every_code = encode_bits(torch.arange(2**14), 14)
    assert count_oov(every_code, COCO) == 6184
    clamped = decode_bits(every_code, COCO)
    assert clamped.max() == COCO - 1
    assert (clamped == COCO - 1).sum() == 6184 + 1
    some = torch.arange(0, 2**14, 61)
    nearest = decode_bits(every_code[some], COCO, "nearest", codebook(COCO))
    assert nearest.max() < COCO
    assert torch.equal(nearest[some < COCO], some[some < COCO])
    assert len(nearest[some >= COCO].unique()) > 20  # stray codes spread over the vocabulary


def test_nearest_takes_the_largest_inner_product():
    # V = 5 has the codes 000 to 100. Products of (2, 1, -1) with them: -2, -4, 0, -2, 2; of (1, 2, -1):
    # -2, -4, 2, 0, 0. Both threshold to 110 = 6, which is no word.
    bits = torch.tensor([[2.0, 1.0, -1.0], [1.0, 2.0, -1.0]])
    assert decode_bits(bits, 5).tolist() == [4, 4]
    assert decode_bits(bits, 5, "nearest", codebook(5)).tolist() == [4, 2]


def test_a_bit_of_zero_counts_as_minus_one():
    assert decode_bits(torch.tensor([0.0, -0.0, 1e-9]), 8).item() == 1


@pytest.mark.parametrize("ids", [[8], [-1]])
def test_ids_that_do_not_fit_are_refused(ids: list[int]):
    with pytest.raises(ValueError, match=r"\[0, 8\)"):
        encode_bits(torch.tensor(ids), 3)


def test_decoding_refuses_unknown_rules_and_missing_codebooks():
    with pytest.raises(ValueError, match="'clamp' or 'nearest'"):
        decode_bits(torch.zeros(3), 5, "drop")
    with pytest.raises(ValueError, match=r"\(5, 3\)"):
        decode_bits(torch.zeros(3), 5, "nearest")
    with pytest.raises(ValueError, match=r"\(5, 3\)"):
        decode_bits(torch.zeros(3), 5, "nearest", codebook(6))


# Schedule


@pytest.mark.parametrize(
    ("t", "expected"),
    [(0.0, 8.769), (0.02, 6.263), (0.1, 3.545), (0.5, -0.025), (0.9, -3.702), (0.98, -6.936), (0.999, -12.928)],
)
def test_log_snr_values(t: float, expected: float):
    for dtype in (torch.float32, torch.float64):
        assert log_snr(torch.tensor(t, dtype=dtype)).item() == pytest.approx(expected, abs=1e-3)
    # cos^-2 - 1 = tan^2
    assert -2 * math.log(math.tan((t + 0.008) / 1.008 * math.pi / 2)) == pytest.approx(expected, abs=1e-3)


def test_log_snr_at_the_end_depends_on_the_precision():
    assert log_snr(torch.tensor(1.0)).item() == pytest.approx(-33.9, abs=0.1)
    assert log_snr(torch.tensor(1.0, dtype=torch.float64)).item() == pytest.approx(-74.7, abs=0.1)


def test_log_snr_is_capped_where_there_is_no_noise():
    assert log_snr(torch.tensor(-0.008)).item() == pytest.approx(math.log(1e5), abs=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_finite_over_the_whole_range(dtype: torch.dtype):
    t = torch.linspace(0, 1, 51, dtype=dtype)
    for values in (log_snr(t), *alpha_sigma(log_snr(t)), *reverse_coefficients(t[1:], t[:-1])):
        assert values.isfinite().all()
    x = diffuse(torch.ones(51, 2, 3, dtype=dtype), t, torch.ones(51, 2, 3, dtype=dtype))
    assert x.dtype == dtype
    assert x.isfinite().all()


@given(st.floats(0, 1))
def test_variance_is_preserved(t: float):
    alpha, sigma = alpha_sigma(log_snr(torch.tensor(t, dtype=torch.float64)))
    assert (alpha**2 + sigma**2).item() == pytest.approx(1, abs=1e-12)


def test_diffuse_is_eq_1_with_a_time_per_caption():
    x0, noise = torch.full((2, 3, 4), 1.0), torch.full((2, 3, 4), -1.0)
    x = diffuse(x0, torch.tensor([0.0, 0.5]), noise)
    # lambda(0) = 8.769: sigma^2 = 1 / (1 + e^8.769) = 1.553e-4; lambda(.5) = -0.025: alpha^2 = .4938
    assert x[0].unique().item() == pytest.approx(math.sqrt(1 - 1.553e-4) - math.sqrt(1.553e-4), abs=1e-4)
    assert x[1].unique().item() == pytest.approx(math.sqrt(0.4938) - math.sqrt(0.5062), abs=1e-3)


# Reverse steps


@pytest.mark.parametrize(
    ("step", "coef_x", "coef_x0"), [(0, 0.0, 0.031), (1, 0.50, 0.047), (25, 0.91, 0.085), (49, 0.082, 0.918)]
)
def test_coefficients_of_fifty_steps(step: int, coef_x: float, coef_x0: float):
    t, s = torch.tensor(1 - step / 50), torch.tensor(1 - (step + 1) / 50)
    got_x, got_x0, _ = reverse_coefficients(t, s)
    assert got_x.item() == pytest.approx(coef_x, abs=6e-3)
    assert got_x0.item() == pytest.approx(coef_x0, abs=1e-3)


def test_the_first_step_forgets_x_T():
    coef_x, _, noise_std = reverse_coefficients(torch.tensor(1.0), torch.tensor(0.98))
    assert abs(coef_x.item()) < 1e-5
    assert noise_std.item() == pytest.approx(0.9995, abs=1e-4)


@given(st.tuples(st.floats(0, 0.99), st.floats(0.005, 1)).filter(lambda st_: st_[1] > st_[0] + 1e-3))
def test_a_step_with_the_true_x0_lands_on_the_forward_distribution(times: tuple[float, float]):
    """x_t ~ N(alpha_t x_0, sigma_t^2) must become x_s ~ N(alpha_s x_0, sigma_s^2): Eq. 3-7 in two moments."""
    s, t = (torch.tensor(time, dtype=torch.float64) for time in times)
    coef_x, coef_x0, noise_std = reverse_coefficients(t, s)
    alpha_t, sigma_t = alpha_sigma(log_snr(t))
    alpha_s, sigma_s = alpha_sigma(log_snr(s))
    assert (coef_x * alpha_t + coef_x0).item() == pytest.approx(alpha_s.item(), abs=1e-9)
    assert (coef_x**2 * sigma_t**2 + noise_std**2).item() == pytest.approx(sigma_s.item() ** 2, abs=1e-9)


# Sampler


@pytest.mark.parametrize("noise", [False, True])
@pytest.mark.parametrize(("steps", "delta"), [(50, 0), (50, 7), (50, 45), (20, 0), (20, 19), (1, 0), (50, 2.5)])
def test_an_oracle_recovers_the_caption(steps: int, delta: float, noise: bool):
    x0 = rows(8)
    x = sample(lambda x_t, snr, previous: x0, x0.shape, steps, delta, noise, torch.Generator().manual_seed(1))
    assert torch.equal(x > 0, x0 > 0)
    assert torch.equal(decode_bits(x, COCO), decode_bits(x0, COCO))


def test_the_denoiser_sees_the_schedule_and_its_last_prediction():
    seen: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    def denoise(x_t, snr, previous):
        seen.append((x_t, snr, previous))
        return torch.full_like(x_t, 3.0 * len(seen))  # beyond [-1, 1]: to be clamped

    sample(denoise, (2, 4, 3), 4, 0, False, torch.Generator().manual_seed(0))
    assert len(seen) == 4
    assert [snr.tolist() for _, snr, _ in seen] == [
        pytest.approx([log_snr(torch.tensor(t)).item()]) for t in (1, 0.75, 0.5, 0.25)
    ]
    assert seen[0][2].eq(0).all()
    assert all(previous.eq(1).all() for _, _, previous in seen[1:])


def test_the_last_step_adds_no_noise_and_the_others_do():
    def still(x_t, snr, previous):
        return torch.zeros_like(x_t)

    shape = (3, 5, 4)
    x_T = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    coef_x = reverse_coefficients(torch.tensor(1.0), torch.tensor(0.0))[0]
    for noise in (False, True):
        x = sample(still, shape, 1, 0, noise, torch.Generator().manual_seed(2))
        assert torch.allclose(x, coef_x * x_T)
    quiet = sample(still, shape, 2, 0, False, torch.Generator().manual_seed(2))
    loud = sample(still, shape, 2, 0, True, torch.Generator().manual_seed(2))
    # Noise sigma(.5) sqrt(c) = .711, then scaled by alpha_0 exp(-.025 - 8.769) / alpha(.5) = 2.16e-4.
    assert quiet.abs().max() < 1e-6
    assert loud.std().item() == pytest.approx(1.53e-4, rel=0.3)


def test_delta_beyond_the_start_ends_at_zero_at_once():
    x0 = rows(2)
    x = sample(lambda x_t, snr, previous: x0, x0.shape, 50, 49, True, torch.Generator())
    # Every step goes to s = 0, where no noise is added: the result is x_0 up to alpha_0.
    alpha_0, _ = alpha_sigma(log_snr(torch.tensor(0.0)))
    assert torch.allclose(x, alpha_0 * x0, atol=1e-3)


def drift(x_t: torch.Tensor, snr: torch.Tensor, previous: torch.Tensor) -> torch.Tensor:
    return torch.tanh(x_t + 0.5 * previous)


def test_a_row_depends_on_its_own_generator_alone():
    def generators(images: list[int]) -> list[torch.Generator]:
        return [torch.Generator().manual_seed(image) for image in images]

    batch = sample(drift, (4, 6, 5), 10, 0, True, generators([7, 3, 9, 3]))
    alone = sample(drift, (1, 6, 5), 10, 0, True, generators([9]))
    assert torch.equal(batch[2], alone[0])
    assert torch.equal(batch[1], batch[3])
    assert not torch.equal(batch[0], batch[1])


def test_the_noise_of_a_row_is_its_generators_stream():
    """Alg. 1 written out for one row at a time: times one by one, noise from ``torch.randn`` step by step."""
    seeds, steps, delta = [7, 3, 9], 5, 1
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    batch = sample(drift, (len(seeds), 20, 7), steps, delta, True, generators)  # 140 numbers: no multiple of 16
    for row, seed in zip(batch, seeds, strict=True):
        own = torch.Generator().manual_seed(seed)
        x = torch.randn(1, 20, 7, generator=own)
        x0 = torch.zeros_like(x)
        for step in range(steps, 0, -1):
            t, s = (torch.tensor(i / steps) for i in (step, max(0, step - 1 - delta)))
            x0 = drift(x, log_snr(t), x0).clamp(-1, 1)
            coef_x, coef_x0, noise_std = reverse_coefficients(t, s)
            x = coef_x * x + coef_x0 * x0
            if s > 0:
                x = x + noise_std * torch.randn(1, 20, 7, generator=own)
        assert torch.allclose(row, x[0], atol=1e-6)


def test_the_seed_decides():
    first, again, other = (sample(drift, (2, 3, 4), 5, 0, True, torch.Generator().manual_seed(s)) for s in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(("steps", "delta", "generators"), [(0, 0, 2), (5, -1, 2), (5, 0, 3)])
def test_impossible_samplers_are_refused(steps: int, delta: float, generators: int):
    with pytest.raises(ValueError):
        sample(drift, (2, 3, 4), steps, delta, True, [torch.Generator() for _ in range(generators)])
