"""``rdt extract EXPERIMENT --role ROLE``: features of CLIP from a role's photographs and captions.

They are written as published, an ``.npz`` an image, into the folders that the experiment names. What is there
already is not made again, so that an interrupted extraction goes on where it was.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from rdt.data.dataset import load_role, require_photographs
from rdt.errors import UserError
from rdt.experiment.file import load_experiment
from rdt.experiment.settings import ROLES, Data
from rdt.features.clip import RN101, VIT_B_32, find_weights, require_open_clip
from rdt.features.extraction import (
    ClipModel,
    claim_folder,
    clip_model,
    extract_captions,
    extract_images,
    tell,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt extract``."""
    parser.add_argument("experiment", help="name of a file in experiments/, or the path of your own")
    parser.add_argument("--data-root", metavar="FOLDER", help="instead of the file's data_root")
    parser.add_argument("--role", required=True, choices=ROLES)
    parser.add_argument("--weights", type=Path, metavar="FILE", help="of RN101; without it, those in the hub's cache")
    parser.add_argument("--retrieval-weights", type=Path, metavar="FILE", help="the same of ViT-B/32")
    parser.add_argument("--skip-corrupt", action="store_true", help="go on without photographs that cannot be read")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="default: %(default)s")
    parser.add_argument("--batch", type=int, default=32, help="photographs at a time (default: %(default)s)")


def run(args: argparse.Namespace) -> None:
    """Fill the folders of a role, then tell which photographs could not be read."""
    require_open_clip()
    experiment = load_experiment(args.experiment, args.data_root)
    root, data = Path(experiment.data_root), _role(experiment.path, experiment.data.get(args.role), args.role)
    dataset = load_role(args.role, replace(data, features=""), Path(), root)  # the photographs, none of them skipped
    require_photographs(dataset)
    encoders, captions = _encoders(data, root, args)
    for encoder in (*encoders, captions):
        claim_folder(encoder)
    with torch.inference_mode():
        extract_captions(captions, dataset)
        corrupt = extract_images(encoders, dataset, args.batch)
    tell(corrupt, dataset, root / data.features, args.skip_corrupt)


def _role(path: str, data: Data | None, role: str) -> Data:
    if data is None or data.source == "scenes":
        problem = f"data.{role} names no photographs" if data is None else f"data.{role} is made by the suite"
        raise UserError(path, problem, f"name a data set under data.{role}")
    for key in ("images", "features"):
        if not getattr(data, key):
            problem = f"the key data.{role}.{key} is missing"
            raise UserError(path, problem, "name the folders of the photographs and, to be filled, of the features")
    return data


def _encoders(data: Data, root: Path, args: argparse.Namespace) -> tuple[list[ClipModel], ClipModel]:
    """What encodes the photographs, and what encodes the captions."""
    folders = [(RN101, data.features, args.weights, "--weights")]
    if data.retrieval_features:
        folders.append((VIT_B_32, data.retrieval_features, args.retrieval_weights, "--retrieval-weights"))
    encoders = []
    for clip, folder, given, option in folders:
        encoders.append(clip_model(clip, root / folder, find_weights(clip, given, option), args.device))
    return encoders, replace(encoders[-1], folder=root / data.caption_features)
