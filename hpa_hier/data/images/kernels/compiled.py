"""Compiled: the loops that numba makes machine code of when this file is imported; see `switch` for when that is.

None of them holds the interpreter's lock. They write into arrays that they are given, since less is compiled then, and
check no shapes.
"""

from __future__ import annotations

from typing import Any

from numba import boolean, int32, int64, njit, types, uint8, uint16, uint32, uint64, void

_types: Any = types  # whose module says too little of itself
_WORDS = _types.Array(uint64, 1, "C", readonly=True)
_ROWS = _types.Array(uint8, 2, "C", readonly=True)
_FIRSTS = _types.Array(int64, 1, "C", readonly=True)
_WEIGHTS = _types.Array(uint16, 2, "C", readonly=True)


@njit(int32(int32, int32, int32))
def _predict(left, above, corner):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    """Return Paeth's predictor, in the form that has the shortest chain of steps from the pixel before."""
    threshold = corner * 3 - (left + above)
    low, high = min(left, above), max(left, above)
    nearest = low if high <= threshold else corner
    return high if threshold <= low else nearest


@njit(boolean(_ROWS, uint8[:, ::1], int64), nogil=True, boundscheck=False)
def unfilter(filtered, out, step):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Undo the filters of a PNG's rows; False: a row has a filter that there is not.

    Each pixel of Paeth's filter waits for the one before it, so two rows of it that follow each other are done side by
    side, the lower one pixel behind.

    Args:
        filtered: (H, 1 + W), the filter's number at the head of each row.
        out: (1 + H, W), the first row zeros; the others are written.
        step: bytes of a pixel.

    Source: Portable Network Graphics (third edition), W3C 2025, section 9.
    """
    H, W = out.shape[0] - 1, out.shape[1]
    y = 0
    while y < H:
        kind, line, above, row = filtered[y, 0], filtered[y, 1:], out[y], out[y + 1]
        y += 1
        if kind == 0:
            for x in range(W):
                row[x] = line[x]
        elif kind == 1 and step == 1:
            total = uint8(0)
            for x in range(W):
                total = uint8(total + line[x])
                row[x] = total
        elif kind == 1:
            for x in range(W):
                row[x] = line[x] + (row[x - step] if x >= step else uint8(0))
        elif kind == 2:
            for x in range(W):
                row[x] = line[x] + above[x]
        elif kind == 3:
            for x in range(W):
                left = int32(row[x - step]) if x >= step else int32(0)
                row[x] = line[x] + uint8((left + int32(above[x])) >> 1)
        elif kind == 4 and step > 1:
            for x in range(step):
                row[x] = line[x] + above[x]
            for x in range(step, W):
                guess = _predict(int32(row[x - step]), int32(above[x]), int32(above[x - step]))
                row[x] = line[x] + uint8(guess)
        elif kind == 4 and y < H and filtered[y, 0] == 4:
            below, next_row = filtered[y, 1:], out[y + 1]
            corner = int32(above[0])
            left = (corner + int32(line[0])) & int32(255)
            row[0] = left
            left_below, corner_below = int32(0), int32(0)
            for x in range(1, W):
                over, over_below = int32(above[x]), left
                left = (_predict(left, over, corner) + int32(line[x])) & int32(255)
                left_below = (_predict(left_below, over_below, corner_below) + int32(below[x - 1])) & int32(255)
                row[x], next_row[x - 1] = left, left_below
                corner, corner_below = over, over_below
            next_row[W - 1] = (_predict(left_below, left, corner_below) + int32(below[W - 1])) & int32(255)
            y += 1
        elif kind == 4:
            left, corner = int32(0), int32(0)
            for x in range(W):
                over = int32(above[x])
                left = (_predict(left, over, corner) + int32(line[x])) & int32(255)
                row[x], corner = left, over
        else:
            return False
    return True


@njit(void(_WORDS, uint32[:, ::1]), nogil=True, boundscheck=False)
def count(words, counts):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Count each of the 256 values of bytes, eight of which are fetched at a time.

    Neighbours are often alike, and adding to a count waits for the addition before: so there are eight of each.

    Args:
        words: (n,), of eight bytes each.
        counts: (8, 256), added to; a value's number is the sum of eight.
    """
    for i in range(words.size):
        word = words[i]
        for k in range(8):
            counts[k, (word >> uint64(8 * k)) & uint64(255)] += uint32(1)


@njit(void(_ROWS, int64, uint32[::1], uint32[:, ::1]), nogil=True, boundscheck=False)
def sum_squares(plane, side, columns, sums):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Sum squares of `side` × `side` pixels.

    Args:
        plane: (H, W), multiples of the side.
        side: pixels.
        columns: (W,), for use while it sums.
        sums: (H / side, W / side), added to.
    """
    for top in range(sums.shape[0]):
        out, first = sums[top], plane[top * side]
        for x in range(first.size):
            columns[x] = first[x]
        for y in range(1, side):
            row = plane[top * side + y]
            for x in range(row.size):
                columns[x] += uint32(row[x])
        for x in range(side):
            for left in range(out.size):
                out[left] += columns[left * side + x]


@njit(
    void(_ROWS, _FIRSTS, _WEIGHTS, _FIRSTS, _WEIGHTS, int64, uint16[::1], uint8[:, ::1]), nogil=True, boundscheck=False
)
def shrink(plane, tops, heights, lefts, widths, shift, line, out):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
    """Average rectangles of pixels, some of them in part; halves are rounded to even.

    Rows first, which the processor does many columns at a time; four of them, so that a sum is stored seldom.

    Args:
        plane: (H, W).
        tops: (h,), of each row of `out`, the first of the plane's that it covers.
        heights: (h, n), how much of each row from there on; n is a multiple of four.
        lefts: (w,), of each column of `out`, likewise.
        widths: (w, m), the same for columns; m is a multiple of four.
        shift: all weights of a rectangle add up to 2 to the power of this.
        line: (W,), for use while it averages.
        out: (h, w), written.
    """
    shift = uint32(shift)
    half = (uint32(1) << (shift - uint32(1))) - uint32(1)
    for y in range(out.shape[0]):
        for k in range(0, heights.shape[1], 4):
            a, b, c, d = heights[y, k], heights[y, k + 1], heights[y, k + 2], heights[y, k + 3]
            top = tops[y] + k
            one, two, three, four = plane[top], plane[top + 1], plane[top + 2], plane[top + 3]
            if k == 0:
                for x in range(line.size):
                    line[x] = a * uint16(one[x]) + b * uint16(two[x]) + c * uint16(three[x]) + d * uint16(four[x])
            else:
                for x in range(line.size):
                    line[x] += a * uint16(one[x]) + b * uint16(two[x]) + c * uint16(three[x]) + d * uint16(four[x])
        row = out[y]
        for x in range(row.size):
            left = lefts[x]
            total = (
                uint32(line[left]) * uint32(widths[x, 0])
                + uint32(line[left + 1]) * uint32(widths[x, 1])
                + uint32(line[left + 2]) * uint32(widths[x, 2])
                + uint32(line[left + 3]) * uint32(widths[x, 3])
            )
            for k in range(4, widths.shape[1]):
                total += uint32(line[left + k]) * uint32(widths[x, k])
            row[x] = (total + half + ((total >> shift) & uint32(1))) >> shift
