"""Settings to a connected Vault and to signers: the one place that reads keys."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rewards.chain.client import Chain, connect
from rewards.chain.deployment import deployment_path, read_deployment
from rewards.chain.locks import hold_key
from rewards.chain.pursuit import Patience
from rewards.chain.sender import Sender
from rewards.chain.signers import DigestSigner, LocalSigner, Signer
from rewards.chain.vault import Vault
from rewards.errors import UsageError
from rewards.jobs.proposal import Author, SafeOwners
from rewards.jobs.settings import Role, Settings
from rewards.units import Address, checksum

SOURCES = ("key", "keystore", "kms_key", "safe")
"""Ends of the settings from which a role signs."""

_ROLES: tuple[Role, ...] = ("publisher", "attester", "guardian")


def open_chain(settings: Settings, timeout_s: int = 15) -> Chain:
    """The configured chain, its id checked; raises UsageError when none is configured, ChainError when it does not
    answer."""
    if settings.rpc_url is None:
        raise UsageError("no chain is configured; set REWARDS_RPC_URL, and REWARDS_CHAIN_ID or --deployment")
    chain_id = settings.chain_id
    if chain_id is None and settings.deployment is not None:
        chain_id = read_deployment(settings.deployment).chain_id
    if chain_id is None:
        raise UsageError(
            "no chain id is configured; set REWARDS_CHAIN_ID so that another chain is never mistaken for yours"
        )
    url = settings.rpc_url.get_secret_value()
    return connect(url, chain_id, settings.confirmations, timeout_s, settings.log_range)


def open_vault(settings: Settings, timeout_s: int = 15) -> Vault:
    """The configured Vault: the deployment file that is named, or the checkout's for the chain id."""
    chain = open_chain(settings, timeout_s)
    path = settings.deployment or deployment_path(chain.chain_id)
    sender = Sender(chain, Patience(pause_s=settings.poll_seconds), settings.max_fee_wei)
    return Vault(chain, read_deployment(path), sender)


def open_signer(settings: Settings, role: Role) -> Signer:
    """The signer of a role: its key, its encrypted keystore or its key at AWS KMS. Raises UsageError naming the setting
    that is missing or doubled, or when a Safe signs for the role; ChainError when AWS KMS does not answer."""
    source = _choose_source(settings, role)
    if source == "safe":
        raise UsageError(f"the Safe {find_safe(settings, role)} is the {role}; its owners sign, nothing here can")
    if source == "key":
        return LocalSigner(getattr(settings, f"{role}_key"))
    if source == "kms_key":
        return _open_kms(getattr(settings, f"{role}_kms_key"))
    if source == "keystore":
        return _open_keystore(settings, role, getattr(settings, f"{role}_keystore"))
    name = f"REWARDS_{role.upper()}"
    at_kms = f", {name}_KMS_KEY" if f"{role}_kms_key" in Settings.model_fields else ""
    raise UsageError(
        f"no key of the {role} is configured; set {name}_KEYSTORE (with REWARDS_KEYSTORE_PASSWORD or "
        f"REWARDS_KEYSTORE_PASSWORD_FILE){at_kms} or {name}_KEY"
    )


def find_safe(settings: Settings, role: Role) -> Address | None:
    """The Safe that holds a role, None where a key does; UsageError when both are configured."""
    if _choose_source(settings, role) != "safe":
        return None
    safe: Address = getattr(settings, f"{role}_safe")
    return safe


def name_source(settings: Settings, role: Role) -> str | None:
    """The setting from which a role signs, such as `REWARDS_PUBLISHER_KMS_KEY`; None without any, UsageError when two are
    set."""
    source = _choose_source(settings, role)
    return None if source is None else f"REWARDS_{role.upper()}_{source.upper()}"


def _choose_source(settings: Settings, role: Role) -> str | None:
    found = [source for source in SOURCES if getattr(settings, f"{role}_{source}", None) is not None]
    if len(found) > 1:
        names = " and ".join(f"REWARDS_{role.upper()}_{source.upper()}" for source in found)
        raise UsageError(f"{names} are set together; the {role} signs from one of them, unset the others")
    return found[0] if found else None


def _open_keystore(settings: Settings, role: Role, keystore: Path) -> Signer:
    password = settings.read_keystore_password()
    if password is None:
        raise UsageError(
            f"the keystore {keystore} needs a password; set REWARDS_KEYSTORE_PASSWORD or REWARDS_KEYSTORE_PASSWORD_FILE"
        )
    try:
        text = keystore.read_text()
    except OSError as error:
        raise UsageError(
            f"the keystore {keystore} cannot be read: {error.strerror}; mend REWARDS_{role.upper()}_KEYSTORE"
        ) from error
    return LocalSigner.from_keystore(text, password)


def _open_kms(key_id: str) -> Signer:
    # Only here, since most installations have no boto3 and no other command shall pay for it.
    try:
        from rewards.chain.kms import KmsSigner
    except ModuleNotFoundError as error:
        raise UsageError(f"keys at AWS KMS need {error.name}; run pip install '.[kms]'") from None
    return KmsSigner(key_id)


def choose_author(settings: Settings, role: Role, tell: Callable[[Path, list[str]], None]) -> Author:
    """Who brings the transactions of a role about: its signer, or the owners of its Safe, who get a file under
    `data/safe` that `tell` hears of. Raises as `open_signer`."""
    safe = find_safe(settings, role)
    return open_signer(settings, role) if safe is None else SafeOwners(safe, settings.data / "safe", tell)


@contextmanager
def lock_author(author: Author, chain_id: int) -> Iterator[None]:
    """A key for this process alone while the block runs; StorageError naming the process of this machine that uses the
    same one now. A Safe needs none."""
    if isinstance(author, SafeOwners):
        yield
        return
    otherwise = f"the key of {checksum(author.address)} on chain {chain_id} is in use"
    with hold_key(name_lock(choose_locks(), chain_id, author.address), otherwise):
        yield


def open_configured(settings: Settings) -> dict[Address, Signer]:
    """Every signer of publisher, attester and guardian that is configured here."""
    named = (role for role in _ROLES if _choose_source(settings, role) not in (None, "safe"))
    return {signer.address: signer for signer in (open_signer(settings, role) for role in named)}


def name_lock(locks: Path, chain_id: int, address: Address) -> Path:
    """The lock of a key on a chain."""
    return locks / f"{chain_id}-{address}.lock"


def choose_locks() -> Path:
    """A folder of this user, the same one wherever on this machine a key is used."""
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    try:
        home = state if state.is_absolute() else Path.home() / ".local" / "state"
    except RuntimeError:
        raise UsageError(
            "this user has no home folder for locks; set XDG_STATE_HOME to a folder of this user"
        ) from None
    return home / "cxpt-rewards" / "locks"


def open_digest_signer(settings: Settings, role: Role) -> DigestSigner:
    """As `open_signer`; UsageError too where that signer signs nothing but transactions."""
    signer = open_signer(settings, role)
    if isinstance(signer, DigestSigner):
        return signer
    raise UsageError(
        f"the signer {signer.address} signs transactions alone; print --typed-data, sign that in a wallet, and give "
        "--signature"
    )
