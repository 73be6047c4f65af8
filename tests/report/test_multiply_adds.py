"""The estimate of an experiment's cost: against torch's own count of the real networks, and by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from rdt.experiment.file import load_experiment
from rdt.experiment.network_work import NetworkWork, RoleSizes
from rdt.experiment.paths import Paths
from rdt.experiment.plan import load_tables, plan
from rdt.model import Captioner, Teacher
from rdt.model.captioner import TIME_FREQUENCIES, Context
from rdt.report.estimate import cost_estimate, estimate_table
from rdt.report.multiply_adds import RATE, CostLine, cost
from tests.support import tiny

COCO = load_experiment("coco")
DIM, HEADS, FFN, WORDS, GRID_DIM, GLOBAL_DIM, L = 32, 4, 48, 100, 24, 16, 20
MODEL = replace(
    COCO.model, dim=DIM, heads=HEADS, ffn=FFN, visual_layers=2, semantic_layers=3, sentence_layers=2, dropout=0.0
)
SIZES = RoleSizes({"train": 10, "val": 3, "test": 2}, WORDS, GRID_DIM, GLOBAL_DIM)


def counted(work: Callable[[], object]) -> int:
    """Multiply-adds of all matrix products; torch does not count fused attention on a CPU."""
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        work()
    return counter.get_total_flops() // 2


def attention(queries: int, keys: int) -> int:
    """Scores and weighted sum of all heads."""
    return 2 * queries * keys * DIM


def keys_of(image_tokens: int, layers: int) -> tuple:
    pair = torch.rand(1, HEADS, image_tokens, DIM // HEADS)
    return ((pair, pair),) * layers


@pytest.mark.parametrize(
    "override",
    [{}, {"lambda_f": 1.0, "lambda_e": 0.0}, {"cls": False}, {"fusion": "add0.2"}],
    ids=["paper", "plain", "no cls", "added"],
)
def test_an_image_takes_what_torch_counts(override):
    method = replace(COCO.method, **override)
    model = Captioner(MODEL, method, WORDS, GRID_DIM, GLOBAL_DIM).eval()
    ids, mask = torch.zeros(1, L, dtype=torch.long), torch.ones(1, L, dtype=torch.bool)
    found = counted(lambda: model.encode(torch.rand(1, 49, GRID_DIM), torch.rand(1, GLOBAL_DIM), ids, mask))
    if not override.get("lambda_e", 0.55):
        found += 2 * attention(50, 50)  # plain attention is fused
    assert NetworkWork(MODEL, method, SIZES).encode() == found


@pytest.mark.parametrize("cascade", [False, True])
def test_a_step_of_a_caption_takes_what_torch_counts(cascade):
    model = Captioner(MODEL, COCO.method, WORDS, GRID_DIM, GLOBAL_DIM, cascade=cascade).eval()
    bits = torch.rand(1, L, 7)  # 100 words
    context = Context(
        keys_of(50, 2), torch.rand(1, L, DIM), torch.ones(1, L, dtype=torch.bool), bits if cascade else None
    )
    found = counted(lambda: model.predict(bits, torch.zeros(1), bits, context))
    fused = 2 * attention(2 * L, 2 * L) + attention(L, 2 * L) + 2 * (attention(L, L) + attention(L, 50))
    time = (2 * TIME_FREQUENCIES + 1) * DIM + DIM**2  # one vector a caption, left out of the estimate
    assert NetworkWork(MODEL, COCO.method, SIZES, cascade).denoise() == found + fused - time


def test_a_caption_of_the_teacher_takes_what_torch_counts():
    model = Teacher(MODEL, COCO.method, WORDS, GRID_DIM, GLOBAL_DIM).eval()
    found = counted(lambda: model(torch.zeros(1, L, dtype=torch.long), keys_of(50, 5)))
    network = NetworkWork(MODEL, COCO.method, SIZES)
    assert network.decode() == found + 5 * (attention(L, L) + attention(L, 50))
    found = counted(lambda: model.encode(torch.rand(1, 49, GRID_DIM), torch.rand(1, GLOBAL_DIM)))
    assert network.encode_teacher() == found + 2 * attention(50, 50)


def test_the_paper_sizes():
    """512 dimensions, 10,000 words; a denoising step without the cut, as usually counted, has 794 M with the keys."""
    network = NetworkWork(COCO.model, COCO.method, RoleSizes({}, 10_000, 2048, 512))
    cut = 20 * (2 * 512**2 + 2 * 40 * 512 + 2 * 512 * 2048)  # queries, attention and feed-forward of 20 positions
    keys = 3 * 2 * 50 * 512**2
    assert (network.denoise() + cut + keys) / 1e6 == pytest.approx(794, abs=5)


def test_all_jobs_of_an_experiment_by_hand(tmp_path):
    """Table V of the tiny experiment: 4 captioners, two stages of 2 epochs, 24 + 4 + 6 images; one teacher."""
    planned = plan(load_experiment(tiny.write(tmp_path, tiny.EXPERIMENT)), load_tables())
    sizes = RoleSizes({"train": 24, "val": 4, "test": 6}, 50, 8, 8)
    lines = {line.kind: line for line in cost(planned, {"primary": sizes})}
    experiment = planned.experiment
    network = NetworkWork(experiment.model, experiment.method, sizes)
    image, teacher, step, words = network.encode(), network.encode_teacher(), network.denoise(), network.decode()

    assert lines["train a teacher, cross-entropy"].multiply_adds == pytest.approx(
        2 * 24 * (3 * teacher + 3 * 3 * words) + 2 * 4 * (teacher + words)
    )
    assert lines["train a teacher, self-critical"].multiply_adds == pytest.approx(
        2 * 24 * (3 * teacher + (3 * 3 + 3) * words) + 2 * 4 * (teacher + words)
    )
    plain = NetworkWork(experiment.model, replace(experiment.method, lambda_f=1.0, lambda_e=0.0), sizes).encode()
    images = 2 * image + 2 * plain  # two of the four rank, in each stage
    training = 2 * 24 * (3 * images + 4 * 3 * 3.5 * step) + 2 * 4 * (images + 4 * 2 * step)
    for phase in ("cross-entropy", "self-critical"):
        line = lines[f"train a captioner, {phase}"]
        assert line.jobs == 4 and line.multiply_adds == pytest.approx(training)
    assert lines["caption the train split"].multiply_adds == pytest.approx(24 * (teacher + 2 * words))
    # after CIDEr optimisation each is captioned once and five times more from random sentences, 3 steps each
    assert lines["caption the test split"].multiply_adds == pytest.approx(6 * 6 * (images + 4 * 3 * step))


def test_hours_follow_from_the_rate():
    line = CostLine("train", 2, 3600 * RATE)
    assert line.gpu_hours == 1
    text = estimate_table([line, CostLine("caption", 3, 1800 * RATE)])
    assert "    5        5.4e+16        1.5  all of them" in text and "not measured" in text


def test_without_data_or_public_name_there_is_no_estimate(tmp_path):
    primary = {"source": "karpathy", "annotations": "mine.json", "images": "photos"}
    planned = plan(load_experiment(tiny.write(tmp_path, tiny.settings(data={"primary": primary}))), load_tables())
    assert "no estimate of the cost: mine.json is not there" in cost_estimate(planned, Paths("tiny", tmp_path))


@pytest.mark.parametrize("name", ["coco", "flickr30k"])
def test_the_file_says_what_its_experiment_is_estimated_to_cost(name, tmp_path):
    experiment = load_experiment(name, data_root=tmp_path)  # no data there
    text = cost_estimate(plan(experiment, load_tables()), Paths(name, tmp_path))
    hours = float(text.splitlines()[-2].split()[2])
    head = Path(experiment.path).read_text().partition("\nname:")[0]
    (stated,) = (float(line.split("about ")[1].split()[0]) for line in head.splitlines() if "GPU hours" in line)
    assert stated == pytest.approx(hours, rel=0.03)
