"""Whether a journal, a record and the chain tell of the same transactions: if not, a run would make a second set."""

from pathlib import Path

from rewards.chain.client import Chain
from rewards.chain.deployment import Deployment
from rewards.chain.intent import SignedIntent
from rewards.chain.journal import Journal, journal_path, read_journal
from rewards.chain.networks import is_public
from rewards.chain.plan import SUPPLY_STEP, find_created_address
from rewards.chain.request import Request
from rewards.errors import UsageError
from rewards.units import checksum

LOOK_BACK = 64
"""Of how many transactions of a key it is asked whether they made a contract."""


def count_unknown(chain: Chain, request: Request, journal: Journal) -> int:
    """How many transactions the key has sent after those of its journal: that is an old copy, or the key was used."""
    if (journal.asked.chain_id, journal.asked.deployer) != (request.chain_id, request.deployer):
        return 0
    return max(0, chain.count_transactions(request.deployer, "latest") - journal.next_nonce)


def require_newest(chain: Chain, request: Request, journal: Journal) -> None:
    """Raises UsageError when the key has sent what its journal does not know."""
    unknown = count_unknown(chain, request, journal)
    if unknown:
        raise UsageError(
            f"{journal.path} ends at nonce {journal.next_nonce - 1} of {checksum(request.deployer)}, and the chain counts "
            f"{journal.next_nonce + unknown}: the key has sent {unknown} transactions that the journal does not know; "
            "restore the newest journal, or give --begin-anew to start a new set of contracts"
        )


def require_fresh_key(chain: Chain, request: Request, record: Path) -> None:
    """Raises UsageError when the key has made contracts lately of which there is no record and no journal. On a chain of
    one's own that is how things go."""
    if not is_public(request.network):
        return
    count = chain.count_transactions(request.deployer, "latest")
    for nonce in reversed(range(max(0, count - LOOK_BACK), count)):
        made = find_created_address(request.deployer, nonce)
        if made not in (request.token, request.admin) and chain.has_code(made):
            raise UsageError(
                f"the deployer {checksum(request.deployer)} has made the contract {checksum(made)} on {chain.where} by "
                f"nonce {nonce}, and neither {record} nor {journal_path(record)} tells of it; restore the newest, or give "
                "--begin-anew to start a new set of contracts"
            )


def require_recorded(chain: Chain, deployment: Deployment, record: Path) -> None:
    """Raises UsageError when the journal beside a record is of another set of contracts. A run that was killed between
    the record and the end of its journal leaves one that the record tells in full."""
    journal = read_journal(journal_path(record))
    if journal is None:
        return
    known = {*(one.transaction for one in deployment.contracts.values()), deployment.supply_transaction}
    for step, versions in journal.intents.items():
        if step in journal.bytecodes or step == SUPPLY_STEP:
            is_over = any("0x" + one.transaction.hex() in known for one in versions)
        else:  # a call, of which records say nothing
            is_over = any(_has_succeeded(chain, one) for one in versions)
        if not is_over:
            raise UsageError(
                f"{journal.path} has signed a step that {record} does not record, {step}; move the record away and run "
                "again to finish what the journal began, or move the journal away if nothing of it may be mined"
            )


def has_failed(chain: Chain, stored: SignedIntent) -> bool:
    """Whether a transaction is in a block that is final, without effect; only then may its step be signed again."""
    found = chain.find_receipt(stored.transaction)
    return found is not None and found["status"] != 1 and found["blockNumber"] <= chain.final_block().number


def _has_succeeded(chain: Chain, stored: SignedIntent) -> bool:
    found = chain.find_receipt(stored.transaction)
    return found is not None and found["status"] == 1
