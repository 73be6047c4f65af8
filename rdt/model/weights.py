"""Weights on disk, as safetensors."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from rdt.errors import UserError
from rdt.files import atomic_write_bytes


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
