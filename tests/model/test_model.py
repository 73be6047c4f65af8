"""The captioner, its teacher, and their weights on disk."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from rdt.data.vocabulary import Vocabulary
from rdt.diffusion.bits import codebook, encode_bits
from rdt.errors import UserError
from rdt.experiment.file import load_experiment
from rdt.experiment.runs import Run
from rdt.experiment.settings import Method, ModelSettings
from rdt.model.blocks import Attention, SentenceBlock
from rdt.model.captioner import Captioner
from rdt.model.network import build, check_configuration, configuration, save_configuration
from rdt.model.teacher import Teacher
from rdt.model.visual import VisualEncoder
from rdt.model.weights import load_weights, save_weights

V, D, E, L = 21, 6, 5, 8  # words, grid and global channels, positions
SIZES = ModelSettings(
    dim=16,
    heads=2,
    ffn=32,
    visual_layers=2,
    semantic_layers=2,
    sentence_layers=2,
    dropout=0.1,
    visual_dropout=0.1,
)


def method(**changes) -> Method:
    return replace(load_experiment("smoke").method, length=L, **changes)


def captioner(cascade: bool = False, seed: int = 0, **changes) -> Captioner:
    torch.manual_seed(seed)
    return Captioner(SIZES, method(**changes), V, D, E, cascade=cascade).eval()


def teacher(seed: int = 0, scale: float = 1.0) -> Teacher:
    """An untrained teacher; ``scale`` sharpens what it says of the next word."""
    torch.manual_seed(seed)
    model = Teacher(SIZES, method(), V, D, E).eval()
    model.head.weight.data *= scale
    return model


def features(images: int, seed: int = 1) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return torch.randn(images, 49, D, generator=rng), torch.randn(images, E, generator=rng)


def sentences(n: int, seed: int = 2) -> tuple[Tensor, Tensor]:
    """Conditional sentences of different lengths, begun by 0, and their masks."""
    rng = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, V, (n, L), generator=rng)
    mask = torch.arange(L) < torch.randint(2, L, (n, 1), generator=rng)
    ids[:, 0] = 0
    return ids * mask, mask


def noisy(n: int, bits: int, seed: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """x_t, log-SNR and the previous prediction."""
    rng = torch.Generator().manual_seed(seed)
    shape = (n, L, bits)
    previous = torch.randn(shape, generator=rng).clamp(-1, 1)
    return torch.randn(shape, generator=rng), torch.randn(n, generator=rng), previous


# ---- captioner


@torch.no_grad()
def test_shapes_and_bits():
    model = captioner()
    assert model.num_bits == 5  # 2^4 < 21 <= 2^5
    context = model.encode(*features(2), *sentences(6))
    assert [k.shape for k, _ in context.visual] == [(2, 2, 50, 8)] * 2  # B, H, N, d in each layer
    assert context.retrieved.shape == (6, L, 16) and context.cascade is None
    x_t, snr, previous = noisy(6, 5)
    assert model.hidden(x_t, snr, previous, context).shape == (6, L, 16)
    predicted = model.predict(x_t, snr, previous, context)
    assert predicted.shape == (6, L, 5) and predicted.abs().max() <= 1


@torch.no_grad()
def test_without_the_cls_token_there_are_49():
    model = captioner(cls=False, visual_pos=False)
    assert model.visual.cls is None and model.visual.position is None
    grid, global_ = features(2)
    assert model.visual(grid, global_).shape == (2, 49, 16)
    assert torch.equal(model.visual(grid, global_), model.visual(grid, global_ + 1))


@torch.no_grad()
def test_an_image_is_encoded_by_itself():
    model = captioner()
    grid, global_ = features(3)
    together = model.visual(grid, global_)
    assert torch.allclose(together[1:2], model.visual(grid[1:2], global_[1:2]), atol=1e-6)


@torch.no_grad()
def test_captions_side_by_side_are_captions_with_repeated_keys():
    """Five captions share their image's keys: the same as an image, hence keys, of their own for each."""
    torch.manual_seed(0)
    block = SentenceBlock(16, 2, 32, 0.0).eval()
    visual, x = torch.randn(3, 50, 16), torch.randn(15, L, 16)
    shared = block(x, block.cross_attention.keys(visual))
    repeated = block(x, block.cross_attention.keys(visual.repeat_interleave(5, dim=0)))
    assert torch.allclose(shared, repeated, atol=1e-6)
    swapped = block(x, block.cross_attention.keys(visual.flip(0)))
    assert not torch.allclose(shared, swapped, atol=1e-2)  # it does look at the image


@torch.no_grad()
def test_captions_do_not_see_each_other():
    model = captioner()
    grid, global_ = features(2)
    ids, mask = sentences(6)
    x_t, snr, previous = noisy(6, 5)
    hidden = model.hidden(x_t, snr, previous, model.encode(grid, global_, ids, mask))
    for row in range(6):
        image = slice(row // 3, row // 3 + 1)
        own = slice(row, row + 1)
        alone = model.encode(grid[image], global_[image], ids[own], mask[own])
        assert torch.allclose(hidden[own], model.hidden(x_t[own], snr[own], previous[own], alone), atol=1e-5)


@torch.no_grad()
def test_attention_is_softmax_of_scaled_products():
    torch.manual_seed(0)
    attention = Attention(16, 2, 0.5).eval()
    x, memory = torch.randn(2, 3, 16), torch.randn(2, 7, 16)
    mask = torch.rand(2, 7) < 0.6
    mask[:, 0] = True
    found = attention(x, attention.keys(memory), mask[:, None, None, :])
    q = attention.query(x)
    k, v = attention.key_value(memory).split(16, dim=-1)
    heads = []
    for at in (slice(0, 8), slice(8, 16)):
        scores = (q[..., at] @ k[..., at].transpose(1, 2) / 8**0.5).masked_fill(~mask[:, None], float("-inf"))
        heads.append(scores.softmax(-1) @ v[..., at])
    assert torch.allclose(found, attention.out(torch.cat(heads, dim=-1)), atol=1e-6)


@torch.no_grad()
def test_padding_of_the_retrieved_sentence_is_not_seen():
    model = captioner()
    grid, global_ = features(2)
    ids, mask = sentences(4)
    x_t, snr, previous = noisy(4, 5)
    hidden = model.hidden(x_t, snr, previous, model.encode(grid, global_, ids, mask))
    padded = torch.where(mask, ids, torch.full_like(ids, 13))
    assert torch.equal(hidden, model.hidden(x_t, snr, previous, model.encode(grid, global_, padded, mask)))
    other = torch.where(mask & (ids > 0), ids % (V - 1) + 1, ids)
    changed = model.hidden(x_t, snr, previous, model.encode(grid, global_, other, mask))
    assert not torch.allclose(hidden, changed, atol=1e-3)  # but its words are


@torch.no_grad()
def test_every_position_of_the_noisy_sentence_is_seen():
    """No mask hides the tail: at inference nobody knows where it begins."""
    model = captioner()
    context = model.encode(*features(1), *sentences(1))
    x_t, snr, previous = noisy(1, 5)
    changed = x_t.clone()
    changed[:, -1] += 1
    before, after = (model.hidden(x, snr, previous, context) for x in (x_t, changed))
    assert (before[:, 0] - after[:, 0]).abs().max() > 1e-4


@torch.no_grad()
@pytest.mark.parametrize("which", ["x_t", "log_snr", "previous", "global", "grid"])
def test_everything_that_conditions_is_used(which):
    model = captioner()
    grid, global_ = features(2)
    x_t, snr, previous = noisy(2, 5)
    values = {"x_t": x_t, "log_snr": snr, "previous": previous, "global": global_, "grid": grid}

    def predict(given: dict[str, Tensor]) -> Tensor:
        context = model.encode(given["grid"], given["global"], *sentences(2))
        return model.predict(given["x_t"], given["log_snr"], given["previous"], context)

    assert not torch.allclose(predict(values), predict(values | {which: values[which] + 1}), atol=1e-4)


@torch.no_grad()
def test_the_second_cascade_takes_the_first_ones_bits():
    model = captioner(cascade=True)
    assert model.noisy.bits.in_features == 15 and captioner().noisy.bits.in_features == 10
    bits = encode_bits(torch.randint(0, V, (4, L)), 5)
    x_t, snr, previous = noisy(4, 5)
    first, second = (model.encode(*features(2), *sentences(4), b) for b in (bits, -bits))
    assert not torch.allclose(
        model.hidden(x_t, snr, previous, first), model.hidden(x_t, snr, previous, second), atol=1e-3
    )


@torch.no_grad()
def test_a_network_without_ranking_builds_and_runs():
    model = captioner(lambda_f=1.0, lambda_e=0.0)
    context = model.encode(*features(2), *sentences(4))
    assert model.predict(*noisy(4, 5), context).isfinite().all()


def test_expected_bits_average_the_codes():
    model = captioner()
    logits = torch.randn(2, 3, V)
    p = logits.exp() / logits.exp().sum(-1, keepdim=True)
    expected = (p.unsqueeze(-1) * codebook(V, 5)).sum(-2)
    assert torch.allclose(model.expected_bits(logits), expected, atol=1e-6)
    certain = torch.full((V, V), -1e4)
    certain.fill_diagonal_(0)
    assert torch.equal(model.expected_bits(certain), codebook(V, 5))


def test_gradients_reach_every_parameter():
    model = captioner().train()
    context = model.encode(*features(2), *sentences(4))
    model.head(model.hidden(*noisy(4, 5), context)).sum().backward()
    idle = [name for name, p in model.named_parameters() if p.grad is None]
    assert idle == []


# ---- teacher


def log_p(model: Teacher, visual, rows: Tensor) -> Tensor:
    """Log-probability of each row, up to and including its first 0."""
    chosen = model(rows, visual).log_softmax(-1).gather(-1, rows.unsqueeze(-1)).squeeze(-1)
    ends = rows == 0
    return (chosen * (ends.cumsum(1) <= ends)).sum(1)


@torch.no_grad()
def test_words_see_the_words_before_them_alone():
    model = teacher()
    visual = model.encode(*features(1))
    rows = torch.randint(1, V, (1, L))
    logits = model(rows, visual)
    for at in range(L):
        changed = rows.clone()
        changed[:, at] = changed[:, at] % (V - 1) + 1
        other = model(changed, visual)
        assert torch.allclose(logits[:, : at + 1], other[:, : at + 1], atol=1e-6)
        if at + 1 < L:
            assert not torch.allclose(logits[:, at + 1], other[:, at + 1], atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("seed", range(4))
def test_word_by_word_is_the_full_forward_pass(seed):
    """Greedy rows are the argmax of the pass that sees them whole, at each position up to the end."""
    model = teacher(seed, scale=3)
    visual = model.encode(*features(5, seed))
    rows = model.beam_search(visual, 1)
    best = model(rows, visual).argmax(-1)
    for row, argmax in zip(rows.tolist(), best.tolist(), strict=True):
        end = row.index(0)
        assert row[: min(end + 1, L - 1)] == argmax[: min(end + 1, L - 1)]
        assert row[end:] == [0] * (L - end)


@torch.no_grad()
def test_samples_follow_the_model_and_their_generator():
    model = teacher(scale=2)
    visual = model.encode(*features(2))
    draw = [model.sample(visual, 2000, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draw[0], draw[1]) and not torch.equal(draw[0], draw[2])
    # first words: frequencies of 2000 draws against probabilities, four standard errors
    p = model(draw[0][[0, 2000]], visual)[:, 0].softmax(-1)
    for image in range(2):
        counts = draw[0][2000 * image : 2000 * (image + 1), 0].bincount(minlength=V) / 2000
        assert ((counts - p[image]).abs() <= 4 * (p[image] * (1 - p[image]) / 2000).sqrt() + 1e-3).all()


def beam_by_definition(model: Teacher, visual, beam: int) -> list[int]:
    """Beam search of one image over whole rows, each scored by a full pass."""
    hypotheses = [((), 0.0, False)]
    for at in range(L - 1):
        grown = []
        for words, score, done in hypotheses:
            if done:
                grown.append((words, score, True))
                continue
            row = torch.zeros(1, L, dtype=torch.long)
            row[0, : len(words)] = torch.tensor(words)
            step = model(row, visual)[0, at].log_softmax(-1).tolist()
            grown += [((*words, w), score + p, w == 0) for w, p in enumerate(step)]
        hypotheses = sorted(grown, key=lambda h: -h[1])[:beam]
    words = hypotheses[0][0]
    return [*words, *[0] * (L - len(words))]


@torch.no_grad()
@pytest.mark.parametrize("beam", [1, 2, 3])
def test_beam_search_is_that_of_the_definition(beam):
    model = teacher(3, scale=2)
    grid, global_ = features(4, 3)
    found = model.beam_search(model.encode(grid, global_), beam).tolist()
    for at in range(4):
        own = model.encode(grid[at : at + 1], global_[at : at + 1])
        assert found[at] == beam_by_definition(model, own, beam)


@torch.no_grad()
def test_an_exhaustive_beam_finds_the_most_probable_row():
    """With V words and rows of two words a beam of V + 1 keeps every first word, so nothing is lost."""
    torch.manual_seed(5)
    model = Teacher(SIZES, replace(method(), length=3), V, D, E).eval()
    model.head.weight.data *= 2
    visual = model.encode(*features(1))
    rows = torch.tensor([[a, b, 0] for a in range(V) for b in range(V) if a or not b])
    found = model.beam_search(visual, V)
    scores = log_p(model, visual, rows) - model(rows, visual).log_softmax(-1)[:, 2, 0] * (rows[:, 1] != 0)
    assert found[0].tolist() == rows[scores.argmax()].tolist()


# ---- weights


VOCABULARY = Vocabulary((".", *[f"w{n}" for n in range(V - 2)], "UNK"))


def identity(**changes) -> tuple:
    experiment = replace(load_experiment("smoke"), model=SIZES)
    return experiment, Run("r", "captioner", method(**changes), "primary", 0, 1)


@pytest.mark.parametrize(("kind", "stage"), [("captioner", "xe"), ("captioner", "xe2"), ("teacher", "xe")])
def test_weights_come_back_bit_by_bit(tmp_path, kind, stage):
    experiment, run = identity()
    run = replace(run, kind=kind)
    torch.manual_seed(0)
    model, other = (build(experiment, run, stage, V, D, E) for _ in range(2))
    assert isinstance(model, Teacher if kind == "teacher" else Captioner)
    save_weights(tmp_path / "model.safetensors", model.state_dict())
    load_weights(tmp_path / "model.safetensors", other)
    assert model.state_dict().keys() == other.state_dict().keys()
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in model.state_dict().items())
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    (tmp_path / "plain").touch()
    assert (tmp_path / "model.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode  # as the umask says


def test_the_teacher_does_not_rank():
    torch.manual_seed(0)
    model = Teacher(SIZES, method(lambda_f=0.5, lambda_e=0.5), V, D, E)
    torch.manual_seed(0)
    plain = VisualEncoder(SIZES, method(lambda_f=1.0, lambda_e=0.0), D, E)
    assert [p.shape for p in model.visual.parameters()] == [p.shape for p in plain.parameters()]


@pytest.mark.parametrize("content", [b"", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ", None])
def test_damaged_weights_name_the_file(tmp_path, content):
    experiment, run = identity()
    model = build(experiment, run, "xe", V, D, E)
    path = tmp_path / "model.safetensors"
    save_weights(path, model.state_dict())
    path.write_bytes(path.read_bytes()[:-5] if content is None else content)
    with pytest.raises(UserError, match=r"model\.safetensors: not weights of this network.*train this stage again"):
        load_weights(path, model)
    path.unlink()
    with pytest.raises(UserError, match=r"model\.safetensors: the file does not exist"):
        load_weights(path, model)


def test_weights_of_another_size_are_an_error(tmp_path):
    experiment, run = identity()
    save_weights(tmp_path / "model.safetensors", build(experiment, run, "xe", V + 1, D, E).state_dict())
    with pytest.raises(UserError, match="not weights of this network"):
        load_weights(tmp_path / "model.safetensors", build(experiment, run, "xe", V, D, E))


def test_the_configuration_must_agree(tmp_path):
    experiment, run = identity()
    saved = configuration(experiment, run, "xe", VOCABULARY, D, E)
    save_configuration(tmp_path, {**saved, "best_epoch": 3})
    check_configuration(tmp_path, saved)  # as JSON gives it back
    reordered = Vocabulary((".", "w1", "w0", *VOCABULARY.words[3:]))
    others = {
        "vocabulary": configuration(experiment, run, "xe", reordered, D, E),
        "method": configuration(experiment, identity(delta_sen=0.3)[1], "xe", VOCABULARY, D, E),
        "model": configuration(replace(experiment, model=replace(SIZES, heads=4)), run, "xe", VOCABULARY, D, E),
        "stage": configuration(experiment, run, "rl", VOCABULARY, D, E),
        "grid_dim": configuration(experiment, run, "xe", VOCABULARY, D + 1, E),
    }
    for key, other in others.items():
        with pytest.raises(UserError, match=f"weights of another {key}"):
            check_configuration(tmp_path, other)


def test_a_configuration_names_a_setting_with_a_default_only_where_it_differs():
    """So weights of before there was such a setting still agree."""
    experiment, run = identity()
    other = identity(keys="random")[1]
    usual, random = (configuration(experiment, one, "xe", VOCABULARY, D, E)["method"] for one in (run, other))
    assert random == usual | {"keys": "random"} and "keys" not in usual and "rank_target" not in usual


def test_a_missing_configuration_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"config\.json: the file does not exist"):
        check_configuration(tmp_path, {"stage": "xe"})
