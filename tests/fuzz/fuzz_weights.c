/* fuzz_weights.c - files of weights: safetensors and PyTorch checkpoints are tensors or an error,
 * and never take more memory than the file allows. What begins with a pickle's mark is read as a
 * pickle alone, and put into a checkpoint with right checksums: a changed one would not get past
 * them. */
#include "../../plugins/sam2/model/config.h"
#include "../../plugins/sam2/model/tensor_names.h"
#include "fuzz.h"
#include "pickle.h"
#include "read.h"

#include <zlib.h>

static void read_pickle(const uint8_t *data, size_t size)
{
    pickle *p;
    const pickle_value *root;
    bool bad = failed(pickle_read(data, size, &p, &root));
    PROMISE(bad == !p && bad == !root);
    pickle_get(root, "model");
    pickle_free(p);
}

/* What model.load makes of them: names, metadata, sizes. */
static void read_sam2(mf_tensors *t)
{
    sam2_config said = {0}, c;
    const char *note = mf_tensors_note(t, SAM2_CONFIG_KEY);
    if (note && failed(sam2_config_said(note, &said)))
        said = (sam2_config){0};
    if (sam2_names_foreign(t) && failed(sam2_names_original(t)))
        return;
    if (!failed(sam2_config_from(t, &said, &c)))
        PROMISE(c.image >= 64 && c.heads >= 1 && c.embed % c.heads == 0);
}

/* ---- a checkpoint around a pickle ------------------------------------------------------------ */

enum { STORAGE = 256 }; /* bytes of the storages "0" and "1" */

static size_t put(uint8_t *to, size_t at, uint64_t value, int size)
{
    for (int i = 0; i < size; i++)
        to[at++] = (uint8_t)(value >> (8 * i));
    return at;
}

/* What the record of an entry has in both places: version, flags, method (stored), time, date. */
static size_t put_facts(uint8_t *to, size_t at, const char *name, const uint8_t *bytes, size_t size)
{
    at = put(to, at, 20, 2);
    at = put(to, at, 0, 8);
    at = put(to, at, crc32(0, bytes, (uInt)size), 4);
    at = put(to, at, size, 4);
    at = put(to, at, size, 4);
    at = put(to, at, strlen(name), 2);
    return put(to, at, 0, 2);
}

static void write_checkpoint(const uint8_t *pickled, size_t size)
{
    static const char *const names[] = {"it/data.pkl", "it/data/0", "it/data/1"};
    uint8_t numbers[STORAGE], *to = calloc(1, size + 2 * STORAGE + 1024);
    size_t starts[3], at = 0, directory;
    PROMISE(to);
    for (size_t i = 0; i < STORAGE; i++)
        numbers[i] = (uint8_t)i;
    for (int i = 0; i < 3; i++) {
        const uint8_t *bytes = i ? numbers : pickled;
        size_t length = i ? STORAGE : size;
        starts[i] = at;
        at = put(to, at, 0x04034b50, 4);
        at = put_facts(to, at, names[i], bytes, length);
        memcpy(to + at, names[i], strlen(names[i]));
        at += strlen(names[i]);
        memcpy(to + at, bytes, length);
        at += length;
    }
    directory = at;
    for (int i = 0; i < 3; i++) {
        at = put(to, at, 0x02014b50, 4);
        at = put(to, at, 20, 2);
        at = put_facts(to, at, names[i], i ? numbers : pickled, i ? STORAGE : size);
        at = put(to, at, 0, 8); /* comment, disk, attributes */
        at = put(to, at, 0, 2);
        at = put(to, at, starts[i], 4);
        memcpy(to + at, names[i], strlen(names[i]));
        at += strlen(names[i]);
    }
    size_t end = at;
    at = put(to, at, 0x06054b50, 4);
    at = put(to, at, 0, 4);
    at = put(to, at, 3, 2);
    at = put(to, at, 3, 2);
    at = put(to, at, end - directory, 4);
    at = put(to, at, directory, 4);
    at = put(to, at, 0, 2);
    write_file("checkpoint", to, at);
    free(to);
}

/* ---------------------------------------------------------------------------------------------- */

/* Names stand for no more than four times the file, of which bfloat16 takes twice that here. */
static void read_weights(const char *path)
{
    mf_tensors t = {0};
    struct stat about;
    int64_t bytes = 0;
    if (failed(mf_tensors_read(path, &t)))
        PROMISE(t.count == 0);
    for (size_t i = 0; i < t.count; i++) {
        PROMISE(*t.item[i].name && t.item[i].array);
        PROMISE(mf_tensors_find(&t, t.item[i].name) == t.item[i].array);
        bytes += (int64_t)t.item[i].array->bytes;
    }
    PROMISE(stat(path, &about) == 0 && bytes <= 8 * about.st_size);
    read_sam2(&t);
    mf_tensors_clear(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enter_scratch();
    if (size > 1 && data[0] == 0x80 && data[1] <= 5) {
        read_pickle(data, size);
        write_checkpoint(data, size);
        read_weights("checkpoint");
    }
    write_file("weights", data, size);
    read_weights("weights");
    return 0;
}
