"""Claims: who is paid, how much, and everything that pays nothing."""

import pytest

from rewards.units import ZERO_ADDRESS, Address, checksum, keccak
from tests.contracts.world import CXPT, HOUR, Leaf, Tree, World, manifest_of

CODES = ("Due", "NothingDue", "InvalidPool", "InvalidAccount", "InvalidProof", "PromiseExceeded")


def _leaves(world: World, provider: int, user: int, more: int = 6) -> list[Leaf]:
    """A provider's, a user's and the same provider's user leaf, among others."""
    others = [(1, Address(f"0x{i:040x}"), 100 + i) for i in range(1, more)]
    return [(1, world["provider"], provider), (2, world["user"], user), (2, world["provider"], 9), *others]


def _arguments(tree: Tree, leaf: Leaf) -> tuple[int, str, int, list[bytes]]:
    """A leaf with its proof, as a claim takes it."""
    return leaf[0], checksum(leaf[1]), leaf[2], tree.prove(leaf)


def test_money_goes_to_the_owner_of_the_leaf_whoever_calls(funded: World) -> None:
    tree = Tree(_leaves(funded, 70, 30))
    funded.activate(5, tree)
    before = funded.balance(funded["stranger"])
    receipt = funded.claim(5, tree, tree.leaves[0], by="stranger")
    assert funded.balance(funded["provider"]) == 70
    assert funded.balance(funded["stranger"]) == before
    [(name, args)] = funded.events(receipt)
    assert name == "Claimed"
    assert args == {
        "epoch": 5,
        "pool": 1,
        "account": checksum(funded["provider"]),
        "amount": 70,
        "cumulativeAmount": 70,
        "caller": checksum(funded["stranger"]),
    }
    assert (funded.view("claimed", 1, checksum(funded["provider"])), funded.view("claimedTotal", 1)) == (70, 70)
    assert (funded.view("claimed", 2, checksum(funded["provider"])), funded.view("claimedTotal", 2)) == (0, 0)
    assert funded.view("liability", 1) == tree.total(1) - 70


def test_every_leaf_of_a_tree_is_paid_once(funded: World) -> None:
    tree = Tree(_leaves(funded, 70, 30, more=12))
    funded.activate(5, tree)
    for leaf in tree.leaves:
        funded.claim(5, tree, leaf)
    assert [funded.view("liability", pool) for pool in (1, 2)] == [0, 0]
    for pool, account, amount in tree.leaves:
        assert funded.view("claimed", pool, checksum(account)) == amount


def test_one_leaf_is_its_own_root(funded: World) -> None:
    tree = Tree([(2, funded["user"], 11)])
    funded.activate(5, tree)
    funded.claim(5, tree, tree.leaves[0])
    assert funded.balance(funded["user"]) == 11


def test_second_claim_pays_nothing_and_says_so(funded: World) -> None:
    tree = Tree(_leaves(funded, 70, 30))
    funded.activate(5, tree)
    funded.claim(5, tree, tree.leaves[0])
    receipt = funded.claim(5, tree, tree.leaves[0])
    account = checksum(funded["provider"])
    assert funded.events(receipt) == [("ClaimSkipped", {"index": 0, "account": account, "code": 1})]
    assert funded.balance(funded["provider"]) == 70


def test_cumulative_amounts_pay_differences_from_any_active_root(funded: World) -> None:
    trees = {5: Tree(_leaves(funded, 70, 30)), 6: Tree(_leaves(funded, 100, 30)), 7: Tree(_leaves(funded, 250, 31))}
    for epoch, tree in trees.items():
        funded.activate(epoch, tree)
    for epoch, paid in ((5, 70), (7, 250), (6, 250), (5, 250)):
        funded.claim(epoch, trees[epoch], trees[epoch].leaves[0])
        assert funded.balance(funded["provider"]) == paid
    user = trees[7].leaves[1]
    funded.claim(7, trees[7], user)
    funded.claim(5, trees[5], trees[5].leaves[1])
    assert funded.balance(funded["user"]) == 31


def test_older_root_pays_while_a_newer_one_is_pending(funded: World) -> None:
    old, new = Tree(_leaves(funded, 70, 30)), Tree(_leaves(funded, 170, 30))
    funded.activate(5, old)
    funded.publish(6, new)
    funded.claim(5, old, old.leaves[0])
    proof = new.prove(new.leaves[0])
    refused = funded.refused("stranger", "claim", 6, 1, checksum(funded["provider"]), 170, proof)
    assert refused == "RootNotActive(epoch=6)"
    assert funded.balance(funded["provider"]) == 70


def test_root_that_never_was_or_was_revoked_pays_nothing(funded: World) -> None:
    tree = Tree(_leaves(funded, 70, 30))
    arguments = 1, checksum(funded["provider"]), 70, tree.prove(tree.leaves[0])
    assert funded.refused("stranger", "claim", 5, *arguments) == "RootNotActive(epoch=5)"
    publication = funded.publish(5, tree)
    funded.send("attester", "attestRoot", 5, publication)
    funded.send("guardian", "revokeRoot", 5, "")
    funded.embedded.advance(50 * HOUR)
    assert funded.refused("stranger", "claim", 5, *arguments) == "RootNotActive(epoch=5)"


def test_forged_claims_are_refused(funded: World) -> None:
    tree = Tree(_leaves(funded, 70, 30))
    funded.activate(5, tree)
    provider, stranger = checksum(funded["provider"]), checksum(funded["stranger"])
    proof = tree.prove(tree.leaves[0])
    forgeries = [
        (1, provider, 71, proof),
        (2, provider, 70, proof),
        (1, stranger, 70, proof),
        (1, provider, 70, proof[:-1]),
        (1, provider, 70, proof[1:]),
        (1, provider, 70, [*proof, tree.root]),
        (1, provider, 70, proof[::-1]),
        (1, provider, 70, tree.prove(tree.leaves[1])),
        (1, provider, 70, []),
        (1, provider, 2**256 - 1, proof),
    ]
    for forgery in forgeries:
        assert funded.refused("stranger", "claim", 5, *forgery).startswith("InvalidProof(")
    assert funded.refused("stranger", "claim", 5, 0, provider, 70, proof) == "InvalidPool(pool=0)"
    assert funded.refused("stranger", "claim", 5, 3, provider, 70, proof) == "InvalidPool(pool=3)"
    zero = checksum(ZERO_ADDRESS)
    assert funded.refused("stranger", "claim", 5, 1, zero, 70, proof) == f"InvalidAccount(account={zero})"
    assert funded.view("claimedTotal", 1) == 0


def test_only_96_bytes_hashed_twice_are_a_leaf(funded: World) -> None:
    """A root over any shorter way to write a claim down pays nothing: 64 bytes would be as long as an inner node."""
    pool, account, amount = 1, bytes.fromhex(funded["provider"][2:]), 70
    words = pool.to_bytes(32), bytes(12) + account, amount.to_bytes(32)
    lookalikes = [
        keccak(b"".join(words)),
        keccak(pool.to_bytes(12) + account + amount.to_bytes(32)),
        keccak(keccak(pool.to_bytes(1) + account + amount.to_bytes(32))),
    ]
    leaf = keccak(lookalikes[0])
    for epoch, root in enumerate([*lookalikes, leaf], start=5):
        funded.send("publisher", "publishRoot", epoch, root, 70, 0, manifest_of(epoch), 0)
        funded.send("attester", "attestRoot", epoch, funded.view("publicationHash", epoch))
        funded.embedded.advance(2 * HOUR)
        code = "Due" if root == leaf else "InvalidProof"
        due = funded.view("claimable", epoch, pool, checksum(funded["provider"]), amount, [])
        assert due == [70 if root == leaf else 0, CODES.index(code)]


def test_batch_pays_the_good_and_names_the_bad(funded: World) -> None:
    tree = Tree(_leaves(funded, 70, 30))
    funded.activate(5, tree)
    provider, user = tree.leaves[0], tree.leaves[1]

    def item(leaf: Leaf, proof: list[bytes] | None = None) -> tuple[int, str, int, list[bytes]]:
        return leaf[0], checksum(leaf[1]), leaf[2], tree.prove(leaf) if proof is None else proof

    items = [
        item(provider),
        item(provider),
        item((3, funded["user"], 30), []),
        item((1, ZERO_ADDRESS, 30), []),
        item((2, funded["user"], 31), tree.prove(user)),
        item(user),
    ]
    receipt = funded.send("stranger", "claimMany", 5, items)
    outcome = [(name, args.get("index"), args.get("code")) for name, args in funded.events(receipt)]
    assert outcome == [
        ("Claimed", None, None),
        ("ClaimSkipped", 1, CODES.index("NothingDue")),
        ("ClaimSkipped", 2, CODES.index("InvalidPool")),
        ("ClaimSkipped", 3, CODES.index("InvalidAccount")),
        ("ClaimSkipped", 4, CODES.index("InvalidProof")),
        ("Claimed", None, None),
    ]
    assert (funded.balance(funded["provider"]), funded.balance(funded["user"])) == (70, 30)
    assert funded.events(funded.send("stranger", "claimMany", 5, [])) == []
    assert funded.refused("stranger", "claimMany", 6, items) == "RootNotActive(epoch=6)"


@pytest.mark.parametrize(("pool", "totals"), [(1, (100, 500)), (2, (500, 100))])
def test_leaves_beyond_the_total_are_not_paid(funded: World, pool: int, totals: tuple[int, int]) -> None:
    """A root whose leaves add up to more than its totals pays the first comers, never more than it promised."""
    other = 3 - pool
    leaves = [(pool, funded["provider"], 60), (pool, funded["user"], 60), (other, funded["user"], 5)]
    tree = Tree(leaves)
    funded.activate(5, tree, totals=totals)
    funded.claim(5, tree, leaves[0])
    arguments = _arguments(tree, leaves[1])
    assert funded.refused("user", "claim", 5, *arguments) == f"PromiseExceeded(pool={pool}, unpaid=40, amount=60)"
    assert funded.view("claimable", 5, *arguments) == [0, CODES.index("PromiseExceeded")]
    receipt = funded.send("user", "claimMany", 5, [arguments, _arguments(tree, leaves[2])])
    assert [(name, args.get("code")) for name, args in funded.events(receipt)] == [
        ("ClaimSkipped", 5),
        ("Claimed", None),
    ]
    assert (funded.view("claimedTotal", pool), funded.balance(funded["user"])) == (60, 5)


def test_one_batch_pays_no_more_than_the_total(funded: World) -> None:
    leaves = [(1, funded["provider"], 60), (1, funded["user"], 60), (1, funded["stranger"], 40)]
    tree = Tree(leaves)
    funded.activate(5, tree, totals=(100, 0))
    batch = [_arguments(tree, leaf) for leaf in leaves]
    assert funded.view("claimMany", 5, batch) == 100
    outcome = [(name, args.get("code")) for name, args in funded.events(funded.send("user", "claimMany", 5, batch))]
    assert outcome == [("Claimed", None), ("ClaimSkipped", CODES.index("PromiseExceeded")), ("Claimed", None)]
    assert [funded.balance(funded[name]) for name in ("provider", "user", "stranger")] == [60, 0, 40]


def test_a_leaf_of_a_wrong_old_root_is_bound_by_the_newest_total(funded: World) -> None:
    """The old root promises 50 and its leaves add up to 110; the newest one promises 90."""
    honest, loot = (1, funded["user"], 10), (1, funded["stranger"], 100)
    wrong = Tree([honest, loot])
    funded.activate(5, wrong, totals=(50, 0))
    right = Tree([(1, funded["provider"], 60), (1, funded["user"], 30)])
    funded.activate(6, right)
    funded.claim(6, right, right.leaves[0])
    assert funded.view("claimedTotal", 1) == 60, "more is paid than the old root promised"
    funded.claim(5, wrong, honest)
    assert funded.balance(funded["user"]) == 10, "the old root still pays"
    arguments = _arguments(wrong, loot)
    assert funded.refused("stranger", "claim", 5, *arguments) == "PromiseExceeded(pool=1, unpaid=20, amount=100)"
    funded.claim(6, right, right.leaves[1])
    assert funded.refused("stranger", "claim", 5, *arguments) == "PromiseExceeded(pool=1, unpaid=0, amount=100)"
    assert (funded.balance(funded["provider"]), funded.balance(funded["user"])) == (60, 30)


def test_a_root_that_is_not_active_bounds_nothing(funded: World) -> None:
    """Neither the total of a pending root nor that of a revoked one lets an older root pay more."""
    leaves = [(1, funded["provider"], 60), (1, funded["user"], 60)]
    tree = Tree(leaves)
    funded.activate(5, tree, totals=(100, 0))
    funded.claim(5, tree, leaves[0])
    beyond = _arguments(tree, leaves[1])
    exceeded = "PromiseExceeded(pool=1, unpaid=40, amount=60)"
    funded.send("attester", "attestRoot", 6, funded.publish(6, tree))
    assert funded.refused("user", "claim", 5, *beyond) == exceeded
    funded.send("guardian", "revokeRoot", 6, "")
    funded.embedded.advance(3 * HOUR)
    assert funded.refused("user", "claim", 5, *beyond) == exceeded
    assert funded.refused("user", "claim", 6, *beyond) == "RootNotActive(epoch=6)"
    assert (funded.view("promised", 1), funded.view("claimedTotal", 1), funded.view("liability", 1)) == (100, 60, 40)
    funded.activate(6, tree, revocations=1, totals=(119, 0))
    assert funded.refused("user", "claim", 6, *beyond) == "PromiseExceeded(pool=1, unpaid=59, amount=60)"


def test_claimable_says_what_a_claim_would_pay(funded: World) -> None:
    tree = Tree(_leaves(funded, 70, 30))
    funded.activate(5, tree)
    arguments = 1, checksum(funded["provider"]), 70, tree.prove(tree.leaves[0])
    assert funded.view("claimable", 5, *arguments) == [70, 0]
    funded.claim(5, tree, tree.leaves[0])
    assert funded.view("claimable", 5, *arguments) == [0, CODES.index("NothingDue")]
    assert funded.view("claimable", 5, *arguments[:2], 71, arguments[3]) == [0, CODES.index("InvalidProof")]


def test_largest_amounts_pass_through(world: World) -> None:
    world.send("admin", "setSplit", 0, 10_000, 0)
    world.send("admin", "setMaxEpochAmount", 1, 2**96 - 1)
    everything = 10**9 * CXPT
    world.deposit(everything)
    tree = Tree([(1, world["provider"], everything)])
    world.activate(5, tree)
    world.claim(5, tree, tree.leaves[0])
    assert world.balance(world["provider"]) == everything
    assert world.balance(world.deployment.vault) == 0


@pytest.mark.parametrize("batch", [False, True])
def test_paused_claims_pay_nothing(funded: World, batch: bool) -> None:
    tree = Tree(_leaves(funded, 70, 30))
    funded.activate(5, tree)
    funded.send("guardian", "pauseClaims")
    until = funded.view("claimsPausedUntil")
    arguments = 1, checksum(funded["provider"]), 70, tree.prove(tree.leaves[0])
    call = ("claimMany", 5, [arguments]) if batch else ("claim", 5, *arguments)
    assert funded.refused("stranger", *call) == f"ClaimsArePaused(until={until})"
    funded.embedded.set_time(until - 2)  # the next block comes a second later
    assert funded.refused("stranger", *call) == f"ClaimsArePaused(until={until})"
    funded.embedded.mine()
    assert funded.send("stranger", *call).block.timestamp == until
    assert funded.balance(funded["provider"]) == 70
