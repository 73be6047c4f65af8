"""Check that an experiment made all seven tables, in all three formats, with numbers of its own in each."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

TABLES = ("II", "III", "IV", "V", "VI", "VII", "VIII")


def measured_cells(path: Path) -> int:
    """Number of measured cells of a long table; a measured cell without a number is an error."""
    with path.open(newline="", encoding="utf-8") as file:
        measured = [row for row in csv.DictReader(file) if row["status"] == "measured"]
    for row in measured:
        float(row["ours"])
    return len(measured)


def main(experiment: str) -> int:
    folder = Path("reports") / experiment / "tables"
    failures = 0
    for table in TABLES:
        missing = [kind for kind in ("csv", "md", "tex") if not (folder / f"table_{table}.{kind}").is_file()]
        count = 0 if "csv" in missing else measured_cells(folder / f"table_{table}.csv")
        failures += bool(missing) or count == 0
        print(f"table {table:>4}: {count:4} measured cells" + (f", missing: {', '.join(missing)}" if missing else ""))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
