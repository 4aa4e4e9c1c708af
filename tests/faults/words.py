"""How nodes refuse a transaction: the same seven reasons, in the words and codes of four clients."""

GETH, ANVIL, NETHERMIND, ERIGON = "geth", "anvil", "nethermind", "erigon"
CLIENTS = (GETH, ANVIL, NETHERMIND, ERIGON)

REFUSALS: dict[str, dict[str, tuple[int, str]]] = {
    "already known": {
        GETH: (-32000, "already known"),
        ANVIL: (-32003, "transaction already imported"),
        NETHERMIND: (-32010, "AlreadyKnown"),
        ERIGON: (-32000, "INTERNAL_ERROR: existing tx with same hash"),
    },
    "nonce too low": {
        GETH: (-32000, "nonce too low: next nonce 7, tx nonce 6"),
        ANVIL: (-32003, "nonce too low"),
        NETHERMIND: (-32010, "OldNonce, Current nonce: 7, nonce of rejected tx: 6."),
        ERIGON: (-32000, "INTERNAL_ERROR: nonce too low"),
    },
    "nonce too high": {
        GETH: (-32000, "nonce too high: address 0x00, tx: 9 state: 7"),
        ANVIL: (-32003, "nonce too high"),
        NETHERMIND: (-32010, "NonceGap, Future nonce. Expected nonce: 7"),
        ERIGON: (-32000, "INTERNAL_ERROR: nonce gap"),
    },
    "underpriced": {
        GETH: (-32000, "transaction underpriced: gas tip cap 0, minimum needed 1000000"),
        ANVIL: (-32003, "max fee per gas less than block base fee"),
        NETHERMIND: (-32010, "FeeTooLow, MaxFeePerGas too low. MaxFeePerGas: 1, BaseFee: 1000000"),
        ERIGON: (-32000, "INTERNAL_ERROR: underpriced"),
    },
    "replacement underpriced": {
        GETH: (-32000, "replacement transaction underpriced"),
        ANVIL: (-32003, "replacement transaction underpriced"),
        NETHERMIND: (-32010, "ReplacementNotAllowed"),
        ERIGON: (-32000, "INTERNAL_ERROR: could not replace existing tx"),
    },
    "insufficient funds": {
        GETH: (-32000, "insufficient funds for gas * price + value: balance 0, tx cost 1, overshot 1"),
        ANVIL: (-32003, "Insufficient funds for gas * price + value"),
        NETHERMIND: (-32010, "InsufficientFunds, Balance is zero, cannot pay gas"),
        ERIGON: (-32000, "INTERNAL_ERROR: insufficient funds"),
    },
    "pool is full": {
        GETH: (-32000, "txpool is full"),
        ANVIL: (-32003, "transaction pool is full"),
        NETHERMIND: (-32010, "FeeTooLowToCompete"),
        ERIGON: (-32000, "INTERNAL_ERROR: pool overflow"),
    },
}
