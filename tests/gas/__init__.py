"""What everything costs on chain, beside a Merkle distributor in Uniswap's manner; `python -m tests.gas` runs it.

Whole transactions on one chain in one run: the `gasUsed` of receipts, over 100,000 leaves whose accounts and amounts
follow from their numbers. Each competitor pays in a token of its own, so that one sampled account is new to all of them.
Gas is deterministic: every run gives the same figures, on either chain, and `contracts/gas.json` keeps them.
"""
