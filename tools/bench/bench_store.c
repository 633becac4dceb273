/* bench_store.c - store and load a 300 MB volume and 1,000 masks, against write() + fsync and
 * read() of the same bytes, and against the same with zstd at level 1 between.
 *
 * bench_store [FOLDER]: works in a folder of its own below FOLDER (default: the current one) and
 * deletes it. Prints rows "name<TAB>ours<TAB>peer<TAB>ratio", ratio = the peer's time over ours,
 * each a median of 5 runs that took turns. Loads come from the page cache, for all alike. */
#include "bench.h"
#include "store/store.h"

#include <fcntl.h>
#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#define RUNS 5
#define LEVEL 1

static void need(bool good, const char *what)
{
    if (good)
        return;
    perror(what);
    exit(1);
}

static char folder[4096];

static int delete_one(const char *path, const struct stat *s, int kind, struct FTW *ftw)
{
    (void)s;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static void delete_all(void)
{
    nftw(folder, delete_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- peers ---- */

static const char *peer_path(void)
{
    static char path[4200];
    snprintf(path, sizeof path, "%s/peer", folder);
    return path;
}

static double write_bytes(const void *bytes, size_t size)
{
    double start = mf_seconds();
    int fd = open(peer_path(), O_WRONLY | O_CREAT | O_TRUNC, 0666);
    need(fd >= 0, "open");
    for (size_t done = 0; done < size;) {
        ssize_t n = write(fd, (const char *)bytes + done, size - done);
        need(n > 0, "write");
        done += (size_t)n;
    }
    need(fsync(fd) == 0, "fsync");
    close(fd);
    return mf_seconds() - start;
}

static double read_bytes(void *bytes, size_t size)
{
    double start = mf_seconds();
    int fd = open(peer_path(), O_RDONLY);
    need(fd >= 0, "open");
    for (size_t done = 0; done < size;) {
        ssize_t n = read(fd, (char *)bytes + done, size - done);
        need(n > 0, "read");
        done += (size_t)n;
    }
    close(fd);
    return mf_seconds() - start;
}

/* ---- one comparison ---- */

typedef struct times {
    double ours[RUNS], plain[RUNS], packed[RUNS];
} times;

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const double values[RUNS])
{
    double sorted[RUNS];
    memcpy(sorted, values, sizeof sorted);
    qsort(sorted, RUNS, sizeof *sorted, ascending);
    return sorted[RUNS / 2];
}

/* The ratio is the median of the runs' ratios: neighbours in time saw the same machine. */
static void row(const char *name, const char *against, const double *ours, const double *peer)
{
    double ratios[RUNS];
    for (int i = 0; i < RUNS; i++)
        ratios[i] = peer[i] / ours[i];
    printf("%s against %s\t%.3f s\t%.3f s\t%.2f\n", name, against, median(ours), median(peer),
           median(ratios));
}

/* Reads everything that the artifact has: arrays whole, rows one by one. */
static void load(const mf_artifact *a)
{
    for (size_t i = 0; i < mf_artifact_array_count(a); i++) {
        mf_array_info info;
        mf_artifact_array_info(a, i, &info);
        for (int64_t k = 0; info.ragged && k < info.rows; k++) {
            uint8_t *bytes;
            size_t size;
            check(mf_artifact_read_row(a, info.name, k, &bytes, &size));
            free(bytes);
        }
        if (!info.ragged) {
            mf_array *array;
            check(mf_artifact_array(a, info.name, &array));
            mf_array_unref(array);
        }
    }
}

static void compare(const char *name, const mf_artifact *a, const void *bytes, size_t size)
{
    static times store, loading;
    size_t room = ZSTD_compressBound(size);
    void *packed = malloc(room), *back = malloc(size);
    need(packed && back, "malloc");
    memset(packed, 1, room); /* pages are there, as the array's are */
    memset(back, 1, size);
    for (int i = 0; i < RUNS; i++) {
        mf_store *s;
        mf_artifact *lazy;
        char id[MF_HEX_SIZE], path[4200];
        snprintf(path, sizeof path, "%s/store%d", folder, i);
        check(mf_store_open(path, MF_STORE_WRITE, &s));
        double start = mf_seconds();
        check(mf_store_put(s, a, id));
        store.ours[i] = mf_seconds() - start;
        start = mf_seconds();
        check(mf_store_get(s, id, &lazy));
        load(lazy);
        loading.ours[i] = mf_seconds() - start;
        mf_artifact_unref(lazy);
        mf_store_close(s);
        nftw(path, delete_one, 8, FTW_DEPTH | FTW_PHYS);

        store.plain[i] = write_bytes(bytes, size);
        start = mf_seconds();
        void *fresh = malloc(size); /* a reader starts without the memory, as load() does */
        need(fresh != NULL, "malloc");
        read_bytes(fresh, size);
        loading.plain[i] = mf_seconds() - start;
        need(!memcmp(fresh, bytes, size), "compare");
        free(fresh);

        start = mf_seconds();
        size_t n = ZSTD_compress(packed, room, bytes, size, LEVEL);
        need(!ZSTD_isError(n), "zstd");
        write_bytes(packed, n);
        store.packed[i] = mf_seconds() - start;
        start = mf_seconds();
        read_bytes(packed, n);
        need(ZSTD_decompress(back, size, packed, n) == size, "zstd");
        loading.packed[i] = mf_seconds() - start;
        remove(peer_path());
    }
    char text[128];
    snprintf(text, sizeof text, "store %s", name);
    row(text, "write + fsync", store.ours, store.plain);
    row(text, "zstd -1", store.ours, store.packed);
    snprintf(text, sizeof text, "load %s", name);
    row(text, "read", loading.ours, loading.plain);
    row(text, "zstd -d", loading.ours, loading.packed);
    fflush(stdout);
    free(packed);
    free(back);
}

/* ---- data ---- */

static uint32_t draw(uint64_t *state)
{
    *state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
    return (uint32_t)(*state >> 33);
}

/* 512 x 512 x 286 f32, 300 MB: a body with noise; HU as whole numbers, or normalized reals. */
static void bench_volume(const char *name, bool whole)
{
    const int64_t shape[3] = {286, 512, 512};
    mf_array *voxels;
    mf_artifact *a;
    uint64_t state = 1;
    check(mf_array_new(MF_F32, 3, shape, &voxels));
    float *v = voxels->data;
    for (int64_t z = 0, i = 0; z < shape[0]; z++)
        for (int64_t y = 0; y < shape[1]; y++)
            for (int64_t x = 0; x < shape[2]; x++, i++) {
                double r = hypot((double)(y - 256) / 180, (double)(x - 256) / 230);
                double noise = ((double)(draw(&state) % 2048) + (double)(draw(&state) % 2048) +
                                (double)(draw(&state) % 2048)) /
                                   3072 -
                               1; /* about normal, deviation 1/3 */
                double hu = r < 1 ? 40 + 60 * sin(0.05 * (double)(x + y + z)) + 45 * noise
                                  : -1000 + 15 * noise;
                v[i] = whole ? (float)rint(hu) : (float)(hu / 250);
            }
    check(mf_artifact_new("volume", &a));
    check(mf_artifact_add(a, "voxels", voxels));
    compare(name, a, voxels->data, voxels->bytes);
    mf_artifact_unref(a);
    mf_array_unref(voxels);
}

/* 1,000 ellipsoids with radii of 5 to 30 voxels in a volume of 300 voxels a side. */
static void bench_masks(void)
{
    const int64_t size[3] = {300, 300, 300};
    const double spacing[3] = {1, 1, 1};
    mf_grid grid;
    mf_masks_builder *builder;
    mf_artifact *a;
    mf_array *parts[4];
    static const char *const names[4] = {"box", "score", "seed", "bits"};
    uint64_t state = 2;
    uint8_t *dense = malloc(61 * 61 * 61);
    need(dense != NULL, "malloc");
    mf_grid_identity(&grid, size, spacing);
    check(mf_masks_begin(&grid, &builder));
    for (int k = 0; k < 1000; k++) {
        mf_mask mask = {.score = 1, .seed_axis = -1, .seed_slice = -1};
        int64_t radius[3], n = 0;
        for (int i = 0; i < 3; i++) {
            radius[i] = 5 + draw(&state) % 26;
            mask.lo[i] = draw(&state) % (uint32_t)(300 - 2 * radius[i]);
            mask.hi[i] = mask.lo[i] + 2 * radius[i] + 1;
            if (mask.hi[i] > 300)
                mask.hi[i] = 300;
        }
        for (int64_t z = mask.lo[0]; z < mask.hi[0]; z++)
            for (int64_t y = mask.lo[1]; y < mask.hi[1]; y++)
                for (int64_t x = mask.lo[2]; x < mask.hi[2]; x++) {
                    double dz = (double)(z - mask.lo[0] - radius[0]) / (double)radius[0];
                    double dy = (double)(y - mask.lo[1] - radius[1]) / (double)radius[1];
                    double dx = (double)(x - mask.lo[2] - radius[2]) / (double)radius[2];
                    dense[n++] = dz * dz + dy * dy + dx * dx < 1 + 0.1 * sin(9 * dx + 7 * dy);
                }
        bool added;
        check(mf_masks_add(builder, &mask, dense, &added));
    }
    check(mf_artifact_new("masks", &a));
    check(mf_artifact_set_grid(a, &grid));
    check(mf_masks_finish(builder, a));
    size_t total = 0, at = 0;
    for (int i = 0; i < 4; i++) {
        check(mf_artifact_array(a, names[i], &parts[i]));
        total += parts[i]->bytes;
    }
    uint8_t *bytes = malloc(total);
    need(bytes != NULL, "malloc");
    for (int i = 0; i < 4; i++) {
        memcpy(bytes + at, parts[i]->data, parts[i]->bytes);
        at += parts[i]->bytes;
        mf_array_unref(parts[i]);
    }
    compare("1,000 masks", a, bytes, total);
    free(bytes);
    free(dense);
    mf_artifact_unref(a);
}

int main(int argc, char **argv)
{
    snprintf(folder, sizeof folder, "%s/massflow-bench-XXXXXX", argc > 1 ? argv[1] : ".");
    need(mkdtemp(folder) != NULL, folder);
    atexit(delete_all);
    bench_volume("300 MB of CT", true);
    bench_volume("300 MB of reals", false);
    bench_masks();
    return 0;
}
