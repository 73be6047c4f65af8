"""README and docs/: commands that parse, links that lead somewhere, files that exist, verdicts that were committed."""

from __future__ import annotations

import csv
import importlib.util
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from snakemake.cli import get_argument_parser

from rdt.commands import COMMANDS
from rdt.commands.parser import parser_of
from rdt.experiment.file import load_experiment
from rdt.experiment.sides import SIDES
from tests.support.repository import REPOSITORY

README = REPOSITORY / "README.md"
PAGES = (README, *sorted((REPOSITORY / "docs").glob("*.md")))
MAKEFILE = (REPOSITORY / "Makefile").read_text()
RULES = "\n".join(path.read_text() for path in (REPOSITORY / "Snakefile", *REPOSITORY.glob("workflow/rules/*.smk")))
# Programs that are not ours: what is asked of them is not checked.
FOREIGN = {"git", "cd", "conda", "source", "sed", "optuna-dashboard", "pip", ".venv/bin/pip"}
MADE_BY_THE_READER = {"rdt/metrics/unigram.py"}  # the module that docs/changing.md has him write
KEPT_REPORTS = re.compile(
    r"reports/(published|claims\.yaml|attention_cost\.json|\w+/(measured|captions|scale|runs\.md))\b"
)


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.M | re.S)


def commands() -> Iterator[tuple[str, list[str]]]:
    """The commands of all sh blocks: the page's name, and the words. What a shell would fill in is one word."""
    for page in PAGES:
        for block in blocks(page, "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                filled = re.sub(r"\$\([^)]*\)|\$\w+", "FILLED", line)
                for part in filled.split(" && "):
                    words = shlex.split(part, comments=True)
                    if words and not re.match(r"\w+=", words[0]):
                        yield page.name, words


def ours(words: list[str]) -> list[str]:
    """The same command without the program that starts it: ``python -m``, torchrun."""
    if words[0] == "torchrun":
        return words[words.index("--") + 1 :]
    return words[2:] if words[1:2] == ["-m"] and words[0].endswith("python") else words


def named_experiment(name: str) -> bool:
    """Whether an experiment exists, or is a file of the reader's own."""
    name, _, budget = name.partition(":")
    path = REPOSITORY / f"experiments/{name}.yaml"
    return (
        name.endswith(".yaml")
        or path.is_file()
        and (not budget or budget in yaml.safe_load(path.read_text())["budgets"])
    )


def check_rdt(arguments: list[str]) -> None:
    assert arguments[0] in COMMANDS
    args = parser_of(arguments[0]).parse_args(arguments)
    assert named_experiment(str(getattr(args, "experiment", None) or "scenes"))


def check_make(arguments: list[str]) -> None:
    for argument in arguments:
        variable, is_one, value = argument.partition("=")
        assert re.search(rf"^{variable} \?=" if is_one else rf"^{argument}:", MAKEFILE, re.M)
        assert variable != "EXPERIMENT" or named_experiment(value)


def check_snakemake(arguments: list[str]) -> None:
    args = get_argument_parser().parse_args(arguments)
    assert set(args.targets) <= {*re.findall(r"^rule (\w+):", RULES, re.M), *SIDES}
    config = dict(item.split("=") for item in args.config or ())
    assert set(config) <= {"experiment", "data_root", "study"}
    assert named_experiment(config.get("experiment", "scenes"))
    assert args.workflow_profile is None or (REPOSITORY / str(args.workflow_profile)).is_dir()


CHECKS = {"rdt": check_rdt, "make": check_make, "snakemake": check_snakemake}


@pytest.mark.parametrize(
    ("page", "words"), tuple(commands()), ids=lambda value: value if isinstance(value, str) else shlex.join(value)
)
def test_a_command_is_understood(page, words):
    program, *arguments = ours(words)
    if program in CHECKS:
        CHECKS[program](arguments)
    elif program.startswith("tests."):
        assert (REPOSITORY / f"{program.replace('.', '/')}.py").is_file()
    else:
        assert program in FOREIGN or (REPOSITORY / program).is_file()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_within_a_sentence_exist(page):
    spans = re.findall(r"`(rdt|make) ([a-z][\w-]*)", page.read_text())
    assert [name for kind, name in spans if kind == "rdt" and name not in COMMANDS] == []
    assert [name for kind, name in spans if kind == "make" and not re.search(rf"^{name}:", MAKEFILE, re.M)] == []


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and others make them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_leads_somewhere(page):
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_file_that_is_named_exists(page):
    """Files of the repository; what an experiment makes, in results/ and reports/, is not there yet."""
    places = "|".join(re.escape(path.name) for path in REPOSITORY.iterdir() if path.is_dir() and path.name != "results")
    for name in set(re.findall(rf"`((?:{places})/[\w./*-]*)`", page.read_text())) - MADE_BY_THE_READER:
        made = name.startswith("reports/") and not KEPT_REPORTS.match(name)
        if not made and not re.search(r"\b[A-Z]{4,}\.", name):  # NAME.yaml: the reader's choice
            assert list(REPOSITORY.glob(name.rstrip("/"))), name


def test_the_readme_is_short_and_links_to_every_page():
    text = README.read_text()
    assert len(text.splitlines()) <= 220
    assert set(re.findall(r"\]\(docs/([\w-]+\.md)\)", text)) == {page.name for page in PAGES[1:]}
    first_screen = "\n".join(text.splitlines()[:40])
    assert all(command in first_screen for command in ("git clone", "make all EXPERIMENT=smoke", "2.3 GB"))


def test_the_verdicts_are_those_of_the_committed_run():
    rows = re.findall(r"^\| \*\*(\w+(?: \w+)?)\*\*.*? \| (\d+) \|$", README.read_text(), re.M)
    flickr8k = {verdict: int(number) for verdict, number in rows}
    with (REPOSITORY / "reports/flickr8k/measured/claims.csv").open(encoding="utf-8", newline="") as file:
        verdicts = {row["claim"]: row["verdict"] for row in csv.DictReader(file)}
    assert flickr8k == {"contradicted": 0} | Counter(verdicts.values())
    claims = yaml.safe_load((REPOSITORY / "reports/claims.yaml").read_text())
    assert sum(flickr8k.values()) == len(verdicts) and verdicts.keys() <= {claim["id"] for claim in claims}


def test_the_picture_shows_every_measured_claim():
    spec = importlib.util.spec_from_file_location("effects", REPOSITORY / "docs/effects.py")
    effects = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(effects)
    assert [effect["claim"] for effect in effects.measured_effects()] == list(effects.LABELS)
    assert (REPOSITORY / "docs/effects.png").stat().st_size < 150_000


def test_every_room_has_its_line():
    table = (REPOSITORY / "docs/built.md").read_text().partition("## Rooms")[2].partition("\n## ")[0]
    named = {name for row in re.findall(r"^\| (`.*?) \|", table, re.M) for name in re.findall(r"`([^`]+)`", row)}
    rooms = [path for path in (REPOSITORY / "rdt").iterdir() if path.name[0] not in "._"]
    assert named == {f"{path.name}/" if path.is_dir() else path.name for path in rooms if path.name[:2] != "__"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_yaml_of_an_experiment_is_read(page, tmp_path):
    for block in blocks(page, "yaml"):
        content = {"name": "mine", "base": "coco"} | yaml.safe_load(block)
        if content.keys() & {"data", "override"}:
            path = tmp_path / "mine.yaml"
            path.write_text(yaml.safe_dump(content))
            load_experiment(str(path))


def test_python_runs():
    for block in blocks(README, "python"):
        exec(block, {})
