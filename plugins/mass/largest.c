/* largest.c - one flood fill over all labels. */
#include "largest.h"

#include <stdlib.h>
#include <string.h>

typedef struct fill {
    uint16_t *labels;
    int64_t size[3], voxels;
    uint8_t *seen;  /* 1: reached; 2: part of what stays */
    int64_t *stack; /* every voxel at most once */
} fill;

/* Reaches everything that hangs together with `start`, marking it; how many voxels. */
static int64_t flood(fill *f, int64_t start, uint8_t from, uint8_t mark)
{
    const int64_t stride[3] = {f->size[1] * f->size[2], f->size[2], 1};
    int64_t top = 0, count = 0;
    f->stack[top++] = start;
    f->seen[start] = mark;
    while (top > 0) {
        int64_t at = f->stack[--top];
        count++;
        for (int a = 0; a < 3; a++) {
            int64_t along = at / stride[a] % f->size[a];
            for (int side = -1; side <= 1; side += 2) {
                int64_t to = at + side * stride[a];
                if (along + side < 0 || along + side >= f->size[a] || f->seen[to] != from ||
                    f->labels[to] != f->labels[at])
                    continue;
                f->seen[to] = mark;
                f->stack[top++] = to;
            }
        }
    }
    return count;
}

mf_status mf_largest_component(uint16_t *labels, const int64_t size[3])
{
    fill f = {.labels = labels, .size = {size[0], size[1], size[2]}};
    f.voxels = size[0] * size[1] * size[2];
    f.seen = calloc((size_t)f.voxels, 1);
    f.stack = malloc((size_t)f.voxels * sizeof *f.stack);
    int64_t *best = calloc(65536, sizeof *best), *start = calloc(65536, sizeof *start);
    mf_status status = MF_OK;
    if (!f.seen || !f.stack || !best || !start) {
        status = mf_no_memory(0, "components of %lld voxels", (long long)f.voxels);
    } else {
        for (int64_t v = 0; v < f.voxels; v++) {
            if (!labels[v] || f.seen[v])
                continue;
            int64_t count = flood(&f, v, 0, 1);
            if (count > best[labels[v]]) {
                best[labels[v]] = count;
                start[labels[v]] = v;
            }
        }
        for (int label = 1; label < 65536; label++)
            if (best[label] > 0)
                flood(&f, start[label], 1, 2);
        for (int64_t v = 0; v < f.voxels; v++)
            if (f.seen[v] != 2)
                labels[v] = 0;
    }
    free(f.seen);
    free(f.stack);
    free(best);
    free(start);
    return status;
}
