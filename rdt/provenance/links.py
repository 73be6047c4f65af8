"""The links between results: from an output, by the digests in its manifest, down to the data.

A link is broken where a file is not the one that a manifest recorded, whether it was changed, lost, or made
again without what was made from it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from rdt.digests import SHORT, digest
from rdt.errors import UserError
from rdt.provenance.manifest import content_digest, manifest_path, output_files, read_manifest

KEYS = ("content", "files", "inputs")  # what a manifest must say to be followed
AGAIN = "restore it, or `rdt verify --repair`, after which snakemake makes it again with all that depends on it"
Wanted = Callable[[Path, str], bool]  # an output and the name of one of its inputs


class BrokenLinkError(UserError):
    """A file that is not what was recorded of it; ``output`` is what has to be made again, if that is known."""

    exit_code = 1

    def __init__(self, where: object, problem: str, hint: str, output: Path | None = None) -> None:
        super().__init__(where, problem, hint)
        self.output = output


def maker(path: Path, roots: Sequence[Path]) -> Path | None:
    """The output that ``path`` is or belongs to, if it lies under one of ``roots``, where outputs are; else None.

    It is the nearest that has a manifest, or ``path`` itself where none has.
    """
    above = [path, *path.parents]
    root = next((root for root in roots if root in above), None)
    if root is None:
        return None
    return next((output for output in above[: above.index(root)] if manifest_path(output).is_file()), path)


def manifest_of(target: Path) -> dict[str, Any]:
    """The manifest of an output; BrokenLinkError where there is none that can be followed."""
    try:
        manifest = read_manifest(target)
    except UserError as error:
        raise BrokenLinkError(error.where, error.problem, AGAIN, target) from None
    for key in KEYS:
        if not isinstance(manifest, dict) or key not in manifest:
            problem = f"has no {key!r}, so nothing can be followed from it"
            raise BrokenLinkError(manifest_path(target), problem, AGAIN, target)
    return manifest


def stop_there(error: BrokenLinkError) -> None:
    """What a :class:`Walk` does at a broken link unless it is told otherwise."""
    raise error


class Walk:
    """Follows links downwards; what was once found to be right is not read again.

    ``roots`` are the folders of generated files; of an output's inputs those are followed that are ``wanted``.
    ``seen`` is called with each file before it is read; ``files`` and ``bytes`` count them. Of ``imported`` outputs
    files may be missing, such as weights: these are known by their digest alone and counted in ``absent``.
    ``broken`` is called with each broken link; where it returns, the walk goes on behind it.
    """

    def __init__(
        self,
        roots: Sequence[Path],
        wanted: Wanted = lambda target, name: True,
        seen: Callable[[Path], None] = lambda path: None,
        imported: Collection[Path] = (),
        broken: Callable[[BrokenLinkError], None] = stop_there,
    ) -> None:
        self._roots, self._wanted, self._seen = tuple(roots), wanted, seen
        self._manifest = cache(manifest_of)
        self._followed: set[Path] = set()
        self._imported, self._broken = frozenset(imported), broken
        self.files = self.bytes = self.absent = 0

    def follow(self, target: Path) -> None:
        """Check an output's files and then its inputs, one after the other and each as far down as it goes."""
        if target in self._followed:
            return
        self._followed.add(target)
        with self._told():
            manifest = self._manifest(target)
            for path, expected in output_files(target, manifest).items():
                with self._told():
                    self._check_file(path, expected, target)
            if content_digest(target, manifest["files"]) != manifest["content"]:
                problem = "its list of files does not have the digest that it records"
                self._broken(BrokenLinkError(manifest_path(target), problem, AGAIN, target))
            for name, source in manifest["inputs"].items():
                if self._wanted(target, name):
                    self._check_input(Path(source["path"]), source["digest"], target)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except BrokenLinkError as error:
            self._broken(error)

    def _check_file(self, path: Path, expected: str, target: Path) -> None:
        if target in self._imported and not path.exists():
            self.absent += 1
            return
        found = self.digest(path, target)
        if found != expected:
            problem = f"is not the file that was made: {_as_json(found)}, recorded {_as_json(expected)}"
            raise BrokenLinkError(path, problem, AGAIN, target)

    def _check_input(self, path: Path, expected: str, target: Path) -> None:
        made = maker(path, self._roots)
        with self._told():
            # what no step makes is the user's, or a file of this repository
            found = self.digest(path, target) if made is None else self._recorded(path, made)
            if found != expected:
                problem = f"is not what {target} was made from: {_as_json(found)}, recorded {_as_json(expected)}"
                raise BrokenLinkError(path, problem, AGAIN, target)
        if made is not None:
            self.follow(made)

    def _recorded(self, path: Path, target: Path) -> str | None:
        """What the manifest of ``target`` says of ``path``, which is that output or one of its files."""
        manifest = self._manifest(target)
        if path == target:
            return manifest["content"]
        return output_files(target, manifest).get(path)

    def digest(self, path: Path, output: Path) -> str:
        """Digest of what lies on disk, for an ``output``; BrokenLinkError where nothing does."""
        self._seen(path)
        try:
            found = digest(path)
        except UserError as error:
            raise BrokenLinkError(path, error.problem, AGAIN, output) from None
        self.files += 1
        self.bytes += path.stat().st_size
        return found


def _as_json(value: str | None) -> str:
    return "no digest" if value is None else f"SHA-256 {value[:SHORT]}"
