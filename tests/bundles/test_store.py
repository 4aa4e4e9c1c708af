"""Bundles: equal values give equal bytes, every damage is found by name, and a disk that refuses leaves nothing
behind."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from rewards.bundles.disk import move_into_place, stage_folder, write_file
from rewards.bundles.store import Bundle, BundleStore, decode_corrections, encode_corrections, encode_frame
from rewards.corrections import encode_records, tabulate_records
from rewards.errors import Disagreement, InputError, StorageError
from rewards.jobs.workspace import Workspace
from rewards.manifest import FILES
from rewards.merkle import ClaimTree, read_proof
from rewards.schemas import ACCOUNTS, CLAIMABLES, MONEY, PUBLISHED
from tests.bundles.forge import TABLES, encode_changed, reseal, seal_sample
from tests.signed import STRANGER, sign


@pytest.fixture(scope="module")
def sealed(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return seal_sample(tmp_path_factory.mktemp("bundles"), repository / "data" / "sample", last=0)


@pytest.fixture
def bundle(sealed: Workspace, tmp_path: Path) -> Bundle:
    """A copy of epoch 0 that a test may damage."""
    staging = tmp_path / "copy"
    whole = sealed.store.read(0)
    stage_folder(staging, {p.name: p.read_bytes() for p in whole.folder.iterdir()})
    return Bundle(staging, whole.manifest)


# Bytes


@pytest.mark.parametrize("table", PUBLISHED, ids=lambda t: t.name)
def test_equal_values_give_equal_bytes(sealed: Workspace, table: Any) -> None:
    """Whatever the order of rows, the chunks and the order of columns; and what is read back is what was written."""
    frame = sealed.store.read(0).frame(table)
    content = encode_frame(table, frame)
    assert content == sealed.store.read(0).content(f"{table.name}.parquet")
    assert encode_frame(table, frame.sample(fraction=1.0, shuffle=True, seed=3)) == content
    assert encode_frame(table, pl.concat([frame.slice(5), frame.head(5)], rechunk=False)) == content
    assert encode_frame(table, frame.select(reversed(frame.columns))) == content


def test_another_value_gives_other_bytes(sealed: Workspace) -> None:
    frame = sealed.store.read(0).frame(CLAIMABLES)
    more = frame.with_columns(cumulative_amount=(pl.col("cumulative_amount") + 1).cast(MONEY))
    assert encode_frame(CLAIMABLES, more) != encode_frame(CLAIMABLES, frame)


def test_a_frame_that_does_not_fit_its_model_is_not_encoded(sealed: Workspace) -> None:
    frame = sealed.store.read(0).frame(ACCOUNTS)
    with pytest.raises(InputError, match="kind"):
        encode_frame(ACCOUNTS, frame.with_columns(kind=pl.lit("robot")))
    with pytest.raises(InputError, match="more than once"):
        encode_frame(ACCOUNTS, pl.concat([frame, frame.head(1)]))


def test_corrections_round_trip() -> None:
    records = [sign(3, pool, account, units) for pool, account, units in ((1, 'a"\u202e', -(10**27)), (2, "b", 1))]
    frame = tabulate_records(records)
    content = encode_corrections(frame)
    assert content == encode_records(records) == encode_corrections(frame.reverse())
    assert decode_corrections(content).equals(frame)


ONE = encode_records([sign(3, 1, "a", 1)])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"[]\n\n",
        b" []\n",
        b"[{}]\n",
        ONE.replace(b"\n", b""),
        ONE.replace(b'"1"', b'"01"'),
        ONE.replace(b'"a"', b'"\\u0061"'),
        encode_records([sign(3, 1, "b", 1)])[:-3] + b"," + ONE[1:],
        encode_records([sign(3, 1, "a", 1), sign(3, 1, "a", 2)]),
        encode_records([sign(3, 1, "a", 1), sign(3, 1, "a", 1, signer=STRANGER)]),
    ],
    ids=range(12),
)
def test_other_corrections_are_refused(content: bytes) -> None:
    with pytest.raises(InputError, match=r"corrections") as refused:
        decode_corrections(content)
    assert "\n" not in str(refused.value)


# Damage


def test_a_whole_bundle_passes(bundle: Bundle) -> None:
    bundle.check()


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file_is_named(bundle: Bundle, name: str) -> None:
    path = bundle.folder / name
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole + b"\0", b"", bytes([whole[0] ^ 1]) + whole[1:]):
        path.write_bytes(damaged)
        with pytest.raises(Disagreement, match=name):
            bundle.check()
        with pytest.raises(Disagreement, match=name):
            bundle.content(name)
    path.unlink()
    with pytest.raises(Disagreement, match=name):
        bundle.check()
    path.mkdir()
    with pytest.raises(Disagreement, match=name):
        bundle.check()


@pytest.mark.parametrize("name", ["extra.parquet", ".hidden", "manifest.json.bak", "tree.bin ", "notes"])
def test_a_file_too_many_is_named(bundle: Bundle, name: str) -> None:
    (bundle.folder / name).write_bytes(b"")
    with pytest.raises(Disagreement, match=name):
        bundle.check()


def test_a_missing_folder_is_one_error(bundle: Bundle) -> None:
    with pytest.raises(Disagreement, match="cannot be read"):
        Bundle(bundle.folder / "gone", bundle.manifest).check()


def test_parquet_that_is_none_or_has_another_shape_is_named(bundle: Bundle, tmp_path: Path) -> None:
    """The digests are right; the content is not."""
    for content in (b"PAR1", b"", b"PAR1" + bytes(100) + b"PAR1"):
        reseal(bundle.folder, {"claimables.parquet": content})
        forged = _read(bundle.folder, tmp_path)
        with pytest.raises(Disagreement, match=r"claimables\.parquet"):
            forged.frame(CLAIMABLES)
    other = pl.DataFrame({"pool": [1.5]})
    other.write_parquet(bundle.folder / "claimables.parquet")
    reseal(bundle.folder, {"claimables.parquet": (bundle.folder / "claimables.parquet").read_bytes()})
    with pytest.raises(Disagreement, match="lacks the column account"):
        _read(bundle.folder, tmp_path).frame(CLAIMABLES)


def _read(folder: Path, data: Path) -> Bundle:
    """The bundle in a folder, read as an epoch of a data directory."""
    target = data / "epochs" / "0"
    target.parent.mkdir(exist_ok=True)
    if not target.exists():
        target.symlink_to(folder)
    return BundleStore(data).read(0)


@pytest.mark.parametrize("name", ["manifest.json", "manifest.sha256"])
def test_a_changed_manifest_is_found(bundle: Bundle, tmp_path: Path, name: str) -> None:
    path = bundle.folder / name
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole + b" ", b"", whole.replace(b"0", b"1", 1), b"\xff\xfe"):
        path.write_bytes(damaged)
        with pytest.raises(Disagreement, match=r"manifest"):
            _read(bundle.folder, tmp_path)
    path.unlink()
    with pytest.raises(Disagreement, match="no readable manifest"):
        _read(bundle.folder, tmp_path)


def test_an_epoch_that_is_not_there_is_named(sealed: Workspace) -> None:
    with pytest.raises(InputError, match=r"no bundle of epoch 7 .* there: 0"):
        sealed.store.read(7)
    assert sealed.store.numbers() == [0]


# The tree, mapped


def test_proofs_are_read_from_the_mapped_tree(bundle: Bundle) -> None:
    with bundle.tree() as tree:
        for pool, account, amount in bundle.frame(CLAIMABLES).gather_every(17).rows():
            found, proof = read_proof(tree, pool, account)
            assert found == amount
            assert ClaimTree.verify(bundle.manifest.root, pool, account, found, proof)


@pytest.mark.parametrize("damage", [lambda b: b"", None], ids=["empty", "missing"])
def test_a_tree_that_cannot_be_mapped_is_one_error(bundle: Bundle, damage: Callable[[bytes], bytes] | None) -> None:
    path = bundle.folder / "tree.bin"
    path.unlink() if damage is None else path.write_bytes(b"")
    with pytest.raises(Disagreement, match=r"tree\.bin"), bundle.tree():
        pass


# Disks that refuse

FULL, BROKEN, READ_ONLY = errno.ENOSPC, errno.EIO, errno.EROFS


def _fail(number: int) -> Callable[..., Any]:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


class _Torn:
    """A file that takes some bytes and then no more."""

    def __init__(self, file: Any, number: int) -> None:
        self._file, self._number = file, number

    def __enter__(self) -> "_Torn":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, content: bytes) -> None:
        self._file.write(content[: len(content) // 2])
        raise OSError(self._number, os.strerror(self._number))


def _tear_writes(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    whole = Path.open
    monkeypatch.setattr(Path, "open", lambda path, mode: _Torn(whole(path, mode), number))


def _refuse_open(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(Path, "open", _fail(number))


def _refuse_sync(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(os, "fsync", _fail(number))


def _refuse_folder(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(Path, "mkdir", _fail(number))


FAULTS = [_tear_writes, _refuse_open, _refuse_sync, _refuse_folder]


@pytest.mark.parametrize("number", [FULL, BROKEN, READ_ONLY], ids=errno.errorcode.get)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Callable[[pytest.MonkeyPatch, int], None], number: int
) -> None:
    path = tmp_path / "folder" / "file"
    write_file(path, b"old")
    with monkeypatch.context() as patch:
        fault(patch, number)
        with pytest.raises(StorageError, match=rf"file cannot be written: {os.strerror(number)}"):
            write_file(path, b"new content")
    assert [p.name for p in path.parent.iterdir()] == ["file"]
    assert path.read_bytes() == b"old"
    write_file(path, b"new")
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("number", [FULL, BROKEN, READ_ONLY], ids=errno.errorcode.get)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_folder_is_staged_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Callable[[pytest.MonkeyPatch, int], None], number: int
) -> None:
    staging = tmp_path / "staging" / "0"
    staging.parent.mkdir()
    with monkeypatch.context() as patch:
        fault(patch, number)
        with pytest.raises(StorageError, match=os.strerror(number)):
            stage_folder(staging, {"a": b"first", "b": b"second"})
    assert list(staging.parent.iterdir()) == []
    stage_folder(staging, {"a": b"first"})
    stage_folder(staging, {"b": b"second"})
    assert [p.name for p in staging.iterdir()] == ["b"]


def test_renaming_into_place_refuses_what_stands_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    staging, target = tmp_path / "staging", tmp_path / "epochs" / "0"
    stage_folder(staging, {"a": b"new"})
    stage_folder(target, {"a": b"old"})
    with pytest.raises(StorageError, match="look at what stands there"):
        move_into_place(staging, target)
    assert (target / "a").read_bytes() == b"old" and (staging / "a").read_bytes() == b"new"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", _fail(BROKEN))
        with pytest.raises(StorageError, match="cannot be renamed"):
            move_into_place(staging, tmp_path / "epochs" / "1")
    move_into_place(staging, tmp_path / "epochs" / "1")
    assert not staging.exists() and (tmp_path / "epochs" / "1" / "a").read_bytes() == b"new"


def test_a_file_where_a_folder_belongs_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    inside = tmp_path / "file" / "x"
    with pytest.raises(StorageError, match="file"):
        write_file(inside, b"")
    with pytest.raises(StorageError, match="file"):
        stage_folder(inside, {"a": b""})
    with pytest.raises(StorageError, match="file"):
        move_into_place(tmp_path / "gone", inside)


@pytest.mark.skipif(os.geteuid() == 0, reason="the administrator may write into a read-only folder")
def test_a_read_only_folder_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "shut").mkdir(mode=0o500)
    with pytest.raises(StorageError, match="Permission denied"):
        write_file(tmp_path / "shut" / "x", b"")
    with pytest.raises(StorageError, match="Permission denied"):
        stage_folder(tmp_path / "shut" / "x", {"a": b""})


def test_a_disk_that_fills_up_during_a_run_leaves_no_epoch(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tenth sync fails: in the midst of the staged folder."""
    sample, whole, calls = repository / "data" / "sample", os.fsync, []

    def fill(handle: int) -> None:
        calls.append(handle)
        if len(calls) == 10:
            raise OSError(FULL, os.strerror(FULL))
        whole(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fill)
        with pytest.raises(StorageError, match="No space left"):
            seal_sample(tmp_path, sample, last=0)
    workspace = Workspace(tmp_path)
    assert workspace.store.numbers() == [] and workspace.ledger.sealed() == []
    assert list((tmp_path / "staging").iterdir()) == []
    assert [e.number for e in seal_sample(tmp_path, sample, last=0).ledger.sealed()] == [0]


def test_forged_tables_keep_their_model(bundle: Bundle) -> None:
    """The forger's tools used by other tests change exactly what they say."""
    name = "quarantine"
    assert encode_changed(bundle, name, lambda frame: frame) == (bundle.folder / f"{name}.parquet").read_bytes()
    assert set(TABLES) == {f.removesuffix(".parquet") for f in FILES if f.endswith(".parquet")}
