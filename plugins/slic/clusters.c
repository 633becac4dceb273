/* clusters.c - see clusters.h. */
#include "clusters.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static mf_status no_memory(void)
{
    return mf_no_memory(0, "supervoxels");
}

static int cell_count(int64_t voxels, double size)
{
    double count = nearbyint((double)voxels / size);
    return count < 1 ? 1 : count > (double)voxels ? (int)voxels : (int)count;
}

/* `voxels` voxels in cells of about `size` voxels, as even as whole numbers allow. */
static mf_status cells_new(int64_t voxels, double size, mf_cells *cells)
{
    cells->count = cell_count(voxels, size);
    cells->edge = malloc(((size_t)cells->count + 1) * sizeof *cells->edge);
    cells->of = malloc((size_t)voxels * sizeof *cells->of);
    if (!cells->edge || !cells->of)
        return no_memory();
    for (int c = 0; c <= cells->count; c++)
        cells->edge[c] = (int)((c * voxels + cells->count - 1) / cells->count);
    for (int c = 0; c < cells->count; c++)
        for (int i = cells->edge[c]; i < cells->edge[c + 1]; i++)
            cells->of[i] = c;
    return MF_OK;
}

size_t mf_clusters_bytes(const mf_grid *grid, double size)
{
    double clusters = 1;
    for (int i = 0; i < 3; i++)
        clusters *= cell_count(grid->size[i], size / grid->spacing[i]);
    /* image and choices; centers and sums */
    return (size_t)((double)mf_grid_voxels(grid) * 3 +
                    clusters * (double)(4 * sizeof(float) + 27 * 5 * sizeof(int64_t)));
}

void mf_clusters_free(mf_clusters *clusters)
{
    for (int i = 0; i < 3; i++) {
        free(clusters->cells[i].edge);
        free(clusters->cells[i].of);
    }
    free(clusters->centers);
}

/* The squared gradient at a voxel by central differences, per mm; borders count as flat. */
static double gradient(const uint16_t *image, const int64_t shape[3], const double spacing[3],
                       const int64_t at[3])
{
    const int64_t stride[3] = {shape[1] * shape[2], shape[2], 1};
    const uint16_t *p = image + at[0] * stride[0] + at[1] * stride[1] + at[2];
    double sum = 0;
    for (int i = 0; i < 3; i++) {
        if (at[i] == 0 || at[i] == shape[i] - 1)
            continue;
        double d = (p[stride[i]] - p[-stride[i]]) / (2 * spacing[2 - i]);
        sum += d * d;
    }
    return sum;
}

/* The voxel around `middle` with the lowest gradient; the middle itself if there are several. */
static void lowest_gradient(const uint16_t *image, const int64_t shape[3], const double spacing[3],
                            const int64_t middle[3], float center[4])
{
    int64_t best[3];
    double least = gradient(image, shape, spacing, middle);
    memcpy(best, middle, sizeof best);
    for (int k = 0; k < 27; k++) {
        const int64_t at[3] = {middle[0] + k / 9 - 1, middle[1] + k / 3 % 3 - 1,
                               middle[2] + k % 3 - 1};
        bool inside = true;
        for (int i = 0; i < 3; i++)
            inside = inside && at[i] >= 0 && at[i] < shape[i];
        double g = inside ? gradient(image, shape, spacing, at) : HUGE_VAL;
        if (g < least) {
            least = g;
            memcpy(best, at, sizeof best);
        }
    }
    for (int i = 0; i < 3; i++)
        center[i] = (float)best[2 - i];
    center[3] = image[(best[0] * shape[1] + best[1]) * shape[2] + best[2]];
}

static mf_status fill_clusters(const uint16_t *image, const double spacing[3], double size,
                               double compactness, mf_clusters *c)
{
    /* An intensity step of compactness percent weighs as much as `size` mm. */
    double unit = compactness / 100 * (MF_SLIC_LEVELS - 1) / size;
    c->count = 1;
    for (int i = 0; i < 3; i++) {
        MF_TRY(cells_new(c->shape[i], size / spacing[2 - i], &c->cells[i]));
        c->weight[i] = (float)(unit * unit * spacing[2 - i] * spacing[2 - i]);
        c->count *= c->cells[i].count; /* at most the voxels of the image */
    }
    if (c->count > INT32_MAX / (27 * 5))
        return mf_fail(MF_INVALID, "a size of %g mm makes %lld supervoxels: too many", size,
                       (long long)c->count);
    c->centers = malloc((size_t)c->count * sizeof *c->centers);
    if (!c->centers)
        return no_memory();
    for (int64_t n = 0; n < c->count; n++) {
        const int64_t cell[3] = {n / c->cells[2].count / c->cells[1].count,
                                 n / c->cells[2].count % c->cells[1].count, n % c->cells[2].count};
        int64_t middle[3];
        for (int i = 0; i < 3; i++)
            middle[i] = (c->cells[i].edge[cell[i]] + c->cells[i].edge[cell[i] + 1] - 1) / 2;
        lowest_gradient(image, c->shape, spacing, middle, c->centers[n]);
    }
    return MF_OK;
}

mf_status mf_clusters_new(const uint16_t *image, const int64_t shape[3], const double spacing[3],
                          double size, double compactness, mf_clusters *clusters)
{
    *clusters = (mf_clusters){.shape = {shape[0], shape[1], shape[2]}};
    mf_status status = fill_clusters(image, spacing, size, compactness, clusters);
    if (status)
        mf_clusters_free(clusters);
    return status;
}

void mf_clusters_move(mf_clusters *c, const int64_t *sums)
{
    const int nz = c->cells[0].count, ny = c->cells[1].count, nx = c->cells[2].count;
    for (int64_t n = 0; n < c->count; n++) {
        int z = (int)(n / nx / ny), y = (int)(n / nx % ny), x = (int)(n % nx);
        int64_t total[5] = {0};
        for (int k = 0; k < 27; k++) {
            int oz = z + k / 9 - 1, oy = y + k / 3 % 3 - 1, ox = x + k % 3 - 1;
            if (oz < 0 || oz >= nz || oy < 0 || oy >= ny || ox < 0 || ox >= nx)
                continue;
            /* Seen from that cell, this cluster lies on the opposite side: slot 26 - k. */
            const int64_t *s = sums + (((int64_t)oz * ny + oy) * nx + ox) * 27 * 5 + (26 - k) * 5;
            total[0] += s[0];
            total[1] += s[1];
            total[2] += s[2] + s[0] * c->cells[2].edge[ox];
            total[3] += s[3] + s[0] * c->cells[1].edge[oy];
            total[4] += s[4] + s[0] * c->cells[0].edge[oz];
        }
        if (total[0] == 0)
            continue; /* a cluster that lost all its voxels stays where it was */
        for (int i = 0; i < 3; i++)
            c->centers[n][i] = (float)((double)total[2 + i] / (double)total[0]);
        c->centers[n][3] = (float)((double)total[1] / (double)total[0]);
    }
}

/* Runs of at most `longest` voxels along x that lie in one cell: i32 [count, 3]. */
static mf_status make_runs(const mf_cells *cells, int longest, mf_array **runs)
{
    int64_t count = 0;
    for (int c = 0; c < cells->count; c++)
        count += (cells->edge[c + 1] - cells->edge[c] + longest - 1) / longest;
    MF_TRY(mf_array_new(MF_I32, 2, (const int64_t[]){count, 3}, runs));
    int32_t *run = (*runs)->data;
    for (int c = 0; c < cells->count; c++)
        for (int x = cells->edge[c]; x < cells->edge[c + 1]; x += longest, run += 3) {
            int left = cells->edge[c + 1] - x;
            run[0] = x;
            run[1] = left < longest ? left : longest;
            run[2] = c;
        }
    return MF_OK;
}

/* Device memory of the iterations. */
typedef struct slic_buffers {
    mf_array *runs;
    mf_buffer *image, *slots, *run, *centers, *sums, *of[2], *edge[3];
} slic_buffers;

static void buffers_free(slic_buffers *b)
{
    mf_buffer *all[] = {b->image, b->slots, b->run,     b->centers, b->sums,
                        b->of[0], b->of[1], b->edge[0], b->edge[1], b->edge[2]};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i])
            mf_buffer_free(all[i]);
    mf_array_unref(b->runs);
}

static mf_status upload(mf_queue *queue, const void *data, size_t bytes, mf_buffer **buffer)
{
    MF_TRY(mf_buffer_new(mf_queue_device(queue), bytes, buffer));
    return mf_buffer_write(queue, *buffer, 0, data, bytes);
}

int mf_clusters_run(const mf_queue *queue)
{
    return mf_device_get_info(mf_queue_device(queue))->plain ? 16 : 1;
}

static mf_status buffers_make(const mf_clusters *c, mf_queue *queue, int run, const mf_array *image,
                              const mf_array *slots, slic_buffers *b)
{
    mf_device *device = mf_queue_device(queue);
    MF_TRY(make_runs(&c->cells[2], run, &b->runs));
    MF_TRY(mf_buffer_of(device, image, &b->image));
    MF_TRY(mf_buffer_of(device, slots, &b->slots));
    MF_TRY(mf_buffer_of(device, b->runs, &b->run));
    MF_TRY(mf_buffer_new(device, (size_t)c->count * sizeof *c->centers, &b->centers));
    MF_TRY(mf_buffer_new(device, (size_t)c->count * 27 * 5 * sizeof(int64_t), &b->sums));
    for (int i = 0; i < 3; i++) {
        const mf_cells *cells = &c->cells[i];
        if (i < 2)
            MF_TRY(upload(queue, cells->of, (size_t)c->shape[i] * sizeof *cells->of, &b->of[i]));
        MF_TRY(upload(queue, cells->edge, ((size_t)cells->count + 1) * sizeof *cells->edge,
                      &b->edge[i]));
    }
    return MF_OK;
}

static mf_arg buffer_arg(mf_buffer *buffer)
{
    return (mf_arg){.kind = MF_ARG_BUFFER, .buffer = buffer};
}

static mf_arg int_arg(int64_t value)
{
    return (mf_arg){.kind = MF_ARG_INT, .i = value};
}

static mf_arg float_arg(float value)
{
    return (mf_arg){.kind = MF_ARG_FLOAT, .f = value};
}

static mf_status assign(const mf_clusters *c, mf_queue *queue, const mf_module *module,
                        const slic_buffers *b)
{
    int64_t runs = b->runs->shape[0], count = c->shape[0] * c->shape[1] * runs;
    if (count > INT32_MAX)
        return mf_fail(MF_UNSUPPORTED, "supervoxels of an image with %lld runs of voxels",
                       (long long)count);
    const mf_arg args[] = {buffer_arg(b->image),       buffer_arg(b->centers),
                           buffer_arg(b->of[0]),       buffer_arg(b->of[1]),
                           buffer_arg(b->run),         int_arg(runs),
                           int_arg(c->shape[1]),       int_arg(c->shape[2]),
                           int_arg(c->cells[0].count), int_arg(c->cells[1].count),
                           int_arg(c->cells[2].count), float_arg(c->weight[2]),
                           float_arg(c->weight[1]),    float_arg(c->weight[0]),
                           buffer_arg(b->slots),       int_arg(count)};
    const mf_range range = {1, {(size_t)count, 1, 1}, {0, 0, 0}};
    return mf_queue_launch(queue, module, "slic_assign", range, args, sizeof args / sizeof *args);
}

static mf_status sum(const mf_clusters *c, mf_queue *queue, const mf_module *module,
                     const slic_buffers *b)
{
    const mf_arg args[] = {
        buffer_arg(b->image),   buffer_arg(b->slots),       buffer_arg(b->edge[0]),
        buffer_arg(b->edge[1]), buffer_arg(b->edge[2]),     int_arg(c->shape[1]),
        int_arg(c->shape[2]),   int_arg(c->cells[1].count), int_arg(c->cells[2].count),
        buffer_arg(b->sums),    int_arg(c->count)};
    const mf_range range = {1, {(size_t)c->count, 1, 1}, {0, 0, 0}};
    return mf_queue_launch(queue, module, "slic_sum", range, args, sizeof args / sizeof *args);
}

static mf_status iterate(mf_clusters *c, mf_queue *queue, const mf_module *module,
                         const slic_buffers *b, int iterations, int64_t *sums, mf_array *slots)
{
    size_t bytes = (size_t)c->count * sizeof *c->centers;
    size_t sum_bytes = (size_t)c->count * 27 * 5 * sizeof *sums;
    for (int i = 0; i < iterations; i++) {
        MF_TRY(mf_buffer_write(queue, b->centers, 0, c->centers, bytes));
        MF_TRY(assign(c, queue, module, b));
        if (i + 1 == iterations)
            break;
        MF_TRY(sum(c, queue, module, b));
        MF_TRY(mf_buffer_read(queue, b->sums, 0, sums, sum_bytes));
        mf_clusters_move(c, sums);
    }
    MF_TRY(mf_queue_finish(queue));
    return mf_buffer_read(queue, b->slots, 0, slots->data, slots->bytes);
}

mf_status mf_clusters_iterate(mf_clusters *clusters, mf_queue *queue, const mf_module *module,
                              int run, const mf_array *image, int iterations, mf_array *slots)
{
    slic_buffers buffers = {0};
    int64_t *sums = malloc((size_t)clusters->count * 27 * 5 * sizeof *sums);
    mf_status status =
        sums ? buffers_make(clusters, queue, run, image, slots, &buffers) : no_memory();
    if (!status)
        status = iterate(clusters, queue, module, &buffers, iterations, sums, slots);
    buffers_free(&buffers);
    free(sums);
    return status;
}

void mf_clusters_labels(const mf_clusters *c, const uint8_t *slots, int32_t *label)
{
    const int ny = c->cells[1].count, nx = c->cells[2].count;
    for (int64_t z = 0, i = 0; z < c->shape[0]; z++)
        for (int64_t y = 0; y < c->shape[1]; y++)
            for (int64_t x = 0; x < c->shape[2]; x++, i++) {
                int cz = c->cells[0].of[z] + slots[i] / 9 - 1;
                int cy = c->cells[1].of[y] + slots[i] / 3 % 3 - 1;
                int cx = c->cells[2].of[x] + slots[i] % 3 - 1;
                label[i] = (cz * ny + cy) * nx + cx;
            }
}
