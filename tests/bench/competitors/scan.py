"""The bare scan: `python -m tests.bench.competitors.scan duckdb|polars FOLDER` decodes every value of the usage files.

The hash of every value is asked for, so that none can be left out, and nothing else. One line of JSON tells rows and
seconds.
"""

import json
import sys
import time
from pathlib import Path

COLUMNS = (
    "request_id",
    "started_at",
    "user_id",
    "provision_id",
    "endpoint",
    "model",
    "service_tier",
    "latency_ms",
    "input_tokens",
    "output_tokens",
    "status_code",
    "fee_cxpt",
    "ingested_at",
)


def scan_with_duckdb(files: str) -> int:
    import duckdb

    with duckdb.connect() as connection:
        asked = f"SELECT count(*), max(hash({', '.join(COLUMNS)})) FROM read_parquet('{files}')"
        return int(connection.execute(asked).fetchall()[0][0])


def scan_with_polars(files: str) -> int:
    import polars as pl

    hashes = [pl.col(name).hash().max() for name in COLUMNS]
    found = pl.scan_parquet(files).select(pl.len().alias("rows"), *hashes).collect(engine="streaming")
    return int(found["rows"][0])


SCANS = {"duckdb": scan_with_duckdb, "polars": scan_with_polars}


def main() -> None:
    scan, files = SCANS[sys.argv[1]], str(Path(sys.argv[2]) / "usage_records" / "*.parquet")
    __import__(sys.argv[1])
    began = time.perf_counter()
    rows = scan(files)
    print(json.dumps({"rows": rows, "seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
