/* layout.c - how arrays are cut in pieces.
 *
 * Rank 3: bricks. Each axis is cut evenly in the fewest parts of at most MF__BRICK, so that no
 * brick is a sliver; bricks are in row-major order and so are the voxels inside one. A box then
 * needs only the bricks that it touches.
 * Other ranks: consecutive pieces of MF__PIECE bytes.
 * Ragged: rows in order share a piece while they fit in MF__PACK; a longer row has its own, or
 * several of MF__PIECE bytes. So one row is read without the others. */
#include "store/internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static mf_status too_large(void)
{
    return mf_fail(MF_NO_MEMORY, "the size of an array overflows");
}

mf_status mf__layout_dense(mf_dtype dtype, int rank, const int64_t *shape, mf__layout *layout)
{
    *layout = (mf__layout){.element = mf_dtype_size(dtype)};
    layout->bytes = layout->element;
    for (int i = 0; i < rank; i++)
        if (shape[i] < 0 || !mf_size_mul(layout->bytes, (size_t)shape[i], &layout->bytes))
            return too_large();
    if (rank != 3) {
        layout->count = layout->bytes / MF__PIECE + (layout->bytes % MF__PIECE != 0);
        return MF_OK;
    }
    layout->bricks = true;
    layout->count = 1;
    for (int i = 0; i < 3; i++) {
        int64_t parts = shape[i] / MF__BRICK + (shape[i] % MF__BRICK != 0);
        layout->shape[i] = shape[i];
        layout->brick[i] = parts ? (shape[i] - 1) / parts + 1 : 0;
        layout->counts[i] = parts;
        if (!mf_size_mul(layout->count, (size_t)parts, &layout->count))
            return too_large();
    }
    return MF_OK;
}

mf_status mf__layout_rows(const int64_t *offsets, int64_t rows, mf__layout *layout)
{
    size_t total = (size_t)offsets[rows];
    size_t *cuts = malloc(((size_t)rows + total / MF__PIECE + 2) * sizeof *cuts);
    if (!cuts)
        return mf_no_memory(((size_t)rows + total / MF__PIECE + 2) * sizeof *cuts,
                            "the rows of an array");
    *layout = (mf__layout){.element = 1, .bytes = total, .cuts = cuts};
    size_t begin = 0, count = 0; /* of the piece that is being filled */
    for (int64_t i = 0; i < rows; i++) {
        size_t row = (size_t)offsets[i], end = (size_t)offsets[i + 1];
        if (end - begin <= MF__PACK)
            continue;
        if (row > begin) {
            cuts[count++] = begin;
            begin = row;
        }
        if (end - row <= MF__PACK)
            continue;
        for (; begin < end; begin += MF__PIECE)
            cuts[count++] = begin;
        begin = end;
    }
    if (begin < total)
        cuts[count++] = begin;
    cuts[count] = total;
    layout->count = count;
    return MF_OK;
}

void mf__layout_clear(mf__layout *layout)
{
    free(layout->cuts);
    layout->cuts = NULL;
}

void mf__layout_piece(const mf__layout *layout, size_t i, mf__piece *piece)
{
    assert(i < layout->count);
    *piece = (mf__piece){0};
    if (layout->cuts) {
        piece->begin = layout->cuts[i];
        piece->end = layout->cuts[i + 1];
        piece->bytes = piece->end - piece->begin;
    } else if (!layout->bricks) {
        piece->begin = i * MF__PIECE;
        piece->bytes = layout->bytes - piece->begin;
        if (piece->bytes > MF__PIECE)
            piece->bytes = MF__PIECE;
        piece->end = piece->begin + piece->bytes;
    } else {
        piece->bytes = layout->element;
        for (int axis = 2; axis >= 0; axis--) {
            int64_t at = (int64_t)(i % (size_t)layout->counts[axis]);
            i /= (size_t)layout->counts[axis];
            piece->lo[axis] = at * layout->brick[axis];
            piece->hi[axis] = piece->lo[axis] + layout->brick[axis];
            if (piece->hi[axis] > layout->shape[axis])
                piece->hi[axis] = layout->shape[axis];
            piece->bytes *= (size_t)(piece->hi[axis] - piece->lo[axis]);
        }
    }
}

void mf__copy_box(const uint8_t *from, const int64_t from_lo[3], const int64_t from_shape[3],
                  uint8_t *to, const int64_t to_lo[3], const int64_t to_shape[3],
                  const int64_t lo[3], const int64_t hi[3], size_t element)
{
    size_t line = (size_t)(hi[2] - lo[2]) * element;
    for (int64_t z = lo[0]; z < hi[0]; z++)
        for (int64_t y = lo[1]; y < hi[1]; y++) {
            int64_t a = ((z - from_lo[0]) * from_shape[1] + y - from_lo[1]) * from_shape[2] +
                        lo[2] - from_lo[2];
            int64_t b =
                ((z - to_lo[0]) * to_shape[1] + y - to_lo[1]) * to_shape[2] + lo[2] - to_lo[2];
            memcpy(to + (size_t)b * element, from + (size_t)a * element, line);
        }
}
