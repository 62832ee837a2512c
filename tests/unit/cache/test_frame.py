from hypothesis import given
from hypothesis import strategies as st

from cache.frame import Seal

keys = st.binary(min_size=16, max_size=16)
seal = Seal(b"the secret of the platform")


@given(keys, st.binary())
def test_what_was_packed_is_unpacked(key: bytes, value: bytes) -> None:
    assert seal.unpack(key, seal.pack(key, value)) == value


@given(keys, st.binary(max_size=64), st.data())
def test_a_truncated_frame_is_no_answer(key: bytes, value: bytes, data: st.DataObject) -> None:
    packed = seal.pack(key, value)
    assert seal.unpack(key, packed[: data.draw(st.integers(0, len(packed) - 1))]) is None


@given(keys, st.binary(max_size=64), st.data())
def test_a_frame_with_a_flipped_bit_is_no_answer(key: bytes, value: bytes, data: st.DataObject) -> None:
    packed = bytearray(seal.pack(key, value))
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert seal.unpack(key, bytes(packed)) is None


@given(keys, keys, st.binary(max_size=64))
def test_a_frame_under_another_key_is_no_answer(key: bytes, other: bytes, value: bytes) -> None:
    assert (seal.unpack(other, seal.pack(key, value)) == value) == (key == other)


@given(keys, st.binary(max_size=64))
def test_rubbish_and_leases_are_no_answer(key: bytes, rubbish: bytes) -> None:
    assert seal.unpack(key, b"\xff" + rubbish) is None
    assert seal.unpack(key, rubbish) is None
    assert seal.unpack(key, seal.lease(key, rubbish)) is None


@given(keys, st.binary(max_size=64))
def test_what_was_sealed_with_another_secret_is_neither_an_answer_nor_a_lease(key: bytes, value: bytes) -> None:
    other = Seal(b"the secret of somebody else")
    assert seal.unpack(key, other.pack(key, value)) is None
    assert not seal.is_lease(key, other.lease(key, value))
    assert seal.prefix != other.prefix


@given(keys, keys, st.binary(max_size=64))
def test_a_lease_is_one_on_its_own_key_only_and_a_value_is_none(key: bytes, other: bytes, token: bytes) -> None:
    assert seal.is_lease(other, seal.lease(key, token)) == (key == other)
    assert not seal.is_lease(key, seal.pack(key, token))
    assert not seal.is_lease(key, token)


def test_processes_with_one_secret_read_one_another() -> None:
    assert Seal(b"secret").unpack(b"k", Seal(b"secret").pack(b"k", b"value")) == b"value"
    assert Seal(b"secret").prefix == Seal(b"secret").prefix
