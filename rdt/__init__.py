"""The reproduction suite of *Fine-Grained Image Captioning by Ranking Diffusion Transformer*."""

from rdt.lazy import lazy_exports

__version__ = "0.1.0"
__all__ = ["PhotoCaption", "caption"]  # noqa: F822 - found when they are used
__getattr__ = lazy_exports(__name__, {"caption": "rdt.captioning.photos", "PhotoCaption": "rdt.captioning.photos"})
