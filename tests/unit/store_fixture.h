/* store_fixture.h - what the tests of the store share: a store in a fresh folder, artifacts, checks
 * of errors by their whole text. */
#ifndef MASSFLOW_TESTS_STORE_FIXTURE_H
#define MASSFLOW_TESTS_STORE_FIXTURE_H

#include "../expect.h"
#include "store/store.h"

#include <check.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char folder[64];

/* `format`: the whole text that is expected. */
static inline void fails_like(mf_status status, const char *format, ...) MF_PRINTF(2, 3);
static inline void fails_like(mf_status status, const char *format, ...)
{
    char *expected, *text;
    va_list args;
    ck_assert_ptr_nonnull(status);
    va_start(args, format);
    ck_assert_int_ge(vasprintf(&expected, format, args), 0);
    va_end(args);
    text = mf_error_text(status);
    ck_assert_str_eq(text, expected);
    free(text);
    free(expected);
    mf_error_free(status);
}

static int delete_one(const char *path, const struct stat *s, int kind, struct FTW *ftw)
{
    (void)s;
    (void)kind;
    (void)ftw;
    return remove(path);
}

static void make_folder(void)
{
    strcpy(folder, "/tmp/massflow-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void delete_folder(void)
{
    nftw(folder, delete_one, 8, FTW_DEPTH | FTW_PHYS);
}

static inline mf_store *open_store(mf_store_mode mode)
{
    mf_store *store;
    ok(mf_store_open(folder, mode, &store));
    return store;
}

/* An array of `count` elements a function of `seed`; `noise`: bytes that do not compress. */
static inline mf_array *make_array(mf_dtype dtype, int rank, const int64_t *shape, uint32_t seed,
                                   bool noise)
{
    mf_array *a;
    uint64_t state = seed * 0x9e3779b97f4a7c15ULL + 1;
    ok(mf_array_new(dtype, rank, shape, &a));
    uint8_t *bytes = a->data;
    for (size_t i = 0; i < a->bytes; i++) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        bytes[i] = noise ? (uint8_t)(state >> 56) : (uint8_t)((i / 97 + seed) % 5);
    }
    return a;
}

static inline mf_artifact *make_volume(mf_dtype dtype, const int64_t shape[3], uint32_t seed,
                                       bool noise)
{
    mf_artifact *a;
    mf_array *voxels = make_array(dtype, 3, shape, seed, noise);
    ok(mf_artifact_new("volume", &a));
    ok(mf_artifact_add(a, "voxels", voxels));
    ok(mf_artifact_set_text(a, "modality", "CT"));
    mf_array_unref(voxels);
    return a;
}

static inline void assert_same_array(const mf_array *a, const mf_array *b)
{
    ck_assert_int_eq(a->dtype, b->dtype);
    ck_assert_int_eq(a->rank, b->rank);
    for (int i = 0; i < a->rank; i++)
        ck_assert_int_eq(a->shape[i], b->shape[i]);
    ck_assert_uint_eq(a->bytes, b->bytes);
    ck_assert(a->bytes == 0 || !memcmp(a->data, b->data, a->bytes));
}

/* Stores a text artifact. */
static inline void put_text(mf_store *store, const char *text, char id[MF_HEX_SIZE])
{
    mf_artifact *a;
    ok(mf_artifact_new("text", &a));
    ok(mf_artifact_set_text(a, "text", text));
    ok(mf_store_put(store, a, id));
    mf_artifact_unref(a);
}

/* A file in the folder, last changed at `mtime` (seconds since 1970). */
static inline void write_file(const char *name, const char *text, int64_t mtime)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    fclose(f);
    struct timespec times[2] = {{mtime, 5}, {mtime, 5}};
    ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
}

#endif
