"""The chain: the only door to web3. Reading the Vault, sending transactions, an EVM inside the process."""
