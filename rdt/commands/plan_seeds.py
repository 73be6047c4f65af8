"""``rdt plan-seeds``: how many seeds would decide which claims, and what that costs."""

from __future__ import annotations

import argparse

from rdt.commands.arguments import experiment_argument, open_workspace


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of ``rdt plan-seeds``."""
    experiment_argument(parser)


def run(args: argparse.Namespace) -> None:
    """Print the undecided claims, the cheapest verdict first, from the scatter that was seen so far."""
    from rdt.claims.claim import read_claims
    from rdt.claims.page import advice  # these import scipy, which --help does not need
    from rdt.claims.price import prices
    from rdt.claims.write import judgements_of
    from rdt.experiment.plan import load_tables

    workspace = open_workspace(args)
    judgements = judgements_of(workspace.plan, workspace.paths, read_claims())
    found = prices(judgements, workspace.plan, load_tables(), workspace.paths)
    for price in found:
        whole, after = (_hours(value) for value in (price.core_hours, price.after))
        claim, networks = price.judgement.claim, f"{len(price.networks)} networks to train"
        print(f"{claim.id}: {advice(price.judgement)}; {networks}, {whole} ({after} after those above)")
        print(f"    {claim.sentence}")
    left = sum(judgement.verdict == "undecided" for judgement in judgements) - len(found)
    print(f"{len(found)} claims that more seeds would decide, {left} undecided ones that take more than that.")


def _hours(core_hours: float | None) -> str:
    if core_hours is None:
        return "time not known"
    return f"{core_hours:.1f} core-hours" if core_hours >= 1 else f"{60 * core_hours:.0f} core-minutes"
