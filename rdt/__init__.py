"""The reproduction suite of *Fine-Grained Image Captioning by Ranking Diffusion Transformer*."""

__version__ = "0.1.0"
