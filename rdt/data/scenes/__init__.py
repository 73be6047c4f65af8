"""The embedded data set: rendered scenes with fine-grained captions."""

from __future__ import annotations

from rdt.data.scenes.build import build_scenes

__all__ = ["build_scenes"]
