"""An experiment file, as frozen dataclasses.

The four groups of settings are what can differ between two experiments: the *method* (a preset of
the paper or of the released code), the *data* of each role, the *model* sizes and the *training*
budget. ``Method`` alone is what a row of a table may override.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Role = Literal["primary", "secondary", "novel"]
ROLES: tuple[Role, ...] = ("primary", "secondary", "novel")


@dataclass(frozen=True)
class Method:
    """What the paper specifies; ``experiments/method/*.yaml`` hold whole sets of these values."""

    # Tokens
    length: int  # L: positions of a token row (words and one end token)
    min_count: int  # a word of the vocabulary occurs at least so often in the train split
    # Diffusion
    steps: int  # T of Alg. 1
    time_delta: int  # Delta of Alg. 1, in steps
    t_max: float  # t' ~ U(0, t_max) in training
    self_condition: float  # probability of the self-conditioning pass, per batch
    sample_noise: bool  # add mu * eps in Alg. 1
    supervise_padding: bool  # L_XE and L_bit over all L positions, not only up to the first end token
    oov: Literal["clamp", "nearest"]  # what a bit code outside the vocabulary decodes to
    # Ranking visual encoder
    cls: bool  # the global vector is the first visual token
    visual_pos: bool  # learned positions on the visual tokens
    lambda_f: float  # share of keys kept by forward-ranking attention, Eq. 17
    lambda_e: float  # share of keys reused by inverse-ranking attention, Eq. 20
    routing: Literal["per_query", "query0", "shared_heads"]
    fusion: Literal["concat", "add0.2"]  # Eq. 23
    drop_last_key: bool  # the inverse branch omits the very last key (a slip of the released code)
    # Losses, Eq. 13
    lambda_xe: float
    lambda_bit: float
    lambda_rank: float
    label_smoothing: float
    delta_tim: float  # Eq. 27, a fraction of T
    delta_sen: float  # Eq. 28
    margin: bool  # hinge of Eq. 24 at |q_i* - q_j*| (True) or at 0
    average: Literal["all_pairs", "active_pairs"]  # 1/n^2 of Eq. 26, or over the pairs that both masks keep
    quality: Literal["mean_bits", "top5_words"]  # q of a predicted caption
    rank_in_cascade: bool  # L_rank also in the second cascade
    # Retrieved sentences
    retrieved: int  # captions kept per image
    exclude_own: bool  # a train image's own captions are not retrieved for it
    # Cascade
    cascade_noise: float  # probability that a word of the first cascade's caption is replaced
    # Guided self-critical training, Eq. 14
    rl_lr: float
    rl_references: Literal["all", "batch"]
    # Protocol
    images_per_step: int
    captions_per_image: int
    select_on: Literal["val", "test"]


@dataclass(frozen=True)
class Data:
    """The data set of one role."""

    source: Literal["scenes", "karpathy", "nocaps"]
    title: str = ""  # name shown in tables
    # source: scenes (numbers of images and of references per test image)
    train: int = 0
    val: int = 0
    test: int = 0
    references: int = 5
    # source: karpathy, nocaps (paths, relative to data_root)
    annotations: str = ""
    images: str = ""
    features: str = ""  # folder of published .npz features; empty: extract with the encoder
    caption_features: str = ""


@dataclass(frozen=True)
class Encoder:
    """The two-tower encoder that is trained on the primary train split."""

    image_size: int
    width: int  # channels of a grid cell (D) and of the joint space (E)
    steps: int
    images_per_step: int
    lr: float
    threads: int


@dataclass(frozen=True)
class Model:
    """Sizes of the captioner and of its autoregressive teacher."""

    dim: int
    heads: int
    ffn: int
    visual_layers: int  # N_v
    semantic_layers: int
    sentence_layers: int
    dropout: float
    visual_dropout: float


@dataclass(frozen=True)
class Training:
    """The budget of one training run."""

    xe_epochs: int
    rl_epochs: int
    teacher_xe_epochs: int
    teacher_rl_epochs: int
    schedule: Literal["noam", "cosine"]
    lr: float  # factor of Noam's formula, or peak of the cosine
    warmup_steps: int
    clip_value: float
    ema: float
    evaluate_every: int  # epochs between two evaluations on val
    evaluate_steps: int  # T of the sampler in those evaluations
    cascade_steps: int  # T of the sampler that captions the train split for the second cascade
    cascades: int  # networks in sequence for Tables II, III, IV and VII: 1 or 2
    ablation_cascades: int  # the same for Tables V, VI and VIII
    teacher_beam: int
    checkpoint_minutes: float
    threads: int


@dataclass(frozen=True)
class Experiment:
    """A whole experiment file, resolved: preset and overrides merged, defaults filled."""

    name: str
    method: Method
    method_name: str
    data: dict[Role, Data]
    encoder: Encoder
    model: Model
    training: Training
    seeds: tuple[int, ...]
    tables: tuple[str, ...]
    data_root: str = "."
    path: str = field(default="", compare=False)  # the file it was read from
