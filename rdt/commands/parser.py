"""The parser of all commands. A command's module is imported when it is called: none waits for another's libraries.

What takes seconds to import, and its arguments do without, a command may import in its ``run``.
"""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

from rdt import __version__
from rdt.commands import COMMANDS, GROUPS


def parser_of(command: str) -> argparse.ArgumentParser:
    """Parser of all commands, in which ``command`` alone knows its arguments."""
    parser = argparse.ArgumentParser(
        prog="rdt",
        description="Fine-grained captioning by a Ranking Diffusion Transformer.",
        epilog=f"{_in_groups()}\n`rdt COMMAND --help` says more of each.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"rdt {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (module, text) in COMMANDS.items():
        subparser = commands.add_parser(name, description=f"{text[0].upper()}{text[1:]}.")
        subparser.add_argument("--log", type=Path, metavar="FILE", help="file for the traceback of an error")
        if name == command:
            implementation = importlib.import_module(module)
            implementation.add_arguments(subparser)
            subparser.set_defaults(execute=implementation.run)
    return parser


def _in_groups() -> str:
    """The commands in their groups, with what each does."""
    width = max(map(len, COMMANDS)) + 2
    parts = []
    for title, group in GROUPS.items():
        parts += [f"{title}:", *(f"  {name:{width}}{text}" for name, (_, text) in group.items()), ""]
    return "\n".join(parts)
