import hashlib
import hmac
import os
import stat
import sys
import types

import pytest

from iris_tf.matching.secret_keys import KEY_VARIABLE, SecretKey, key_or_none
from iris_tf.support.errors import ArgumentError, OutputError, ProtectionError


def test_a_key_file_is_private_and_comes_back(tmp_path):
    key = SecretKey.new()
    key.save(tmp_path / "key")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert (tmp_path / "key").read_text() == key.secret.hex() + "\n"
    assert SecretKey.read(tmp_path / "key").secret == key.secret
    assert key_or_none(str(tmp_path / "key")).secret == key.secret
    assert key_or_none(None) is None
    assert key_or_none(key) is key
    with pytest.raises(OutputError, match="there is a key already"):
        SecretKey.new().save(tmp_path / "key")
    assert SecretKey.read(tmp_path / "key").secret == key.secret


def test_two_keys_differ():
    assert SecretKey.new().secret != SecretKey.new().secret


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_file_that_others_may_use_is_refused(tmp_path, mode):
    SecretKey.new().save(tmp_path / "key")
    (tmp_path / "key").chmod(mode)
    with pytest.raises(ProtectionError, match="others than its owner may read"):
        SecretKey.read(tmp_path / "key")


@pytest.mark.parametrize("text", ["", "ab" * 31, "ab" * 33, "gh" * 32, "\xe9", "ab" * 5000])
def test_what_is_no_key_is_refused(tmp_path, text):
    (tmp_path / "key").write_text(text)
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(ProtectionError, match="holds no key of 64 hexadecimal digits"):
        SecretKey.read(tmp_path / "key")


def test_a_missing_key_file_and_no_path(tmp_path):
    with pytest.raises(ProtectionError, match="there is no such key file"):
        SecretKey.read(tmp_path / "none")
    with pytest.raises(ArgumentError, match="The key file is '7'"):
        key_or_none(7)
    with pytest.raises(ProtectionError, match="A key has 32 bytes"):
        SecretKey(b"short")


def test_a_key_in_the_environment(monkeypatch):
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    assert SecretKey.from_environment() is None
    monkeypatch.setenv(KEY_VARIABLE, " " + "0f" * 32)
    assert SecretKey.from_environment().secret == b"\x0f" * 32
    monkeypatch.setenv(KEY_VARIABLE, "secret")
    with pytest.raises(ProtectionError, match=f"{KEY_VARIABLE}: holds no key") as refused:
        SecretKey.from_environment()
    assert "secret" not in str(refused.value)


def test_keys_are_not_shown():
    key = SecretKey(b"\x0f" * 32)
    assert "0f" not in repr(key).replace("0x", "")[-1:] and "\\x0f" not in repr(key)


def test_derivation_is_that_of_rfc_5869():
    secret = bytes(range(32))
    # HKDF with SHA-256 and no salt, 32 bytes: extract with zeros, expand once.
    extracted = hmac.digest(b"\0" * 32, secret, hashlib.sha256)
    expected = hmac.digest(extracted, b"iris_tf purpose" + b"\x01", hashlib.sha256)
    key = SecretKey(secret)
    assert key.derive("purpose") == expected
    identifier = hmac.digest(extracted, b"iris_tf identifier of purpose\x01", hashlib.sha256)[:8]
    assert key.id("purpose") == identifier.hex()


class Keyring(types.ModuleType):
    """Stands in for the optional package."""

    def __init__(self):
        super().__init__("keyring")
        self.kept, self.locked = {}, False
        self.errors = types.SimpleNamespace(KeyringError=LookupError)

    def get_password(self, service, name):
        if self.locked:
            raise LookupError("locked")
        return self.kept.get((service, name))

    def set_password(self, service, name, text):
        self.kept[service, name] = text


def test_keys_in_the_keyring(monkeypatch):
    keyring = Keyring()
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    with pytest.raises(ProtectionError, match="no key 'door' of iris_tf"):
        key_or_none("keyring:door")
    key = SecretKey.new()
    key.save("keyring:door")
    assert keyring.kept == {("iris_tf", "door"): key.secret.hex()}
    assert key_or_none("keyring:door").secret == key.secret
    with pytest.raises(OutputError, match="there is a key already"):
        SecretKey.new().save("keyring:door")
    keyring.locked = True
    with pytest.raises(ProtectionError, match="cannot be used"):
        key_or_none("keyring:door")


def test_without_the_package_for_keyrings(monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(ProtectionError, match="need the package keyring"):
        key_or_none("keyring:door")
