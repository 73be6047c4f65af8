"""``rdt caption PHOTO... --run RUN``: captions for photographs of your own."""

from __future__ import annotations

import argparse
from pathlib import Path

from rdt.captioning.photos import PhotoCaption, caption, stretches
from rdt.commands.arguments import experiment_option
from rdt.data.photograph import open_image
from rdt.errors import UserError
from rdt.files import atomic_file
from rdt.model.heatmap import overlay

EPILOG = """\
With each caption stands the sentence that was retrieved for the photograph, from which the network starts.
--heatmap writes NAME.heatmap.png: the photograph under the colours of its visual tokens, section IV-D of the paper.
--steps shows what the network predicts at each step of Alg. 1.
From Python: rdt.caption(image_paths, run).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt caption``."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("photos", nargs="+", type=Path, metavar="PHOTO", help="an image file")
    run_help = "as in results/<experiment>/runs/; RUN/xe names a network of it (default: the last one)"
    parser.add_argument("--run", required=True, metavar="RUN", help=run_help)
    parser.add_argument("--heatmap", action="store_true", help="write the token heatmap of each photograph")
    parser.add_argument("--steps", action="store_true", help="show the denoising, step by step")
    parser.add_argument("--out", type=Path, default=Path("."), metavar="FOLDER", help="of the heatmaps (default: .)")
    experiment_option(parser)


def run(args: argparse.Namespace) -> None:
    """Print the captions, and write the heatmaps that were asked for."""
    places = heatmap_files(args.photos, args.out) if args.heatmap else {}
    for one in caption(args.photos, args.run, args.experiment, args.data_root):
        lines = [f"{one.path}: {one.caption}"]
        lines += [f"  retrieved: {one.retrieved}"] if one.retrieved else []
        if args.heatmap:
            with atomic_file(places[one.path]) as partial:
                overlay(open_image(one.path), one.heatmap).save(partial, format="PNG")
            lines.append(f"  heatmap: {places[one.path]}")
        lines += steps(one) if args.steps else []
        print("\n".join(lines))


def heatmap_files(photos: list[Path], folder: Path) -> dict[Path, Path]:
    """Where the heatmap of each photograph goes; UserError where two would go to one place."""
    places: dict[Path, Path] = {}
    for photo in photos:
        place = folder / f"{photo.stem}.heatmap.png"
        other = next((path for path, taken in places.items() if taken == place and path != photo), None)
        if other is not None:
            raise UserError(
                photo, f"its heatmap would have the same name as the heatmap of {other}", "caption them one by one"
            )
        places[photo] = place
    return places


def steps(one: PhotoCaption) -> list[str]:
    """The predictions of a network, equal ones that follow each other in one line."""
    if not one.steps:
        return ["  steps: none, for an autoregressive network does not denoise"]
    lines = []
    for part in stretches(one.steps):
        where = f"step {part.first}" if part.first == part.last else f"steps {part.first}-{part.last}"
        lines.append(f"  {where} of {len(one.steps)}: {part.caption}")
    return lines
