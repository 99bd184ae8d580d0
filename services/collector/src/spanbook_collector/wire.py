"""How many resources and scopes a request has, told from the wire: two bytes of it can make one.

Parsed, each takes a hundred bytes, so that this is asked before a request is parsed.
"""

from collections.abc import Iterator

_LENGTHS = {1: 8, 5: 4}  # of wire types that have a fixed one
_BYTES = 2  # the wire type of what tells its length


def count_fields(payload: bytes, most: int) -> int:
    """How many fields a request has, with those of its resources' lists; ``most`` for more.

    What is garbled is not counted: parsing tells what is wrong with it. A group, which proto3 does
    not have, is as many as can be.
    """
    count = 0
    try:
        for kind, start, end in _fields(payload, 0, len(payload)):
            count += 1
            for _ in _fields(payload, start, end) if kind == _BYTES else ():
                count += 1
                if count >= most:
                    return most
            if count >= most:
                return most
    except IndexError:
        return count
    except ValueError:
        return most
    return count


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int]]:
    """A message's fields: the wire type, and where the content begins and ends.

    Raises:
        ValueError: there is a group.
        IndexError: the message is cut short.
    """
    while at < end:
        tag, at = _varint(data, at)
        kind = tag & 7
        if kind == _BYTES:
            length, at = _varint(data, at)
        elif kind == 0:
            length, at = 0, _varint(data, at)[1]
        elif kind in _LENGTHS:
            length = _LENGTHS[kind]
        else:
            raise ValueError(kind)
        if at + length > end:
            raise IndexError(at)
        yield kind, at, at + length
        at += length


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number as protobuf writes it, and where the next thing begins."""
    number = shift = 0
    while (byte := data[at]) > 127:
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if shift > 63:
            raise IndexError(at)
    return number | byte << shift, at + 1
