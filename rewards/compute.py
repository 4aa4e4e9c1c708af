"""The whole pipeline on one screen: inputs of an epoch, what the one before left, and a policy, to amounts and a
root."""

from rewards.distribution import add_wallets, distribute, settle_held
from rewards.merkle import ClaimTree
from rewards.policy import Policy
from rewards.ports import EpochInputs, EpochResult, Previous
from rewards.rulesets import ruleset_for


def compute_epoch(inputs: EpochInputs, previous: Previous, policy: Policy) -> EpochResult:
    """Close an epoch. Pure: equal inputs give equal bytes. Raises LimitError where a number leaves its exact range,
    InputError for corrections that credit more than there is."""
    rules = ruleset_for(inputs.epoch.number, policy)
    accounts = add_wallets(inputs.accounts, inputs.forbidden)

    scores = rules.score(inputs, accounts, previous, policy)

    state = {
        kind: previous.state.filter(kind=kind).select("pool", "id", "epoch", "amount") for kind in ("held", "debt")
    }
    held = rules.limit_credits(inputs, settle_held(state["held"], accounts, inputs.epoch, policy.pools.hold_epochs))
    pools = rules.size_pools(inputs, previous, held, policy)
    allocations = rules.allocate(pools, scores.scores)

    spread = distribute(
        previous.claimables, held, state["debt"], allocations, inputs.corrections, accounts, inputs.epoch
    )
    tree = ClaimTree.build(spread.claimables)

    return EpochResult(
        scores=scores.scores,
        provision_scores=scores.provision_scores,
        allocations=allocations,
        claimables=spread.claimables,
        state=rules.carry_on(inputs, previous, scores, spread, policy),
        totals=rules.total(inputs, previous, pools, allocations, spread),
        root=tree.root,
        leaves=len(tree),
        tree=tree.to_bytes(),
    )
