from hypothesis import given
from hypothesis import strategies as st

from cache import frame

keys = st.binary(min_size=16, max_size=16)


@given(keys, st.binary())
def test_what_was_packed_is_unpacked(key: bytes, value: bytes) -> None:
    assert frame.unpack(key, frame.pack(key, value)) == value


@given(keys, st.binary(max_size=64), st.data())
def test_a_truncated_frame_is_no_answer(key: bytes, value: bytes, data: st.DataObject) -> None:
    packed = frame.pack(key, value)
    assert frame.unpack(key, packed[: data.draw(st.integers(0, len(packed) - 1))]) is None


@given(keys, st.binary(max_size=64), st.data())
def test_a_frame_with_a_flipped_bit_is_no_answer(key: bytes, value: bytes, data: st.DataObject) -> None:
    packed = bytearray(frame.pack(key, value))
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    assert frame.unpack(key, bytes(packed)) is None


@given(keys, keys, st.binary(max_size=64))
def test_a_frame_under_another_key_is_no_answer(key: bytes, other: bytes, value: bytes) -> None:
    assert (frame.unpack(other, frame.pack(key, value)) == value) == (key == other)


@given(keys, st.binary(max_size=64))
def test_rubbish_and_leases_are_no_answer(key: bytes, rubbish: bytes) -> None:
    assert frame.unpack(key, b"\xff" + rubbish) is None
    assert frame.unpack(key, frame.LEASE + rubbish) is None
