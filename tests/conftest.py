"""What several test modules share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import finished as finished_experiment
from tests.support import tiny


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, vocabulary, features and index of the tiny experiment; copy it before changing it."""
    folder = tmp_path_factory.mktemp("prepared")
    tiny.prepare(folder)
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository in which the tiny experiment is finished; copy it before changing it."""
    return finished_experiment.make(tmp_path_factory.mktemp("finished"))
