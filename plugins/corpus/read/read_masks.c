/* read_masks.c - massflow-hdf5: reads the masks of one scan out of a dataset.h5 of the official
 * MASS code, in a process of its own, so that a damaged file can end no more than this: libhdf5 is
 * not made for files that lie. See answer.h.
 *
 * Only what that file is made of is read: groups and data sets that lie in the file itself, u8,
 * with the filters shuffle, deflate, fletcher32 and LZF. No plugin of HDF5 is loaded and no other
 * file is opened. */
#include "answer.h"

#include <errno.h>
#include <hdf5.h>
#include <lzf.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define DATA_SET "auto_masks"
#define LARGEST_CHUNK ((hsize_t)1 << 28) /* bytes; the official code's have at most 16 MiB */
enum { LZF = 32000 };                    /* h5py's number of its filter */

/* The address sanitizer takes the address space whole. */
#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* ---- answering ------------------------------------------------------------------------------- */

static bool put(const void *from, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t n = write(STDOUT_FILENO, (const char *)from + done, size - done);
        if (n < 0 && errno != EINTR)
            return false;
        done += n > 0 ? (size_t)n : 0;
    }
    return true;
}

/* Says what is wrong, and what may be done about it, and ends the process. */
static void __attribute__((format(printf, 2, 3), noreturn))
refuse(const char *hint, const char *format, ...)
{
    char text[ANSWER_TEXT + 1];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    const answer a = {.mark = ANSWER_MARK,
                      .failed = 1,
                      .bytes = (uint32_t)strlen(text),
                      .hint = (uint32_t)strlen(hint)};
    bool said = put(&a, sizeof a) && put(text, a.bytes) && put(hint, a.hint);
    _exit(said ? 0 : 1);
}

static const char again[] = "copy it again, or make it again with prepare_training_data.py";

static herr_t keep_words(unsigned n, const H5E_error2_t *error, void *words)
{
    (void)n; /* the last that is called is where it began */
    snprintf(words, 200, "%s", error->desc ? error->desc : "");
    return 0;
}

/* What HDF5 says of its last error: the words of the place where it arose. */
static const char *why(void)
{
    static char words[200];
    *words = '\0';
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_words, words);
    if (!*words)
        snprintf(words, sizeof words, "no reason given");
    return words;
}

static herr_t keep_first(unsigned n, const H5E_error2_t *error, void *words)
{
    if (!n)
        snprintf(words, 200, "%s", error->desc ? error->desc : "");
    return 0;
}

static const char *cause(void)
{
    static char words[200];
    *words = '\0';
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, keep_first, words);
    return *words ? words : why();
}

static void limit(int what, uint64_t to)
{
    struct rlimit l;
    if (getrlimit(what, &l))
        return;
    l.rlim_cur = l.rlim_max < to ? l.rlim_max : to;
    setrlimit(what, &l);
}

/* ---- LZF ------------------------------------------------------------------------------------- */

static size_t chunk_bytes; /* of the data set that is read: what a chunk becomes */

/* h5py's filter (h5py: lzf/lzf_filter.c): the chunk is one block of LibLZF. Chunks that do not get
 * smaller are stored as they are, and HDF5 does not call the filter for them. */
static size_t unpack(unsigned flags, size_t count, const unsigned *values, size_t size,
                     size_t *room, void **buffer)
{
    (void)count, (void)values;
    if (!(flags & H5Z_FLAG_REVERSE) || size > UINT32_MAX || chunk_bytes > UINT32_MAX)
        return 0;
    void *out = malloc(chunk_bytes ? chunk_bytes : 1);
    if (!out)
        return 0;
    unsigned got = lzf_decompress(*buffer, (unsigned)size, out, (unsigned)chunk_bytes);
    if (got != chunk_bytes) {
        H5Epush2(H5E_DEFAULT, __FILE__, __func__, __LINE__, H5E_ERR_CLS, H5E_PLINE, H5E_CANTFILTER,
                 "a chunk that LZF packed is damaged");
        free(out);
        return 0;
    }
    free(*buffer);
    *buffer = out;
    *room = chunk_bytes;
    return got;
}

static const H5Z_class2_t lzf_filter = {
    .version = H5Z_CLASS_T_VERS,
    .id = LZF,
    .encoder_present = 0,
    .decoder_present = 1,
    .name = "lzf",
    .filter = unpack,
};

/* ---- the file -------------------------------------------------------------------------------- */

/* A name that a link of the file itself has: nothing is followed out of it. */
static void check_link(hid_t in, const char *name, const char *of, const char *group)
{
    H5L_info_t info;
    htri_t there = H5Lexists(in, name, H5P_DEFAULT);
    if (there < 0)
        refuse(again, "%s cannot be read: %s", of, cause());
    if (!there && strcmp(name, DATA_SET))
        refuse("h5ls lists its groups: one for each scan, with the name of its image",
               "it has no group %s", group);
    if (!there)
        refuse("prepare_training_data.py writes it where it is given --auto-label-dir",
               "its group %s has no data set " DATA_SET, group);
    if (H5Lget_info(in, name, &info, H5P_DEFAULT) < 0)
        refuse(again, "%s cannot be read: %s", of, cause());
    if (info.type != H5L_TYPE_HARD)
        refuse("h5repack or h5copy puts it into this file",
               "%s is a link to another place, which is not read", of);
}

static hid_t open_set(const char *path, const char *group)
{
    char of[300];
    hid_t file = H5Fopen(path, H5F_ACC_RDONLY, H5P_DEFAULT);
    if (file < 0)
        refuse(again, "it is not an HDF5 file that can be read: %s", cause());
    snprintf(of, sizeof of, "its group %s", group);
    check_link(file, group, of, group);
    hid_t folder = H5Gopen2(file, group, H5P_DEFAULT);
    if (folder < 0)
        refuse("each scan has a group of its own, as prepare_training_data.py writes it",
               "%s is no group", group);
    snprintf(of, sizeof of, "%s/" DATA_SET, group);
    check_link(folder, DATA_SET, of, group);
    /* Chunks are read mask by mask and may hold several: the last one is kept. */
    hid_t access = H5Pcreate(H5P_DATASET_ACCESS);
    H5Pset_chunk_cache(access, 101, (size_t)LARGEST_CHUNK, 1);
    hid_t set = H5Dopen2(folder, DATA_SET, access);
    if (set < 0)
        refuse(again, "%s cannot be read: %s", of, cause());
    return set;
}

static void check_numbers(hid_t set, const char *group)
{
    hid_t type = H5Dget_type(set);
    if (H5Tget_class(type) != H5T_INTEGER || H5Tget_size(type) != 1)
        refuse("prepare_training_data.py writes masks of 0 and 1 as uint8",
               "%s/" DATA_SET " does not hold numbers of one byte", group);
}

/* Masks of the image's size; returns how many. */
static hsize_t check_shape(hid_t set, const char *group, const hsize_t size[3])
{
    hsize_t n[32] = {0};
    hid_t space = H5Dget_space(set);
    int rank = H5Sget_simple_extent_ndims(space);
    if (rank != 4 || H5Sget_simple_extent_dims(space, n, NULL) != 4)
        refuse("prepare_training_data.py writes it as [masks, depth, height, width]",
               "%s/" DATA_SET " has %d dimensions, not 4", group, rank);
    if (n[1] != size[0] || n[2] != size[1] || n[3] != size[2])
        refuse("masks and image of a scan are written together, by one run of "
               "prepare_training_data.py",
               "%s/" DATA_SET
               " has masks of %llu x %llu x %llu voxels, the image has %llu x %llu x "
               "%llu",
               group, n[1], n[2], n[3], size[0], size[1], size[2]);
    if (n[0] > ANSWER_MOST_MASKS)
        refuse(again, "%s/" DATA_SET " has %llu masks; at most %d are read", group, n[0],
               ANSWER_MOST_MASKS);
    return n[0];
}

static void check_filters(hid_t creation, const char *group)
{
    int count = H5Pget_nfilters(creation);
    for (int i = 0; i < count; i++) {
        unsigned flags, configuration;
        size_t values = 0;
        char name[40] = "";
        H5Z_filter_t filter = H5Pget_filter2(creation, (unsigned)i, &flags, &values, NULL,
                                             sizeof name, name, &configuration);
        if (filter != H5Z_FILTER_SHUFFLE && filter != H5Z_FILTER_DEFLATE &&
            filter != H5Z_FILTER_FLETCHER32 && filter != LZF)
            refuse("h5repack -f GZIP=4 in.h5 out.h5 writes it anew",
                   "%s/" DATA_SET " is compressed by the filter %d (%.20s); shuffle, deflate, "
                   "fletcher32 and LZF are read",
                   group, (int)filter, *name ? name : "without a name");
    }
}

static void check_layout(hid_t set, const char *group)
{
    hid_t creation = H5Dget_create_plist(set);
    H5D_layout_t layout = H5Pget_layout(creation);
    hsize_t chunk[32], bytes = 1;
    if (layout == H5D_VIRTUAL || H5Pget_external_count(creation) > 0)
        refuse("h5repack or h5copy puts it into this file",
               "%s/" DATA_SET " lies in other files, which are not read", group);
    if (layout != H5D_CHUNKED)
        return;
    if (H5Pget_chunk(creation, 4, chunk) != 4)
        refuse(again, "%s/" DATA_SET " cannot be read: %s", group, cause());
    for (int i = 0; i < 4; i++)
        if (!chunk[i] || __builtin_mul_overflow(bytes, chunk[i], &bytes) || bytes > LARGEST_CHUNK)
            refuse("h5repack -l CHUNK=1x64x64x64 in.h5 out.h5 writes it anew",
                   "%s/" DATA_SET " has chunks of more than %llu MiB", group, LARGEST_CHUNK >> 20);
    chunk_bytes = (size_t)bytes;
    check_filters(creation, group);
}

/* An answer before each mask: a later chunk may be damaged. */
static void send_masks(hid_t set, const char *group, hsize_t masks, const hsize_t size[3])
{
    const hsize_t count[4] = {1, size[0], size[1], size[2]};
    const size_t bytes = (size_t)(size[0] * size[1] * size[2]);
    const answer a = {.mark = ANSWER_MARK, .masks = (int64_t)masks};
    uint8_t *mask = malloc(bytes ? bytes : 1);
    hid_t space = H5Dget_space(set), here = H5Screate_simple(4, count, NULL);
    if (!mask || space < 0 || here < 0)
        refuse("massflow needs more memory", "there is no memory for a mask of %zu voxels", bytes);
    if (!put(&a, sizeof a))
        _exit(1);
    for (hsize_t i = 0; i < masks; i++) {
        const hsize_t start[4] = {i, 0, 0, 0};
        if (H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, count, NULL) < 0 ||
            H5Dread(set, H5T_NATIVE_UINT8, here, space, H5P_DEFAULT, mask) < 0)
            refuse(again, "mask %llu of %s/" DATA_SET " cannot be read: %s", i, group, cause());
        if (!put(&a, sizeof a) || !put(mask, bytes))
            _exit(1);
    }
}

static hsize_t size_of(const char *text)
{
    return (hsize_t)strtoull(text, NULL, 10);
}

int main(int count, char **words)
{
    if (count != 6) {
        fputs("massflow-hdf5 is a part of massflow: FILE GROUP DEPTH HEIGHT WIDTH\n", stderr);
        return 2;
    }
    const hsize_t size[3] = {size_of(words[3]), size_of(words[4]), size_of(words[5])};
    const uint64_t voxels = size[0] * size[1] * size[2];
    if (!SANITIZED)
        limit(RLIMIT_AS, ((uint64_t)1 << 31) + 4 * voxels);
    limit(RLIMIT_CPU, 60);
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    H5PLset_loading_state(0);
    if (H5Zregister(&lzf_filter) < 0)
        refuse(again, "the filter LZF cannot be used: %s", cause());
    hid_t set = open_set(words[1], words[2]);
    check_numbers(set, words[2]);
    hsize_t masks = check_shape(set, words[2], size);
    check_layout(set, words[2]);
    limit(RLIMIT_CPU, 60 + masks * (1 + voxels / 5000000));
    send_masks(set, words[2], masks, size);
    return 0; /* what is open is closed with the process */
}
