"""Java child processes: they end with us however we end, and say why they ended before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rdt.metrics.java import JARS, JavaProgram

METEOR = (["-Xmx600m", "-jar", "meteor-1.5.jar", "-", "-", "-stdio", "-l", "en", "-norm"], "meteor")
TOKENISER = (["-cp", "stanford-corenlp-3.4.1.jar", "edu.stanford.nlp.process.PTBTokenizer"], "tokenizer")
PARENT = """
import sys, time
from rdt.metrics.java import JARS, JavaProgram
program = JavaProgram({arguments!r}, JARS / {folder!r})
print(program.pid, flush=True)
{then}
"""


def processes_of(pid: int) -> set[int]:
    """A process and its children that are there and not only waiting to be collected."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = entry.read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state != "Z" and pid in (int(entry.parent.name), int(parent)):
            found.add(int(entry.parent.name))
    return found


def gone(pid: int, seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while processes_of(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not processes_of(pid)


pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


@pytest.mark.parametrize(("arguments", "folder"), [METEOR, TOKENISER])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, "exit", "exception"])
def test_a_program_ends_with_its_parent(arguments, folder, how):
    """METEOR reads nothing while it loads its tables, so the end of its input would not be noticed for long."""
    then = {"exit": "", "exception": "raise SystemExit(3)"}.get(how, "time.sleep(60)")
    code = PARENT.format(arguments=arguments, folder=folder, then=then)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        if isinstance(how, signal.Signals):
            assert pid in processes_of(pid)
            parent.send_signal(how)
    assert gone(pid, seconds=3)


def test_closing_ends_the_program_and_its_watcher():
    program = JavaProgram(METEOR[0], JARS / METEOR[1])
    end = time.monotonic() + 20
    while len(processes_of(program.pid)) < 2 and time.monotonic() < end:
        time.sleep(0.01)
    watched = processes_of(program.pid)
    assert program.pid in watched and len(watched) == 2
    program.close()
    program.close()
    assert all(gone(pid) for pid in watched)


def test_long_questions_and_answers_do_not_wait_for_each_other():
    """20,000 lines are far more than a pipe holds, and the program answers before it has read them all."""
    program = JavaProgram([*TOKENISER[0], "-preserveLines"], JARS / TOKENISER[1])
    with program.told("a dog runs\n" * 20_000, last=True) as answer:
        assert answer.read() == b"a dog runs\n" * 20_000
    program.close()


def test_a_program_that_fails_tells_why():
    program = JavaProgram(["-jar", "no-such.jar"], JARS)
    with program.told("anything\n" * 100_000) as answer:
        assert answer.read() == b""
    assert program.complaint() == "exit status 1, Error: Unable to access jarfile no-such.jar"
    program.close()


def test_a_failing_reader_ends_the_program():
    program = JavaProgram(METEOR[0], JARS / METEOR[1])
    with pytest.raises(KeyboardInterrupt), program.told("SCORE ||| a ||| a\n" * 100_000):
        raise KeyboardInterrupt
    assert program.complaint().startswith(f"exit status {-signal.SIGKILL}")
    program.close()


def test_a_program_leaves_nothing_open():
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        JavaProgram(["-version"], JARS).close()
    assert len(os.listdir("/proc/self/fd")) == before
