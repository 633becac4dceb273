/* masks.c - sparse 3D masks: a box and the bits inside it, one row a mask. */
#include <massflow/artifact.h>

#include <stdlib.h>
#include <string.h>

struct mf_masks_builder {
    mf_grid grid;
    int64_t count, capacity;
    int32_t *box; /* [count, 6] */
    float *score;
    int32_t *seed; /* [count, 2] */
    int64_t *offsets;
    uint8_t *bits;
    size_t used, room; /* bytes of bits */
};

static mf_status no_memory(void)
{
    return mf_no_memory(0, "masks");
}

static int64_t box_voxels(const int64_t lo[3], const int64_t hi[3])
{
    return (hi[0] - lo[0]) * (hi[1] - lo[1]) * (hi[2] - lo[2]);
}

mf_status mf_masks_begin(const mf_grid *grid, mf_masks_builder **builder)
{
    mf_masks_builder *b = calloc(1, sizeof *b);
    *builder = NULL;
    if (!b)
        return no_memory();
    b->grid = *grid;
    *builder = b;
    return MF_OK;
}

void mf_masks_abandon(mf_masks_builder *b)
{
    if (!b)
        return;
    free(b->box);
    free(b->score);
    free(b->seed);
    free(b->offsets);
    free(b->bits);
    free(b);
}

static bool grow(void **array, size_t count, size_t size)
{
    void *grown = realloc(*array, count * size);
    if (grown)
        *array = grown;
    return grown != NULL;
}

/* Room for one mask more, of `bytes` bytes of bits. */
static mf_status reserve(mf_masks_builder *b, size_t bytes)
{
    if (b->count == b->capacity) {
        int64_t capacity = b->capacity ? 2 * b->capacity : 64;
        size_t n = (size_t)capacity;
        if (!grow((void **)&b->box, n, 6 * sizeof *b->box) ||
            !grow((void **)&b->score, n, sizeof *b->score) ||
            !grow((void **)&b->seed, n, 2 * sizeof *b->seed) ||
            !grow((void **)&b->offsets, n + 1, sizeof *b->offsets))
            return no_memory();
        b->capacity = capacity;
    }
    if (b->room - b->used < bytes) {
        size_t room = 2 * b->room + bytes + 4096;
        if (!grow((void **)&b->bits, room, 1))
            return no_memory();
        b->room = room;
    }
    return MF_OK;
}

/* Shrinks lo..hi to the voxels set in dense, which covers the box from..; false when none is. */
static bool shrink(const mf_mask *mask, const uint8_t *dense, int64_t lo[3], int64_t hi[3])
{
    for (int i = 0; i < 3; i++) {
        lo[i] = mask->hi[i];
        hi[i] = mask->lo[i];
    }
    int64_t width = mask->hi[2] - mask->lo[2];
    const uint8_t *line = dense;
    for (int64_t z = mask->lo[0]; z < mask->hi[0]; z++)
        for (int64_t y = mask->lo[1]; y < mask->hi[1]; y++, line += width) {
            int64_t first = 0, last = width;
            while (first < width && !line[first])
                first++;
            if (first == width)
                continue;
            while (!line[last - 1])
                last--;
            const int64_t low[3] = {z, y, mask->lo[2] + first};
            const int64_t high[3] = {z + 1, y + 1, mask->lo[2] + last};
            for (int i = 0; i < 3; i++) {
                lo[i] = low[i] < lo[i] ? low[i] : lo[i];
                hi[i] = high[i] > hi[i] ? high[i] : hi[i];
            }
        }
    return lo[0] < hi[0];
}

mf_status mf_masks_add(mf_masks_builder *b, const mf_mask *mask, const uint8_t *dense, bool *added)
{
    int64_t lo[3], hi[3];
    *added = false;
    for (int i = 0; i < 3; i++)
        if (mask->lo[i] < 0 || mask->lo[i] > mask->hi[i] || mask->hi[i] > b->grid.size[2 - i])
            return mf_fail(MF_INVALID, "mask with a box outside its grid");
    if (!shrink(mask, dense, lo, hi))
        return MF_OK;
    size_t bytes = (size_t)(box_voxels(lo, hi) + 7) / 8;
    MF_TRY(reserve(b, bytes));
    uint8_t *bits = b->bits + b->used;
    memset(bits, 0, bytes);
    int64_t height = mask->hi[1] - mask->lo[1], width = mask->hi[2] - mask->lo[2], bit = 0;
    for (int64_t z = lo[0]; z < hi[0]; z++)
        for (int64_t y = lo[1]; y < hi[1]; y++) {
            const uint8_t *line =
                dense + ((z - mask->lo[0]) * height + y - mask->lo[1]) * width - mask->lo[2];
            for (int64_t x = lo[2]; x < hi[2]; x++, bit++)
                if (line[x])
                    bits[bit >> 3] |= (uint8_t)(1u << (bit & 7));
        }
    for (int i = 0; i < 3; i++) {
        b->box[6 * b->count + i] = (int32_t)lo[i];
        b->box[6 * b->count + 3 + i] = (int32_t)hi[i];
    }
    b->score[b->count] = mask->score;
    b->seed[2 * b->count] = mask->seed_axis;
    b->seed[2 * b->count + 1] = mask->seed_slice;
    b->offsets[b->count] = (int64_t)b->used;
    b->used += bytes;
    b->count++;
    *added = true;
    return MF_OK;
}

/* A new array with a copy of `data`. */
static mf_status copy_array(mf_dtype dtype, int rank, const int64_t *shape, const void *data,
                            mf_array **array)
{
    MF_TRY(mf_array_new(dtype, rank, shape, array));
    if ((*array)->bytes)
        memcpy((*array)->data, data, (*array)->bytes);
    return MF_OK;
}

static mf_status finish(mf_masks_builder *b, mf_artifact *artifact, mf_array *arrays[5])
{
    int64_t k = b->count;
    if (!b->offsets && !grow((void **)&b->offsets, 1, sizeof *b->offsets))
        return no_memory();
    b->offsets[k] = (int64_t)b->used;
    MF_TRY(copy_array(MF_I32, 2, (int64_t[]){k, 6}, b->box, &arrays[0]));
    MF_TRY(copy_array(MF_F32, 1, &k, b->score, &arrays[1]));
    MF_TRY(copy_array(MF_I32, 2, (int64_t[]){k, 2}, b->seed, &arrays[2]));
    MF_TRY(copy_array(MF_U8, 1, (int64_t[]){(int64_t)b->used}, b->bits, &arrays[3]));
    MF_TRY(copy_array(MF_I64, 1, (int64_t[]){k + 1}, b->offsets, &arrays[4]));
    MF_TRY(mf_artifact_add(artifact, "box", arrays[0]));
    MF_TRY(mf_artifact_add(artifact, "score", arrays[1]));
    MF_TRY(mf_artifact_add(artifact, "seed", arrays[2]));
    MF_TRY(mf_artifact_add_rows(artifact, "bits", arrays[3], arrays[4]));
    return mf_artifact_set_grid(artifact, &b->grid);
}

mf_status mf_masks_finish(mf_masks_builder *b, mf_artifact *artifact)
{
    mf_array *arrays[5] = {NULL};
    mf_status status = finish(b, artifact, arrays);
    for (int i = 0; i < 5; i++)
        mf_array_unref(arrays[i]);
    mf_masks_abandon(b);
    return status;
}

int64_t mf_masks_count(const mf_artifact *a)
{
    mf_array_info info;
    return mf_artifact_find(a, "box", &info) && info.rank == 2 && info.shape[1] == 6 ? info.shape[0]
                                                                                     : 0;
}

mf_status mf_masks_get(const mf_artifact *a, int64_t k, mf_mask *mask)
{
    const void *box, *score, *seed;
    int64_t boxes, scores, seeds;
    if (k < 0 || k >= mf_masks_count(a))
        return mf_fail(MF_INVALID, "there is no mask %lld among %lld", (long long)k,
                       (long long)mf_masks_count(a));
    MF_TRY(mf_artifact_table(a, "box", MF_I32, &box, &boxes));
    MF_TRY(mf_artifact_table(a, "score", MF_F32, &score, &scores));
    MF_TRY(mf_artifact_table(a, "seed", MF_I32, &seed, &seeds));
    if (scores <= k || seeds <= 2 * k + 1)
        return mf_fail(MF_CORRUPT, "masks with fewer scores or seeds than boxes");
    const int32_t *b = (const int32_t *)box + 6 * k, *s = (const int32_t *)seed + 2 * k;
    for (int i = 0; i < 3; i++) {
        mask->lo[i] = b[i];
        mask->hi[i] = b[3 + i];
        if (b[i] < 0 || b[i] >= b[3 + i])
            return mf_fail(MF_CORRUPT, "mask %lld has an empty or negative box", (long long)k);
    }
    mask->score = ((const float *)score)[k];
    mask->seed_axis = s[0];
    mask->seed_slice = s[1];
    return MF_OK;
}

/* The bits of mask k, checked to be as many as its box has voxels; the caller frees. */
static mf_status read_bits(const mf_artifact *a, int64_t k, const mf_mask *mask, uint8_t **bits)
{
    size_t size;
    MF_TRY(mf_artifact_read_row(a, "bits", k, bits, &size));
    if (size == (size_t)(box_voxels(mask->lo, mask->hi) + 7) / 8)
        return MF_OK;
    free(*bits);
    *bits = NULL;
    return mf_fail(MF_CORRUPT, "mask %lld has %zu bytes of bits for a box of %lld voxels",
                   (long long)k, size, (long long)box_voxels(mask->lo, mask->hi));
}

mf_status mf_masks_volume(const mf_artifact *a, int64_t k, int64_t *voxels)
{
    mf_mask mask;
    uint8_t *bits;
    MF_TRY(mf_masks_get(a, k, &mask));
    MF_TRY(read_bits(a, k, &mask, &bits));
    size_t size = (size_t)(box_voxels(mask.lo, mask.hi) + 7) / 8;
    *voxels = 0;
    for (size_t i = 0; i < size; i++)
        *voxels += __builtin_popcount(bits[i]);
    free(bits);
    return MF_OK;
}

mf_status mf_masks_crop(const mf_artifact *a, int64_t k, const int64_t lo[3], const int64_t hi[3],
                        uint8_t *dst)
{
    mf_mask mask;
    MF_TRY(mf_masks_get(a, k, &mask));
    int64_t from[3], to[3];
    bool apart = false;
    for (int i = 0; i < 3; i++) {
        if (lo[i] > hi[i])
            return mf_fail(MF_INVALID, "crop %lld..%lld along axis %d ends before it starts",
                           (long long)lo[i], (long long)hi[i], i);
        from[i] = lo[i] > mask.lo[i] ? lo[i] : mask.lo[i];
        to[i] = hi[i] < mask.hi[i] ? hi[i] : mask.hi[i];
        apart = apart || from[i] >= to[i];
    }
    memset(dst, 0, (size_t)box_voxels(lo, hi));
    if (apart)
        return MF_OK;
    uint8_t *bits;
    MF_TRY(read_bits(a, k, &mask, &bits));
    int64_t mask_h = mask.hi[1] - mask.lo[1], mask_w = mask.hi[2] - mask.lo[2];
    int64_t h = hi[1] - lo[1], w = hi[2] - lo[2];
    for (int64_t z = from[0]; z < to[0]; z++)
        for (int64_t y = from[1]; y < to[1]; y++) {
            int64_t bit =
                ((z - mask.lo[0]) * mask_h + y - mask.lo[1]) * mask_w + from[2] - mask.lo[2];
            uint8_t *line = dst + ((z - lo[0]) * h + y - lo[1]) * w + from[2] - lo[2];
            for (int64_t x = 0; x < to[2] - from[2]; x++, bit++)
                line[x] = bits[bit >> 3] >> (bit & 7) & 1;
        }
    free(bits);
    return MF_OK;
}
