"""The format of values in Redis: `<u8 2><tag><value>`, or a lease: `<u8 0><tag><token>`.

The tag is a keyed digest of the key and what follows: whoever can write Redis but has not the secret can put no answer
there, and move none from one key to another.
"""

from hashlib import blake2b
from hmac import compare_digest
from typing import Final

_VALUE: Final = b"\2"
_LEASE: Final = b"\0"
_TAG: Final = 16
_START: Final = 1 + _TAG


class Seal:
    """Makes frames, and knows those that were made with the same secret."""

    def __init__(self, secret: bytes) -> None:
        self._key = blake2b(secret, person=b"headrace-cache-1").digest()
        # Those who have another secret use other keys, so that they don't take away one another's answers.
        self.prefix = b"headrace:2:%b:" % self._tag(b"headrace-prefix", b"", b"").hex()[:16].encode()

    def pack(self, key: bytes, value: bytes) -> bytes:
        return self._pack(_VALUE, key, value)

    def unpack(self, key: bytes, frame: bytes) -> bytes | None:
        """The value, or None where `frame` is not what `pack` made for this key."""
        return self._unpack(_VALUE, key, frame)

    def lease(self, key: bytes, token: bytes) -> bytes:
        """The lease on `key` of the process that calls itself `token`."""
        return self._pack(_LEASE, key, token)

    def is_lease(self, key: bytes, frame: bytes) -> bool:
        return self._unpack(_LEASE, key, frame) is not None

    def _pack(self, kind: bytes, key: bytes, content: bytes) -> bytes:
        return b"".join((kind, self._tag(kind, key, content), content))

    def _unpack(self, kind: bytes, key: bytes, frame: bytes) -> bytes | None:
        content = frame[_START:]
        if frame[:1] != kind or not compare_digest(frame[1:_START], self._tag(kind, key, content)):
            return None
        return content

    def _tag(self, kind: bytes, key: bytes, content: bytes) -> bytes:
        # Keys have one length, so that no key and content are others run together.
        digest = blake2b(key, key=self._key, digest_size=_TAG, person=kind)
        digest.update(content)
        return digest.digest()
