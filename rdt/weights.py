"""Weights on disk: ``model.safetensors``, and the ``config.json`` that says what they were trained with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from rdt.errors import UserError
from rdt.io import atomic_write_bytes, atomic_write_json, read_json


def save_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Write a state dictionary as safetensors, atomically."""
    # Not save_file, which writes files that nobody else may read, whatever the umask.
    atomic_write_bytes(path, save({name: value.contiguous() for name, value in weights.items()}))


def load_weights(path: Path, model: nn.Module) -> None:
    """Fill ``model`` from safetensors; UserError when the file is damaged or of another shape."""
    try:
        model.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise UserError(path, "the file does not exist", "train this stage first") from None
    except (SafetensorError, RuntimeError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(path, f"not weights of this network ({reason})", "train this stage again") from error


def check_configuration(folder: Path, expected: Mapping[str, Any]) -> None:
    """UserError when the weights in ``folder`` were trained with another configuration or vocabulary."""
    path = folder / "config.json"
    found = read_json(path)
    for key, value in expected.items():
        if found.get(key) != value:
            values = "" if isinstance(value, Mapping) else f" ({found.get(key)}, expected {value})"
            remedy = f"use the data that it was trained with, or delete {folder} and train this stage again"
            raise UserError(path, f"weights of another {key}{values}", remedy)


def save_configuration(folder: Path, value: Mapping[str, Any]) -> None:
    """Write ``config.json``."""
    atomic_write_json(folder / "config.json", dict(value))
