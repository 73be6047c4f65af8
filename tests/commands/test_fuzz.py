"""Files that chance has spoilt: every command ends in 0, or in 2 with one sentence, in time, nothing left over."""

from __future__ import annotations

import pytest

from tests.support import fuzz


@pytest.mark.slow
def test_sixty_mutations():
    """``make fuzz`` tries 2,000 others."""
    assert [problem for found in fuzz.trials(60) for problem in found] == []


def test_without_a_mutation_every_command_works(tmp_path):
    fuzz.valid(tmp_path)
    with fuzz.quick_tokens():
        commands = [command for kind in fuzz.KINDS if kind != "image" for command in fuzz.commands(kind)]
        assert {fuzz.ending(tmp_path, command) for command in commands} == {(0, "", "")}
    assert fuzz.opening(tmp_path / "image.png") == []


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("raise ValueError('ours')", "unforeseen"),
        (
            "open('scores.json', 'w').close(); raise UserError('a', 'b')",
            "left ['scores.json'] behind",
        ),
        ("while True: pass", "TooLong"),
        ("raise UserError('a', 'b')", ""),
    ],
)
def test_what_would_be_found(monkeypatch, tmp_path, body, told):
    from rdt.commands import COMMANDS

    text = f"from rdt.errors import UserError\ndef add_arguments(parser): pass\ndef run(args):\n    {body}\n"
    (tmp_path / "spoilt_command.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "spoilt_command", raising=False)
    monkeypatch.setitem(COMMANDS, "spoilt", ("spoilt_command", "spoil"))
    monkeypatch.setattr(fuzz, "SECONDS", 0.2)
    problem = fuzz.ending(tmp_path, ["spoilt"])[2]
    assert told in problem and bool(told) == bool(problem)
