"""What a user can get wrong: exit code 2, one sentence that names it, and nothing half-written."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Picture

from rdt.data.vocabulary import Vocabulary
from rdt.provenance.manifest import manifest_path
from tests.support import tiny
from tests.support.repository import copy_repository

Document = dict[str, Any]


def files(folder: Path) -> dict[str, bytes]:
    """Every file below ``folder`` with its content, but the records for MLflow."""
    paths = (path for path in folder.rglob("*") if path.is_file() and "tracking" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def one_sentence(stderr: str) -> str:
    """The only line that begins with ``rdt: error:``, which is the last one."""
    lines = stderr.splitlines()
    assert "Traceback" not in stderr and [line for line in lines if line.startswith("rdt: error: ")] == lines[-1:], (
        stderr
    )
    return lines[-1]


class User:
    """Someone in a folder with the tiny experiment, whose files can be spoilt."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capsys = folder, capsys

    def settings(self, **groups: Any) -> None:
        tiny.write(self.folder, tiny.settings(**groups))

    def does(self, *arguments: str) -> None:
        """A command that works."""
        assert tiny.rdt(self.folder, *arguments) == 0, self.capsys.readouterr().err

    def gets(self, *arguments: str) -> str:
        """The sentence that a mistaken command ends in; it leaves every file as it was."""
        before = files(self.folder)
        self.capsys.readouterr()
        assert tiny.rdt(self.folder, *arguments) == 2
        assert files(self.folder) == before
        return one_sentence(self.capsys.readouterr().err)


@pytest.fixture
def user(prepared, tmp_path, capsys) -> User:
    return User(tiny.copied(prepared, tmp_path / "user"), capsys)


# ---- the experiment file, through the command of a shell


def check(folder: Path) -> str:
    command = [sys.executable, "-m", "rdt", "check", f"{tiny.NAME}.yaml"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert result.returncode == 2 and result.stdout == ""
    assert not (folder / "results").exists()
    return one_sentence(result.stderr)


KARPATHY = {"source": "karpathy", "annotations": "captions.json", "images": "photos"}


@pytest.mark.parametrize(
    ("groups", "told"),
    [
        ({"override": {"lambda_f": 0}}, "tiny.yaml: override.lambda_f is 0, expected a number in (0, 1]"),
        ({"override": {"lambda_f": 1.2}}, "tiny.yaml: override.lambda_f is 1.2, expected a number in (0, 1]"),
        ({"override": {"lamda_f": 0.5}}, "tiny.yaml: unknown key override.lamda_f; did you mean lambda_f?"),
        ({"training": {"epochs": 3}}, "tiny.yaml: unknown key training.epochs; did you mean"),
        ({"model": {"dim": "large"}}, "tiny.yaml: model.dim is 'large', expected a whole number"),
        ({"model": {"heads": 3}}, "tiny.yaml: model.dim is 16, expected a multiple of model.heads (3)"),
        ({"data": {"secondary": KARPATHY}}, "data.secondary.annotations names the file captions.json, which does not"),
    ],
)
def test_a_wrong_experiment_file(tmp_path, groups, told):
    tiny.write(tmp_path, tiny.settings(**groups))
    assert told in check(tmp_path)


def test_a_role_whose_folder_is_missing(tmp_path):
    tiny.write(tmp_path, tiny.settings(data={"secondary": KARPATHY}))
    (tmp_path / "captions.json").write_text("{}")
    told = check(tmp_path)
    assert "data.secondary.images names the folder photos, which does not exist; put the data set of role" in told


def test_a_file_that_is_no_yaml(tmp_path):
    (tmp_path / f"{tiny.NAME}.yaml").write_text("name: tiny\ndata: [1\nmodel: 2\n")
    assert "tiny.yaml: line " in check(tmp_path)


# ---- the user's own images and captions


def own_data(user: User, change: Callable[[Document], None] = lambda document: None, **more: str) -> Document:
    """Make the scenes the user's own data, with a change of the annotations."""
    user.settings(data={"primary": {"source": "karpathy", "annotations": "captions.json", "images": "photos"} | more})
    scenes = user.folder / "results" / tiny.NAME / "data" / "primary"
    document = json.loads((scenes / "dataset.json").read_text())
    change(document)
    (user.folder / "captions.json").write_text(json.dumps(document))
    if not (user.folder / "photos").exists():
        shutil.copytree(scenes / "images", user.folder / "photos")
    return document


def build_vocabulary(user: User) -> str:
    shutil.rmtree(user.folder / "results" / tiny.NAME / "vocabulary")
    told = user.gets("vocabulary", f"{tiny.NAME}.yaml", "--role", "primary")
    assert not (user.folder / "results" / tiny.NAME / "vocabulary").exists()
    return told


def no_sentences(document: Document) -> None:
    document["images"][3]["sentences"] = 7


def no_words(document: Document) -> None:
    document["images"][3]["sentences"][0] = {"sentid": 1}


def duplicate(document: Document) -> None:
    document["images"][5]["imgid"] = document["images"][4]["imgid"]


def no_val(document: Document) -> None:
    document["images"] = [image for image in document["images"] if image["split"] != "val"]


def unknown_split(document: Document) -> None:
    document["images"][0]["split"] = "training"


def no_images(document: Document) -> None:
    del document["images"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (no_sentences, "has no 'sentences' of type list; correct the entry"),
        (no_words, "has a sentence with neither 'tokens' nor 'raw'"),
        (duplicate, "occurs more than once; keep one entry an image"),
        (no_val, "split 'val' has no images"),
        (unknown_split, "has split 'training', expected one of train"),
        (no_images, "has no list 'images'"),
    ],
)
def test_wrong_annotations(user, change, told):
    own_data(user, change)
    sentence = build_vocabulary(user)
    assert sentence.startswith("rdt: error: captions.json: ") and told in sentence


def again(user: User, *commands: str) -> None:
    """Make anew what was made from the scenes."""
    for command in commands:
        user.does(command, f"{tiny.NAME}.yaml", *([] if command == "encoder" else ["--role", "primary"]))


def test_the_image_at_fault_is_named(user):
    document = own_data(user, no_sentences)
    assert f"image {document['images'][3]['imgid']} has no 'sentences'" in build_vocabulary(user)


def test_truncated_annotations(user):
    own_data(user)
    path = user.folder / "captions.json"
    path.write_text(path.read_text()[:-200])
    assert "captions.json: is not valid JSON: " in build_vocabulary(user)


@pytest.mark.parametrize("command", [("encoder",), ("features", "--role", "primary")])
def test_a_truncated_photograph(user, command):
    document = own_data(user)
    again(user, "vocabulary", *(["encoder"] if command[0] == "features" else []))
    image = document["images"][2]
    path = user.folder / "photos" / (image.get("filepath") or "") / image["filename"]
    Picture.open(path).convert("RGB").save(path, "JPEG", quality=95)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    name, *options = command
    told = user.gets(name, f"{tiny.NAME}.yaml", *options)
    assert image["filename"] in told and "truncated or not an image" in told


def test_a_missing_photograph(user):
    document = own_data(user)
    again(user, "vocabulary", "encoder")
    image = document["images"][-1]
    (user.folder / "photos" / (image.get("filepath") or "") / image["filename"]).unlink()
    told = user.gets("features", f"{tiny.NAME}.yaml", "--role", "primary")
    assert f"{image['filename']}: no such image file" in told


# ---- features


def own_features(user: User) -> Document:
    document = own_data(user, features="features", caption_features="caption_features")
    rng = np.random.default_rng(0)
    for folder in ("features", "caption_features"):
        (user.folder / folder).mkdir()
    for image in document["images"]:
        name = f"{image['imgid']}.npz"
        np.savez(user.folder / "features" / name, features=rng.normal(size=(49, 8)), g_feature=rng.normal(size=(1, 8)))
        vectors = rng.normal(size=(len(image["sentences"]), 8))
        np.savez(user.folder / "caption_features" / name, g_feature=vectors)
    return document


GRID = np.ones((49, 8))


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"features": GRID * np.nan, "g_feature": np.ones((1, 8))}, "features that are not finite (NaN or infinity)"),
        ({"features": GRID[:, :5], "g_feature": np.ones((1, 8))}, "features of shape 49 x 5, expected 49 x 8"),
        ({"features": GRID[:40], "g_feature": np.ones((1, 8))}, "features of shape 40 x 8, expected 49 x 8"),
        ({"features": GRID, "g_feature": np.ones((1, 7))}, "features of shape 1 x 7, expected 1 x 8"),
        ({"g_feature": np.ones((1, 8))}, "no array 'features'"),
    ],
)
def test_wrong_features(user, arrays, told):
    document = own_features(user)
    name = f"{document['images'][7]['imgid']}.npz"
    np.savez(user.folder / "features" / name, **arrays)
    sentence = user.gets("features", f"{tiny.NAME}.yaml", "--role", "primary")
    assert sentence.startswith(f"rdt: error: features/{name}: ") and told in sentence


def test_a_missing_and_a_truncated_feature_file(user):
    document = own_features(user)
    path = user.folder / "features" / f"{document['images'][7]['imgid']}.npz"
    content = path.read_bytes()
    path.write_bytes(content[:-30])
    assert f"features/{path.name}: not a readable .npz file" in user.gets(
        "features", f"{tiny.NAME}.yaml", "--role", "primary"
    )
    path.unlink()
    assert f"features/{path.name}: the file does not exist" in user.gets(
        "features", f"{tiny.NAME}.yaml", "--role", "primary"
    )
    path.write_bytes(content)
    user.does("features", f"{tiny.NAME}.yaml", "--role", "primary")


def test_too_small_a_pool(user):
    user.settings(override={"retrieved": 5000})
    told = user.gets("index", f"{tiny.NAME}.yaml", "--role", "primary")
    assert "distinct captions, too few for 5000 per image" in told


# ---- checkpoints, weights and vocabularies of something else


def train(user: User, run: str, stage: str = "xe") -> tuple[str, ...]:
    return ("train", f"{tiny.NAME}.yaml", "--run", run, "--stage", stage)


def checkpoint(user: User, run: str, **identity: str) -> Path:
    """A checkpoint in the folder of ``run`` that was written for another ``identity``."""
    _, _, paths = tiny.opened(user.folder)
    digest = Vocabulary.load(paths.vocabulary("primary")).digest
    path = paths.stage(run, "xe") / "checkpoint.pt"
    path.parent.mkdir(parents=True)
    torch.save({"identity": {"configuration": f"{run}/xe", "vocabulary": digest, "code": ""} | identity}, path)
    return path


@pytest.mark.parametrize("key", ["configuration", "vocabulary", "feature set", "data version"])
def test_a_checkpoint_of_something_else(user, key):
    run = tiny.run_id(tiny.opened(user.folder)[1], "rdt")
    checkpoint(user, run, **{key: "another"})
    told = user.gets(*train(user, run))
    assert f"checkpoint.pt: a checkpoint of another {key} (another, expected " in told and "; delete " in told


def test_a_damaged_checkpoint(user):
    run = tiny.run_id(tiny.opened(user.folder)[1], "rdt")
    path = checkpoint(user, run)
    path.write_bytes(path.read_bytes()[:100])
    assert "checkpoint.pt: not a readable checkpoint" in user.gets(*train(user, run))


def test_weights_of_another_configuration(user):
    _, planned, paths = tiny.opened(user.folder)
    teacher = tiny.run_id(planned, "teacher")
    user.does(*train(user, teacher))
    config = paths.stage(teacher, "xe") / "config.json"
    content = json.loads(config.read_text())
    config.write_text(json.dumps(content | {"model": content["model"] | {"heads": 4}}))
    assert "config.json: weights of another model; " in user.gets(*train(user, teacher, "rl"))
    config.write_text(json.dumps(content))
    weights = config.with_name("raw.safetensors")
    weights.write_bytes(weights.read_bytes()[:-10])
    assert "raw.safetensors: not weights of this network" in user.gets(*train(user, teacher, "rl"))


def test_an_altered_vocabulary(user):
    path = user.folder / "results" / tiny.NAME / "vocabulary" / "primary.json"
    path.write_text(path.read_text().replace('"a"', '"the-a"'))
    run = tiny.run_id(tiny.opened(user.folder)[1], "rdt")
    assert "vocabulary/primary.json: its words do not match its digest" in user.gets(*train(user, run))


def test_a_run_that_the_experiment_does_not_have(user):
    assert "--run: 'rdt-s7' is not a run of experiment tiny; choose one of " in user.gets(*train(user, "rdt-s7"))


def test_a_stage_whose_inputs_are_not_made_yet(user):
    teacher = tiny.run_id(tiny.opened(user.folder)[1], "teacher")
    told = user.gets(*train(user, teacher, "rl"))
    assert f"runs/{teacher}/xe: cannot be read" in told and "run the step that writes it" in told


# ---- results of other data, vocabularies, features and splits


def refused(user: User, *arguments: str) -> tuple[str, str, str, str]:
    """What a command refuses: an input, what that was made from, and the digests of this then and now."""
    told = user.gets(*arguments)
    found = re.fullmatch(
        rf"rdt: error: results/{tiny.NAME}/(\S+): was made from another version of its (\w+) "
        r"\((\w{12}), \S+ is (\w{12}) now\); make it again: rdt \w+, or snakemake",
        told,
    )
    assert found, told
    return found.groups()


def recorded(folder: Path, name: str) -> str:
    """The digest of an input as a manifest says it."""
    return json.loads((folder / "manifest.json").read_text())["inputs"][name]["digest"][:12]


def other_split(document: Document) -> None:
    """A val image becomes a train image; everything else is the same."""
    image = next(image for image in document["images"] if image["split"] == "val")
    image["split"] = "train"


def other_captions(document: Document) -> None:
    document["images"][0]["sentences"][0]["tokens"][0] = "the"


@pytest.mark.parametrize("change", [other_split, other_captions])
def test_what_was_made_from_another_split_or_version_of_the_data(user, change):
    own_data(user)
    again(user, "vocabulary", "encoder", "features", "index")
    _, planned, paths = tiny.opened(user.folder)
    network = train(user, tiny.run_id(planned, "rdt"))
    user.does(*network)
    before = recorded(paths.features("primary"), "annotations")
    own_data(user, change)
    now = hashlib.sha256((user.folder / "captions.json").read_bytes()).hexdigest()[:12]
    assert refused(user, "encoder", f"{tiny.NAME}.yaml") == ("vocabulary/primary.json", "annotations", before, now)
    again(user, "vocabulary", "encoder")
    assert refused(user, "index", f"{tiny.NAME}.yaml", "--role", "primary")[:2] == ("features/primary", "annotations")
    again(user, "features")
    assert refused(user, *network)[0] == "index/primary"
    again(user, "index")
    user.does(*network)


def test_an_input_whose_manifest_an_earlier_version_wrote(user):
    manifest = manifest_path(user.folder / tiny.opened(user.folder)[2].vocabulary("primary"))
    document = json.loads(manifest.read_text())
    del document["inputs"]
    manifest.unlink()  # the tree's files may be links to another test's
    manifest.write_text(json.dumps(document))
    told = user.gets("encoder", f"{tiny.NAME}.yaml")
    assert "vocabulary/primary.json: was written by an earlier version" in told and "rdt vocabulary" in told


def test_weights_and_an_index_of_another_feature_set(user):
    """The same images and captions with features of another encoder, of the same size."""
    document = own_features(user)
    again(user, "vocabulary", "features", "index")
    _, planned, paths = tiny.opened(user.folder)
    teacher = tiny.run_id(planned, "teacher")
    user.does(*train(user, teacher))
    path = user.folder / "features" / f"{document['images'][0]['imgid']}.npz"
    with np.load(path) as arrays:
        np.savez(path, features=-arrays["features"], g_feature=arrays["g_feature"])
    before = recorded(paths.index("primary"), "features")
    again(user, "features")
    now = json.loads((paths.features("primary") / "manifest.json").read_text())["content"][:12]
    assert refused(user, *train(user, teacher)) == ("index/primary", "features", before, now)
    again(user, "index")
    assert refused(user, *train(user, teacher, "rl")) == (f"runs/{teacher}/xe", "features", before, now)


# ---- two workflows in one folder


def snakemake(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "snakemake", "--cores", "1", *arguments, "--config", "experiment=smoke"]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # of the jobs' `python`
    environment = os.environ | {"PYTHONPATH": str(folder), "PATH": path}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    )


def claimed(lock: Path) -> bool:
    if not lock.exists():
        return False
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


@pytest.mark.slow
def test_the_second_of_two_workflows_says_so_and_a_killed_one_leaves_no_lock(tmp_path):
    folder = copy_repository(tmp_path)
    first = snakemake(folder, "all")
    try:
        for _ in range(600):
            if claimed(folder / "results/smoke/.lock"):
                break
            assert first.poll() is None, first.communicate()[1]
            time.sleep(0.1)
        second = snakemake(folder, "all")
        _, stderr = second.communicate(timeout=60)
        assert second.returncode == 2, stderr
        told = one_sentence(stderr)
        assert "another snakemake is at work on experiment smoke in this folder; wait until it has ended" in told
        looking = snakemake(folder, "--dry-run", "all")  # which changes nothing, and may look on
        assert looking.communicate(timeout=60) and looking.returncode == 0
        assert first.poll() is None
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.communicate()
    again = snakemake(folder, "results/smoke/data/novel/dataset.json")
    _, stderr = again.communicate(timeout=100)
    assert again.returncode == 0, stderr
    assert (folder / "results/smoke/data/novel/dataset.json").exists()
