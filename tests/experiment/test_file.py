"""Experiment files: what they resolve to, and the one sentence that each mistake ends in."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from rdt.errors import UserError
from rdt.experiment.file import EXPERIMENTS, check_data, experiment_names, load_experiment
from rdt.experiment.schema import SCHEMA_FILE, json_schema
from rdt.experiment.settings import Method, Seeds


@pytest.fixture
def content() -> dict:
    """A right file, to be spoilt."""
    return yaml.safe_load((EXPERIMENTS / "smoke.yaml").read_text()) | {"name": "mine"}


@pytest.fixture
def load(tmp_path, content):
    """Write ``content`` and read it as an experiment."""

    def write_and_load(**arguments):
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump(content))
        return load_experiment(path, **arguments)

    return write_and_load


def failure(load, **arguments) -> UserError:
    with pytest.raises(UserError) as caught:
        load(**arguments)
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)
    return caught.value


def put(content: dict, dotted: str, value) -> None:
    *parents, last = dotted.split(".")
    for parent in parents:
        content = content[parent]
    content[last] = value


def test_scenes_is_the_papers_method_with_shorter_rows_and_its_own_pace():
    experiment = load_experiment("scenes")
    assert experiment.method.length == 16
    own = {"length": 20, "rl_lr": 1e-5, "time_delta": 0, "images_per_step": 16}
    assert dataclasses.replace(experiment.method, **own) == preset("paper")
    assert (experiment.method_name, experiment.seeds) == ("paper", Seeds((0,), (0,)))
    assert experiment.tables == ("II", "III", "IV", "V", "VI", "VII", "VIII")
    assert experiment.data["primary"].references == 40 and experiment.data["novel"].train == 0


def preset(name: str) -> Method:
    experiment = load_experiment("smoke", overrides=[f"method={name}", "override={}"])
    return experiment.method


def test_presets_hold_the_papers_and_the_released_numbers():
    paper, released = preset("paper"), preset("released")
    # Counts that follow from the shares: 37 and 28 of 50 keys; 37 of 49, and ranks 24..47 of 49.
    assert (int(paper.lambda_f * 50 + 1e-6), 50 - int((1 - paper.lambda_e) * 50 + 1e-6)) == (37, 28)
    assert (int(released.lambda_f * 49), int((1 - released.lambda_e) * 49), released.drop_last_key) == (37, 24, True)
    assert (paper.steps, paper.delta_tim, paper.delta_sen, paper.lambda_rank, paper.rl_lr) == (50, 0.12, 0.15, 5, 1e-5)
    values, others = dataclasses.asdict(paper), dataclasses.asdict(released)
    assert {name for name in values if values[name] != others[name]} == {
        *("cls", "visual_pos", "lambda_f", "lambda_e", "routing", "fusion", "drop_last_key", "lambda_rank"),
        *("delta_sen", "margin", "average", "quality", "rank_in_cascade", "exclude_own", "cascade_noise"),
        *("sample_noise", "supervise_padding", "rl_references", "images_per_step", "select_on"),
    }


def test_every_experiment_of_the_repository_is_right_and_starts_with_its_command():
    assert {"scenes", "smoke"} <= set(experiment_names())
    for name in experiment_names():
        assert load_experiment(name).name == name
        head = (EXPERIMENTS / f"{name}.yaml").read_text().split("\nname:")[0]
        assert ("make all" in head or "snakemake --cores" in head) and "Cost" in head


def test_a_budget_is_the_experiment_with_other_keys_and_another_folder(content, tmp_path):
    content["budgets"] = {"large": {"model": {"dim": 128}, "seeds": [3], "rows": {"VI": ["λ_F=1, λ_E=0"]}}}
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content))
    usual, large = load_experiment(path), load_experiment(f"{path}:large")
    assert (usual.model.dim, usual.name, usual.rows) == (content["model"]["dim"], content["name"], {})
    assert (large.model.dim, large.name) == (128, content["name"] + "-large")
    assert (large.seeds.xe, large.rows) == ((3,), {"VI": ("λ_F=1, λ_E=0",)})
    assert dataclasses.replace(large.model, dim=usual.model.dim) == usual.model
    with pytest.raises(UserError, match="unknown budget larg; did you mean large"):
        load_experiment(f"{path}:larg")
    with pytest.raises(UserError, match="budget 'large' is asked for, and the file has no budgets; leave ':large' out"):
        load_experiment("smoke:large")


def test_a_colon_in_a_path_is_no_budget(content, tmp_path):
    path = tmp_path / "one:two.yaml"
    path.write_text(yaml.safe_dump(content | {"budgets": {"large": {"seeds": [3]}}}))
    assert load_experiment(path).seeds.xe == (0,)
    assert load_experiment(f"{path}:large").seeds.xe == (3,)


def test_whole_numbers_are_numbers_but_true_is_not(load, content):
    content["training"]["lr"] = 1
    assert load().training.lr == 1.0 and isinstance(load().training.lr, float)
    content["training"]["lr"] = True
    assert "training.lr is True, expected a number" in str(failure(load))
    content["training"] |= {"lr": 1e-3, "threads": True}
    assert "training.threads is True, expected a whole number" in str(failure(load))


def test_exponents_without_a_point_are_numbers(tmp_path, content):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content).replace("lr: 0.002", "lr: 2e-4"))
    assert load_experiment(path).training.lr == 0.0002


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("override.lambda_f", 0, "override.lambda_f is 0, expected a number in (0, 1]"),
        ("override.lambda_f", 1.5, "override.lambda_f is 1.5, expected a number in (0, 1]"),
        ("override.lambda_e", -0.1, "expected a number in [0, 1]"),
        ("override.self_condition", 1.01, "expected a number in [0, 1]"),
        ("override.label_smoothing", 1, "expected a number in [0, 1)"),
        ("override.delta_sen", float("nan"), "override.delta_sen is nan"),
        ("override.length", 3, "override.length is 3, expected a number at least 4"),
        ("override.rl_lr", 0, "override.rl_lr is 0, expected a number above 0"),
        ("override.rl_lr", float("inf"), "override.rl_lr is inf"),
        ("override.routing", "per_querry", "did you mean per_query?"),
        ("override.cls", 1, "override.cls is 1, expected true or false"),
        ("override.time_delta", 3, "less than the method's steps (3)"),
        ("model.dim", 30.0, "model.dim is 30.0, expected a whole number"),
        ("model.dim", 15, "model.dim is 15, expected a multiple of model.heads (2)"),
        ("model.heads", 0, "model.heads is 0, expected a number at least 1"),
        ("training.cascades", 3, "training.cascades is 3, expected one of 1, 2"),
        ("training.schedule", "linear", "expected one of noam, cosine"),
        ("encoder.images_per_step", 1, "at least 2"),
        ("data.primary.source", "coco", "expected one of scenes, karpathy, nocaps"),
        ("data.primary.source", "nocaps", "expected scenes or karpathy"),
        ("data.novel.train", "many", "data.novel.train is 'many', expected a whole number"),
        ("data.primary.val", 0, "the key data.primary.val is missing or 0"),
        ("data.primary.images", "photos", "source 'scenes' does not read it"),
        ("data.primery", {"source": "scenes"}, "unknown key data.primery; did you mean primary?"),
        ("data", ["primary"], "data is ['primary'], expected keys and values"),
        ("seeds", [], "seeds is [], expected a list of one or more values"),
        ("seeds", [0, 1, 0], "expected each value once"),
        ("seeds", [0, -1], "seeds[1] is -1"),
        ("seeds", 3, "seeds is 3, expected a list, or one under each of xe, rl, grid"),
        ("seeds", {"xe": [0]}, "the key seeds.rl is missing"),
        ("seeds", {"xe": [0], "lr": [0]}, "unknown key seeds.lr"),
        ("seeds", {"xe": [0], "rl": []}, "seeds.rl is [], expected a list of one or more values"),
        ("seeds", {"xe": [0, 1], "rl": [0, 2]}, "seeds.rl is [0, 2], expected only seeds of seeds.xe, which lacks 2"),
        ("tables", ["II", "IX"], "tables[1] is 'IX', expected one of II, III, IV, V, VI, VII, VIII"),
        ("tables", "every", "tables is 'every', expected one of all"),
        ("name", "my runs", "name is 'my runs', expected letters, digits, - and _"),
        ("name", 2024, "name is 2024, expected text"),
        ("name", "scenes", "both would write results/scenes"),
        ("method", "papers", "unknown method papers; did you mean paper?"),
        ("override", None, "override is nothing, expected keys and values"),
    ],
)
def test_a_wrong_value_is_one_sentence_with_file_key_and_what_was_expected(load, content, key, value, expected):
    put(content, key, value)
    error = failure(load)
    assert str(error).startswith(error.where) and error.where.endswith("mine.yaml")
    assert expected in str(error)


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("override.lamda_f", "lambda_f"),
        ("model.head", "heads"),
        ("trainig", "training"),
        ("data.primary.referenc", "references"),
    ],
)
def test_an_unknown_key_names_the_nearest_known_one(load, content, key, meant):
    put(content, key, 1)
    error = failure(load)
    assert error.problem == f"unknown key {key}" and error.remedy == f"did you mean {meant}?"


def test_a_list_of_seeds_is_for_both_phases(load, content):
    content["seeds"] = [3, 1]
    assert load().seeds == Seeds((3, 1), (3, 1))
    content["seeds"] = {"rl": [1], "xe": [3, 1]}
    assert load().seeds == Seeds((3, 1), (1,))


def test_missing_keys(load, content):
    del content["model"]["ffn"]
    assert "the key model.ffn is missing" in str(failure(load))
    del content["model"]
    assert "the key model is missing" in str(failure(load))


def test_the_primary_role_is_needed_and_the_others_are_not(load, content):
    del content["data"]["secondary"], content["data"]["novel"]
    assert list(load().data) == ["primary"]
    content["data"] = {}
    assert "data.primary is missing" in str(failure(load))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: a\nmodel: 1\nname: b\n", "line 3: key 'name' is given twice"),
        ("data:\n  primary: {test: 1, test: 2}\n", "line 2: key 'test' is given twice"),
        ("name: [a\n", "line 2"),
        ("- a\n", "expected keys and values"),
        ("", "found nothing"),
        ("? [a, b]\n: 1\n", "line 1"),
        ("name: !!python/object/apply:os.getcwd []\n", "line 1"),
    ],
)
def test_a_file_that_is_no_experiment(tmp_path, text, expected):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        load_experiment(path)
    assert str(caught.value).startswith(str(path)) and expected in str(caught.value)


def test_an_unknown_experiment_names_the_nearest(tmp_path):
    with pytest.raises(UserError, match="unknown experiment scene; did you mean scenes"):
        load_experiment("scene")
    with pytest.raises(UserError, match="does not exist"):
        load_experiment(tmp_path / "none.yaml")


def test_overrides_replace_keys_of_the_file_and_are_checked_like_them(load):
    experiment = load(overrides=["override.lambda_e=0", "model.dim=32", "tables=[VI]"], data_root="/data")
    assert (experiment.method.lambda_e, experiment.model.dim, experiment.tables) == (0.0, 32, ("VI",))
    assert experiment.data_root == "/data"
    assert "override.lambda_f is 2, expected" in str(failure(load, overrides=["override.lambda_f=2"]))
    assert "expected KEY=VALUE" in str(failure(load, overrides=["model.dim"]))
    assert "name is not a group of keys" in str(failure(load, overrides=["name.first=x"]))


def test_check_data_names_the_role_and_the_folder(load, content, tmp_path):
    content["data"]["secondary"] = {"source": "karpathy", "annotations": "f30k/dataset.json", "images": "f30k/images"}
    experiment = load(data_root=tmp_path)
    with pytest.raises(UserError, match="data.secondary.annotations names the file .*f30k/dataset.json"):
        check_data(experiment)
    (tmp_path / "f30k").mkdir()
    (tmp_path / "f30k/dataset.json").write_text("{}")
    with pytest.raises(UserError, match="data.secondary.images names the folder .*f30k/images"):
        check_data(experiment)
    (tmp_path / "f30k/images").mkdir()
    check_data(experiment)


def test_published_features_stand_in_for_the_photographs(load, content, tmp_path):
    content["data"]["secondary"] = {
        "source": "karpathy",
        "annotations": "a.json",
        "features": "clip",
        "caption_features": "clip-text",
    }
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(UserError, match="data.secondary.features names the folder"):
        check_data(load(data_root=tmp_path))
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip-text").mkdir()
    check_data(load(data_root=tmp_path))
    del content["data"]["secondary"]["caption_features"]
    assert "features is given without" in str(failure(load))
    del content["data"]["secondary"]["features"]
    assert "neither images nor features" in str(failure(load))


# ---- a file with a base


def based(folder: Path, base: str, **changes: object) -> Path:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({"name": "mine", "base": base, **changes}))
    return path


def test_a_file_with_a_base_replaces_what_it_names_and_keeps_the_rest(tmp_path):
    smoke = load_experiment("smoke")
    changes = {"override": {"steps": 2}, "model": {"dim": 8}, "data": {"primary": {"train": 30}}, "tables": ["V"]}
    mine = load_experiment(based(tmp_path, "smoke", **changes))
    assert mine.name == "mine" and mine.tables == ("V",)
    assert mine.method == dataclasses.replace(smoke.method, steps=2)
    assert mine.model == dataclasses.replace(smoke.model, dim=8)
    assert mine.data == smoke.data | {"primary": dataclasses.replace(smoke.data["primary"], train=30)}
    assert (mine.training, mine.encoder, mine.seeds) == (smoke.training, smoke.encoder, smoke.seeds)


def test_null_takes_a_key_of_the_base_away(tmp_path):
    mine = load_experiment(based(tmp_path, "smoke", data={"novel": None}, override=None))
    assert set(mine.data) == {"primary", "secondary"}
    assert mine.method == load_experiment("smoke", overrides=["override={}"]).method


def test_a_base_with_one_of_its_budgets(tmp_path):
    first = {"name": "first", "base": "smoke", "seeds": [1], "budgets": {"large": {"model": {"dim": 8}, "seeds": [7]}}}
    (tmp_path / "first.yaml").write_text(yaml.safe_dump(first))
    assert load_experiment(based(tmp_path, "first.yaml")).seeds.xe == (1,)
    mine = load_experiment(based(tmp_path, "first.yaml:large", model={"ffn": 5}))
    assert (mine.name, mine.seeds.xe, mine.model.dim, mine.model.ffn) == ("mine", (7,), 8, 5)


def test_a_base_by_its_path_beside_the_file_and_a_base_of_a_base(tmp_path, monkeypatch):
    first = tmp_path / "first.yaml"
    first.write_text(yaml.safe_dump({"name": "first", "base": "smoke", "seeds": [1], "model": {"dim": 8}}))
    path = based(tmp_path, "first.yaml", model={"ffn": 5})
    monkeypatch.chdir(tmp_path.parent)
    mine = load_experiment(path)
    assert mine.seeds.xe == (1,) and (mine.model.dim, mine.model.ffn, mine.model.heads) == (8, 5, 2)


@pytest.mark.parametrize(
    ("base", "changes", "told"),
    [
        ("smoek", {}, "unknown experiment smoek; did you mean smoke?"),
        ("none.yaml", {}, "none.yaml: the experiment file does not exist"),
        ("mine.yaml", {}, "base 'mine.yaml' leads back to this file"),
        (3, {}, "base is 3, expected the name of an experiment"),
        ("smoke", {"model": {"dimm": 3}}, "unknown key model.dimm; did you mean dim?"),
        ("smoke", {"model": {"heads": 3}}, "model.dim is 16, expected a multiple of model.heads (3)"),
        ("smoke", {"model": None}, "the key model is missing"),
        ("smoke", {"name": None}, "the key name is missing"),
    ],
)
def test_mistakes_in_a_file_with_a_base(tmp_path, base, changes, told):
    with pytest.raises(UserError) as error:
        load_experiment(based(tmp_path, base, **changes))
    assert told in str(error.value)


def test_the_encoder_may_be_absent_where_every_role_has_published_features(load, content):
    del content["encoder"]
    assert "the key encoder is missing, and data.novel has no published features" in str(failure(load))
    published = {"source": "karpathy", "annotations": "a.json", "features": "clip", "caption_features": "clip-text"}
    content["data"] = {"primary": published}
    assert load().encoder is None
    published["retrieval_features"] = "vit"
    assert load().data["primary"].retrieval_features == "vit"
    content["data"]["primary"] = {
        "source": "karpathy",
        "annotations": "a.json",
        "images": "b",
        "retrieval_features": "v",
    }
    assert "retrieval_features is given without data.primary.features" in str(failure(load))


def test_the_schema_lets_a_file_with_a_base_leave_keys_out(content):
    validator = jsonschema.Draft202012Validator(json_schema())
    assert validator.is_valid({"name": "mine", "base": "coco", "model": {"dim": 8}})
    assert not validator.is_valid({"base": "coco"})
    assert not validator.is_valid({"name": "mine", "base": "coco", "model": {"dimm": 8}})
    for group, key in (("model", "dim"), ("training", "schedule"), ("encoder", "width")):
        incomplete = json.loads(json.dumps(content))
        del incomplete[group][key]
        assert not validator.is_valid(incomplete), key


def test_the_committed_schema_is_the_one_of_the_dataclasses():
    assert json.loads(SCHEMA_FILE.read_text()) == json_schema(), "run python -m rdt.experiment.schema"


def test_the_schema_and_the_reader_agree(content):
    validator = jsonschema.Draft202012Validator(json_schema())
    validator.check_schema(validator.schema)
    assert validator.is_valid(content)
    for key, value in [
        ("override.lambda_f", 0),
        ("override.lamda_f", 0.5),
        ("model.heads", 0),
        ("training.cascades", 3),
        ("override.label_smoothing", 1),
        ("data.primery", {"source": "scenes"}),
        ("tables", ["IX"]),
    ]:
        spoilt = json.loads(json.dumps(content))
        put(spoilt, key, value)
        assert not validator.is_valid(spoilt), key


def test_recipes_declare_which_data_are_the_papers_own():
    """Flickr30k in COCO's place is not: the paper's Table II is about COCO."""
    declared = {
        name: {role for role, data in load_experiment(name).data.items() if data.as_in_paper}
        for name in ("coco", "flickr30k", "flickr8k", "scenes", "smoke")
    }
    expected = {"coco": {"primary", "secondary", "novel"}}
    assert declared == expected | dict.fromkeys(("flickr30k", "flickr8k", "scenes", "smoke"), set())
