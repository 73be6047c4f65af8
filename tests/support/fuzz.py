"""Valid files of a user, spoilt by chance: every command that reads them ends in 0, or in 2 with one sentence.

``python -m tests.support.fuzz 2000 [first seed]`` tries so many mutations, and prints those that ended otherwise.
"""

from __future__ import annotations

import copy
import io
import json
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image as Picture

from rdt.data.photograph import open_image
from rdt.errors import UserError
from rdt.metrics import tokenizer
from tests.support import tiny

SECONDS = 10  # that one input may take
IMAGES = 8
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "F", "I;16")
FORMATS = ("PNG", "TIFF", "JPEG", "GIF", "WEBP", "BMP")
OUTPUTS = ("results", "scores.json", "scores.parquet")
KINDS = ("experiment", "results", "annotations", "karpathy", "npz", "image")
SENTENCES = ("A man rides a red bike.", "Two dogs run in the park.", "A cat sits on a chair.", "A bus in the street.")


class TooLong(BaseException):
    """An input took longer than ``SECONDS``; no handler of exceptions catches it."""


# ---- valid files


def valid(folder: Path) -> None:
    """An experiment on own features, results and annotations, a photograph."""
    rng = np.random.default_rng(0)
    splits = ("train", "train", "train", "train", "val", "val", "test", "test")
    images = [
        {
            "imgid": n,
            "filename": f"photo_{n}.jpg",
            "split": splits[n],
            "sentences": [{"raw": raw, "tokens": raw.lower().strip(".").split()} for raw in SENTENCES],
        }
        for n in range(IMAGES)
    ]
    (folder / "dataset.json").write_text(json.dumps({"images": images}))
    for name in ("features", "captions"):
        (folder / name).mkdir()
    for n in range(IMAGES):
        vectors = rng.normal(size=(len(SENTENCES) + 1, 6)).astype(np.float32)
        np.savez(folder / f"features/{n}.npz", features=rng.normal(size=(49, 8)), g_feature=vectors[:1])
        np.savez(folder / f"captions/{n}.npz", g_feature=vectors[1:])
    own = {
        "source": "karpathy",
        "annotations": "dataset.json",
        "features": "features",
        "caption_features": "captions",
    }
    tiny.write(folder, tiny.EXPERIMENT | {"data": {"primary": own}})
    (folder / "results.json").write_text(
        json.dumps([{"image_id": n, "caption": SENTENCES[n % 4].lower()} for n in range(IMAGES)])
    )
    own = [{"image_id": n, "caption": "a red bike"} for n in (6, 7)]
    (folder / "tested.json").write_text(json.dumps(own))
    annotations = [{"id": k, "image_id": k // 4, "caption": SENTENCES[k % 4]} for k in range(4 * IMAGES)]
    listed = [{"id": n, "file_name": f"photo_{n}.jpg", "domain": "ab"[n % 2]} for n in range(IMAGES)]
    (folder / "annotations.json").write_text(json.dumps({"images": listed, "annotations": annotations}))
    Picture.effect_mandelbrot((40, 30), (-2, -1, 1, 1), 30).convert("RGB").save(folder / "image.png")
    tiny.without_sending(folder)


# ---- mutations


def odd_value(chance: random.Random) -> Any:
    """A value that nobody expects where it stands."""
    nested: Any = 1
    for _ in range(chance.choice([3, 90])):
        nested = [nested]
    values = [
        None, True, False, 0, -1, 1.5, 2**31, 2**63, 2**70, -(2**64), 10**400, float("nan"), float("inf"), "", " ",
        "a" * 300, "x/" * 200, "word " * 200_000, "y" * 1_000_000, "\ud83d", "\0", "../..", "/", "1", "é🐕",
        [], {}, [[]], [None], {"": 1}, {"a": {"b": 1}}, nested, ["a"] * 9, "2001-99-99", "~", "!!python/none",
        "\u2028", "a\nb\rc",
    ]  # fmt: skip
    return chance.choice(values)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container and key below ``value``."""
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield value, key
        yield from places(value[key])


def odd_document(value: Any, chance: random.Random) -> Any:
    """``value`` with one to three places changed, removed, doubled or exchanged."""
    value = {"": copy.deepcopy(value)}
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        container, key = chance.choice(list(places(value)))
        if chance.random() < 0.7:
            container[key] = odd_value(chance)
        elif isinstance(container, list):
            container.insert(key, copy.deepcopy(container[key]))
        elif chance.random() < 0.5 and key != "":
            del container[key]
        else:
            container[str(odd_value(chance))[:1000] if key != "" else ""] = container[key]
    return value[""]


def odd_bytes(data: bytes, chance: random.Random) -> bytes:
    """``data`` with one to four ranges changed."""
    pieces = [
        b"\xef\xbb\xbf", b"\xff\xfe", b"\0", b"\\ud83d", b"\xf0\x9f\x90", b"1e999", b"9" * 5000, b"[" * 5000, b"\n" * 9,
        b"- " * 3000, b"{" * 20_000, b"'", b"&a [*a]", b'"', b"#", b"PK\x03\x04", b"\x1f\x8b", b"<html>", b": ",
        b"\x80\x04",        b"\r\n\r\n", b"\xff" * 8, b"\x7f\xff\xff\xff", b"!!python/object/apply:os.getcwd []",
    ]  # fmt: skip
    for _ in range(chance.choice([1, 1, 2, 4])):
        start = chance.randrange(len(data) + 1)
        end = min(len(data), start + chance.choice([0, 1, 1, 4, 40, len(data)]))
        new = chance.choice([b"", chance.randbytes(end - start), data[start:end] * 2, chance.choice(pieces)])
        data = data[:start] + new + data[end:]
    return data


def odd_array(array: np.ndarray, chance: random.Random) -> np.ndarray:
    """An array of another shape, type or content."""
    changes: list[Callable[[], np.ndarray]] = [
        lambda: array[:-1],
        lambda: array[..., :0],
        lambda: array[None],
        lambda: array.ravel(),
        lambda: np.array(1.0),
        lambda: array * np.nan,
        lambda: array * 1e30,
        lambda: array * 0,
        lambda: array.astype("U9"),
        lambda: array.astype(object),
        lambda: array.astype(np.complex64),
        lambda: array > 0,
        lambda: array.astype("datetime64[s]"),
        lambda: np.zeros((2000, 5000)),
        lambda: array.astype(">f2"),
        lambda: np.zeros(3, [("a", "f4"), ("b", "i4")]),
    ]
    return chance.choice(changes)()


def spoil(kind: str, folder: Path, chance: random.Random) -> list[str]:
    """Change one file of a kind; returns its name as commands are given it."""
    if kind == "npz":
        path = folder / chance.choice(["features", "captions"]) / f"{chance.randrange(IMAGES)}.npz"
        if chance.random() < 0.5:
            with np.load(path) as found:
                arrays = dict(found)
            name = chance.choice(list(arrays))
            arrays[chance.choice([name, name, name, "other"])] = odd_array(arrays.pop(name), chance)
            with np.errstate(all="ignore"):
                np.savez_compressed(path, **arrays)
            return [str(path)]
        path.write_bytes(odd_bytes(path.read_bytes(), chance))
        return [str(path)]
    path = folder / {"experiment": f"{tiny.NAME}.yaml", "karpathy": "dataset.json", "image": "image.png"}.get(
        kind, f"{kind}.json"
    )
    if kind == "image":
        picture = Picture.open(path).convert(
            chance.choice(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "F", "I;16"])
        )
        stream = io.BytesIO()
        picture.save(
            stream, chance.choice([f for f in ("PNG", "TIFF", "JPEG", "GIF", "WEBP", "BMP") if can(picture, f)])
        )
        path.write_bytes(odd_bytes(stream.getvalue(), chance))
    elif chance.random() < 0.5:
        path.write_bytes(odd_bytes(path.read_bytes(), chance))
    elif kind == "experiment":
        path.write_text(yaml.safe_dump(odd_document(yaml.safe_load(path.read_text()), chance)), errors="surrogatepass")
    else:
        path.write_text(json.dumps(odd_document(json.loads(path.read_text()), chance)))
    return [str(path)]


def can(picture: Picture.Image, form: str) -> bool:
    """Whether a picture can be saved so."""
    try:
        picture.save(io.BytesIO(), form)
    except (OSError, ValueError, KeyError):
        return False
    return True


# ---- trials


def commands(kind: str) -> list[list[str]]:
    """What reads a file of a kind."""
    split = ["--results", "tested.json", "--references", "dataset.json", "--split", "test", "--out", "scores.json"]
    scored = ["evaluate", "--results", "results.json", "--references", "annotations.json", "--out", "scores.json"]
    role = [f"{tiny.NAME}.yaml", "--role", "primary"]
    return {
        "experiment": [["check", f"{tiny.NAME}.yaml"], ["config", f"{tiny.NAME}.yaml"], ["vocabulary", *role]],
        "results": [[*scored, "--metrics", "bleu,rouge,cider,diversity"]],
        "annotations": [[*scored, "--metrics", "bleu,rouge,cider,diversity"]],
        "karpathy": [["check", role[0]], ["vocabulary", *role], ["evaluate", *split, "--metrics", "bleu,cider"]],
        "npz": [["features", *role]],
    }[kind]  # fmt: skip


def trial(kind: str, seed: int) -> list[str]:
    """What went wrong with a mutation: nothing, if all is well."""
    chance = random.Random(f"{kind} {seed}")
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        valid(folder)
        spoil(kind, folder, chance)
        if kind == "image":
            return [f"image {seed}: {problem}" for problem in opening(folder / "image.png")]
        found = []
        for arguments in commands(kind):
            code, said, problem = ending(folder, arguments)
            found += [f"{kind} {seed}: rdt {' '.join(arguments[:2])}: {problem}"] if problem else []
            if code == 2 and kind in ("npz", "experiment"):
                break
        return found


def opening(path: Path) -> list[str]:
    """The decoder by itself: a picture, or its one sentence."""
    try:
        with in_time():
            picture = open_image(path)
    except UserError as error:
        return [] if "\n" not in str(error) else ["several lines"]
    except BaseException as error:
        return [f"{type(error).__name__}: {error}"]
    return [] if picture.mode == "RGB" else [picture.mode]


def ending(folder: Path, arguments: list[str]) -> tuple[int, str, str]:
    """Exit code of a command, its last line, and what is wrong with them."""
    before = outputs(folder)
    said, printed = io.StringIO(), io.StringIO()
    started = time.monotonic()
    try:
        with in_time(), redirect_stderr(said), redirect_stdout(printed):
            code = tiny.rdt(folder, *arguments)
    except BaseException as error:
        return 2, "", f"{type(error).__name__} after {time.monotonic() - started:.0f} s: {error}"[:300]
    lines = [line for line in said.getvalue().splitlines() if line.startswith("rdt: error: ")]
    text = said.getvalue()
    if "Traceback" in text or "unforeseen" in text or code not in (0, 2) or (code == 2) != (len(lines) == 1):
        return code, "", f"exit {code}: {text[-600:]}"
    if code == 2 and (outputs(folder) != before or not text.splitlines()[-1].startswith("rdt: error: ")):
        return code, "", f"left {sorted(outputs(folder) ^ before)} behind: {text[-300:]}"
    return code, lines[0] if lines else "", ""


def outputs(folder: Path) -> set[str]:
    """Files of results, but the records for MLflow and locks."""
    paths = (path.relative_to(folder) for name in OUTPUTS for path in [folder / name, *(folder / name).rglob("*")])
    return {str(p) for p in paths if (folder / p).is_file() and "tracking" not in p.parts and not p.match("*.lock")}


@contextmanager
def in_time() -> Iterator[None]:
    """Raise TooLong where it takes longer; counted in the processor's seconds, as other processes may be at work."""

    def stop(*_: object) -> None:
        raise TooLong

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@contextmanager
def quick_tokens() -> Iterator[None]:
    """Split texts at spaces in place of the Java program, which takes a second to start."""
    original = tokenizer._tokens_of
    tokenizer._tokens_of = lambda keys: [" ".join(text.lower().split()) for text, _ in keys]
    try:
        yield
    finally:
        tokenizer._tokens_of = original


def trials(count: int, first: int = 0) -> Iterator[list[str]]:
    """So many mutations, the kinds in turn."""
    with quick_tokens():
        for number in range(first, first + count):
            yield trial(KINDS[number % len(KINDS)], number)


if __name__ == "__main__":
    count, first = int(sys.argv[1]), int(sys.argv[2]) if sys.argv[2:] else 0
    problems = [problem for found in trials(count, first) for problem in found if print(problem, flush=True) is None]
    print(f"{len(problems)} of {count} mutations ended otherwise than in 0, or in 2 with one sentence")
    sys.exit(bool(problems))
