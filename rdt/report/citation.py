"""How to cite, from CITATION.cff."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from rdt.digests import ROOT

FILE = ROOT / "CITATION.cff"


def citations() -> list[tuple[str, str]]:
    """(what to cite when, BibTeX) of the paper and of this suite; none where the file is not there."""
    if not FILE.is_file():
        return []
    document = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    papers = [("The method, by its paper:", bibtex("article", "rdt-paper", entry)) for entry in document["references"]]
    return [*papers, ("This suite:", bibtex("software", "rdt-suite", document))]


def bibtex(kind: str, key: str, entry: Mapping[str, Any]) -> str:
    """One entry; fields that the entry does not have are left out."""
    authors = [
        author.get("name") or f"{author['family-names']}, {author['given-names']}" for author in entry["authors"]
    ]
    fields = {
        "author": " and ".join(f"{{{name}}}" if "," not in name else name for name in authors),
        "title": f"{{{entry['title']}}}",
        **{name: str(entry[name]) for name in ("journal", "year", "version", "doi", "url") if name in entry},
    }
    lines = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items())
    return f"@{kind}{{{key},\n{lines}\n}}"
