"""The captioner, its autoregressive teacher and the ranking attention that they are about.

The names below are imported when they are used: ``import rdt.model`` does not import torch.
"""

from rdt.lazy import lazy_exports

_MODULES = {
    "Captioner": "rdt.model.captioner",
    "RankingAttention": "rdt.model.attention",
    "Teacher": "rdt.model.teacher",
}
__all__ = list(_MODULES)
__getattr__ = lazy_exports(__name__, _MODULES)
