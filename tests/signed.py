"""Corrections that tests sign, and inputs that carry them."""

import shutil
from datetime import timedelta
from pathlib import Path

import polars as pl

from rewards.chain.signers import LocalSigner
from rewards.corrections import FILE, Correction, SignedCorrection, encode_records
from rewards.typed_data import Domain
from tests.bundles.forge import POLICIES

CORRECTOR = LocalSigner(b"\x07" * 32)
STRANGER = LocalSigner(b"\x08" * 32)


def sign(
    epoch: int,
    pool: int,
    account: str,
    units: int,
    reason: str = "a test",
    domain: Domain | None = None,
    signer: LocalSigner = CORRECTOR,
) -> SignedCorrection:
    """A correction with a signature that is right for `domain`."""
    correction = Correction(epoch=epoch, pool=pool, account_id=account, amount=str(units), reason=reason)
    return SignedCorrection.of(correction, signer.address, signer.sign_digest(correction.digest(domain)))


def keep(inputs: Path, *records: SignedCorrection) -> None:
    """The corrections of an input folder, in place of any that were there."""
    (inputs / FILE).write_bytes(encode_records(records))


def write_policies(folder: Path, limit: int = 1000) -> Path:
    """The shipped policy with a corrector and a limit in CXPT, and gates that let a day through that is there twice."""
    folder.mkdir(parents=True)
    source = (POLICIES / "2025-06-14.toml").read_text()
    for old, new in (
        ("signers = []", f'signers = ["{CORRECTOR.address}"]'),
        ("epoch_limit_cxpt = 0", f"epoch_limit_cxpt = {limit}"),
        ("quarantine_limit_bp = 100 ", "quarantine_limit_bp = 200 "),
        ("funded_band_bp = 100 ", "funded_band_bp = 500 "),
    ):
        assert source.count(old) == 1
        source = source.replace(old, new)
    (folder / "2025-06-14.toml").write_text(source)
    return folder


def copy_with_third_epoch(sample: Path, inputs: Path) -> Path:
    """The sample and one more day: its last day again, a day later, under other ids."""
    shutil.copytree(sample, inputs)
    day = timedelta(days=1)
    again = pl.col("request_id") + "-again"
    for feed, times in (("usage_records", ["started_at", "ingested_at"]), ("heartbeats", ["probed_at"])):
        folder = inputs / feed
        whole, begun = (pl.read_parquet(folder / f"2026-01-{name}.parquet") for name in ("08", "09"))
        moved = [frame.with_columns(pl.col(times) + day) for frame in (whole, begun)]
        if feed == "usage_records":
            moved = [frame.with_columns(again) for frame in moved]
        pl.concat([begun, moved[0]]).write_parquet(folder / "2026-01-09.parquet")
        moved[1].write_parquet(folder / "2026-01-10.parquet")
    deposits = pl.read_parquet(inputs / "deposits.parquet")
    later = deposits.filter(pl.col("deposited_at").dt.day() == 8).with_columns(pl.col("deposited_at") + day)
    pl.concat([deposits, later]).write_parquet(inputs / "deposits.parquet")
    return inputs
