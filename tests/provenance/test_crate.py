"""The RO-Crate of a finished experiment against what RO-Crate 1.1 and its workflow run profiles 0.5 require."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from rdt.provenance.crate_metadata import quoted
from tests.support import finished as suite
from tests.support import tiny

pytestmark = pytest.mark.slow
PROCESS, WORKFLOW = "https://w3id.org/ro/wfrun/process/0.5", "https://w3id.org/ro/wfrun/workflow/0.5"
WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"


def export(folder: Path, out: Path, *options: str) -> zipfile.ZipFile:
    done = suite.rdt(folder, "export", "--crate", str(out), *options)
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(out)


@pytest.fixture(scope="module")
def crate(finished, tmp_path_factory) -> zipfile.ZipFile:
    return export(finished, tmp_path_factory.mktemp("crate") / "out.zip")


@pytest.fixture(scope="module")
def metadata(crate) -> dict[str, Any]:
    return json.loads(crate.read("ro-crate-metadata.json"))


@pytest.fixture(scope="module")
def entities(metadata) -> dict[str, dict[str, Any]]:
    found = {entity["@id"]: entity for entity in metadata["@graph"]}
    assert len(found) == len(metadata["@graph"])  # an @id stands once
    return found


def types(entity: dict[str, Any]) -> list[str]:
    return entity["@type"] if isinstance(entity["@type"], list) else [entity["@type"]]


def ids(value: Any) -> list[str]:
    return [one["@id"] for one in (value if isinstance(value, list) else [value])]


def references(value: Any) -> list[str]:
    """All ``{"@id": ...}`` inside the properties of an entity."""
    if isinstance(value, list):
        return [one for part in value for one in references(part)]
    if isinstance(value, dict):
        return [value["@id"]] if set(value) == {"@id"} else [one for part in value.values() for one in references(part)]
    return []


def test_it_is_flat_json_ld_with_both_contexts(metadata):
    assert set(metadata) == {"@context", "@graph"}
    assert metadata["@context"] == [
        "https://w3id.org/ro/crate/1.1/context",
        "https://w3id.org/ro/terms/workflow-run/context",
    ]
    for entity in metadata["@graph"]:
        for value in entity.values():  # flat: an entity holds others by reference only
            assert not isinstance(value, list) or len(value) > 1  # a single value stands alone
            for part in value if isinstance(value, list) else [value]:
                assert not isinstance(part, dict) or set(part) == {"@id"}


def test_every_reference_is_to_an_entity_or_the_web(entities):
    for entity in entities.values():
        for name in references(list(entity.values())):
            assert name in entities or name.startswith("https://"), (entity["@id"], name)


def test_descriptor_and_root(entities):
    descriptor, root = entities["ro-crate-metadata.json"], entities["./"]
    assert types(descriptor) == ["CreativeWork"] and descriptor["about"] == {"@id": "./"}
    assert ids(descriptor["conformsTo"]) == ["https://w3id.org/ro/crate/1.1", WORKFLOW_CRATE]
    assert types(root) == ["Dataset"] and root["name"] and root["description"]
    assert datetime.fromisoformat(root["datePublished"])
    assert "name" in entities[root["license"]["@id"]] and "description" in entities[root["license"]["@id"]]
    assert ids(root["conformsTo"]) == [PROCESS, WORKFLOW, WORKFLOW_CRATE]
    for profile in ids(root["conformsTo"]):
        assert types(entities[profile]) == ["CreativeWork"] and entities[profile]["version"] == profile.split("/")[-1]


def test_the_main_workflow(entities):
    workflow = entities[entities["./"]["mainEntity"]["@id"]]
    assert workflow["@id"] == "Snakefile"
    assert set(types(workflow)) == {"File", "SoftwareSourceCode", "ComputationalWorkflow"}
    language = entities[workflow["programmingLanguage"]["@id"]]
    assert types(language) == ["ComputerLanguage"] and language["name"] == "Snakemake"
    (parameter,) = ids(workflow["input"])
    assert types(entities[parameter]) == ["FormalParameter"] and entities[parameter]["additionalType"] == "File"
    (realised,) = [one for one in entities.values() if one.get("exampleOfWork") == {"@id": parameter}]
    assert realised["@id"] == suite.FILE or realised["@id"] == f"experiments/{suite.FILE}"


def test_actions(entities):
    actions = {name: one for name, one in entities.items() if types(one) == ["CreateAction"]}
    mentioned = set(ids(entities["./"]["mentions"]))
    assert set(actions) <= mentioned
    for action in actions.values():
        tool = entities[action["instrument"]["@id"]]
        assert {"SoftwareApplication", "ComputationalWorkflow"} & set(types(tool)) and tool["name"]
        assert datetime.fromisoformat(action["startTime"]) <= datetime.fromisoformat(action["endTime"])
        assert action["name"] and action["description"] and ids(action["result"])
    run = actions["#run"]
    assert run["instrument"] == {"@id": "Snakefile"} and {"@id": suite.FILE} in run["object"]
    assert {"@id": f"reports/{tiny.NAME}/tables/table_II.csv"} in run["result"]


def test_what_one_step_made_is_what_the_next_one_read(entities, finished):
    run = tiny.run_id(tiny.opened(finished)[1], "rdt")
    captions = entities[f"#action/results/tiny/captions/{run}/xe"]
    assert {"@id": f"#output/results/tiny/runs/{run}/xe"} in captions["object"]
    assert captions["result"] == {"@id": f"#output/results/tiny/captions/{run}/xe"}
    output = entities[captions["result"]["@id"]]
    assert types(output) == ["Collection"]
    assert output["hasPart"] == output["mainEntity"] == {"@id": f"results/tiny/captions/{run}/xe/primary-test.json"}
    assert types(entities[f"#output/results/tiny/runs/{run}/xe"]) == ["CreativeWork"]  # its weights are not here
    manifest = entities[f"results/tiny/captions/{run}/xe/manifest.json"]
    assert manifest["about"] == {"@id": captions["@id"]}
    content = json.loads((finished / manifest["@id"]).read_text())["content"]
    assert output["sha256"] == content


def test_files_and_entities_are_the_same(crate, entities):
    names = set(crate.namelist())
    files = {unquote(name): one for name, one in entities.items() if "File" in types(one)}
    assert names == set(files) | {"ro-crate-metadata.json"}
    assert set(ids(entities["./"]["hasPart"])) == {one["@id"] for one in files.values()}
    for name, one in files.items():
        content = crate.read(name)
        assert one["contentSize"] == str(len(content)) and one["sha256"] == hashlib.sha256(content).hexdigest()


def test_what_is_in_it(crate, finished):
    _, planned, _ = tiny.opened(finished)
    names = set(crate.namelist())
    run = tiny.run_id(planned, "rdt")
    expected = [
        "Snakefile",
        "workflow/rules/captions.smk",
        "rdt/cli.py",
        "rdt/tables/table.tex.jinja",
        "experiments/method/paper.yaml",
        suite.FILE,
    ]
    expected += ["reports/published/table_II.csv", "reports/claims.yaml", "environment.yml"]
    expected += [f"reports/tiny/{name}" for name in ("README.md", "claims.md", "tables/table_VII.tex")]
    expected += [f"results/tiny/runs/{run}/xe/{name}" for name in ("config.json", "curves.csv", "manifest.json")]
    expected += [f"results/tiny/scores/{run}/xe/primary-test.{kind}" for kind in ("json", "parquet")]
    expected += [f"results/tiny/captions/{run}/{stage}/primary-test.json" for stage in ("xe", "rl", "xe@T1")]
    expected += ["results/tiny/scores/primary-test.manifest.json", "results/tiny/features/primary/manifest.json"]
    assert names.issuperset(expected), set(expected) - names
    assert not [name for name in names if name.endswith((".safetensors", ".npy", ".jpg", ".pyc", ".partial"))]


def test_weights_on_request(finished, tmp_path):
    """With all that another machine needs to go on, less the photographs."""
    run = tiny.run_id(tiny.opened(finished)[1], "rdt")
    names = export(finished, tmp_path / "out.zip", "--weights").namelist()
    encoder, grid = "results/tiny/encoder/model.safetensors", "results/tiny/features/primary/grid.npy"
    assert {encoder, grid, f"results/tiny/runs/{run}/rl/model.safetensors"} <= set(names)
    assert not [name for name in names if "/images/" in name]


def test_the_same_results_give_the_same_bytes(finished, crate, tmp_path):
    copy = shutil.copytree(finished, tmp_path / "copy")  # other times, another place
    again = export(copy, tmp_path / "again.zip")
    assert Path(again.filename).read_bytes() == Path(crate.filename).read_bytes()


def test_an_unfinished_or_changed_experiment_is_not_exported(finished, tmp_path):
    copy = shutil.copytree(finished, tmp_path / "copy")
    out = tmp_path / "out.zip"
    table = copy / "reports/tiny/tables/table_II.csv"
    table.write_text(table.read_text() + "\n")
    done = suite.rdt(copy, "export", "--crate", str(out))
    assert done.returncode == 2 and "table_II.csv: is not the file that was made" in done.stderr
    (copy / "results/tiny/scores/primary-test.manifest.json").unlink()
    done = suite.rdt(copy, "export", "--crate", str(out))
    assert done.returncode == 2 and "results/tiny/scores/primary-test: has not been made" in done.stderr
    done = suite.rdt(copy, "export", "--crate", str(tmp_path / "out"))
    assert done.returncode == 2 and "name a file that ends in .zip" in done.stderr
    assert not list(tmp_path.glob("*out*"))


def test_paths_become_uri_references():
    assert quoted("a b/50%.png") == "a%20b/50%25.png" and quoted("λ_F=1◇.json") == "λ_F%3D1◇.json"
