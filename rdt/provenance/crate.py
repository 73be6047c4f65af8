"""A finished experiment as a Workflow Run RO-Crate: one zip with its results and how they came about.

What its metadata say is in :mod:`rdt.provenance.crate_metadata`. The same results give the same bytes.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from rdt.digests import ROOT
from rdt.errors import UserError
from rdt.files import atomic_file, read_json
from rdt.provenance.crate_metadata import METADATA, Entity, Made, experiment_name, file_entity, metadata
from rdt.provenance.manifest import manifest_path, output_files
from rdt.provenance.steps import Chain, Step, claims, side, tables

# What the Snakefile needs to run, and what says how: patterns in this repository.
REPOSITORY = (
    *("Snakefile", "Makefile", "environment.yml", "pyproject.toml", "requirements*.lock", "profiles/**/*.yaml"),
    *("workflow/**/*", "experiments/**/*.yaml", "rdt/**/*"),
    *("reports/claims.yaml", "reports/attention_cost.json", "reports/published/*"),
    *("LICENSE", "README.md", "docs/*", "CITATION.cff", "CHANGELOG.md"),
)
# What is taken of the steps that make large files; of all others everything is.
LARGE = {
    "scenes": ("dataset.json", "layout.npz"),
    "features": (),
    "index": (),
    "encoder": (),
    "train": ("config.json", "curves.csv"),
}
EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold


def made_steps(chain: Chain, weights: bool) -> list[Made]:
    """Every step behind the tables, the claims and the side plans that are there.

    Raises UserError at the first that has not been made.
    """
    sides = (side(one, chain.paths) for one in chain.plan.sides)
    wanted = [tables(chain.plan, chain.paths), claims(chain.plan, chain.paths)]
    wanted += [step for step in sides if step.target.exists()]
    return [_made(step, weights) for step in chain.behind(*wanted)]


def _made(step: Step, weights: bool) -> Made:
    path = manifest_path(step.target)
    if not path.is_file():
        raise UserError(step.target, "has not been made, so the experiment is not finished", "let snakemake finish it")
    manifest = read_json(path)
    wanted = LARGE.get(step.name)
    files = {
        path.as_posix(): path
        for path in output_files(step.target, manifest)
        if wanted is None or path.name in wanted or (weights and step.name != "scenes")
    }
    return Made(step, manifest, files)


def repository_files() -> dict[str, Path]:
    """The workflow and its code, by name in the crate."""
    found = {path for pattern in REPOSITORY for path in ROOT.glob(pattern)}
    kept = (path for path in found if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT).as_posix(): path for path in kept}


def contents(chain: Chain, made: Sequence[Made]) -> dict[str, Path]:
    """Every file of the crate but the generated ones, by its name there, in order of names."""
    files = repository_files()
    files[experiment_name(chain.plan.experiment)] = Path(chain.plan.experiment.path)
    reports = (path for path in chain.paths.reports.rglob("[!.]*") if path.is_file())
    files |= {path.as_posix(): path for path in reports}
    for one in made:
        files |= one.files
        manifest = manifest_path(one.step.target)
        files[manifest.as_posix()] = manifest
    return dict(sorted(files.items()))


def write_crate(chain: Chain, out: Path, weights: bool, commands: Mapping[str, str]) -> int:
    """Write the crate of a finished experiment to ``out``; returns the number of its files.

    ``weights``: whether weights, features and index go in, with which another machine goes on. ``commands``: what each
    command does, by its name.

    Raises UserError where a step has not been made, or a file is not the one that its manifest records.
    """
    made = made_steps(chain, weights)
    files = contents(chain, made)
    entities = {name: file_entity(name, path) for name, path in files.items()}
    _check_digests(made, entities)
    described = metadata(chain.plan.experiment, made, entities, commands)
    text = json.dumps(described, indent=2, ensure_ascii=False) + "\n"
    with atomic_file(out) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(_entry(METADATA), text)
        for name, path in files.items():
            with path.open("rb") as source, archive.open(_entry(name), "w", force_zip64=True) as target:
                shutil.copyfileobj(source, target)
    return len(files) + 1


def _entry(name: str) -> zipfile.ZipInfo:
    """A file of the zip without the time, the owner and the system, which differ from one writing to the next."""
    entry = zipfile.ZipInfo(name, EPOCH)
    entry.compress_type, entry.create_system, entry.external_attr = zipfile.ZIP_DEFLATED, 3, 0o644 << 16
    return entry


def _check_digests(made: Sequence[Made], entities: Mapping[str, Entity]) -> None:
    for one in made:
        recorded = output_files(one.step.target, one.manifest)
        for name, path in one.files.items():
            if entities[name]["sha256"] != recorded[path]:
                raise UserError(path, "is not the file that was made", "run `rdt verify`, which tells what is broken")
