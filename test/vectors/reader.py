#!/usr/bin/env python3
"""A second implementation of docs/envelope.md, apart from the first: reads the vectors, opens, refuses and seals.

    python reader.py envelope-v1.json

Needs only the package `cryptography`. Prints "N passed, N failed" and exits with 1 when anything failed.
"""

import hmac
import json
import re
import sys
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
KEY_ID = re.compile(r"[\x21-\x7e]{0,128}")
NONCE = bytes(12)


class Refused(Exception):
    """An envelope that must not open; `code` says why."""

    def __init__(self, code, reason):
        super().__init__(f"{code}: {reason}")
        self.code = code


class Final(Exception):
    """A member can never open this wrap."""


class Away(Exception):
    """A member cannot be asked."""


def invalid(reason):
    return Refused("InvalidEnvelope", reason)


# Protobuf, as much as the format needs. The writer knows one encoding; the reader knows that one only.


def write_varint(value):
    groups = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        groups.append(low | (0x80 if value else 0))
        if not value:
            return bytes(groups)


def write_field(number, value):
    """A default (0, empty) is not written."""
    if value in (0, b""):
        return b""
    if isinstance(value, int):
        return write_varint(number << 3) + write_varint(value)
    return write_varint(number << 3 | 2) + write_varint(len(value)) + value


def read_varint(data, at):
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise invalid("a varint has no end")
        byte = data[at]
        value |= (byte & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if byte < 0x80:
            return value, at


def read_fields(data):
    """Field numbers and values in the order written, and whether all numbers were written as short as can be."""
    fields, at, minimal = [], 0, True
    while at < len(data):
        start = at
        tag, at = read_varint(data, at)
        minimal = minimal and write_varint(tag) == data[start:at]
        start = at
        value, at = read_varint(data, at)
        minimal = minimal and write_varint(value) == data[start:at]
        if tag & 7 == 2:
            if at + value > len(data):
                raise invalid("a length goes past the end")
            value, at = data[at : at + value], at + value
        elif tag & 7 != 0:
            raise invalid("a field of a kind that the format does not have")
        fields.append((tag >> 3, value))
    return fields, minimal


def strict(fields, minimal, kinds, repeated=()):
    """Fields by number. Refused: unknown, repeated or unordered fields, wrong kinds, written defaults, long numbers."""
    if not minimal:
        raise invalid("a number is longer than it need be")
    found, last = {}, 0
    for number, value in fields:
        if not isinstance(value, kinds.get(number, ())):
            raise invalid("an unknown field, or one of the wrong kind")
        if number < last or (number == last and number not in repeated):
            raise invalid("fields out of order, or twice")
        if number not in repeated and value in (0, b""):
            raise invalid("a default is written out")
        if isinstance(value, int) and value > 0xFFFFFFFF:
            raise invalid("a number over 32 bits")
        last = number
        found[number] = [*found.get(number, []), value] if number in repeated else value
    return found


# The head


@dataclass(frozen=True)
class Member:
    name: str
    share: int
    key_version: bytes
    wrap: bytes

    def encode(self):
        values = (self.name.encode(), self.share, self.key_version, self.wrap)
        return b"".join(write_field(number, value) for number, value in enumerate(values, 1))


@dataclass(frozen=True)
class Head:
    kek: str
    cluster: str
    key_id: str
    threshold: int
    members: tuple

    def encode(self):
        values = (1, self.kek.encode(), self.cluster.encode(), self.key_id.encode(), self.threshold)
        start = b"".join(write_field(number, value) for number, value in enumerate(values, 1))
        return start + b"".join(write_field(6, member.encode()) for member in self.members)


def text(value, pattern, what):
    try:
        decoded = value.decode("ascii")
    except UnicodeDecodeError:
        raise invalid(f"{what} is not ASCII") from None
    if not pattern.fullmatch(decoded):
        raise invalid(f"{what} is not allowed")
    return decoded


def read_member(data):
    found = strict(*read_fields(data), {1: bytes, 2: int, 3: bytes, 4: bytes})
    member = Member(
        text(found.get(1, b""), NAME, "a member's name"), found.get(2, 0), found.get(3, b""), found.get(4, b"")
    )
    if len(member.key_version) not in (0, 16) or not 1 <= len(member.wrap) <= 1024:
        raise invalid("a key version or wrap of a wrong length")
    return member


def read_head(data):
    fields, minimal = read_fields(data)
    versions = [value for number, value in fields if number == 1 and isinstance(value, int)]
    if versions and versions[-1] & 0xFFFFFFFF > 1:
        raise Refused("UnsupportedVersion", "a later version")
    found = strict(fields, minimal, {1: int, 2: bytes, 3: bytes, 4: bytes, 5: int, 6: bytes}, repeated=(6,))
    if found.get(1) != 1:
        raise invalid("no version")
    head = Head(
        text(found.get(2, b""), NAME, "the KEK"),
        text(found.get(3, b""), NAME, "the cluster"),
        text(found.get(4, b""), KEY_ID, "the key id"),
        found.get(5, 0),
        tuple(read_member(member) for member in found.get(6, [])),
    )
    require_members(head)
    return head


def require_members(head):
    count = len(head.members)
    if not 1 <= count <= 8 or len({member.name for member in head.members}) < count:
        raise invalid("not 1 to 8 members of different names")
    if not 1 <= head.threshold <= count:
        raise invalid("a threshold out of range")
    shares = [member.share for member in head.members]
    if head.threshold == 1 and any(shares):
        raise invalid("a share to no purpose")
    if head.threshold > 1 and (len(set(shares)) < count or not all(1 <= share <= 255 for share in shares)):
        raise invalid("shares out of range or twice")


# The envelope


def read_envelope(data):
    if len(data) > 4096:
        raise invalid("too long")
    found = strict(*read_fields(data), {1: bytes, 2: bytes, 3: bytes})
    head, commitment, ciphertext = (found.get(number, b"") for number in (1, 2, 3))
    if len(commitment) != 32 or not 1 <= len(ciphertext) - 16 <= 256:
        raise invalid("a part of a wrong length")
    return head, commitment, ciphertext


def sha256(data):
    digest = Hash(SHA256())
    digest.update(data)
    return digest.finalize()


def derive(w, head, label):
    return HKDF(algorithm=SHA256(), length=32, salt=sha256(head), info=label).derive(w)


def open_envelope(data, kek, clusters, min_threshold, allow_rsa_only, members):
    """Returns the plaintext, the head and the name of the member that opened it."""
    head_bytes, commitment, ciphertext = read_envelope(data)
    head = read_head(head_bytes)
    if head.kek != kek:
        raise invalid("another KEK's")
    if head.cluster not in clusters:
        raise Refused("SealedByAnotherCluster", "another cluster's")
    if head.threshold < min_threshold:
        raise Refused("ThresholdTooLow", "a threshold below the minimum")
    if head.threshold != 1:
        raise Refused("UnsupportedOperation", "a threshold above 1")
    w, opener = unwrap(head, allow_rsa_only, members)
    if len(w) != 32 or not hmac.compare_digest(derive(w, head_bytes, b"kek-broker/v1/commit"), commitment):
        raise invalid("the commitment does not fit")
    try:
        key = derive(w, head_bytes, b"kek-broker/v1/key")
        return AESGCM(key).decrypt(NONCE, ciphertext, head_bytes), head, opener
    except InvalidTag:
        raise invalid("the tag does not fit") from None


def unwrap(head, allow_rsa_only, members):
    parts = {part.name: part for part in head.members}
    known = [member for member in members if member["name"] in parts]
    if not known:
        raise Refused("UnknownMembers", "no member is configured")
    rsa_only = not any(member["symmetric"] for member in known)
    if rsa_only and not allow_rsa_only and any(member["symmetric"] for member in members):
        raise Refused("RsaOnly", "no symmetric member's wrap")
    for member in sorted(known, key=lambda member: not member["symmetric"]):
        try:
            return ask(member, parts[member["name"]]), member["name"]
        except Away:
            continue
        except Final:
            raise invalid("a member refused it") from None
    raise Refused("Unavailable", "nobody could be asked")


def ask(member, part):
    """A vector's member is a table."""
    if not member["available"]:
        raise Away
    for entry in member["wraps"]:
        if entry["wrap"] == part.wrap.hex() and entry["openVersion"] == part.key_version.hex():
            return bytes.fromhex(entry["unwrapsTo"])
    raise Final


def seal(head, w, plaintext):
    head_bytes = head.encode()
    ciphertext = AESGCM(derive(w, head_bytes, b"kek-broker/v1/key")).encrypt(NONCE, plaintext, head_bytes)
    commitment = derive(w, head_bytes, b"kek-broker/v1/commit")
    return write_field(1, head_bytes) + write_field(2, commitment) + write_field(3, ciphertext)


# The vectors


def open_vector(vector):
    request = vector["request"]
    return open_envelope(
        bytes.fromhex(vector["envelope"]),
        request["kek"],
        request["clusters"].split(","),
        request["minThreshold"],
        request["allowRsaOnly"],
        vector["members"],
    )


def check_opens(vector):
    plaintext, head, opener = open_vector(vector)
    assert plaintext.hex() == vector["plaintext"], "another plaintext"
    assert (head.key_id or None) == vector["keyId"], "another key id"
    assert head.cluster == vector["cluster"], "another cluster"
    assert opener == vector["opensBy"], f"opened by {opener}"
    check_steps(vector["steps"])
    sealed = seal(head, bytes.fromhex(vector["steps"]["w"]), plaintext)
    assert sealed.hex() == vector["envelope"], "sealed again it is other bytes"


def check_steps(steps):
    """Extract and expand apart, as RFC 5869 writes them, not through the one call that `derive` makes."""
    step = {name: bytes.fromhex(value) for name, value in steps.items()}
    assert sha256(step["head"]) == step["salt"], "another salt"
    assert hmac.digest(step["salt"], step["w"], "sha256") == step["prk"], "another PRK"
    for name, label in (("key", b"kek-broker/v1/key"), ("commitment", b"kek-broker/v1/commit")):
        expanded = HKDFExpand(algorithm=SHA256(), length=32, info=label).derive(step["prk"])
        assert expanded == step[name], f"another {name}"


def check_refused(vector):
    try:
        open_vector(vector)
    except Refused as refused:
        assert refused.code == vector["code"], f"{refused}, not {vector['code']}"
    else:
        raise AssertionError("it opened")


def main(path):
    with open(path, encoding="utf-8") as file:
        vectors = json.load(file)
    passed = failed = 0
    for check, group in ((check_opens, "opens"), (check_refused, "refused")):
        for vector in vectors[group]:
            try:
                check(vector)
                passed += 1
            except (AssertionError, Refused) as error:
                failed += 1
                print(f"FAILED {group}: {vector['name']}: {error}")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: reader.py VECTORS.json")
    sys.exit(main(sys.argv[1]))
