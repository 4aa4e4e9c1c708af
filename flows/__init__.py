"""Flows: when jobs run, in which order, what is tried again. Truth is in the ledger and on the chain, never here."""

import os

# Prefect reports its use to its makers unless told not to; a person's own choice stays.
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
