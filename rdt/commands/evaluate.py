"""``rdt evaluate``: score any captioner's output, with intervals, by domain, and against another captioner."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rdt.data.coco import References, read_document, references_by_image
from rdt.data.identity import ImageId
from rdt.data.matching import matched_file
from rdt.data.user_files import read_user_file
from rdt.errors import UserError
from rdt.experiment.file import LANGUAGE
from rdt.experiment.settings import ENGLISH
from rdt.metrics.corpus import Scorer
from rdt.metrics.resampling import Estimate
from rdt.scoring.caveats import without_domain
from rdt.scoring.evaluation import (
    CHOICES,
    Earlier,
    EvaluationDocument,
    compare_systems,
    comparison_document,
    comparison_table,
    earlier_statistics,
    evaluate_systems,
    references_digest,
    score_table,
)
from rdt.scoring.files import read_columns, write_scores

EPILOG = """\
example:
  rdt evaluate --results captions_val2014_mine_results.json --references captions_val2014.json --out scores.json

  --results is what captioners write for COCO: [{"image_id": 391895, "caption": "a man on a motorcycle"}, ...].
  --references may be COCO annotations, nocaps' (the file's own domains are scored too), or Karpathy's
  dataset_*.json together with --split test. Images that have references but no caption are left out and
  counted; a caption of an image without references is an error. An id is a whole number or a text; captions may
  also go by the file_name, filename, filepath/filename or open_images_id beside the references' ids, where it is
  unique: a note says which was taken. Captions that VizWiz marks is_rejected or
  is_precanned are left out and counted. Either file may also be JSON Lines, or CSV or TSV with a header such as
  "image_id,caption" or "file_name,caption_1,caption_2", in UTF-8 or UTF-16, plain or packed with gzip or zip.

what the numbers are:
  BLEU-1..4, METEOR, ROUGE-L and CIDEr equal pycocoevalcap 1.2's, times 100, to the last bit. SPICE is the
  original where `rdt doctor` finds what it needs, otherwise SPICE-dp: the same definition on another parser.
  Both METEOR and SPICE are made for English; a note tells where the references seem to be in another language.
  With --language CODE they are left out, and words are what spaces and punctuation divide, characters in Chinese,
  Japanese, Thai and the like: so these scores are not those of the COCO tools, whose tokenizer is for English.
  Behind each stands a 95 % interval over images, from 4 of them on and within the metric's range. A domain is
  scored as a data set of its own: its CIDEr takes the document frequencies of its own references.
  diversity is of one caption an image: Dist-n, distinct n-grams per 100 words; the words in use; which share
  of the words of these images' references they are; which share of the captions differ. All of it depends on the
  number of images, so compare it on the same images. (The paper's Voc-u is a share of the training vocabulary,
  which a caption file does not tell.)

comparison:
  --compare takes other captions of the same images, or the scores.json that was written for them, with its
  .parquet beside it. Differences are this minus other, paired by image: where an interval does not hold 0, it is
  not the choice of these images that makes one of the two better. Other training seeds are another question.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt evaluate``."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("--results", type=Path, required=True, metavar="R.json", help="captions, one for each image")
    reference_arguments(parser)
    parser.add_argument("--compare", type=Path, metavar="OTHER.json", help="another captioner's results or scores")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="scores.json", help="the scores; with them scores.parquet, by image"
    )


def reference_arguments(parser: argparse.ArgumentParser) -> None:
    """What captions are scored against, by which metrics, and in which parts."""
    parser.add_argument("--references", type=Path, required=True, metavar="A.json", help="human captions of the images")
    parser.add_argument("--split", help="of Karpathy's JSON: train (with restval), val or test")
    parser.add_argument(
        "--metrics", default=",".join(CHOICES), metavar="LIST", help="some of %(default)s (default: all of them)"
    )
    parser.add_argument(
        "--language",
        type=language,
        default=ENGLISH,
        metavar="CODE",
        help="of the captions, such as de or zh: METEOR and SPICE, which are made for English, are left out of others",
    )
    parser.add_argument("--by", type=Path, metavar="DOMAINS.json", help='{"image id": "domain"}: scores by domain too')


def language(code: str) -> str:
    """The code of a language; UserError for anything else."""
    if not LANGUAGE.fullmatch(code):
        raise UserError("--language", f"{code!r} is not the code of a language", "write for example de, zh, ja or ar")
    return code


def run(args: argparse.Namespace) -> None:
    """Score a caption file, write the scores and print them."""
    choices = metric_names(args.metrics)
    check_out(args.out, [path for path in (args.results, args.references, args.by, args.compare) if path])
    references = read_references(args.references, args.split)
    captions, told = matched_file(args.results, references)
    domains = read_domains(args.by, captions) if args.by else references.domains
    other = read_other(args.compare, captions, references, args.language) if args.compare else None
    systems = [captions, other] if isinstance(other, dict) else [captions]
    if sys.stderr.isatty():
        waits = "; METEOR starts Java, unless it has scored them before" if "meteor" in choices else ""
        print(f"scoring {len(captions):,} captions{waits}", file=sys.stderr)
    with Scorer(cache_folder(), args.language) as scorer:
        evaluation, *others = evaluate_systems(systems, references.captions, domains, choices, scorer)
    document = {
        "results": str(args.results),
        "references": str(args.references),
        "split": args.split,
        **({} if args.language == ENGLISH else {"language": args.language}),
        **evaluation.document,
    }
    document["notes"] = all_notes(references, told, captions, domains, evaluation.document)
    differences: dict[str, dict[str, Estimate]] = {}
    if other is not None:
        theirs = others[0].statistics if others else earlier_statistics(other, evaluation)
        differences = compare_systems(evaluation.statistics, theirs)
        document |= {"compared_with": str(args.compare), "differences": comparison_document(differences)}
    write_scores(args.out, document, evaluation.columns)
    print(print_scores(args, evaluation.document, document["notes"], differences))


def metric_names(metrics: str) -> list[str]:
    """The names in a list with commas."""
    names = [name.strip().lower() for name in metrics.split(",") if name.strip()]
    unknown = [name for name in names if name not in CHOICES]
    if unknown or not names:
        problem = f"{unknown[0]!r} is not a metric" if unknown else "names no metric"
        raise UserError("--metrics", problem, f"choose among {','.join(CHOICES)}")
    return [name for name in CHOICES if name in names]


def check_out(out: Path, inputs: list[Path]) -> None:
    """Raise UserError where writing ``out`` would fail or destroy an input."""
    if out.is_dir() or out.suffix == ".parquet":
        problem = "is a folder" if out.is_dir() else "is the name of the table of images"
        raise UserError(out, problem, "name a JSON file, such as scores.json")
    for path in inputs:
        if out.resolve() == path.resolve():
            raise UserError("--out", f"would overwrite {path}", "name another file")


def read_references(path: Path, split: str | None) -> References:
    """The references in a file, of one split where it has several."""
    read = read_user_file(path)
    references = references_by_image(read.value, path, split)
    return replace(references, notes=(*read.notes, *references.notes))


def all_notes(
    references: References,
    told: Iterable[str],
    captions: Mapping[ImageId, str],
    domains: Mapping[ImageId, str],
    document: EvaluationDocument,
) -> list[str]:
    """What is to be said of scores: how the files were read, and what the numbers are not."""
    return [*references.notes, *told, *without_domain(captions, domains), *document["notes"]]


def read_domains(path: Path, captions: Mapping[ImageId, str]) -> dict[ImageId, str]:
    """The domain of every captioned image, from a file."""
    named = read_document(path)
    if not isinstance(named, dict) or not all(isinstance(domain, str) for domain in named.values()):
        raise UserError(
            path, "is not an object of image ids and the names of their domains", 'write {"391895": "indoor"}'
        )
    lacking = next((image for image in captions if str(image) not in named), None)
    if lacking is not None:
        raise UserError(path, f"image {lacking} has no domain", "name one for every captioned image")
    return {image: named[str(image)] for image in captions}


def read_other(
    path: Path, captions: Mapping[ImageId, str], references: References, spoken: str = ENGLISH
) -> dict[ImageId, str] | Earlier:
    """The captions to compare with, or the numbers that an earlier evaluation wrote.

    Raises UserError where they are not of the same images and references.
    """
    other = read_document(path)
    if isinstance(other, list):
        return same_images(captions, matched_file(path, references).captions, path)
    if not isinstance(other, dict) or "references_digest" not in other:
        raise UserError(path, "holds neither captions nor scores of rdt evaluate", "name either")
    if other["references_digest"] != references_digest(captions, references.captions):
        raise UserError(path, "was scored on other images or references", "score it again, or compare the captions")
    if other.get("language", ENGLISH) != spoken:
        problem = f"was scored as captions in the language {other.get('language', ENGLISH)}, not {spoken}"
        raise UserError(path, problem, "score it again, or compare the captions")
    return Earlier(read_columns(path), other.get("spice"))


def same_images(captions: Mapping[ImageId, str], others: dict[ImageId, str], where: Path) -> dict[ImageId, str]:
    """``others``; UserError where they are not captions of the same images."""
    odd = min(captions.keys() ^ others.keys(), key=str, default=None)
    if odd is not None:
        problem = f"lacks image {odd}" if odd in captions else f"has image {odd}, which the results lack"
        raise UserError(where, problem, "compare captions of the same images")
    return others


def cache_folder() -> Path | None:
    """Where answers are kept: in the project's results, if it is called there."""
    results = Path("results")
    return results / "cache" if results.is_dir() and Path("Snakefile").is_file() else None


def print_scores(
    args: argparse.Namespace, document: EvaluationDocument, notes: Sequence[str], differences: Mapping[str, Any]
) -> str:
    """What is printed."""
    n, annotated = document["n"], document["annotated"]
    images = f"{n:,} images" if n == annotated else f"{n:,} of {annotated:,} annotated images"
    lines = [f"{args.results}: captions of {images}, with 95 % intervals over images", "", score_table(document)]
    lines += [f"{name}: {reason}" for name, reason in document["not_run"].items()]
    lines += ["", *(f"note: {note}" for note in notes)] if notes else []
    if args.compare:
        lines += ["", f"this minus {args.compare}, paired by image", "", comparison_table(differences, document)]
    places = f"written to {args.out} and, by image, {args.out.with_suffix('.parquet')}"
    return "\n".join([*lines, "", places])
