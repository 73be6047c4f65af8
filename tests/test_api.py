"""The names that other programs import, and that a package imports nothing heavy before they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import rdt.metrics
import rdt.model
from rdt.captioning.photos import PhotoCaption, caption
from rdt.metrics.ciderd import CiderD
from rdt.metrics.corpus import evaluate
from rdt.model.attention import RankingAttention


def test_packages_offer_what_their_modules_define():
    assert rdt.caption is caption and rdt.PhotoCaption is PhotoCaption
    assert rdt.model.RankingAttention is RankingAttention
    assert rdt.metrics.CiderD is CiderD
    assert rdt.metrics.evaluate is evaluate


@pytest.mark.parametrize("package", [rdt, rdt.model, rdt.metrics])
def test_every_name_of_all_is_there(package):
    assert [name for name in package.__all__ if getattr(package, name).__name__ != name] == []


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"module 'rdt\.model' has no attribute 'Rankingattention'"):
        _ = rdt.model.Rankingattention
    assert not hasattr(rdt.metrics, "cider")


def test_a_package_alone_imports_neither_torch_nor_the_metrics_tools():
    code = "import sys, rdt, rdt.model, rdt.metrics; print({'torch', 'numpy', 'pycocoevalcap'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout == "set()\n"


def test_the_core_of_the_library_works_from_its_public_names():
    """Three equal keys and one query per key: attention of equal values is that value, whatever is ranked."""
    import torch

    attention = rdt.model.RankingAttention(8, 2, dropout=0.0)
    out = attention(torch.ones(1, 3, 8))
    assert out.shape == (1, 3, 8) and torch.allclose(out, out[:, :1].expand_as(out))
    same, other = ["a", "red", "ball", "on", "the", "grass"], ["two", "blue", "cubes", "near", "a", "tree"]
    assert CiderD([[same], [other]]).score([same, same], [0, 1]).tolist() == pytest.approx([10.0, 0.0])
