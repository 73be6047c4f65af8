"""The claim about Eq. 24 that the loss alone decides, whatever the data: that it pulls q_i toward q_i*."""

from __future__ import annotations

from collections.abc import Sequence

from rdt.claims.claim import Claim, Judgement
from rdt.experiment.settings import Method

OWN = (0.0, 0.1)  # q* of two sentences, close enough for the paper's delta_sen
SPREAD = (0.5, 0.9)  # predicted in the right order and four times as far apart, far from both q*
EQUAL = (0.5, 0.5)  # not apart at all


def judge_loss(claim: Claim, method: Method) -> Judgement:
    """Verdict by a counter-example: scores in the right order, far from their own, that the loss does not move.

    A second one says where the loss does act: on the gap of a pair, which may move a score away from its own.
    """
    cost, pull = loss_and_pull(SPREAD, method)
    distances = [abs(q - own) for q, own in zip(SPREAD, OWN, strict=True)]
    still = cost == 0 and not any(pull)
    apart = loss_and_pull(EQUAL, method)[1]
    away = [q for q, own, step in zip(EQUAL, OWN, apart, strict=True) if step * (own - q) < 0]
    reason = (
        f"for q* = {_pair(OWN)} at one timestep the predictions q = {_pair(SPREAD)} are in the right order and "
        f"{' and '.join(f'{distance:.1f}' for distance in distances)} off; L_rank is {cost:.3g} and its gradient "
        f"{_pair(pull)}"
    )
    if away:
        reason += f". Where it acts, it widens the gap: of q = {_pair(EQUAL)} it moves one away from its own"
    return Judgement(claim, "contradicted" if still else "reproduced", reason=reason)


def loss_and_pull(q: Sequence[float], method: Method) -> tuple[float, list[float]]:
    """L_rank of two sentences with q* = OWN, and the step that gradient descent makes from each score of ``q``."""
    import torch  # which nothing else here needs

    from rdt.losses import pairwise_ranking_loss

    scores = torch.tensor(q, requires_grad=True)
    pairs = (scores, torch.tensor(OWN), torch.zeros(len(OWN)))
    loss = pairwise_ranking_loss(*pairs, method.delta_tim, method.delta_sen, method.margin, method.average)
    loss.backward()
    return loss.item(), (0 - scores.grad).tolist()


def _pair(numbers: Sequence[float]) -> str:
    return f"({', '.join(f'{number:.1f}' for number in numbers)})"
