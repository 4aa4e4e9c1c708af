"""Settings to a connected Vault and to signers: the one place that reads keys."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rewards.chain.client import Chain, connect
from rewards.chain.deploy import VaultSettings, deploy_token, deploy_vault
from rewards.chain.deployment import Deployment, deployment_path, read_deployment, require_writable, write_deployment
from rewards.chain.sender import Patience, Sender
from rewards.chain.signers import LocalSigner, Signer
from rewards.chain.vault import Vault
from rewards.errors import ChainError, UsageError
from rewards.jobs.settings import Role, Settings
from rewards.units import Address, parse_address


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


def deploy(
    settings: Settings, roles: Mapping[str, Sequence[str]], token: str | None, out: Path | None, **vault: int
) -> tuple[Deployment, Path]:
    """Deploy the token (unless one is given) and the Vault with these role holders, and record both.

    `roles`: admin (one), publisher, attester, guardian, treasurer to addresses. Refuses to overwrite a record.
    """
    chain = open_chain(settings)
    signer = open_signer(settings, "deployer")
    path = out or deployment_path(chain.chain_id)
    if path.exists():
        raise UsageError(
            f"{path} already records a deployment; give --out for another one, or remove it if that Vault is abandoned"
        )
    require_writable(path)
    sender = Sender(chain, Patience(pause_s=settings.poll_seconds), settings.max_fee_wei)
    holders = {role: [parse_address(address) for address in addresses] for role, addresses in roles.items()}
    wanted = VaultSettings(
        admin=holders["admin"][0],
        publishers=holders["publisher"],
        attesters=holders["attester"],
        guardians=holders["guardian"],
        treasurers=holders["treasurer"],
        **vault,
    )
    paid_in: Address = parse_address(token) if token else deploy_token(sender, signer)
    try:
        deployment = deploy_vault(sender, signer, paid_in, wanted)
    except ChainError as error:
        raise ChainError(f"{error}; the token is {paid_in}, give --token to use it again") from error
    write_deployment(deployment, path)
    return deployment, path
