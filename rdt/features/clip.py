"""Features of pretrained CLIP from photographs and captions, as published for captioning.

RN101 at 448 x 448 pixels gives the grid: its 14 x 14 map, averaged by 2 x 2, is 7 x 7 cells of 2048; its
attention pool over all 14 x 14, with interpolated positions, gives the global vector of 512. ViT-B/32 at
224 x 224 gives the vectors of images and captions that sentences are retrieved by. No vector is normalised.
Needs the extra `clip` (open_clip).
"""

from __future__ import annotations

import importlib.util
import logging
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image as Picture
from torch import Tensor, nn

from rdt.errors import UserError

MEAN = (0.48145466, 0.4578275, 0.40821073)  # of CLIP's images, by channel, in [0, 1]
STD = (0.26862954, 0.26130258, 0.27577711)
POSITIONS = "visual.attnpool.positional_embedding"
CACHED_NAMES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


@dataclass(frozen=True)
class Clip:
    """One pretrained model: its name in open_clip, its input in pixels, and where its weights are to be had."""

    name: str
    size: int
    hub: str
    whole: bool  # the whole photograph, squashed, rather than its central square

    def pixels(self, picture: Picture.Image) -> np.ndarray:
        """What the model sees of an RGB photograph, (size, size, 3) uint8."""
        return squashed(picture, self.size) if self.whole else centred(picture, self.size)


RN101 = Clip("RN101-quickgelu", 448, "timm/resnet101_clip.openai", whole=True)
VIT_B_32 = Clip("ViT-B-32-quickgelu", 224, "timm/vit_base_patch32_clip_224.openai", whole=False)


# ---- photographs and captions


def squashed(picture: Picture.Image, size: int) -> np.ndarray:
    """The photograph at exactly (size, size, 3), its aspect ratio not kept."""
    return np.asarray(picture.resize((size, size), Picture.Resampling.BICUBIC))


def centred(picture: Picture.Image, size: int) -> np.ndarray:
    """The central square (size, size, 3) of the photograph, whose short side is brought to ``size``."""
    short = min(picture.size)
    width, height = (size if side == short else int(size * side / short) for side in picture.size)
    left, top = round((width - size) / 2), round((height - size) / 2)
    return np.asarray(picture.resize((width, height), Picture.Resampling.BICUBIC))[top:, left:][:size, :size]


def clip_input(pixels: Tensor) -> Tensor:
    """(B, S, S, 3) uint8 -> (B, 3, S, S) float32, normalised as CLIP was trained."""
    mean, std = (torch.tensor(values, device=pixels.device).view(3, 1, 1) for values in (MEAN, STD))
    return (pixels.permute(0, 3, 1, 2).float() / 255 - mean) / std


def caption_text(raw: str) -> str:
    """A caption as the text tower reads it: lower-case, without spaces and full stops at its ends."""
    return raw.lower().strip().strip(".")


# ---- models


def grid_features(model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """RN101: input (B, 3, 448, 448) -> grid (B, 49, 2048), row by row, and global vector (B, 512)."""
    visual = model.visual
    cells = visual.stem(images)
    for layer in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
        cells = layer(cells)
    return F.avg_pool2d(cells, 2).flatten(2).transpose(1, 2), visual.attnpool(cells)


def caption_vectors(model: nn.Module, clip: Clip, captions: Sequence[str]) -> Tensor:
    """Captions as written -> (n, 512)."""
    import open_clip

    ids = open_clip.get_tokenizer(clip.name)([caption_text(raw) for raw in captions])
    return model.encode_text(ids.to(next(model.parameters()).device))


def load_clip(clip: Clip, weights: Path) -> nn.Module:
    """The model with the weights of a file, in evaluation mode. Raises UserError where they are not its weights."""
    state = read_weights(weights)
    model = blank(clip)
    if POSITIONS in state:
        state[POSITIONS] = resized_positions(state[POSITIONS], len(model.visual.attnpool.positional_embedding))
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        problem = f"not weights of {clip.name} ({str(error).splitlines()[-1].strip()[:120]})"
        raise UserError(weights, problem, f"name the file of {clip.hub}") from error
    return model.eval()


def blank(clip: Clip) -> nn.Module:
    """The model with random weights, float32."""
    import open_clip

    logging.disable(logging.WARNING)  # open_clip warns that it has loaded nothing
    try:
        return open_clip.create_model(clip.name, pretrained=None, force_image_size=clip.size).eval()
    finally:
        logging.disable(logging.NOTSET)


def resized_positions(table: Tensor, rows: int) -> Tensor:
    """A position table (1 + n^2, D) for ``rows`` = 1 + m^2 positions: the first is kept, the n x n interpolated."""
    old, new = (int((count - 1) ** 0.5) for count in (len(table), rows))
    square = table[1:].float().T.reshape(1, -1, old, old)
    square = F.interpolate(square, size=(new, new), mode="bicubic", align_corners=False)
    return torch.cat([table[:1].float(), square.flatten(2)[0].T])


# ---- weights


def require_open_clip() -> None:
    """UserError unless the extra is installed."""
    if importlib.util.find_spec("open_clip") is None:
        remedy = "`make clip`, then .venv-clip/bin/python -m rdt extract ...; or `pip install 'rdt[clip]'`"
        raise UserError("rdt extract", "needs the Python package open_clip_torch, which is not installed", remedy)


def find_weights(clip: Clip, given: Path | None, option: str) -> Path:
    """The file of a model's weights: the one that is given, or that in the hub's cache. Nothing is downloaded."""
    from huggingface_hub import try_to_load_from_cache

    if given is not None:
        if not given.is_file():
            raise UserError(given, f"no such file of weights of {clip.name}", f"correct {option}")
        return given
    for name in CACHED_NAMES:
        found = try_to_load_from_cache(clip.hub, name)
        if isinstance(found, str):
            return Path(found)
    problem = "its weights are not in the hub's cache, and no file of them is given"
    remedy = f"`hf download {clip.hub} {CACHED_NAMES[0]}`, or name a file: {option} FILE"
    raise UserError(clip.name, problem, remedy)


def read_weights(path: Path) -> dict[str, Tensor]:
    """Tensors by name, of safetensors, of a checkpoint, or of the TorchScript archive that OpenAI publishes."""
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        elif _is_torchscript(path):
            state = dict(torch.jit.load(path, map_location="cpu").state_dict())
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
            state = state.get("state_dict", state)
    except Exception as error:  # safetensors and torch raise many kinds for a damaged file
        problem = f"not a readable file of weights ({type(error).__name__})"
        raise UserError(path, problem, "fetch it again") from error
    numbers = ("input_resolution", "context_length", "vocab_size")  # which OpenAI stores among the weights
    return {name: value for name, value in state.items() if name not in numbers}


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())
