"""An experiment file, as frozen dataclasses.

The four groups of settings are what can differ between two experiments: the *method* (a preset of
the paper or of the released code), the *data* of each role, the *model* sizes and the *training*
budget. ``Method`` alone is what a row of a table may override.

The annotations are the only place that says which type and range a value has, and whose weights it
decides: the reader of experiment files (:mod:`rdt.experiment.file`), the JSON schema and the identity of a
run (:mod:`rdt.experiment.runs`) are derived from them.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar, get_args, get_type_hints

Item = TypeVar("Item")

Role = Literal["primary", "secondary", "novel"]
Phase = Literal["xe", "rl"]
Stage = Literal["xe", "xe2", "rl", "rl2"]
Kind = Literal["captioner", "teacher", "given"]  # of a run; a given one has captions that were made elsewhere
Naming = Literal["id", "number", "photograph"]  # what features are called by: image ids, or photographs' names
GRID_SIDE = 7  # cells of an encoder's grid of an image, in a row and in a column
GRID_CELLS = GRID_SIDE**2
ROLES: tuple[Role, ...] = ("primary", "secondary", "novel")
Table = Literal["II", "III", "IV", "V", "VI", "VII", "VIII"]
TABLES: tuple[Table, ...] = ("II", "III", "IV", "V", "VI", "VII", "VIII")


@dataclass(frozen=True)
class Range:
    """The interval from ``least`` to ``most``, both allowed unless the flag says otherwise."""

    least: float
    most: float = math.inf
    open_left: bool = False
    open_right: bool = False

    def __contains__(self, value: float) -> bool:
        above = self.least < value if self.open_left else self.least <= value
        below = value < self.most if self.open_right else value <= self.most
        return above and below and math.isfinite(value)

    def __str__(self) -> str:
        if self.most == math.inf:
            return f"{'above' if self.open_left else 'at least'} {self.least:g}"
        return f"in {'(' if self.open_left else '['}{self.least:g}, {self.most:g}{')' if self.open_right else ']'}"


Count = Annotated[int, Range(1)]
CountOrZero = Annotated[int, Range(0)]
Positive = Annotated[float, Range(0, open_left=True)]
NotNegative = Annotated[float, Range(0)]
Probability = Annotated[float, Range(0, 1)]
Share = Annotated[float, Range(0, 1, open_left=True)]
Fraction = Annotated[float, Range(0, 1, open_right=True)]
Seed = Annotated[int, Range(0, 2**32 - 1)]


@dataclass(frozen=True)
class Decides:
    """Marks a setting that decides the weights of these kinds of runs alone; one without a mark decides all."""

    kinds: tuple[Kind, ...]


# The teacher denoises nothing, ranks nothing and sees no retrieved sentence.
CaptionerOnly = Annotated[Item, Decides(("captioner",))]
Aside = Annotated[Item, Decides(())]  # says how, how many or under which name; or the run itself says it


@functools.cache
def deciding(group: type, kind: Kind) -> tuple[str, ...]:
    """Names of the settings of a group that decide the weights of a ``kind`` of run."""
    hints = get_type_hints(group, include_extras=True)
    return tuple(name for name, hint in hints.items() if kind in _decided_by(hint))


def _decided_by(hint: Any) -> tuple[Kind, ...]:
    marks = [mark.kinds for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, Decides)]
    return marks[0] if marks else get_args(Kind)


@dataclass(frozen=True)
class Method:
    """What the paper specifies; ``experiments/method/*.yaml`` hold whole sets of these values."""

    # Tokens
    length: Annotated[int, Range(4)]  # L: positions of a token row (words and one end token)
    min_count: Count  # a word of the vocabulary occurs at least so often in the train split
    # Diffusion
    steps: CaptionerOnly[Count]  # T of Alg. 1
    time_delta: CaptionerOnly[CountOrZero]  # Delta of Alg. 1, in steps
    t_max: CaptionerOnly[Share]  # t' ~ U(0, t_max) in training
    self_condition: CaptionerOnly[Probability]  # probability of the self-conditioning pass, per batch
    sample_noise: CaptionerOnly[bool]  # add mu * eps in Alg. 1
    supervise_padding: CaptionerOnly[bool]  # L_XE and L_bit over all L positions, not only to the first end token
    oov: CaptionerOnly[Literal["clamp", "nearest"]]  # what a bit code outside the vocabulary decodes to
    # Ranking visual encoder
    cls: bool  # the global vector is the first visual token
    visual_pos: bool  # learned positions on the visual tokens
    lambda_f: CaptionerOnly[Share]  # share of keys kept by forward-ranking attention, Eq. 17
    lambda_e: CaptionerOnly[Probability]  # share of keys reused by inverse-ranking attention, Eq. 20
    routing: CaptionerOnly[Literal["per_query", "query0", "shared_heads"]]
    fusion: CaptionerOnly[Literal["concat", "add0.2"]]  # Eq. 23
    drop_last_key: CaptionerOnly[bool]  # the inverse branch omits the very last key (a slip of the released code)
    # Losses, Eq. 13
    lambda_xe: CaptionerOnly[NotNegative]
    lambda_bit: CaptionerOnly[NotNegative]
    lambda_rank: CaptionerOnly[NotNegative]
    label_smoothing: Fraction
    delta_tim: CaptionerOnly[Probability]  # Eq. 27, a fraction of T
    delta_sen: CaptionerOnly[Annotated[float, Range(0, 2)]]  # Eq. 28; q lies in [-1, 1], so 2 keeps every pair
    margin: CaptionerOnly[bool]  # hinge of Eq. 24 at |q_i* - q_j*| (True) or at 0
    average: CaptionerOnly[Literal["all_pairs", "active_pairs"]]  # 1/n^2 of Eq. 26, or of the pairs in both masks
    quality: CaptionerOnly[Literal["mean_bits", "top5_words"]]  # q of a predicted caption
    rank_in_cascade: CaptionerOnly[bool]  # L_rank also in the second cascade
    # Retrieved sentences
    retrieved: CaptionerOnly[Count]  # captions kept per image
    exclude_own: CaptionerOnly[bool]  # a train image's own captions are not retrieved for it
    # Cascade
    cascade_noise: CaptionerOnly[Probability]  # probability that a word of the first cascade's caption is replaced
    # Guided self-critical training, Eq. 14
    rl_lr: CaptionerOnly[Positive]
    rl_references: Literal["all", "batch"]
    # Protocol
    images_per_step: Count
    captions_per_image: Count
    select_on: Literal["val", "test"]
    # Since runs have names, with a default, so that the names stay
    guide_cascade: CaptionerOnly[bool] = False  # the teacher's row of Eq. 14 also in the second cascade
    # Controls, experiments/controls.yaml: neither the paper's nor the released code's
    keys: CaptionerOnly[Literal["ranked", "random"]] = "ranked"  # which keys the ranking visual encoder keeps
    rank_target: CaptionerOnly[Literal["own", "renumbered", "shuffled"]] = "own"  # whose q* L_rank orders by


@dataclass(frozen=True)
class Data:
    """The data set of one role."""

    source: Literal["scenes", "karpathy", "nocaps"]
    title: Aside[str] = ""  # name shown in tables
    as_in_paper: Aside[bool] = False  # the data that the paper's columns of this role are about: levels compare
    # source: scenes (numbers of images and of references per test image)
    train: CountOrZero = 0
    val: CountOrZero = 0
    test: CountOrZero = 0
    references: Count = 5
    # source: karpathy, nocaps (paths, relative to data_root)
    annotations: tuple[str, ...] | str = ""  # one file, or several that make up the data set
    images: str = ""
    features: str = ""  # folder or file of published features; empty: extract with the encoder
    caption_features: str = ""
    retrieval_features: str = ""  # folder whose g_feature is in the captions' space; empty: features' own is
    features_named_by: Literal["", "id", "number", "photograph"] = ""  # empty: the one that fits
    grid_key: str = "features"  # the array of an image's grid
    global_key: str = "g_feature"  # that of global vectors

    @property
    def annotation_files(self) -> tuple[str, ...]:
        """The files of the annotations."""
        return (self.annotations,) if isinstance(self.annotations, str) else self.annotations


@dataclass(frozen=True)
class EncoderSettings:
    """The two-tower encoder that is trained on the primary train split."""

    image_size: Count
    width: Count  # channels of a grid cell (D) and of the joint space (E)
    epochs: Count
    images_per_step: Annotated[int, Range(2)]  # a contrastive batch needs a pair
    lr: Positive
    threads: Aside[Count]


@dataclass(frozen=True)
class ModelSettings:
    """Sizes of the captioner and of its autoregressive teacher."""

    dim: Count
    heads: Count
    ffn: Count
    visual_layers: Count  # N_v
    semantic_layers: Count
    sentence_layers: Count
    dropout: Fraction
    visual_dropout: Fraction


@dataclass(frozen=True)
class TrainingSettings:
    """The budget of one training run."""

    xe_epochs: Aside[Count]  # a run has these or the grids': Run.xe_epochs
    grid_xe_epochs: Aside[Count]  # the same for the rows of the grids, Tables VI and VIII
    rl_epochs: CaptionerOnly[CountOrZero]
    teacher_xe_epochs: Count
    teacher_rl_epochs: CountOrZero
    teacher_rl_lr: Positive  # the captioner's is the method's rl_lr
    schedule: Literal["noam", "cosine"]
    lr: Positive  # factor of Noam's formula, or peak of the cosine
    warmup_steps: Count
    clip_value: Positive
    ema: Fraction
    evaluate_every: Count  # epochs between two evaluations on val
    evaluate_steps: CaptionerOnly[Count]  # T of the sampler in those evaluations
    cascade_steps: CaptionerOnly[Count]  # T of the sampler that captions the train split for the second cascade
    cascades: Aside[Literal[1, 2]]  # networks in sequence for Tables II, III, IV and VII
    ablation_cascades: Aside[Literal[1, 2]]  # the same for Tables V, VI and VIII
    teacher_beam: Count
    checkpoint_minutes: Aside[NotNegative]
    threads: Aside[Count]  # of each process
    device: Aside[Literal["cpu", "auto", "cuda"]] = "cpu"  # auto: a GPU if there is one
    precision: Literal["float32", "bfloat16"] = "float32"  # of the layers in a training step
    processes: Aside[Count] = 1  # that train a network together: Snakemake starts them with torchrun
    workers: Aside[CountOrZero] = 0  # of each process, to make its batches; 0: it makes them itself


@dataclass(frozen=True)
class Seeds:
    """The seeds of every row: one run each, in cross-entropy (xe) and in CIDEr optimisation (rl) columns.

    ``grid``: the seeds of Tables VI and VIII, where they differ from cross-entropy's.
    """

    xe: tuple[Seed, ...]
    rl: tuple[Seed, ...]
    grid: tuple[Seed, ...] = ()

    def of(self, phase: Phase, grid: bool = False) -> tuple[int, ...]:
        """The seeds of one phase, in a grid or elsewhere."""
        if grid and self.grid:
            return self.grid
        return self.xe if phase == "xe" else self.rl


ENGLISH = "en"


@dataclass(frozen=True)
class MetricSettings:
    """How captions are scored."""

    language: str = ENGLISH  # code of the captions' language, such as de or zh


@dataclass(frozen=True)
class GivenRow:
    """A row of a table whose captions were made elsewhere."""

    row: str  # its label
    captions: dict[Literal["test", "primary/test", "secondary/test", "novel/test"], str]  # results, paths as in Data
    cite: str = ""
    seed: Seed = 0  # paired with the other rows' networks of this seed
    group: str = "Captions made elsewhere"


@dataclass(frozen=True)
class Experiment:
    """A whole experiment file, resolved: preset and overrides merged, defaults filled."""

    name: str
    method: Method
    method_name: str
    data: dict[Role, Data]
    encoder: EncoderSettings | None  # None where every role has published features
    model: ModelSettings
    training: TrainingSettings
    seeds: Seeds
    tables: tuple[Table, ...]
    rows: dict[Table, tuple[str, ...]] = field(default_factory=dict)  # measured rows to run; all of a table not named
    extra_rows: dict[Table, tuple[GivenRow, ...]] = field(default_factory=dict)  # below the rows of a table
    metrics: MetricSettings = MetricSettings()
    data_root: str = "."
    path: str = field(default="", compare=False)  # the file it was read from


def pool_role(role: Role) -> Role:
    """Whose train captions are retrieved for a role: the novel one has no train split of its own."""
    return "primary" if role == "novel" else role
