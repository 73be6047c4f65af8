"""The estimate that a dry run prints: sizes from the data or, where they are not there, from what is public."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rdt.data.dataset import SPLITS
from rdt.data.public import public_set
from rdt.errors import UserError
from rdt.experiment.network_work import RoleSizes, feature_dims
from rdt.experiment.paths import Paths
from rdt.experiment.plan import Plan
from rdt.experiment.settings import Experiment, Role
from rdt.files import read_json
from rdt.report.multiply_adds import RATE, CostLine, cost

WORDS = 10_000  # about COCO's, until a vocabulary is made


def cost_estimate(plan: Plan, paths: Paths) -> str:
    """A table of the jobs by kind with their multiply-adds and GPU hours, or why there is none."""
    sizes = sizes_of(plan.experiment, paths)
    unknown = next((role for role in plan.experiment.data if role not in sizes), None)
    if unknown is not None:
        path = ", ".join(plan.experiment.data[unknown].annotation_files)
        return f"no estimate of the cost: {path} is not there, or not annotations, and no public file is called so"
    return estimate_table(cost(plan, sizes))


def sizes_of(experiment: Experiment, paths: Paths) -> dict[Role, RoleSizes]:
    """The sizes of each role whose images can be counted, as exact as what is there allows."""
    counted = {role: _image_counts(experiment, role) for role in experiment.data}
    return {
        role: RoleSizes(images, _word_count(paths, role), *feature_dims(experiment, role))
        for role, images in counted.items()
        if images is not None
    }


def estimate_table(lines: Sequence[CostLine]) -> str:
    """The estimate as text."""
    total = CostLine("all of them", sum(line.jobs for line in lines), sum(line.multiply_adds for line in lines))
    rows = [
        f"{line.jobs:5}  {line.multiply_adds:13.1e}  {line.gpu_hours:9,.1f}  {line.kind}" for line in [*lines, total]
    ]
    return "\n".join(
        [
            "estimate for everything, from nothing; inferred from multiply-adds, not measured:",
            "count  multiply-adds  GPU hours",
            *rows,
            f"GPU hours are at {RATE / 1e12:g}e12 multiply-adds a second, an assumed rate: about a quarter of the "
            "float32 peak of an RTX 4090",
        ]
    )


def _image_counts(experiment: Experiment, role: Role) -> dict[str, int] | None:
    data = experiment.data[role]
    if data.source == "scenes":
        return {"train": data.train, "val": data.val, "test": data.test}
    paths = [Path(experiment.data_root) / name for name in data.annotation_files]
    public = public_set(data)
    if not all(path.is_file() for path in paths):
        return public.splits if public else None
    try:
        entries = [entry for path in paths for entry in read_json(path)["images"]]
        if data.source == "nocaps":
            return {"test": len(entries)}
        found = Counter(entry["split"] for entry in entries)
        return {ours: sum(found[name] for name in karpathys) for ours, karpathys in SPLITS.items()}
    except (UserError, KeyError, TypeError):
        return None  # the step that reads the file tells what is wrong with it


def _word_count(paths: Paths, role: Role) -> int:
    path = paths.vocabulary(role)
    return len(read_json(path)["words"]) if path.is_file() else WORDS
