"""Settings to a connected Vault and to signers: the one place that reads keys."""

from pathlib import Path

from rewards.chain.client import Chain, connect
from rewards.chain.deployment import deployment_path, read_deployment
from rewards.chain.sender import Patience, Sender
from rewards.chain.signers import DigestSigner, LocalSigner, Signer
from rewards.chain.vault import Vault
from rewards.errors import UsageError
from rewards.jobs.settings import Role, Settings


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
    return connect(settings.rpc_url.get_secret_value(), chain_id, settings.confirmations, timeout_s)


def open_vault(settings: Settings, timeout_s: int = 15) -> Vault:
    """The configured Vault: the deployment file that is named, or the checkout's for the chain id."""
    chain = open_chain(settings, timeout_s)
    path = settings.deployment or deployment_path(chain.chain_id)
    sender = Sender(chain, Patience(pause_s=settings.poll_seconds), settings.max_fee_wei)
    return Vault(chain, read_deployment(path), sender)


def open_signer(settings: Settings, role: Role) -> Signer:
    """The signer of a role, from its key or its encrypted keystore; raises UsageError naming the setting that is
    missing."""
    key = getattr(settings, f"{role}_key")
    if key is not None:
        return LocalSigner(key)
    keystore: Path | None = getattr(settings, f"{role}_keystore")
    if keystore is None:
        name = f"REWARDS_{role.upper()}"
        raise UsageError(
            f"no key of the {role} is configured; set {name}_KEYSTORE (with REWARDS_KEYSTORE_PASSWORD) or {name}_KEY"
        )
    if settings.keystore_password is None:
        raise UsageError(f"the keystore {keystore} needs a password; set REWARDS_KEYSTORE_PASSWORD")
    try:
        text = keystore.read_text()
    except OSError as error:
        raise UsageError(
            f"the keystore {keystore} cannot be read: {error.strerror}; mend REWARDS_{role.upper()}_KEYSTORE"
        ) from error
    return LocalSigner.from_keystore(text, settings.keystore_password)


def open_digest_signer(settings: Settings, role: Role) -> DigestSigner:
    """As `open_signer`; UsageError too where that signer signs nothing but transactions."""
    signer = open_signer(settings, role)
    if isinstance(signer, DigestSigner):
        return signer
    raise UsageError(
        f"the signer {signer.address} signs transactions alone; print --typed-data, sign that in a wallet, and give "
        "--signature"
    )
