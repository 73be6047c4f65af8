"""The links between results: from an output, by the digests in its manifest, down to the data.

A link is broken where a file is not the one that a manifest recorded, whether it was changed, lost, or made
again without what was made from it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from rdt.digests import SHORT, digest
from rdt.errors import UserError
from rdt.provenance.manifest import content_digest, manifest_path, output_files, read_manifest

KEYS = ("content", "files", "inputs")  # what a manifest must say to be followed
AGAIN = "restore it, or let snakemake make it again with all that depends on it"
Wanted = Callable[[Path, str], bool]  # an output and the name of one of its inputs


class BrokenLinkError(UserError):
    """The first file of a chain that is not what was recorded of it."""

    exit_code = 1


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
        raise BrokenLinkError(error.where, error.problem, AGAIN) from None
    for key in KEYS:
        if not isinstance(manifest, dict) or key not in manifest:
            raise BrokenLinkError(manifest_path(target), f"has no {key!r}, so nothing can be followed from it", AGAIN)
    return manifest


class Walk:
    """Follows links downwards; what was once found to be right is not read again.

    ``roots`` are the folders of generated files; of an output's inputs those are followed that are ``wanted``.
    ``seen`` is called with each file before it is read; ``files`` and ``bytes`` count them. Of ``imported`` outputs
    files may be missing, such as weights: these are known by their digest alone and counted in ``absent``.
    """

    def __init__(
        self,
        roots: Sequence[Path],
        wanted: Wanted = lambda target, name: True,
        seen: Callable[[Path], None] = lambda path: None,
        imported: Collection[Path] = (),
    ) -> None:
        self._roots, self._wanted, self._seen = tuple(roots), wanted, seen
        self._manifest = cache(manifest_of)
        self._followed: set[Path] = set()
        self._imported = frozenset(imported)
        self.files = self.bytes = self.absent = 0

    def follow(self, target: Path) -> None:
        """Check an output's files and then its inputs, one after the other and each as far down as it goes.

        Raises BrokenLinkError at the first that is not as recorded.
        """
        if target in self._followed:
            return
        self._followed.add(target)
        manifest = self._manifest(target)
        for path, expected in output_files(target, manifest).items():
            if target in self._imported and not path.exists():
                self.absent += 1
                continue
            found = self.digest(path)
            if found != expected:
                problem = f"is not the file that was made: {_as_json(found)}, recorded {_as_json(expected)}"
                raise BrokenLinkError(path, problem, AGAIN)
        if content_digest(target, manifest["files"]) != manifest["content"]:
            problem = "its list of files does not have the digest that it records"
            raise BrokenLinkError(manifest_path(target), problem, AGAIN)
        for name, source in manifest["inputs"].items():
            if self._wanted(target, name):
                self._check_input(Path(source["path"]), source["digest"], target)

    def _check_input(self, path: Path, expected: str, target: Path) -> None:
        made = maker(path, self._roots)
        # what no step makes is the user's, or a file of this repository
        found = self.digest(path) if made is None else self._recorded(path, made)
        if found != expected:
            problem = f"is not what {target} was made from: {_as_json(found)}, recorded {_as_json(expected)}"
            raise BrokenLinkError(path, problem, AGAIN)
        if made is not None:
            self.follow(made)

    def _recorded(self, path: Path, target: Path) -> str | None:
        """What the manifest of ``target`` says of ``path``, which is that output or one of its files."""
        manifest = self._manifest(target)
        if path == target:
            return manifest["content"]
        return output_files(target, manifest).get(path)

    def digest(self, path: Path) -> str:
        """Digest of what lies on disk; BrokenLinkError where nothing does."""
        self._seen(path)
        try:
            found = digest(path)
        except UserError as error:
            raise BrokenLinkError(path, error.problem, AGAIN) from None
        self.files += 1
        self.bytes += path.stat().st_size
        return found


def _as_json(value: str | None) -> str:
    return "no digest" if value is None else f"SHA-256 {value[:SHORT]}"
