"""Numbers of a few bits each, packed without gaps."""

import lzma

import numpy as np


def pack_bits(codes: np.ndarray, bits: int) -> bytes:
    """Pack codes of `bits` bits, most significant bit first; the last byte is filled with zeros.

    Parameters
    ----------
    codes : ndarray of shape (n,), uint8
        Each below ``2 ** bits``.
    bits : int
        1..8.

    Examples
    --------
    >>> pack_bits(np.array([1, 2, 3], np.uint8), 2).hex()
    '6c'
    """
    return np.packbits(np.unpackbits(codes[:, None], axis=1)[:, 8 - bits :]).tobytes()


def unpack_bits(packed: bytes, bits: int, count: int) -> np.ndarray:
    """Codes of `pack_bits`, uint8.

    Raises
    ------
    ValueError
        If there are other than the bytes of `count` codes.
    """
    if len(packed) != packed_size(bits, count):
        raise ValueError(f"{len(packed)} bytes are not those of {count} codes of {bits} bits")
    ones = np.unpackbits(np.frombuffer(packed, np.uint8), count=bits * count)
    padded = np.zeros((count, 8), np.uint8)
    padded[:, 8 - bits :] = ones.reshape(count, bits)
    return np.packbits(padded, axis=1)[:, 0]


def packed_size(bits: int, count: int) -> int:
    """Bytes that `count` codes of `bits` bits take."""
    return -(-bits * count // 8)


_XZ = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 0, "lp": 0, "pb": 0}]


def compress_mask(bits: np.ndarray) -> bytes:
    """Entropy-code bits per weight: as few bits as their number of distinct widths needs, by LZMA.

    Parameters
    ----------
    bits : ndarray of shape (n,), uint8
        1..8.
    """
    widths = np.unique(bits)
    places = np.searchsorted(widths, bits).astype(np.uint8)
    needed = max(1, int(len(widths) - 1).bit_length())
    header = bytes([len(widths), *widths.tolist()])
    packed = pack_bits(places, needed)
    return header + lzma.compress(packed, lzma.FORMAT_RAW, filters=_XZ)


def decompress_mask(compressed: bytes, count: int) -> np.ndarray:
    """Bits per weight of `compress_mask`.

    Raises
    ------
    ValueError
        If the content is not that of `count` weights.
    """
    distinct = compressed[0] if compressed else 0
    widths = np.frombuffer(compressed[1 : 1 + distinct], np.uint8)
    needed = max(1, int(max(distinct, 1) - 1).bit_length())
    size = packed_size(needed, count)
    try:
        decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=_XZ)
        packed = decoder.decompress(compressed[1 + distinct :], max_length=size + 1)
    except lzma.LZMAError as error:
        raise ValueError(f"the mask is damaged ({error})") from None
    places = unpack_bits(packed, needed, count)
    if not len(widths) == distinct > int(places.max(initial=0)):
        raise ValueError("the mask has weights of unknown width")
    return widths[places]
