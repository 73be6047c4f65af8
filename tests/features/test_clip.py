"""Features of CLIP: photographs as its towers see them, the grid, and the extraction into the published layout.

The models have random weights, of the real sizes; what needs them runs in the environment of ``make test-clip``.
"""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Picture

from rdt import cli
from rdt.data.dataset import load_role
from rdt.errors import UserError
from rdt.experiment.file import load_experiment
from rdt.features.clip import (
    RN101,
    VIT_B_32,
    blank,
    caption_text,
    caption_vectors,
    centred,
    clip_input,
    find_weights,
    grid_features,
    load_clip,
    read_weights,
    resized_positions,
    squashed,
)
from rdt.features.imported import Published, import_published
from rdt.features.store import FeatureStore
from tests.support import stub_coco


def picture(width: int, height: int, seed: int = 0) -> Picture.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), dtype=np.uint8)
    return Picture.fromarray(coarse).resize((width, height), Picture.Resampling.BICUBIC)


# ---- what needs no open_clip


def test_a_photograph_is_squashed_or_cut_to_its_centre():
    wide = Picture.new("RGB", (640, 480))
    wide.paste((255, 0, 0), (0, 0, 320, 480))
    whole, square = squashed(wide, 448), centred(wide, 224)
    assert whole.shape == (448, 448, 3) and square.shape == (224, 224, 3)
    assert (whole[:, :220, 0] > 250).all() and (whole[:, 230:, 0] < 5).all()
    # 640 x 480 becomes 298 x 224, of which the columns from 37 stay: the border lies at 149 - 37
    assert (square[:, :108, 0] > 250).all() and (square[:, 116:, 0] < 5).all()
    assert centred(Picture.new("RGB", (480, 640)), 224).shape == (224, 224, 3)


def test_pixels_are_normalised_by_channel():
    pixels = torch.tensor([0, 128, 255], dtype=torch.uint8).expand(1, 2, 2, 3)
    found = clip_input(pixels)
    assert found.shape == (1, 3, 2, 2)
    expected = [-0.48145466 / 0.26862954, (128 / 255 - 0.4578275) / 0.26130258, (1 - 0.40821073) / 0.27577711]
    assert torch.allclose(found[0, :, 1, 1], torch.tensor(expected))


def test_captions_are_read_without_case_spaces_and_full_stop():
    assert caption_text(" A man, on T.V. ") == "a man, on t.v"


def cubic(x: float, a: float = -0.75) -> float:
    """Keys' kernel (1981), with torch's parameter."""
    x = abs(x)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def test_positions_are_interpolated_and_the_first_is_kept():
    """Cell i of 14 lies at (i + 0.5) / 2 - 0.5 of 7; beyond the border the outermost cells are repeated."""
    table = torch.from_numpy(np.random.default_rng(0).normal(size=(50, 3))).float()
    found = resized_positions(table, 197)
    assert found.shape == (197, 3) and torch.equal(found[0], table[0])
    weights = torch.zeros(14, 7)
    for cell in range(14):
        at = (cell + 0.5) / 2 - 0.5
        for old in range(math.floor(at) - 1, math.floor(at) + 3):
            weights[cell, min(max(old, 0), 6)] += cubic(at - old)
    expected = torch.einsum("ai,bj,ijd->abd", weights, weights, table[1:].view(7, 7, 3))
    assert torch.allclose(found[1:].view(14, 14, 3), expected, atol=1e-5)
    assert torch.allclose(resized_positions(table, 50), table, atol=1e-6)


def test_a_file_of_weights_in_each_of_its_forms(tmp_path):
    module = torch.nn.Linear(2, 3)
    torch.save({"state_dict": module.state_dict()}, tmp_path / "checkpoint.pt")
    torch.save(module.state_dict(), tmp_path / "weights.pt")
    torch.jit.script(module).save(tmp_path / "archive.pt")
    for name in ("checkpoint.pt", "weights.pt", "archive.pt"):
        found = read_weights(tmp_path / name)
        assert found.keys() == {"weight", "bias"} and torch.equal(found["weight"], module.weight)
    for name, content in (("cut.pt", (tmp_path / "weights.pt").read_bytes()[:300]), ("text.safetensors", b"404")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=f"{name}: not a readable file of weights .*; fetch it again"):
            read_weights(tmp_path / name)


def test_without_the_extra_a_sentence_says_so(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert cli.main(["extract", "coco", "--role", "primary"]) == 2
    told = capsys.readouterr().err
    assert told.startswith(
        "rdt: error: rdt extract: needs the Python package open_clip_torch, which is not installed; "
    )
    assert "make clip" in told


# ---- with open_clip, in `make test-clip`


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of random weights as published: RN101 for 224 pixels, so that its positions are to be interpolated."""
    open_clip = pytest.importorskip("open_clip", reason="needs the extra `clip`: make test-clip")
    from safetensors.torch import save_file

    folder, files = tmp_path_factory.mktemp("weights"), {}
    for clip in (RN101, VIT_B_32):
        torch.manual_seed(0)
        model = open_clip.create_model(clip.name, pretrained=None)
        for name, parameter in model.named_parameters():
            if name.endswith("bn3.weight"):  # 0 at the start of a training, which would hide the branch behind it
                torch.nn.init.uniform_(parameter, 0.0, 0.3)
        files[clip.name] = folder / f"{clip.name}.safetensors"
        save_file({name: value.clone() for name, value in model.state_dict().items()}, files[clip.name])
    return files


def test_photographs_are_prepared_as_by_torchvision_and_open_clip(weights):
    import open_clip
    from torchvision import transforms

    whole = transforms.Compose(
        [
            transforms.Resize((448, 448), interpolation=transforms.InterpolationMode.BICUBIC),
            transforms.ToTensor(),
            transforms.Normalize(open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD),
        ]
    )
    model, _, square = open_clip.create_model_and_transforms(VIT_B_32.name, pretrained=None)
    for size in ((640, 480), (480, 640), (333, 500), (224, 224), (500, 375)):
        photograph = picture(*size)
        for clip, transform in ((RN101, whole), (VIT_B_32, square)):
            found = clip_input(torch.from_numpy(clip.pixels(photograph).copy())[None])[0]
            assert torch.allclose(found, transform(photograph), atol=1e-6), (clip.name, size)


@pytest.fixture(scope="module")
def rn101(weights):
    return load_clip(RN101, weights[RN101.name])


@torch.inference_mode()
def test_the_grid_is_the_mean_of_the_last_map_and_the_vector_its_attention_pool(rn101, weights):
    images = clip_input(torch.from_numpy(np.stack([RN101.pixels(picture(160, 120, seed)) for seed in range(2)])))
    grid, vectors = grid_features(rn101, images)
    assert grid.shape == (2, 49, 2048) and vectors.shape == (2, 512)

    maps = []
    hook = rn101.visual.layer4.register_forward_hook(lambda module, inputs, output: maps.append(output))
    whole = rn101.encode_image(images)  # open_clip's own forward pass
    hook.remove()
    assert torch.allclose(vectors, whole, atol=1e-5)
    (cells,) = maps
    assert cells.shape == (2, 2048, 14, 14) and cells.std() > 0
    for row, column in ((0, 0), (0, 6), (3, 2), (6, 6)):
        mean = cells[:, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].mean(dim=(2, 3))
        assert torch.allclose(grid[:, 7 * row + column], mean, atol=1e-5)

    # the pool by hand: the query is the mean of all cells, behind the first position
    state = read_weights(weights[RN101.name])
    pool = {name.rpartition("attnpool.")[2]: value for name, value in state.items() if "attnpool" in name}
    tokens = torch.cat([cells.mean(dim=(2, 3))[:, :, None], cells.flatten(2)], dim=2).transpose(1, 2)
    tokens = tokens + resized_positions(pool["positional_embedding"], 197)

    def heads(name: str, x: torch.Tensor) -> torch.Tensor:
        return (x @ pool[f"{name}_proj.weight"].T + pool[f"{name}_proj.bias"]).unflatten(-1, (32, 64)).transpose(1, 2)

    q, k, v = heads("q", tokens[:, :1]), heads("k", tokens), heads("v", tokens)
    attended = ((q @ k.transpose(2, 3) / math.sqrt(64)).softmax(-1) @ v).transpose(1, 2).flatten(2)[:, 0]
    expected = attended @ pool["c_proj.weight"].T + pool["c_proj.bias"]
    assert torch.allclose(vectors, expected, atol=1e-4)


@torch.inference_mode()
def test_vectors_of_captions_are_open_clips(weights):
    import open_clip

    model = load_clip(VIT_B_32, weights[VIT_B_32.name])
    found = caption_vectors(model, VIT_B_32, [" A red dog.", "Two cats"])
    tokens = open_clip.get_tokenizer(VIT_B_32.name)(["a red dog", "two cats"])
    assert found.shape == (2, 512) and torch.allclose(found, model.encode_text(tokens))


def test_weights_of_something_else_and_weights_that_are_not_there(weights, tmp_path, monkeypatch):
    with pytest.raises(
        UserError, match="not weights of RN101-quickgelu .*; name the file of timm/resnet101_clip.openai"
    ):
        load_clip(RN101, weights[VIT_B_32.name])
    with pytest.raises(UserError, match="no such file of weights of RN101-quickgelu; correct --weights"):
        find_weights(RN101, tmp_path / "RN101.pt", "--weights")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError) as error:
        find_weights(RN101, None, "--weights")
    assert "its weights are not in the hub's cache, and no file of them is given; `hf download timm/" in str(
        error.value
    )
    snapshot = tmp_path / "models--timm--resnet101_clip.openai" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "open_clip_model.safetensors").write_bytes(b"")
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs/main").write_text("abc")
    assert find_weights(RN101, None, "--weights") == snapshot / "open_clip_model.safetensors"


def test_models_have_openais_activation(weights):
    assert all("QuickGELU" in repr(blank(clip).transformer) for clip in (RN101, VIT_B_32))


class User:
    """Someone with the photographs of the stub's nocaps, who extracts their features."""

    def __init__(self, folder: Path, weights: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
        stub_coco.write_all(folder / "data", photographs=True, features=False)
        self.data, self.capsys = folder / "data", capsys
        self.clip = self.data / "clip/nocaps"
        self.files = [f"--weights={weights[RN101.name]}", f"--retrieval-weights={weights[VIT_B_32.name]}"]
        self.photographs = sorted((self.data / "nocaps").iterdir())

    def extracts(self, *options: str) -> int:
        arguments = ["extract", "coco", "--data-root", str(self.data), "--role", "novel", *self.files, "--batch=4"]
        return cli.main([*arguments, *options])

    def names(self, folder: str) -> set[str]:
        return {path.name for path in (self.clip / folder).glob("*.npz")}


FOLDERS = ("RN101_448", "ViT-B-32", "captions-ViT-B-32")


def test_an_extraction_with_corrupt_photographs_is_resumed_and_imported(weights, rn101, tmp_path, capsys):
    user = User(tmp_path, weights, capsys)
    first, second = user.photographs[3], user.photographs[7]
    whole = second.read_bytes()
    first.write_text("<html>no photograph</html>")
    second.write_bytes(whole[: len(whole) // 2])

    # all others are written, and the two are named
    assert user.extracts() == 2
    told = capsys.readouterr().err
    assert f"corrupt: {first}: " in told and f"corrupt: {second}: " in told
    assert "2 of 9 photographs cannot be read, listed above; the features of all others are written" in told
    assert "--skip-corrupt" in told.splitlines()[-1] and "Traceback" not in told
    good = {f"{at}.npz" for at in range(9)} - {"3.npz", "7.npz"}
    assert user.names("RN101_448") == user.names("ViT-B-32") == good
    assert user.names("captions-ViT-B-32") == good | {"3.npz", "7.npz"}
    assert not (user.clip / "RN101_448/skipped.json").exists()

    # what is there is not made again; a photograph that was replaced is
    times = {path: path.stat().st_mtime_ns for folder in FOLDERS for path in (user.clip / folder).iterdir()}
    second.write_bytes(whole)
    assert user.extracts("--skip-corrupt") == 0
    assert "1 of 9 photographs cannot be read; " in capsys.readouterr().err
    assert user.names("RN101_448") == user.names("ViT-B-32") == good | {"7.npz"}
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())
    skipped = json.loads((user.clip / "RN101_448/skipped.json").read_text())["images"]
    assert [(entry["id"], entry["file"]) for entry in skipped] == [(3, first.name)]

    # the data set goes on without it, and its features are the model's
    data = load_experiment("coco", user.data).data["novel"]
    dataset = load_role("novel", data, Path(), user.data)
    assert [image.id for image in dataset.images] == [0, 1, 2, 4, 5, 6, 7, 8]
    (tmp_path / "store").mkdir()
    import_published(dataset, tmp_path / "store", Published.of(data, user.data))
    store = FeatureStore.open(tmp_path / "store")
    assert store.grid.shape == (8, 49, 2048) and store.query.shape == (8, 512) and len(store.caption_global) == 80
    with torch.inference_mode(), Picture.open(user.photographs[7]) as photograph:
        pixels = torch.from_numpy(RN101.pixels(photograph.convert("RGB")).copy())
        grid, vector = grid_features(rn101, clip_input(pixels[None]))
        assert np.allclose(store.grid[6], grid[0].numpy(), rtol=1e-2, atol=1e-2)
        assert np.allclose(store.global_[6], vector[0].numpy(), atol=1e-3)

    # once it is replaced, it is back
    shutil.copy(user.photographs[0], first)
    assert user.extracts() == 0
    assert not (user.clip / "RN101_448/skipped.json").exists() and user.names("RN101_448") == good | {"3.npz", "7.npz"}


def test_folders_of_another_model_and_photographs_that_are_missing(weights, tmp_path, capsys):
    user = User(tmp_path, weights, capsys)
    folder = user.clip / "RN101_448"
    folder.mkdir(parents=True)
    np.savez(folder / "0.npz", features=np.zeros((49, 2048)))
    assert user.extracts() == 2
    assert "RN101_448: holds features that were not made here, and has no encoder.json" in capsys.readouterr().err
    record = {"model": "RN101-quickgelu", "pixels": 448, "weights": "0123456789abcdef"}
    (folder / "encoder.json").write_text(json.dumps(record))
    assert user.extracts() == 2
    told = capsys.readouterr().err
    assert "its features were made by RN101-quickgelu at 448 pixels with weights 0123456789ab, and not by RN101" in told
    user.photographs[2].unlink()
    user.photographs[5].unlink()
    assert user.extracts() == 2
    told = capsys.readouterr().err
    assert f"{user.photographs[2].name}: the photograph does not exist, nor do 1 others of 9; complete" in told
    assert not user.names("ViT-B-32")
