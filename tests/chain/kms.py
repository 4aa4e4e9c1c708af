"""AWS KMS as far as signing goes: a server on loopback that speaks its JSON protocol and holds a key."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any

import pytest
from botocore.config import Config
from coincurve import PrivateKey
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from rewards.chain.kms import CURVE_ORDER

KEY_ID = "alias/publisher"
SECRET, TOKEN = "planted-secret-access-key", "planted-session-token"
IMPATIENT = Config(connect_timeout=2, read_timeout=0.2, retries={"mode": "standard", "total_max_attempts": 1})


def encode_public_key(key: bytes, curve: ec.EllipticCurve) -> bytes:
    """SubjectPublicKeyInfo of a private key on a curve."""
    public = ec.derive_private_key(int.from_bytes(key), curve).public_key()
    return public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@dataclass
class FakeKms:
    """What it answers may be changed between requests. `failures` are given to the next requests, one each: status and
    code. `key` signs; the public key stays that of the first one."""

    key: bytes
    spec: str = "ECC_SECG_P256K1"
    usage: str = "SIGN_VERIFY"
    public_key: bytes = b""
    high_s: bool = False
    signature: bytes | None = None
    failures: list[tuple[int, str]] = field(default_factory=list)
    hangs: bool = False
    body: bytes | None = None
    asked: list[str] = field(default_factory=list)
    url: str = ""
    released: Event = field(default_factory=Event)

    def __post_init__(self) -> None:
        self.public_key = self.public_key or encode_public_key(self.key, ec.SECP256K1())

    def answer(self, action: str, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.asked.append(action)
        if request.pop("KeyId") != KEY_ID:
            return 400, {"__type": "NotFoundException"}
        if self.failures:
            status, code = self.failures.pop(0)
            # As AWS does it: some refusals quote the request.
            return status, {"__type": code, "message": f"token {TOKEN}\nsecret {SECRET}"}
        if action == "TrentService.GetPublicKey":
            assert request == {}
            return 200, {
                "KeySpec": self.spec,
                "KeyUsage": self.usage,
                "SigningAlgorithms": ["ECDSA_SHA_256"],
                "PublicKey": base64.b64encode(self.public_key).decode(),
            }
        assert action == "TrentService.Sign"
        digest = base64.b64decode(request.pop("Message"))
        assert request == {"MessageType": "DIGEST", "SigningAlgorithm": "ECDSA_SHA_256"}
        assert len(digest) == 32
        return 200, {"Signature": base64.b64encode(self.sign(digest)).decode()}

    def sign(self, digest: bytes) -> bytes:
        if self.signature is not None:
            return self.signature
        r, s = decode_dss_signature(PrivateKey(self.key).sign(digest, hasher=None))
        return encode_dss_signature(r, CURVE_ORDER - s if self.high_s else s)


@contextmanager
def serve(kms: FakeKms) -> Iterator[FakeKms]:
    """The same object, reachable under its `url` until the end of the block."""

    class Station(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if kms.hangs:
                kms.released.wait()
                return
            status, answer = kms.answer(self.headers["X-Amz-Target"], request)
            body = json.dumps(answer).encode() if kms.body is None else kms.body
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Station) as server:
        server.daemon_threads = True
        kms.url = f"http://127.0.0.1:{server.server_port}"
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield kms
        finally:
            kms.released.set()
            server.shutdown()


def point_at(kms: FakeKms, patch: pytest.MonkeyPatch) -> None:
    """The environment of a process that signs by this KMS and by nothing of this machine's."""
    settings = {
        "AWS_ENDPOINT_URL_KMS": kms.url,
        "AWS_REGION": "eu-central-1",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "planted",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_SESSION_TOKEN": TOKEN,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": "none",
        "AWS_SHARED_CREDENTIALS_FILE": "none",
    }
    for name, value in settings.items():
        patch.setenv(name, value)
    patch.delenv("AWS_PROFILE", raising=False)
