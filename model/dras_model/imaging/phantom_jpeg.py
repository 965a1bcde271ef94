"""Encode a CT slice as JPEG Lossless, Process 14 Selection Value 1, which no library here writes but scanners do.

Only what a test series needs: one component of 16 bits, one scan, one fixed Huffman table (ITU-T T.81, Annex H).
"""

import struct

import numpy as np
from numpy.typing import NDArray

CODE_BITS = 5  # every category of differences gets a code of five bits, 0 to 16 in order
N_CATEGORIES = 17


def encode_lossless(stored: NDArray[np.integer]) -> bytes:
    """Return the JPEG stream of 16-bit values (y, x), signed ones as their two's complement."""
    rows, columns = stored.shape
    values = stored.astype(np.int64) & 0xFFFF
    scan = _pack(_differences(values)).replace(b"\xff", b"\xff\x00")
    return b"".join(
        (
            b"\xff\xd8",
            _segment(0xC3, struct.pack(">BHHBBBB", 16, rows, columns, 1, 1, 0x11, 0)),
            _segment(0xC4, bytes([0, *_lengths(), *range(N_CATEGORIES)])),
            _segment(0xDA, bytes([1, 1, 0, 1, 0, 0])),
            scan,
            b"\xff\xd9",
        )
    )


def _differences(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Differences to the left neighbour, in the first column to the one above (T.81 H.1.2), in (-32768, 32768]."""
    prediction = np.empty_like(values)
    prediction[:, 1:] = values[:, :-1]
    prediction[1:, 0] = values[:-1, 0]
    prediction[0, 0] = 1 << 15
    return (values - prediction + 32767) % 65536 - 32767


def _pack(differences: NDArray[np.int64]) -> bytes:
    """Return the entropy-coded bits, filled up with ones: each category's code, then the bits within it."""
    d = differences.ravel()
    category = np.ceil(np.log2(np.abs(d) + 1.0)).astype(np.int64)
    extra = np.where(category == N_CATEGORIES - 1, 0, category)  # 32768 alone is its category
    word = (category << extra) | (np.where(d < 0, d - 1, d) & ((1 << extra) - 1))
    n_bits = CODE_BITS + extra
    place = np.arange(CODE_BITS + N_CATEGORIES - 2, -1, -1)
    bits = (word[:, None] >> place & 1)[place < n_bits[:, None]]
    bits = np.concatenate([bits, np.ones(-len(bits) % 8, dtype=bits.dtype)])
    return np.packbits(bits.astype(np.uint8)).tobytes()


def _lengths() -> list[int]:
    """How many codes there are of each length from 1 to 16 bits."""
    return [N_CATEGORIES if length == CODE_BITS else 0 for length in range(1, 17)]


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content
