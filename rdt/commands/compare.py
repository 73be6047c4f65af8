"""``rdt compare``: a leaderboard of one's own, from the outputs of any captioners on the same images."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from rdt.commands.evaluate import (
    all_notes,
    cache_folder,
    check_out,
    metric_names,
    read_domains,
    read_references,
    reference_arguments,
    same_images,
)
from rdt.data.identity import ImageId
from rdt.data.matching import matched_file
from rdt.errors import UserError
from rdt.files import atomic_write_text
from rdt.metrics.corpus import Scorer
from rdt.scoring.evaluation import evaluate_systems
from rdt.tables.leaderboard import board_notes, board_text, boards, boards_latex, boards_markdown

EPILOG = """\
example:
  rdt compare ours.json blip.json llm.json --references captions_val2014.json --out leaderboard.md

  Each file is what `rdt evaluate --results` takes, and all of them caption the same images. The scores are those of
  `rdt evaluate`, whose --help says what they are. Every two captioners are tested on every metric by exchanging their
  captions image by image; p is corrected after Holm for all tests of a table. Domains have a table each.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt compare``."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("results", type=Path, nargs="+", metavar="R.json", help="captions of one captioner")
    reference_arguments(parser)
    parser.add_argument(
        "--out", type=Path, required=True, metavar="board.md", help="the tables in Markdown; with them board.tex, LaTeX"
    )


def run(args: argparse.Namespace) -> None:
    """Score the caption files, test every two of them, write the tables and print them."""
    choices, names = metric_names(args.metrics), captioner_names(args.results)
    if args.out.suffix != ".md":
        raise UserError(args.out, "is not the name of a Markdown file", "name one, such as leaderboard.md")
    check_out(args.out, [*args.results, args.references])
    references = read_references(args.references, args.split)
    systems: list[dict[ImageId, str]] = []
    told: list[str] = []
    for path in args.results:
        captions, notes = matched_file(path, references)
        told += notes
        systems.append(same_images(systems[0], captions, path) if systems else captions)
    domains = read_domains(args.by, systems[0]) if args.by else references.domains
    with Scorer(cache_folder(), args.language) as scorer:
        evaluations = evaluate_systems(systems, references.captions, domains, choices, scorer)
    found = boards(dict(zip(names, evaluations, strict=True)))
    document = evaluations[0].document  # its notes are about images and references, which all systems share
    notes = [*board_notes(document), *all_notes(references, told, systems[0], domains, document)]
    latex = args.out.with_suffix(".tex")
    atomic_write_text(args.out, boards_markdown(found, notes))
    atomic_write_text(latex, boards_latex(found, notes))
    print("\n\n".join([*map(board_text, found), "\n".join(notes), f"written to {args.out} and {latex}"]))


def captioner_names(paths: Sequence[Path]) -> list[str]:
    """What the captioners are called: their files' names where these tell them apart, otherwise the paths."""
    times = Counter(path.resolve() for path in paths)
    twice = next((path for path in paths if times[path.resolve()] > 1), None)
    if len(paths) < 2 or twice is not None:
        problem = "is the only captioner" if twice is None else "is named twice"
        raise UserError(twice or paths[0], problem, "name the results of two captioners or more")
    stems = [path.stem for path in paths]
    return stems if len(set(stems)) == len(stems) else [str(path) for path in paths]
