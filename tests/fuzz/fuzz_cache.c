/* fuzz_cache.c - a cache with changed bytes. The input is a list of changes of 6 bytes: which file,
 * where (4 bytes, modulo its size), and what is added to the byte there. What comes out of the
 * cache must be what went in, or an error; and a repair must leave it sound. */
#include "fuzz.h"
#include "store/upkeep.h"

#include <sys/stat.h>

#define ARTIFACTS 6

static const char *const files[] = {"cache/cache.db", "cache/chunks.db"};
static uint8_t *kept[2];
static size_t sizes[2];
static char ids[ARTIFACTS][MF_HEX_SIZE], keys[ARTIFACTS][MF_HEX_SIZE];

static uint8_t voxel(int n, int64_t i)
{
    return (uint8_t)((i / 7 + n) * (1 + i % (n + 2)));
}

static void put_one(mf_store *store, int n)
{
    const int64_t shape[3] = {10 + n, 40, 50};
    char json[64];
    mf_artifact *a;
    mf_array *voxels;
    mf_action_output out = {.port = "volume"};
    mf_action action = {
        .stage = "demo.make", .components = json, .outputs = &out, .output_count = 1};
    PROMISE(!failed(mf_artifact_new("volume", &a)));
    PROMISE(!failed(mf_array_new(MF_U8, 3, shape, &voxels)));
    for (int64_t i = 0; i < mf_array_count(voxels); i++)
        ((uint8_t *)voxels->data)[i] = voxel(n, i);
    PROMISE(!failed(mf_artifact_add(a, "voxels", voxels)));
    PROMISE(!failed(mf_artifact_set_int(a, "number", n)));
    PROMISE(!failed(mf_store_put(store, a, ids[n])));
    memcpy(out.id, ids[n], MF_HEX_SIZE);
    snprintf(json, sizeof json, "{\"number\":%d}", n);
    mf_digest_hex(json, strlen(json), keys[n]);
    memcpy(action.key, keys[n], MF_HEX_SIZE);
    PROMISE(!failed(mf_store_record(store, &action)));
    mf_array_unref(voxels);
    mf_artifact_unref(a);
}

static void make_cache(void)
{
    mf_store *store;
    if (kept[0])
        return;
    enter_scratch();
    PROMISE(!failed(mf_store_open("cache", MF_STORE_WRITE, &store)));
    for (int n = 0; n < ARTIFACTS; n++)
        put_one(store, n);
    mf_store_close(store);
    for (int i = 0; i < 2; i++) {
        struct stat st;
        FILE *f = fopen(files[i], "rb");
        PROMISE(f && fstat(fileno(f), &st) == 0);
        sizes[i] = (size_t)st.st_size;
        kept[i] = malloc(sizes[i]);
        PROMISE(kept[i] && fread(kept[i], 1, sizes[i], f) == sizes[i]);
        fclose(f);
    }
}

static void change(const uint8_t *data, size_t size)
{
    uint8_t *bytes[2];
    nftw("cache", remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    PROMISE(mkdir("cache", 0700) == 0);
    for (int i = 0; i < 2; i++) {
        bytes[i] = malloc(sizes[i]);
        PROMISE(bytes[i]);
        memcpy(bytes[i], kept[i], sizes[i]);
    }
    for (; size >= 6; data += 6, size -= 6) {
        uint32_t at;
        memcpy(&at, data + 1, 4);
        bytes[data[0] & 1][at % sizes[data[0] & 1]] += data[5];
    }
    for (int i = 0; i < 2; i++) {
        write_file(files[i], bytes[i], sizes[i]);
        free(bytes[i]);
    }
}

/* What is read is right; whether it could be read. */
static bool get_one(mf_store *store, int n)
{
    mf_artifact *a = NULL;
    mf_array *voxels = NULL;
    mf_action *action = NULL;
    int64_t number = -1;
    bool good = !failed(mf_store_find(store, keys[n], NULL, &action)) && action;
    if (good) {
        PROMISE(action->output_count == 1 && strcmp(action->outputs[0].id, ids[n]) == 0);
        good = !failed(mf_store_get(store, ids[n], &a)) &&
               !failed(mf_artifact_array(a, "voxels", &voxels));
    }
    if (good) {
        PROMISE(mf_artifact_int(a, "number", &number) && number == n);
        PROMISE(voxels->rank == 3 && voxels->shape[0] == 10 + n);
        for (int64_t i = 0; i < mf_array_count(voxels); i++)
            PROMISE(((uint8_t *)voxels->data)[i] == voxel(n, i));
    }
    mf_array_unref(voxels);
    mf_artifact_unref(a);
    mf_action_free(action);
    return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mf_store *store;
    mf_verified verified;
    mf_repaired repaired = {0};
    make_cache();
    if (size < 6 || size > 600)
        return -1;
    change(data, size);
    if (!failed(mf_store_open("cache", MF_STORE_READ, &store))) {
        for (int n = 0; n < ARTIFACTS; n++)
            get_one(store, n);
        mf_store_close(store);
    }
    failed(mf_store_verify("cache", NULL, NULL, &verified));
    if (!failed(mf_store_repair("cache", NULL, NULL, &repaired))) {
        PROMISE(!failed(mf_store_verify("cache", NULL, NULL, &verified)));
        PROMISE(verified.damages == 0);
        PROMISE(!failed(mf_store_open("cache", MF_STORE_WRITE, &store)));
        for (int n = 0; n < ARTIFACTS; n++)
            get_one(store, n);
        mf_store_close(store);
    }
    mf_repaired_clear(&repaired);
    return 0;
}
