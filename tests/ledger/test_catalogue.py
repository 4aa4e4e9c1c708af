"""The analysts' catalogue: it answers from anywhere, is never locked, and never shows half of a change (I11)."""

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest

from rewards.corrections import FILE, encode_records
from rewards.errors import StorageError, UsageError
from rewards.jobs.workspace import Workspace
from rewards.ledger import catalogue
from rewards.ledger.catalogue import read_shown, write_catalogue
from rewards.manifest import Manifest
from rewards.schemas import PUBLISHED
from rewards.units import SUPPLY
from tests.bundles.forge import seal_sample
from tests.signed import sign

Epochs = list[tuple[Manifest, Path]]

READ = """
import sys, duckdb
for line in sys.stdin:
    with duckdb.connect(sys.argv[1], read_only=True) as c:
        print(c.execute("SELECT max(epoch), (SELECT max(epoch) FROM scores) FROM epochs").fetchall()[0], flush=True)
"""


@pytest.fixture(scope="module")
def sealed(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """In a folder whose name has everything that SQL would trip over."""
    folder = tmp_path_factory.mktemp("odd") / 'an analyst\'s "data" {a,b} ü;--'
    return seal_sample(folder, repository / "data" / "sample")


@pytest.fixture(scope="module")
def epochs(sealed: Workspace) -> Epochs:
    return [(b.manifest, b.folder) for b in sealed.sealed_bundles()]


def test_ten_thousand_corrections_are_filled_in_at_once(tmp_path: Path) -> None:
    one = sign(3, 1, "ann", 5, "x")
    records = [one.model_copy(update={"reason": f"r{i}", "amount": str(SUPPLY - i)}) for i in range(10_000)]
    (tmp_path / FILE).write_bytes(encode_records(records))
    with duckdb.connect() as connection:
        begun = time.monotonic()
        catalogue._fill_corrections(connection, [tmp_path])
        assert time.monotonic() - begun < 20
        counted = connection.execute(
            "SELECT count(*), max(amount), min(reason), max(signer) FROM corrections"
        ).fetchall()
    assert counted == [(10_000, SUPPLY, "r0", one.signer)]


def _ask(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def test_views_and_tables_answer(sealed: Workspace, epochs: Epochs) -> None:
    path = sealed.data / "rewards.duckdb"
    views = {row[0] for row in _ask(path, "SELECT view_name FROM duckdb_views() WHERE NOT internal")}
    assert views == {t.name for t in PUBLISHED} - {"state"} | {"debts"}
    for table in PUBLISHED:
        if table.name in views:
            counted = dict(_ask(path, f"SELECT epoch, count(*) FROM {table.name} GROUP BY epoch"))
            assert counted == {n: sealed.store.read(n).frame(table).height for n in range(2)}, table.name
            types = dict(_ask(path, f"SELECT column_name, column_type FROM (DESCRIBE {table.name})"))
            assert not [c for c, t in types.items() if t in ("DOUBLE", "FLOAT")]
    assert _ask(path, "SELECT epoch, root, manifest FROM epochs ORDER BY epoch") == [
        (m.epoch.number, "0x" + m.root.hex(), m.digest) for m, _ in epochs
    ]
    by_class = _ask(path, "SELECT epoch, sum(rows) FROM row_counts GROUP BY ALL ORDER BY ALL")
    assert by_class == _ask(path, "SELECT epoch, rows FROM epochs ORDER BY ALL")
    assert _ask(path, "SELECT count(*) FROM pools WHERE deposited <> claimables + held + carry_over") == [(0,)]
    assert _ask(path, "SELECT count(*) FROM pools") == [(4,)]
    booked = _ask(path, "SELECT epoch, pool, allocated FROM pools ORDER BY ALL")
    assert booked == _ask(path, "SELECT epoch, pool, sum(amount) FROM allocations GROUP BY ALL ORDER BY ALL")
    assert all(comment for (comment,) in _ask(path, "SELECT comment FROM duckdb_views() WHERE NOT internal"))


def test_it_can_be_read_from_any_folder_by_another_process(sealed: Workspace, tmp_path: Path) -> None:
    command = [sys.executable, "-c", READ, str(sealed.data / "rewards.duckdb")]
    answer = subprocess.run(command, cwd=tmp_path, input="ask\n", capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "(1, 1)"


def test_it_shows_only_what_it_is_given(epochs: Epochs, tmp_path: Path) -> None:
    path = tmp_path / "rewards.duckdb"
    write_catalogue(path, epochs[:1])
    assert _ask(path, "SELECT DISTINCT epoch FROM allocations") == [(0,)]
    write_catalogue(path, [])
    assert _ask(path, "SELECT count(*) FROM epochs") == [(0,)]
    assert [p.name for p in tmp_path.iterdir()] == ["rewards.duckdb"]


def test_an_open_reader_keeps_what_it_saw(epochs: Epochs, tmp_path: Path) -> None:
    path = tmp_path / "rewards.duckdb"
    write_catalogue(path, epochs[:1])
    with duckdb.connect(str(path), read_only=True) as reader:
        write_catalogue(path, epochs)
        assert reader.execute("SELECT max(epoch) FROM scores").fetchall() == [(0,)]
    assert _ask(path, "SELECT max(epoch) FROM scores") == [(1,)]


def test_readers_see_one_epoch_or_the_other_while_it_is_swapped(epochs: Epochs, tmp_path: Path) -> None:
    """Two readers, five swaps: never an error, and table and view always tell of the same epochs."""
    path = tmp_path / "rewards.duckdb"
    write_catalogue(path, epochs[:1])
    done, seen, errors = threading.Event(), [], []
    ask = (
        "SELECT max(epoch), (SELECT max(epoch) FROM claimables), (SELECT count(DISTINCT epoch) FROM pools) FROM epochs"
    )

    def read(number: int) -> None:
        while not done.is_set():
            # DuckDB shares one open file per path within a process, and links are paths of their own.
            link = tmp_path / f"reader{number}" / "rewards.duckdb"
            link.parent.mkdir(exist_ok=True)
            try:
                link.unlink(missing_ok=True)
                link.hardlink_to(path)
                seen.append(_ask(link, ask)[0])
            except (duckdb.Error, OSError) as error:
                errors.append(error)

    readers = [threading.Thread(target=read, args=(n,)) for n in range(2)]
    for reader in readers:
        reader.start()
    for turn in range(5):
        write_catalogue(path, epochs[: 1 + turn % 2])
    done.set()
    for reader in readers:
        reader.join()
    assert errors == []
    assert set(seen) <= {(0, 0, 1), (1, 1, 2)} and seen


def test_a_reader_in_another_process_blocks_nobody(epochs: Epochs, tmp_path: Path) -> None:
    path = tmp_path / "rewards.duckdb"
    write_catalogue(path, epochs)
    reader = subprocess.Popen(
        [sys.executable, "-c", READ, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert reader.stdin is not None and reader.stdout is not None
    answers = set()
    for turn in range(5):
        reader.stdin.write("ask\n")
        reader.stdin.flush()
        write_catalogue(path, epochs[: 1 + turn % 2])
        answers.add(reader.stdout.readline().strip())
    reader.stdin.close()
    assert reader.wait() == 0
    reader.stdout.close()
    assert answers <= {"(0, 0)", "(1, 1)"}


def test_a_write_that_fails_leaves_the_old_one(epochs: Epochs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rewards.duckdb"
    write_catalogue(path, epochs[:1])

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for owner, name in ((catalogue, "_fill"), (Path, "replace")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, refuse)
            with pytest.raises(StorageError, match="No space left"):
                write_catalogue(path, epochs)
        assert [p.name for p in tmp_path.iterdir()] == ["rewards.duckdb"]
        assert _ask(path, "SELECT max(epoch) FROM scores") == [(0,)]
    with pytest.raises(StorageError, match=r"gone.*cannot be written"):
        write_catalogue(tmp_path / "gone.duckdb", [(epochs[0][0], tmp_path / "nowhere")])
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        write_catalogue(tmp_path / "file" / "rewards.duckdb", epochs)


def test_a_disk_that_fills_up_is_an_error_and_leaves_the_old_one(
    epochs: Epochs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DuckDB closes in silence when its own checkpoint fails: the rows stay in the log beside the file."""
    path = tmp_path / "rewards.duckdb"
    write_catalogue(path, epochs[:1])
    fill = catalogue._fill

    def fill_a_full_disk(connection: duckdb.DuckDBPyConnection, given: Epochs) -> None:
        connection.execute("SET debug_checkpoint_abort = 'before_header'")
        fill(connection, given)

    monkeypatch.setattr(catalogue, "_fill", fill_a_full_disk)
    with pytest.raises(StorageError, match="cannot be written"):
        write_catalogue(path, epochs)
    assert [p.name for p in tmp_path.iterdir()] == ["rewards.duckdb"]
    assert read_shown(path) == {0: epochs[0][0].digest}


def test_a_log_that_stays_beside_the_file_is_an_error(
    epochs: Epochs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leave_log(*_: object) -> None:
        aside = next(tmp_path.glob(".rewards.duckdb.*.new"))
        aside.with_name(f"{aside.name}.wal").write_bytes(b"rows")

    connect = duckdb.connect

    class Leaving:
        def __init__(self, path: str) -> None:
            self.inner = connect(path)

        def __enter__(self) -> duckdb.DuckDBPyConnection:
            return self.inner

        def __exit__(self, *_: object) -> None:
            self.inner.close()
            leave_log()

    monkeypatch.setattr(duckdb, "connect", Leaving)
    with pytest.raises(StorageError, match=r"\.wal still holds rows"):
        write_catalogue(tmp_path / "rewards.duckdb", epochs)
    assert list(tmp_path.iterdir()) == []


def test_it_says_which_epochs_it_shows(epochs: Epochs, tmp_path: Path) -> None:
    path = tmp_path / "rewards.duckdb"
    assert read_shown(path) is None
    write_catalogue(path, epochs)
    assert read_shown(path) == {m.epoch.number: m.digest for m, _ in epochs}
    path.write_bytes(b"no database" * 1000)
    assert read_shown(path) is None
    path.unlink()
    with duckdb.connect(str(path)) as empty:
        empty.execute("CREATE TABLE other (epoch INTEGER)")
    assert read_shown(path) is None


@pytest.mark.parametrize("character", "*?[")
def test_a_folder_that_would_be_a_pattern_is_refused(epochs: Epochs, tmp_path: Path, character: str) -> None:
    with pytest.raises(UsageError, match=f"\\{character}"):
        write_catalogue(tmp_path / "rewards.duckdb", [(epochs[0][0], tmp_path / f"a{character}b")])
    assert list(tmp_path.iterdir()) == []
