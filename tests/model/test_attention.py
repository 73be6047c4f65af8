"""Ranking attention against the paper's gather formulation, and what must hold of it by construction."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rdt.model.attention import RankingAttention, key_counts, ranked_attention
from tests.support.reference import gather_attention, gather_ranked_attention


def qkv(shape: tuple[int, ...] = (2, 3, 50, 16), dtype: torch.dtype = torch.float32, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator, dtype=dtype, requires_grad=True) for _ in range(3)]


def attention_matrices(scores: Tensor, *counts: int, **options) -> list[Tensor | None]:
    """The attention weights (B, H, N, N) that ``ranked_attention`` gives to these scores."""
    n = scores.shape[-1]
    identity = torch.eye(n, dtype=scores.dtype).expand_as(scores)
    q = scores * n**0.5  # with k = v = I the scores are q / sqrt(d), the outputs the weights
    return list(ranked_attention(q, identity, identity, *counts, **options))


# Counts


@pytest.mark.parametrize(
    ("lambda_f", "lambda_e", "keep", "reuse_from"),
    [  # the twelve rows of Table VI, N = 50
        (0.6, 0, 30, 50),
        (0.7, 0, 35, 50),
        (0.75, 0, 37, 50),
        (0.8, 0, 40, 50),
        (0.9, 0, 45, 50),
        (1, 0, 50, 50),
        (0.75, 0.25, 37, 37),
        (0.75, 0.4, 37, 30),
        (0.75, 0.5, 37, 25),
        (0.75, 0.55, 37, 22),
        (0.75, 0.6, 37, 20),
        (0.75, 1, 37, 0),
    ],
)
def test_key_counts_of_table_vi(lambda_f: float, lambda_e: float, keep: int, reuse_from: int):
    assert key_counts(50, lambda_f, lambda_e) == (keep, reuse_from)


def test_rounding_noise_takes_no_key_away():
    assert key_counts(50, 0.75, 0.9) == (37, 5)  # (1 - 0.9) * 50 is 4.999999999999999
    assert key_counts(100, 0.29, 0) == (29, 100)  # 0.29 * 100 is 28.999999999999996


def test_at_least_one_key_is_kept():
    assert key_counts(3, 0.1, 0) == (1, 3)


@pytest.mark.parametrize(("lambda_f", "lambda_e"), [(0, 0), (-0.1, 0), (1.01, 0), (0.75, -0.1), (0.75, 1.1)])
def test_shares_out_of_range_are_refused(lambda_f: float, lambda_e: float):
    with pytest.raises(ValueError, match="lambda_f" if not 0 < lambda_f <= 1 else "lambda_e"):
        RankingAttention(8, 2, lambda_f, lambda_e)


# Against the gather formulation


@pytest.mark.parametrize(("keep", "reuse_from"), [(37, 22), (37, 37), (30, 0), (1, 49), (50, 1)])
def test_values_equal_gathering(keep: int, reuse_from: int):
    q, k, v = qkv()
    for got, expected in zip(
        ranked_attention(q, k, v, keep, reuse_from), gather_ranked_attention(q, k, v, keep, reuse_from), strict=True
    ):
        assert (got - expected).abs().max() < 1e-5


@pytest.mark.parametrize(("keep", "reuse_from"), [(37, 22), (20, 45)])
def test_gradients_equal_gathering(keep: int, reuse_from: int):
    q, k, v = qkv(dtype=torch.float64)
    upstream = [torch.randn_like(q) for _ in range(2)]
    gradients = [
        torch.autograd.grad(attention(q, k, v, keep, reuse_from), (q, k, v), upstream)
        for attention in (ranked_attention, gather_ranked_attention)
    ]
    for got, expected in zip(*gradients, strict=True):
        assert (got - expected).abs().max() < 1e-10


@pytest.mark.parametrize("routing", ["query0", "shared_heads"])
def test_routing_variants_equal_gathering_their_key_sets(routing: str):
    q, k, v = qkv()
    scores = (q @ k.transpose(-2, -1)).detach()
    shared = scores[:, :, :1] if routing == "query0" else scores.mean(1, keepdim=True)
    ranks = shared.argsort(-1, descending=True).expand(scores.shape)
    o_f, o_e = ranked_attention(q, k, v, 37, 22, routing=routing)
    assert (o_f - gather_attention(q, k, v, ranks[..., :37])).abs().max() < 1e-5
    assert (o_e - gather_attention(q, k, v, ranks[..., 22:])).abs().max() < 1e-5
    per_query, _ = ranked_attention(q, k, v, 37, 22)
    assert (o_f - per_query).abs().max() > 1e-3


def test_drop_last_omits_the_weakest_key_of_the_inverse_branch():
    q, k, v = qkv()
    ranks = (q @ k.transpose(-2, -1)).argsort(-1, descending=True)
    o_f, o_e = ranked_attention(q, k, v, 37, 25, drop_last=True)
    assert (o_f - gather_attention(q, k, v, ranks[..., :37])).abs().max() < 1e-5
    assert (o_e - gather_attention(q, k, v, ranks[..., 25:49])).abs().max() < 1e-5
    _, only = ranked_attention(q, k, v, 37, 49, drop_last=True)
    assert (only - gather_attention(q, k, v, ranks[..., 49:])).abs().max() < 1e-5


# Key sets


def test_sets_and_weights_of_a_hand_example():
    # Scores 3, 1, 2, 0 (ranks 0, 2, 1, 3), two kept, two reused from rank 2.
    scores = torch.tensor([3.0, 1.0, 2.0, 0.0]).expand(1, 1, 4, 4)
    forward, inverse = attention_matrices(scores, 2, 2)
    e = torch.e
    assert torch.allclose(forward[0, 0, 0], torch.tensor([e / (e + 1), 0, 1 / (e + 1), 0]), atol=1e-6)
    assert torch.allclose(inverse[0, 0, 0], torch.tensor([0, e / (e + 1), 0, 1 / (e + 1)]), atol=1e-6)


def test_equal_scores_are_ranked_by_position():
    forward, inverse = attention_matrices(torch.zeros(1, 1, 4, 4), 3, 1)
    assert torch.allclose(forward[0, 0], torch.tensor([1 / 3, 1 / 3, 1 / 3, 0]).expand(4, 4))
    assert torch.allclose(inverse[0, 0], torch.tensor([0, 1 / 3, 1 / 3, 1 / 3]).expand(4, 4))


@settings(deadline=None)
@given(
    st.integers(2, 12).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n), st.integers(0, n - 1))),
    st.sampled_from([1, 2, 5, 1000]),
    st.booleans(),
    st.integers(0, 2**16),
)
def test_each_set_holds_exactly_its_count_ties_included(counts, levels: int, drop_last: bool, seed: int):
    n, keep, reuse_from = counts
    scores = torch.randint(levels, (2, 2, n, n), generator=torch.Generator().manual_seed(seed)) / levels
    forward, inverse = attention_matrices(scores, keep, reuse_from, drop_last=drop_last)
    reused = max(1, n - reuse_from - drop_last)
    assert ((forward > 0).sum(-1) == keep).all()
    assert ((inverse > 0).sum(-1) == reused).all()
    assert torch.allclose(forward.sum(-1), torch.ones(2, 2, n))
    # The kept scores are the largest ones: their least is no less than the greatest left out.
    least_in = scores.masked_fill(forward == 0, 2).amin(-1)
    greatest_out = scores.masked_fill(forward > 0, -2).amax(-1)
    assert (least_in >= greatest_out).all()


def test_ties_agree_with_gathering():
    generator = torch.Generator().manual_seed(0)
    q, k = (torch.randint(-1, 2, (2, 2, 20, 4), generator=generator).float() for _ in range(2))
    v = torch.randn(2, 2, 20, 4, generator=generator)
    for got, expected in zip(ranked_attention(q, k, v, 13, 9), gather_ranked_attention(q, k, v, 13, 9), strict=True):
        assert (got - expected).abs().max() < 1e-5


def test_routing_carries_no_gradient_beyond_the_kept_scores():
    q, k, v = qkv((1, 1, 6, 4), torch.float64)
    o_f, _ = ranked_attention(q, k, v, 1, 6)  # one key a query: its weight is 1 whatever the score
    (gradient,) = torch.autograd.grad(o_f.sum(), q)
    assert gradient.abs().max() < 1e-12


def test_impossible_counts_are_refused():
    q, k, v = qkv((1, 1, 4, 2))
    for keep in (0, 5):
        with pytest.raises(ValueError, match="from 1 to 4"):
            ranked_attention(q, k, v, keep, 2)


# Padding


def test_a_padded_row_equals_the_row_alone():
    torch.manual_seed(0)
    attention = RankingAttention(16, 4).eval()
    lengths = [9, 5, 1, 12]
    rows = [torch.randn(1, length, 16) for length in lengths]
    padded = torch.full((4, 12, 16), 7.0)
    mask = torch.ones(4, 12, dtype=torch.bool)
    for i, row in enumerate(rows):
        padded[i, : lengths[i]] = row[0]
        mask[i, : lengths[i]] = False
    for lambda_f, lambda_e in [(0.75, 0.55), (1, 0), (0.75, 0), (1, 0.5)]:
        for routing in ("per_query", "query0", "shared_heads"):
            attention = RankingAttention(16, 4, lambda_f, lambda_e, routing).eval()
            together = attention(padded, key_padding_mask=mask)
            for i, row in enumerate(rows):
                assert (together[i, : lengths[i]] - attention(row)[0]).abs().max() < 1e-5


def test_padding_is_finite_and_never_attended_to():
    q, k, v = qkv((1, 2, 10, 4))
    mask = torch.arange(10).ge(3)[None]
    clean = ranked_attention(q, k, v, 7, 4, key_padding_mask=mask)  # counts beyond the three valid keys
    dirty_v = v.detach().clone()
    dirty_v[:, :, 3:] = 1e6
    dirty = ranked_attention(q, k, dirty_v, 7, 4, key_padding_mask=mask)
    for a, b in zip(clean, dirty, strict=True):
        assert a.isfinite().all()
        assert torch.equal(a, b)


# The module


def multi_head_self_attention(attention: RankingAttention, dim: int, heads: int) -> nn.MultiheadAttention:
    """torch's own attention with the same weights."""
    plain = nn.MultiheadAttention(dim, heads, batch_first=True)
    state = {
        "in_proj_weight": attention.qkv.weight,
        "in_proj_bias": attention.qkv.bias,
        "out_proj.weight": attention.out.weight,
        "out_proj.bias": attention.out.bias,
    }
    plain.load_state_dict(state)
    return plain.eval()


def test_all_keys_and_no_reuse_is_plain_self_attention():
    torch.manual_seed(0)
    attention = RankingAttention(32, 4, lambda_f=1, lambda_e=0).eval()
    plain = multi_head_self_attention(attention, 32, 4)
    x = torch.randn(3, 50, 32)
    assert (attention(x) - plain(x, x, x, need_weights=False)[0]).abs().max() < 1e-6
    mask = torch.arange(50).ge(40).expand(3, 50)
    expected = plain(x, x, x, key_padding_mask=mask, need_weights=False)[0]
    assert (attention(x, key_padding_mask=mask) - expected).abs().max() < 1e-6
    q, k, v = qkv()
    o_f, o_e = ranked_attention(q, k, v, 50, 50)
    assert o_e is None
    assert torch.equal(o_f, nn.functional.scaled_dot_product_attention(q, k, v))


@pytest.mark.parametrize("fusion", ["concat", "add0.2"])
def test_permuting_the_tokens_permutes_the_output(fusion: str):
    torch.manual_seed(0)
    attention = RankingAttention(32, 4, fusion=fusion).double().eval()
    x = torch.randn(2, 50, 32, dtype=torch.float64)
    order = torch.randperm(50)
    assert (attention(x[:, order]) - attention(x)[:, order]).abs().max() < 1e-12


def test_fusion_adds_a_fifth_of_the_inverse_branch():
    torch.manual_seed(0)
    attention = RankingAttention(8, 2, 0.5, 0.5, fusion="add0.2", dropout=0).double()
    attention.out = nn.Identity()
    x = torch.randn(2, 6, 8, dtype=torch.float64)
    q, k, v = attention.qkv(x).view(2, 6, 3, 2, 4).permute(2, 0, 3, 1, 4)
    o_f, o_e = gather_ranked_attention(q, k, v, 3, 3)
    expected = (o_f + 0.2 * o_e).transpose(1, 2).reshape(2, 6, 8)
    assert (attention(x) - expected).abs().max() < 1e-12


def test_concatenation_puts_all_heads_of_the_forward_branch_first():
    torch.manual_seed(0)
    attention = RankingAttention(8, 2, 0.5, 0.5, dropout=0).double()
    attention.out = nn.Identity()
    with torch.no_grad():  # select the last channel of O_F and the first of O_E
        attention.fuse.weight.zero_()
        attention.fuse.bias.zero_()
        attention.fuse.weight[0, 7] = attention.fuse.weight[1, 8] = 1
    x = torch.randn(1, 6, 8, dtype=torch.float64)
    q, k, v = attention.qkv(x).view(1, 6, 3, 2, 4).permute(2, 0, 3, 1, 4)
    o_f, o_e = gather_ranked_attention(q, k, v, 3, 3)
    got = attention(x)
    assert (got[..., 0] - o_f[:, 1, :, 3]).abs().max() < 1e-12
    assert (got[..., 1] - o_e[:, 0, :, 0]).abs().max() < 1e-12


def test_parameters_of_the_papers_size():
    count = lambda module: sum(p.numel() for p in module.parameters())  # noqa: E731
    plain = 4 * (512 * 512 + 512)
    assert count(RankingAttention(512, 8, 1, 0)) == plain
    assert count(RankingAttention(512, 8, fusion="add0.2")) == plain
    assert count(RankingAttention(512, 8)) == plain + 1024 * 512 + 512


# Random keys


def test_an_order_chooses_the_keys_and_scores_weigh_them():
    """Scores ln 1, ln 3, ln 1, ln 2 of four keys, ordered 1, 2, 3, 0: two keys are kept, the other two reused."""
    scores = torch.tensor([1.0, 3, 1, 2]).log().expand(1, 1, 4, 4)
    order = torch.tensor([0.1, 0.9, 0.5, 0.3]).expand(1, 1, 4, 4)
    forward, inverse = attention_matrices(scores, 2, 2, order=order)
    assert torch.allclose(forward, torch.tensor([0, 3 / 4, 1 / 4, 0]).expand(4, 4))
    assert torch.allclose(inverse, torch.tensor([1 / 3, 0, 0, 2 / 3]).expand(4, 4))
    ranked, _ = attention_matrices(scores, 2, 2)
    assert torch.allclose(ranked, torch.tensor([0, 3 / 5, 0, 2 / 5]).expand(4, 4))


def test_an_order_never_chooses_padding():
    q, k, v = qkv((2, 1, 4, 8))
    mask = torch.tensor([[False, False, True, True], [False, True, False, False]])
    order = torch.tensor([0.1, 0.2, 0.8, 0.9]).expand(1, 1, 4, 4)
    o_f, _ = ranked_attention(q, k, v, torch.tensor([1, 1]), 4, order=order, key_padding_mask=mask)
    assert torch.equal(o_f[0, 0], v[0, 0, 1].expand(4, 8)) and torch.equal(o_f[1, 0], v[1, 0, 3].expand(4, 8))


def random_keys(**options) -> RankingAttention:
    torch.manual_seed(0)
    return RankingAttention(**{"dim": 8, "num_heads": 2, "dropout": 0.0, "keys": "random", **options})


def test_random_keys_are_drawn_anew_at_each_seed_of_training():
    attention = random_keys()
    x = torch.randn(1, 6, 8).expand(2, 6, 8)  # the same image twice

    def step(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return attention(x)

    assert torch.equal(step(1), step(1)) and not torch.equal(step(1), step(2))
    assert not torch.equal(*step(1))  # each image has its own
    order = attention._order(x)
    assert order.shape == (2, 2, 6, 6) and len(order.unique()) == order.numel()  # each query and head, too
    torch.manual_seed(1)
    expected = torch.rand(3)
    step(1)
    assert torch.equal(torch.rand(3), expected)  # nothing is taken from the framework's stream


def test_random_keys_are_fixed_where_nothing_is_trained():
    attention, other = random_keys().eval(), random_keys(layer=1).eval()
    x = torch.randn(1, 6, 8)
    torch.manual_seed(1)
    first = attention(x)
    torch.manual_seed(2)
    assert torch.equal(attention(x), first) and torch.allclose(attention(x.expand(3, 6, 8))[2], first[0], atol=1e-6)
    assert not torch.equal(other(x), first)  # the next layer has an order of its own


def test_random_keys_have_the_weights_and_counts_of_ranked_ones():
    attention, ranked = random_keys(lambda_f=1, lambda_e=1), random_keys(lambda_f=1, lambda_e=1, keys="ranked")
    assert all(torch.equal(own, ranked.state_dict()[name]) for name, own in attention.state_dict().items())
    x = torch.randn(2, 6, 8)
    assert torch.equal(attention(x), ranked(x))  # all keys, however they are ordered
    weights = attention_matrices(torch.zeros(1, 1, 50, 50), 37, 22, order=torch.rand(1, 1, 50, 50))
    assert [int(counts) for branch in weights for counts in (branch > 0).sum(-1).unique()] == [37, 28]


def test_dropout_acts_on_both_branches_in_training_only():
    torch.manual_seed(0)
    scores = torch.randn(4, 4, 20, 20)
    for weights in attention_matrices(scores, 15, 10, dropout_p=0.5, training=True):
        assert weights.sum(-1).mean().item() == pytest.approx(1, abs=0.1)
        assert weights.sum(-1).std() > 0.1
    for weights in attention_matrices(scores, 15, 10, dropout_p=0.5, training=False):
        assert torch.allclose(weights.sum(-1), torch.ones(4, 4, 20))
    attention = RankingAttention(16, 2, dropout=0.5)
    x = torch.randn(1, 8, 16)
    assert not torch.equal(attention(x), attention(x))
    assert torch.equal(attention.eval()(x), attention(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_finite_in_low_precision_and_at_large_scores(dtype: torch.dtype):
    torch.manual_seed(0)
    attention = RankingAttention(32, 4).to(dtype)
    x = (torch.randn(2, 50, 32) * 30).to(dtype).requires_grad_()
    y = attention(x)
    assert y.dtype == dtype
    y.float().square().sum().backward()
    assert y.isfinite().all()
    assert x.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in attention.parameters())


@pytest.mark.parametrize("wrong", [{"num_heads": 3}, {"routing": "top"}, {"fusion": "sum"}, {"keys": "all"}])
def test_wrong_options_are_refused(wrong: dict):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RankingAttention(**{"dim": 8, "num_heads": 2, **wrong})
