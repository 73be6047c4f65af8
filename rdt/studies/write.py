"""Write what a study ends in: the comparison of its best setting with the paper's, and its page."""

from __future__ import annotations

from rdt.files import atomic_write_json, atomic_write_text
from rdt.metrics.corpus import Scorer
from rdt.studies.comparison import SettingComparison, compare_settings
from rdt.studies.page import study_page
from rdt.studies.workspace import StudyWorkspace


def write_comparison(workspace: StudyWorkspace) -> SettingComparison:
    """Score the networks of both settings; write ``comparison.json`` and the page."""
    with Scorer(workspace.paths.cache, workspace.experiment.metrics.language) as scorer:
        comparison = compare_settings(workspace, scorer)
    atomic_write_json(workspace.report / "comparison.json", comparison.document())
    atomic_write_text(workspace.report / "README.md", study_page(workspace, comparison))
    return comparison
