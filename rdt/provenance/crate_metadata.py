"""What ``ro-crate-metadata.json`` says of a finished experiment.

RO-Crate 1.1 with the profiles Process Run Crate 0.5, Workflow Run Crate 0.5 and Workflow RO-Crate 1.0: the
Snakefile is the workflow, its run one ``CreateAction``, and every manifest another.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rdt import __version__
from rdt.data.published import PUBLISHED
from rdt.digests import ROOT, file_digest
from rdt.experiment.plan import TABLES_FILE
from rdt.experiment.settings import Experiment
from rdt.provenance.manifest import manifest_path
from rdt.provenance.steps import CLAIMS_FILE, Step

Entity = dict[str, Any]

METADATA = "ro-crate-metadata.json"
CONTEXT = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]
CRATE = "https://w3id.org/ro/crate/1.1"
WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    WORKFLOW_CRATE: ("Workflow RO-Crate", "1.0"),
}
LICENCE = "https://spdx.org/licenses/MIT"
PYTHON = "https://www.python.org/"
SNAKEMAKE = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"
COMPLETED = "http://schema.org/CompletedActionStatus"
WORKFLOW = "Snakefile"
OUTSIDE = "#input/"
ENCODINGS = {
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".md": "text/markdown",
    ".parquet": "application/vnd.apache.parquet",
    ".png": "image/png",
    ".py": "text/x-python",
    ".safetensors": "application/octet-stream",
    ".tex": "text/x-tex",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".zip": "application/zip",
}


def _ref(entity_id: str) -> dict[str, str]:
    return {"@id": entity_id}


def _refs(ids: Iterable[str]) -> dict[str, str] | list[dict[str, str]]:
    """References without repetition; RO-Crate wants a single one to stand alone."""
    found = [_ref(entity_id) for entity_id in dict.fromkeys(ids)]
    return found[0] if len(found) == 1 else found


def quoted(name: str) -> str:
    """A path as a URI reference; letters of other alphabets stay, as RO-Crate recommends."""
    return "".join(quote(letter) if letter.isascii() else letter for letter in name)


PARAMETER: Entity = {
    "@id": "#experiment",
    "@type": "FormalParameter",
    "additionalType": "File",
    "name": "experiment",
    "description": "What is run: data, encoder, method, budget, seeds and tables.",
}
DESCRIPTOR: Entity = {
    "@id": METADATA,
    "@type": "CreativeWork",
    "about": _ref("./"),
    "conformsTo": [_ref(CRATE), _ref(WORKFLOW_CRATE)],
}
PROFILE_ENTITIES: list[Entity] = [
    {"@id": profile, "@type": "CreativeWork", "name": name, "version": version}
    for profile, (name, version) in PROFILES.items()
]
LICENCE_ENTITY: Entity = {
    "@id": LICENCE,
    "@type": "CreativeWork",
    "name": "MIT License",
    "identifier": LICENCE,
    "description": "Of the suite and of what it generates. A user's own images and annotations are not in this crate.",
}


@dataclass(frozen=True)
class Made:
    """A step that has been made: its manifest, and the files that go into the crate, by name there."""

    step: Step
    manifest: Mapping[str, Any]
    files: Mapping[str, Path]

    @property
    def complete(self) -> bool:
        """Whether all that the step made is in the crate."""
        return len(self.files) == len(self.manifest["files"])

    @property
    def started(self) -> datetime.datetime:
        return datetime.datetime.fromisoformat(self.manifest["started"])

    @property
    def ended(self) -> datetime.datetime:
        return self.started + datetime.timedelta(seconds=round(self.manifest["wall_seconds"]))


def experiment_name(experiment: Experiment) -> str:
    """The experiment file's name in the crate."""
    path = Path(experiment.path).resolve()
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else f"experiments/{path.name}"


def metadata(
    experiment: Experiment, made: Sequence[Made], files: Mapping[str, Entity], commands: Mapping[str, str]
) -> Entity:
    """``ro-crate-metadata.json``; ``files`` are the File entities by name."""
    run = _run_entity(experiment, made)
    actions = [_action_entity(one, made, files) for one in made]
    outputs = [_output_entity(one) for one in made]
    described = {name: dict(entity) for name, entity in files.items()}
    described[WORKFLOW] |= _workflow_properties(made)
    if "README.md" in described:
        described["README.md"] |= {"about": _ref("./")}
    described[experiment_name(experiment)] |= {"exampleOfWork": _ref(PARAMETER["@id"])}
    for one in made:
        described[manifest_path(one.step.target).as_posix()] |= {"about": _ref(_action_id(one.step))}
    graph = [
        DESCRIPTOR,
        _root_entity(experiment, made, described, [run, *actions, *outputs]),
        *PROFILE_ENTITIES,
        LICENCE_ENTITY,
        PARAMETER,
        _language_entity(made),
        *_requirement_entities(made),
        *_tool_entities(made, commands),
        run,
        *actions,
        *outputs,
        *_outside_entities(made, files),
        *described.values(),
    ]
    return {"@context": CONTEXT, "@graph": graph}


def file_entity(name: str, path: Path) -> Entity:
    """A file of the crate."""
    return {
        "@id": quoted(name),
        "@type": "File",
        "name": name,
        "contentSize": str(path.stat().st_size),
        "encodingFormat": ENCODINGS.get(path.suffix, "text/plain"),
        "sha256": file_digest(path),
    }


def _root_entity(
    experiment: Experiment, made: Sequence[Made], files: Mapping[str, Entity], mentioned: Sequence[Entity]
) -> Entity:
    sets = ", ".join(f"{data.title or data.source} ({role})" for role, data in experiment.data.items())
    return {
        "@id": "./",
        "@type": "Dataset",
        "name": f"Ranking Diffusion Transformer: experiment {experiment.name}",
        "description": (
            "A reproduction of Fine-Grained Image Captioning by Ranking Diffusion Transformer: Tables "
            f"{', '.join(experiment.tables)} on {sets}, with captions, scores, configurations and provenance."
        ),
        "datePublished": max(one.ended for one in made).isoformat(),
        "license": _ref(LICENCE),
        "conformsTo": [_ref(profile) for profile in PROFILES],
        "mainEntity": _ref(WORKFLOW),
        "hasPart": _refs(entity["@id"] for entity in files.values()),
        "mentions": _refs(entity["@id"] for entity in mentioned),
    }


def _run_entity(experiment: Experiment, made: Sequence[Made]) -> Entity:
    """The execution of the workflow: from the first step that was made to the last."""
    read = [TABLES_FILE, CLAIMS_FILE, *(PUBLISHED / f"table_{table}.csv" for table in experiment.tables)]
    inputs = [experiment_name(experiment), *(path.resolve().relative_to(ROOT).as_posix() for path in read)]
    return {
        "@id": "#run",
        "@type": "CreateAction",
        "name": f"Run of experiment {experiment.name}",
        "description": f"snakemake all --config experiment={experiment.name}",
        "instrument": _ref(WORKFLOW),
        "startTime": min(one.started for one in made).isoformat(),
        "endTime": max(one.ended for one in made).isoformat(),
        "actionStatus": COMPLETED,
        "object": _refs(quoted(name) for name in inputs),
        "result": _refs(quoted(name) for one in made if one.step.name in ("tables", "claims") for name in one.files),
    }


def _workflow_properties(made: Sequence[Made]) -> Entity:
    return {
        "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
        "name": "Tables II-VIII of Fine-Grained Image Captioning by Ranking Diffusion Transformer",
        "version": __version__,
        "license": _ref(LICENCE),
        "programmingLanguage": _ref(SNAKEMAKE),
        "input": _ref(PARAMETER["@id"]),
        "hasPart": _refs(_tool_id(name) for name in dict.fromkeys(one.step.name for one in made)),
        "softwareRequirements": _refs(entity["@id"] for entity in _requirement_entities(made)),
    }


def _language_entity(made: Sequence[Made]) -> Entity:
    return {
        "@id": SNAKEMAKE,
        "@type": "ComputerLanguage",
        "name": "Snakemake",
        "identifier": _ref("https://doi.org/10.1093/bioinformatics/bts480"),
        "url": _ref("https://snakemake.readthedocs.io"),
        "version": made[-1].manifest["versions"]["snakemake"],
    }


def _requirement_entities(made: Sequence[Made]) -> list[Entity]:
    """What the last step ran with: Python and packages."""
    versions = dict(made[-1].manifest["versions"])
    python = {"@id": PYTHON, "name": "Python", "url": PYTHON, "softwareVersion": versions.pop("python")}
    pages = {name: f"https://pypi.org/project/{name}/" for name in versions}
    packages = [
        {"@id": f"{pages[name]}{quoted(version)}/", "name": name, "url": pages[name], "softwareVersion": version}
        for name, version in versions.items()
    ]
    return [{"@type": "SoftwareApplication", **entity} for entity in (python, *packages)]


def _tool_entities(made: Sequence[Made], commands: Mapping[str, str]) -> list[Entity]:
    """The commands that made the steps; ``commands`` says what each does."""
    return [
        {
            "@id": _tool_id(name),
            "@type": "SoftwareApplication",
            "name": f"rdt {name}",
            "description": commands[name],
            "softwareVersion": __version__,
        }
        for name in dict.fromkeys(one.step.name for one in made)
    ]


def _action_entity(one: Made, made: Sequence[Made], files: Mapping[str, Entity]) -> Entity:
    """The execution of one step."""
    inputs = [_input_id(source["path"], made, files) for source in one.manifest["inputs"].values()]
    return {
        "@id": _action_id(one.step),
        "@type": "CreateAction",
        "name": f"rdt {one.step.name}: {one.step.target.as_posix()}",
        "description": " ".join(one.manifest["command"]),
        "instrument": _ref(_tool_id(one.step.name)),
        "startTime": one.started.isoformat(),
        "endTime": one.ended.isoformat(),
        "actionStatus": COMPLETED,
        **({"object": _refs(inputs)} if inputs else {}),
        "result": _ref(_output_id(one.step)),
    }


def _output_entity(one: Made) -> Entity:
    """What a step made, as a whole; its digest is the one that the steps after it recorded."""
    files = [quoted(name) for name in one.files]
    return {
        "@id": _output_id(one.step),
        "@type": "Collection" if one.complete else "CreativeWork",
        "name": one.step.target.as_posix(),
        "description": "All its files are here." if one.complete else "Its manifest lists files that are not here.",
        "sha256": one.manifest["content"],
        **({"hasPart": _refs(files), "mainEntity": _ref(files[0])} if files else {}),
    }


def _outside_entities(made: Sequence[Made], files: Mapping[str, Entity]) -> list[Entity]:
    """What steps read that is neither here nor made by one: a user's annotations."""
    sources = [source for one in made for source in one.manifest["inputs"].values()]
    found = {_input_id(source["path"], made, files): source for source in sources}
    return [
        {
            "@id": entity_id,
            "@type": "CreativeWork",
            "name": Path(source["path"]).name,
            "description": "Read by the workflow, not in this crate.",
            "sha256": source["digest"],
        }
        for entity_id, source in found.items()
        if entity_id.startswith(OUTSIDE)
    ]


def _input_id(path: str, made: Sequence[Made], files: Mapping[str, Entity]) -> str:
    """The entity that stands for an input: a file that is here, the output that it is of, or itself."""
    source = Path(path).resolve()
    name = source.relative_to(ROOT).as_posix() if source.is_relative_to(ROOT) else path
    for known in (path, name):
        if known in files:
            return quoted(known)
    above = (Path(path), *Path(path).parents)
    outputs = {one.step.target: one.step for one in made}
    maker = next((outputs[output] for output in above if output in outputs), None)
    return OUTSIDE + quoted(path) if maker is None else _output_id(maker)


def _action_id(step: Step) -> str:
    return f"#action/{quoted(step.target.as_posix())}"


def _output_id(step: Step) -> str:
    return f"#output/{quoted(step.target.as_posix())}"


def _tool_id(name: str) -> str:
    return f"#rdt-{name}"
