"""From caption files through real score files to measurements, tables and claims."""

from __future__ import annotations

import csv
import json
from itertools import product

import numpy as np
import pytest

from rdt.claims.claim import read_claims
from rdt.claims.judge import judge
from rdt.claims.write import write_claims
from rdt.data.dataset import Caption, Image
from rdt.data.vocabulary import Vocabulary
from rdt.errors import UserError
from rdt.experiment.paths import Paths
from rdt.experiment.plan import load_tables
from rdt.experiment.settings import Seeds
from rdt.metrics.corpus import Scorer
from rdt.metrics.names import METRICS
from rdt.metrics.statistics import corpus_values
from rdt.scoring.measurements import Measurements
from rdt.scoring.per_image import PerImage, images_of
from rdt.scoring.references import Targets
from rdt.scoring.systems import score_systems, systems
from rdt.tables.write import write_tables
from tests.scoring.test_measurements import cell_of, planned

COLOURS, THINGS = ("red", "blue", "green"), ("ball", "cube", "ring", "star")
IMAGES = [
    Image(
        number,
        f"{number}.png",
        "test",
        tuple(
            Caption(tuple(text.split()), text)
            for text in (
                f"a {colour} {thing} on the grass",
                f"a {thing} that is {colour}",
                f"one {colour} {thing} lies there",
                f"the {colour} {thing}",
                f"there is a {thing}",
            )
        ),
        None,
        number ^ 1,  # the next image is its twin
    )
    for number, (thing, colour) in enumerate(product(THINGS, COLOURS), start=10)
]
VOCABULARY = Vocabulary((".", "a", "the", "on", "grass", "there", *COLOURS, *THINGS, "UNK"))


def caption_of(image: Image, run: str, draw: int | None) -> str:
    """The full network names colour and thing; the baseline is often wrong about the colour; seeds differ a little.

    Of the first image alone some say where it is.
    """
    own = np.random.default_rng([sum(map(ord, run)), image.id, 9 if draw is None else draw])
    colour, thing = image.captions[3].tokens[1:]
    good = 0.9 if run.startswith("rdt") else 0.3
    colour = colour if own.random() < good else str(own.choice(COLOURS))
    where = " there" if image is IMAGES[0] and own.random() < 0.5 else ""
    return f"a {colour} {thing}{where}" + (" on the grass" if own.random() < 0.5 else "")


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    """Table II, VI and VII with two seeds of cross-entropy and one of CIDEr optimisation, scored by the real scorer."""
    made = planned(Seeds((0, 1), (0,)))
    folder = tmp_path_factory.mktemp("scored")
    paths = Paths("tiny", folder / "results", folder / "reports")
    wanted = systems(made, "primary", "test")
    for system in wanted:
        for draw in (None, *range(system.draws)):
            path = paths.captions(system.run, system.variant, "primary", "test", draw)
            path.parent.mkdir(parents=True, exist_ok=True)
            results = [{"image_id": image.id, "caption": caption_of(image, system.run, draw)} for image in IMAGES]
            path.write_text(json.dumps(results))
    VOCABULARY.save(paths.vocabulary("primary"))
    with Scorer() as scorer:
        score_systems(paths, Targets("primary", "test", tuple(IMAGES)), wanted, {"primary": VOCABULARY}, scorer)
    return made, paths


def test_the_numbers_by_image_give_the_documents_corpus_values(scored):
    """What is resampled and exchanged is, for every metric, the number that stands in the table."""
    made, paths = scored
    measurements, by_image = Measurements.of(made, paths), PerImage.of(made, paths)
    cell = cell_of(made, "II", "SCD-Net◇ (CVPR23) [9]", "xe/C")
    for network, document in zip(measurements.networks(cell).values(), measurements.documents(cell), strict=True):
        stored = document["scopes"]["c5"]["metrics"]
        found = corpus_values(by_image.statistics(network, images_of(cell)))
        assert set(found) == set(stored) >= set(METRICS) - {"S"}
        assert found == {name: pytest.approx(value, rel=1e-12) for name, value in stored.items()}
        twins = corpus_values(by_image.statistics(network, ("primary", "test", "twins")))
        assert twins == {"twins": pytest.approx(document["twins"]["accuracy"])}


def test_document_intervals_are_those_of_one_network(scored):
    made, paths = scored
    measurements = Measurements.of(made, paths)
    for column in ("rl/B@4", "rl/M", "rl/C"):
        cell = cell_of(made, "II", "RDT◇", column)
        found = measurements.estimate(cell)
        stored = measurements.documents(cell)[0]["scopes"]["c5"]["intervals"][cell.metric]
        assert [found.low, found.high] == pytest.approx(stored)


def test_draws_and_twins_have_errors_over_images(scored):
    made, paths = scored
    measurements = Measurements.of(made, paths)
    for metric in ("D@2", "D@3", "Voc-u"):
        assert measurements.estimate(cell_of(made, "VII", "RDT◇", metric)).image_error > 0, metric
    (judgement,) = judge([claim for claim in read_claims() if claim.id == "discriminative-xe"], measurements)
    (comparison,) = judgement.comparisons
    assert comparison.difference.covers == "images and seeds" and comparison.difference.value > 0
    assert comparison.difference.images == len(IMAGES) // 2


def test_the_error_of_words_used_is_that_of_leaving_out_each_pair(scored):
    """The root of (n - 1) / n times the summed squares of the words used without each of n pairs about their mean."""
    made, paths = scored
    measurements = Measurements.of(made, paths)
    cell = cell_of(made, "VII", "RDT◇", "Voc-u")
    (run,), (document,) = cell.runs, measurements.documents(cell)
    pairs = [{image.id, image.twin} for image in IMAGES[::2]]
    without = []
    for pair in pairs:
        kept = [image for image in IMAGES if image.id not in pair]
        used = [{word for image in kept for word in caption_of(image, run, draw).split()} for draw in range(cell.draws)]
        without.append(np.mean([len(words & set(VOCABULARY.words)) for words in used]))
    spread = (len(pairs) - 1) / len(pairs) * np.sum((without - np.mean(without)) ** 2)
    of_a_word = document["diversity"]["mean"]["Voc-u"] / document["diversity"]["mean"]["words"]
    assert measurements.estimate(cell).image_error == pytest.approx(of_a_word * spread**0.5)


def test_tables_and_claims_from_files(scored):
    made, paths = scored
    write_tables(made, load_tables(), paths)
    judgements = write_claims(made, paths, read_claims())
    tests = list(csv.DictReader((paths.tables / "table_II_tests.csv").open()))
    scd = {line["column"]: line for line in tests if line["row"].startswith("SCD-Net")}
    assert scd["xe/B@4"]["interval_over"] == "images and seeds" and scd["rl/B@4"]["interval_over"] == "images"
    assert all(float(line["p"]) <= float(line["p_holm"]) <= 1 for line in scd.values() if line["p"])
    lines = list(csv.DictReader(paths.claims.with_suffix(".csv").open()))
    assert {line["claim"] for line in lines} == {claim.id for claim in read_claims()}
    verdicts = {judgement.claim.id: judgement.verdict for judgement in judgements}
    assert verdicts["coco-rl"] == "undecided" and verdicts["server-c40"] == "not run"
    assert paths.claims.read_text().startswith("# Experiment tiny: the paper's claims")


def test_a_damaged_parquet_is_named(scored, tmp_path):
    made, paths = scored
    cell = cell_of(made, "II", "RDT◇", "rl/C")
    copied = Paths("tiny", tmp_path)
    source = paths.scores(cell.runs[0], "rl", "primary", "test")
    target = copied.scores(cell.runs[0], "rl", "primary", "test")
    target.parent.mkdir(parents=True)
    target.write_bytes(source.read_bytes())
    target.with_suffix(".parquet").write_bytes(source.with_suffix(".parquet").read_bytes()[:-50])
    with pytest.raises(UserError, match=r"primary-test.parquet: cannot be read as Parquet"):
        Measurements.of(made, copied).estimate(cell)
