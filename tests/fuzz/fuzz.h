/* fuzz.h - what the fuzz targets share. Each is one file fuzz_NAME.c with libFuzzer's entry; it is
 * linked with libFuzzer by tools/fuzz, and with replay.c for the tests, which run the kept corpus.
 */
#ifndef MASSFLOW_FUZZ_H
#define MASSFLOW_FUZZ_H

#include <massflow/error.h>

#include <ftw.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A broken promise: the fuzzer keeps the input and stops. */
#define PROMISE(holds)                                                                             \
    do {                                                                                           \
        if (!(holds)) {                                                                            \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #holds);                    \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static char scratch[64]; /* a folder in memory, of this process */

static int remove_entry(const char *path, const struct stat *st, int flag, struct FTW *walk)
{
    (void)st, (void)flag, (void)walk;
    return remove(path);
}

static void leave_scratch(void)
{
    nftw(scratch, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static inline void enter_scratch(void)
{
    if (*scratch)
        return;
    strcpy(scratch, access("/dev/shm", W_OK) == 0 ? "/dev/shm/massflow-fuzz-XXXXXX"
                                                  : "/tmp/massflow-fuzz-XXXXXX");
    PROMISE(mkdtemp(scratch));
    PROMISE(chdir(scratch) == 0);
    atexit(leave_scratch);
}

static inline void write_file(const char *path, const void *bytes, size_t size)
{
    FILE *f = fopen(path, "wb");
    PROMISE(f && fwrite(bytes, 1, size, f) == size && fclose(f) == 0);
}

/* An error must have a text. */
static inline bool failed(mf_status status)
{
    char *text = status ? mf_error_text(status) : NULL;
    PROMISE(!status || (text && *text));
    free(text);
    mf_error_free(status);
    return status != NULL;
}

#endif
