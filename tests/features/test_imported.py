"""The transcription of the paper's tables: its counts, some cells by eye, and relations between tables."""

from __future__ import annotations

import csv

import pytest

from rdt.data.published import PUBLISHED, read_published
from rdt.experiment.plan import column_name, is_measured, load_tables
from rdt.experiment.settings import TABLES

# Rows and numbers of each table, counted on the printed page ("-" is not a number).
COUNTS = {
    "II": (17, 136),
    "III": (15, 204),
    "IV": (8, 45),
    "V": (4, 36),
    "VI": (12, 72),
    "VII": (8, 24),
    "VIII": (10, 60),
}


def rows(table: str) -> list[str]:
    return list(dict.fromkeys(row for row, _ in read_published(table)))


@pytest.mark.parametrize("table", TABLES)
def test_counts(table):
    cells = read_published(table)
    assert (len(rows(table)), len(cells)) == COUNTS[table]


@pytest.mark.parametrize("table", TABLES)
def test_every_line_is_a_distinct_number_with_one_decimal(table):
    with (PUBLISHED / f"table_{table}.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == ["row", "group", "column", "value"]
    assert len({(line["row"], line["column"]) for line in lines}) == len(lines)
    assert all(line["value"] == f"{float(line['value']):.1f}" for line in lines)


@pytest.mark.parametrize("table", TABLES)
def test_definitions_have_the_papers_rows_in_its_order(table):
    definition = load_tables()[table]
    named = [row["row"] for row in definition["rows"] if not row.get("teacher")]
    assert named == rows(table)
    columns = [column_name(part, metric) for part in definition["parts"] for metric in part["metrics"]]
    assert {column for _, column in read_published(table)} <= set(columns)
    with (PUBLISHED / f"table_{table}.csv").open(encoding="utf-8", newline="") as file:
        groups = {line["row"]: line["group"] for line in csv.DictReader(file)}
    assert {row["row"]: row.get("group", "") for row in definition["rows"] if not row.get("teacher")} == groups


@pytest.mark.parametrize(
    ("table", "row", "column", "value"),
    [
        ("II", "RSTNet (CVPR21) [40]", "rl/C", "133.3"),
        ("II", "X-Transformer◇ (CVPR20) [26]", "xe/B@2", "62.9"),
        ("II", "EVCAP (CVPR24) [34]", "xe/C", "140.1"),
        ("II", "BitDiffusion (2022) [21]", "xe/R", "58.0"),
        ("II", "SCD-Net◇ (CVPR23) [9]", "rl/S", "23.8"),
        ("II", "RDT◇", "xe/C", "125.9"),
        ("II", "RDT◇", "rl/C", "139.3"),
        ("III", "ETA (ICCV19) [47]", "c5/B@1", "81.2"),
        ("III", "ETA (ICCV19) [47]", "c40/B@1", "95.0"),
        ("III", "CIIC (CVPR22) [20]", "c40/B@4", "70.1"),
        ("III", "RDT◇", "c40/C", "136.9"),
        ("IV", "ClipCap◇ [16]", "novel-in/C", "84.9"),
        ("IV", "I-Tuning medium [17]", "secondary/S", "19.0"),
        ("IV", "RDT◇", "novel-entire/C", "80.2"),
        ("V", "base + RL", "D@3", "26.0"),
        ("VI", "λ_F=0.8, λ_E=0", "R", "59.9"),
        ("VI", "λ_F=0.75, λ_E=1", "C", "123.9"),
        ("VII", "CapDec [61]", "Voc-u", "1.9"),
        ("VII", "DIFNet (CVPR22) [14]", "D@2", "9.3"),
        ("VIII", "δ_tim=0.20, δ_sen=-", "C", "124.5"),
        ("VIII", "δ_tim=0.12, δ_sen=0.05", "C", "123.7"),
    ],
)
def test_single_cells(table, row, column, value):
    assert read_published(table)[row, column] == value


# Column sums, added up from the printed page.
@pytest.mark.parametrize(
    ("table", "column", "total"),
    [("VI", "C", 1492.9), ("VI", "S", 268.6), ("VIII", "C", 1248.6), ("V", "Voc-u", 43.3), ("VII", "D@2", 79.3)],
)
def test_column_sums(table, column, total):
    values = [float(value) for (_, name), value in read_published(table).items() if name == column]
    assert sum(values) == pytest.approx(total, abs=1e-6)


def test_the_paper_repeats_its_own_rows():
    """Table V's base and full rows are Table II's after CIDEr optimisation, VI's and VIII's best its first stage."""
    two, five, six, seven, eight = (read_published(table) for table in ("II", "V", "VI", "VII", "VIII"))
    for metric in ("B@1", "B@4", "M", "R", "C", "S"):
        assert five["base", metric] == two["SCD-Net◇ (CVPR23) [9]", f"rl/{metric}"]
        assert five["base + RVE + RL", metric] == two["RDT◇", f"rl/{metric}"]
        assert six["λ_F=0.75, λ_E=0.55", metric] == two["RDT◇", f"xe/{metric}"]
        assert eight["δ_tim=0.12, δ_sen=0.15", metric] == two["RDT◇", f"xe/{metric}"]
    for metric in ("D@2", "D@3", "Voc-u"):
        assert five["base", metric] == seven["SCD-Net◇ (CVPR23) [9]", metric]
        assert five["base + RVE + RL", metric] == seven["RDT◇", metric]


def test_domains_average_to_the_entire_set():
    """NoCaps val has 648, 2938 and 914 images in, near and out of domain; CIDEr is nearly their mean."""
    cells = read_published("IV")
    near = [cells["RDT◇", f"novel-{domain}/C"] for domain in ("in", "near", "out")]
    mean = sum(n * float(value) for n, value in zip((648, 2938, 914), near, strict=True)) / 4500
    assert mean == pytest.approx(float(cells["RDT◇", "novel-entire/C"]), abs=0.1)


def test_measured_rows():
    measured = {name: sum(map(is_measured, table["rows"])) for name, table in load_tables().items()}
    assert measured == {"II": 3, "III": 2, "IV": 2, "V": 4, "VI": 12, "VII": 2, "VIII": 10}
