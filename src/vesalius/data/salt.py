"""The secret that turns patient ids into pseudonyms, kept beside the store and never in it."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from vesalius.errors import StoreError

__all__ = ["load_salt", "salt_id"]

_SHORTEST = 16


def load_salt(path: Path) -> bytes:
    """Return the salt in a file, making the file (32 random bytes in hex, mode 0600) where there is none.

    Stores made with one salt give one patient one pseudonym, so a patient can be followed across them; who loses the
    salt can no longer add to them, who publishes it lets others guess ids.

    Raises:
        StoreError: Where the file cannot be read or made, or holds fewer than 16 bytes.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            pass
        else:
            with os.fdopen(descriptor, "w", encoding="ascii") as stream:
                stream.write(secrets.token_hex(32) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
        salt = path.read_bytes().strip()
    except OSError as error:
        raise StoreError(
            f"{path}: the salt cannot be read or made ({error.strerror}); name another with --salt-file"
        ) from error
    if len(salt) < _SHORTEST:
        raise StoreError(
            f"{path}: a salt of {len(salt)} bytes is too short to hide patient ids; use {_SHORTEST} or more"
        )
    return salt


def salt_id(salt: bytes) -> str:
    """Return 12 hex digits that tell salts apart without giving them away."""
    return hashlib.sha256(b"vesalius salt\x00" + salt).hexdigest()[:12]
