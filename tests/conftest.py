"""What several test modules share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import tiny


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, vocabulary, features and index of the tiny experiment; copy it before changing it."""
    folder = tmp_path_factory.mktemp("prepared")
    tiny.prepare(folder)
    return folder
