"""Corpus metrics of captions, CIDEr-D as a reward, diversity.

The names below are imported when they are used, and with them what they need.
"""

from rdt.lazy import lazy_exports

_MODULES = {
    "CiderD": "rdt.metrics.ciderd",
    "Scorer": "rdt.metrics.corpus",
    "evaluate": "rdt.metrics.corpus",
}
__all__ = list(_MODULES)
__getattr__ = lazy_exports(__name__, _MODULES)
