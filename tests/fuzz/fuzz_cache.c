/* fuzz_cache.c - a cache of somebody else. The first byte below 128: a cache with changed bytes, a
 * list of changes of 6 bytes: which file, where (4 bytes, modulo its size), and what is added to
 * the byte there. What comes out of the cache must be what went in, or an error. Else forged
 * artifacts and actions (forge.h) lie in it and fields of rows are others, and all sums and digests
 * are right. After a repair each is sound. */
#include "forge.h"
#include "store/upkeep.h"

#include <sys/stat.h>

#define ARTIFACTS 3 /* the first has a chunk in chunks.db */

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
    const int64_t shape[3] = {10 - 4 * n, 40, 50};
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

/* What is read is right; whether it could be read. `ours`: nobody made another record of the
 * action. */
static bool get_one(mf_store *store, int n, bool ours)
{
    mf_artifact *a = NULL;
    mf_array *voxels = NULL;
    mf_action *action = NULL;
    int64_t number = -1;
    bool good = !failed(mf_store_find(store, keys[n], NULL, &action)) && action;
    if (good && ours)
        PROMISE(action->output_count == 1 && !strcmp(action->outputs[0].id, ids[n]));
    if (good)
        good = !failed(mf_store_get(store, ids[n], &a)) &&
               !failed(mf_artifact_array(a, "voxels", &voxels));
    if (good) {
        PROMISE(mf_artifact_int(a, "number", &number) && number == n);
        PROMISE(voxels->rank == 3 && voxels->shape[0] == 10 - 4 * n);
        for (int64_t i = 0; i < mf_array_count(voxels); i++)
            PROMISE(((uint8_t *)voxels->data)[i] == voxel(n, i));
    }
    mf_array_unref(voxels);
    mf_artifact_unref(a);
    mf_action_free(action);
    return good;
}

/* ---- fields of rows -------------------------------------------------------------------------- */

/* Tables with what tells their rows apart, and columns. */
static const char *const fields[][3] = {
    {"artifact", "num", "type"},        {"artifact", "num", "present"},
    {"artifact", "num", "bytes"},       {"artifact", "num", "stored"},
    {"artifact", "num", "used"},        {"artifact", "num", "created"},
    {"action", "num", "device"},        {"action", "num", "stage"},
    {"action", "num", "seconds"},       {"action", "num", "peak_bytes"},
    {"action", "num", "created"},       {"action", "num", "run"},
    {"action", "num", "import"},        {"action", "num", "host"},
    {"component", "action", "json"},    {"output", "artifact", "port"},
    {"output", "artifact", "artifact"}, {"output", "artifact", "position"},
    {"chunk", "digest", "data"},        {"chunk", "digest", "raw"},
    {"chunk", "digest", "stored"},      {"chunk_data", "num", "codec"},
    {"chunk_data", "num", "bytes"},     {"import", "num", "file"},
    {"import", "num", "exported"},      {"meta", "name", "value"},
};

static void bind_value(forge_bytes *in, sqlite3_stmt *s)
{
    static const uint8_t blob[40] = {1, 2, 3};
    switch (forge_take(in) % 5) {
    case 0:
        sqlite3_bind_int64(s, 1, forge_int(in, 1));
        break;
    case 1:
        sqlite3_bind_double(s, 1, (double)forge_int(in, 1) / 3);
        break;
    case 2:
        sqlite3_bind_text(s, 1, "volume\x1b", forge_take(in) % 8, SQLITE_STATIC);
        break;
    case 3:
        sqlite3_bind_blob(s, 1, blob, forge_take(in) % 41, SQLITE_STATIC);
        break;
    default:
        break; /* NULL */
    }
}

/* What a constraint forbids does not happen. */
static void change_field(forge_bytes *in, mf__connection *c)
{
    const char *const *f = fields[forge_take(in) % (sizeof fields / sizeof *fields)];
    char sql[200];
    sqlite3_stmt *s;
    snprintf(sql, sizeof sql,
             "UPDATE %s SET %s = ?1 WHERE %s IN (SELECT %s FROM %s LIMIT 1 OFFSET %d)", f[0], f[2],
             f[1], f[1], f[0], forge_take(in) % 8);
    PROMISE(sqlite3_prepare_v2(c->db, sql, -1, &s, NULL) == SQLITE_OK);
    bind_value(in, s);
    sqlite3_step(s);
    sqlite3_finalize(s);
}

static mf_status seal(void *self, int64_t num, const mf_action *a, bool sound)
{
    mf__connection *c = self;
    uint8_t key[MF_DIGEST_BYTES], sum[MF_DIGEST_BYTES];
    if (sound || !mf_hex_decode(a->key, key))
        return MF_OK;
    MF_TRY(mf__sum_action(a, key, sum));
    return mf__exec(c, "UPDATE action SET sum = ? WHERE num = ?", "di", sum, num);
}

/* ---- a cache that lies ----------------------------------------------------------------------- */

static void use_all(mf_store *store, char (*forged_ids)[MF_HEX_SIZE], size_t count)
{
    for (int n = 0; n < ARTIFACTS; n++)
        get_one(store, n, false);
    for (size_t i = 0; i < count; i++) {
        mf_artifact *a;
        if (failed(mf_store_get(store, forged_ids[i], &a)))
            continue;
        forge_use(a, false);
        mf_artifact_unref(a);
    }
}

static void try_forged(forge_bytes *in)
{
    mf_store *store;
    mf__connection *c;
    mf_moved moved;
    mf_verified verified;
    mf_repaired repaired = {0};
    char forged_ids[4][MF_HEX_SIZE];
    size_t count, size;
    change(NULL, 0);
    uint8_t *bytes = forge_export(in, &size, forged_ids, &count);
    write_file("in.mfx", bytes, size);
    free(bytes);
    PROMISE(!failed(mf_store_open("cache", MF_STORE_WRITE, &store)));
    failed(mf_store_import(store, "in.mfx", NULL, &moved)); /* of whoever checks nothing */
    mf_store_close(store);
    PROMISE(!failed(mf__connection_open(files[0], MF__CREATE, &c)));
    for (int i = forge_take(in) % 6; i > 0; i--)
        change_field(in, c);
    failed(mf__each_action(c, seal, c));
    mf__connection_close(c);
    if (!failed(mf_store_open("cache", MF_STORE_READ, &store))) {
        use_all(store, forged_ids, count);
        mf_store_close(store);
    }
    bool sound = !failed(mf_store_verify("cache", NULL, NULL, &verified)) && !verified.damages;
    if (!sound && !failed(mf_store_repair("cache", NULL, NULL, &repaired))) {
        PROMISE(!failed(mf_store_verify("cache", NULL, NULL, &verified)));
        PROMISE(verified.damages == 0);
    }
    if (!failed(mf_store_open("cache", MF_STORE_WRITE, &store))) {
        use_all(store, forged_ids, count);
        mf_store_close(store);
    }
    mf_repaired_clear(&repaired);
}

/* ---------------------------------------------------------------------------------------------- */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mf_store *store;
    mf_verified verified;
    mf_repaired repaired = {0};
    make_cache();
    if (size < 6 || size > 600)
        return -1;
    if (data[0] >= 128) {
        try_forged(&(forge_bytes){data + 1, size - 1});
        return 0;
    }
    change(data, size);
    if (!failed(mf_store_open("cache", MF_STORE_READ, &store))) {
        for (int n = 0; n < ARTIFACTS; n++)
            get_one(store, n, true);
        mf_store_close(store);
    }
    bool sound = !failed(mf_store_verify("cache", NULL, NULL, &verified)) && !verified.damages;
    if (!sound && !failed(mf_store_repair("cache", NULL, NULL, &repaired))) {
        PROMISE(!failed(mf_store_verify("cache", NULL, NULL, &verified)));
        PROMISE(verified.damages == 0);
        PROMISE(!failed(mf_store_open("cache", MF_STORE_WRITE, &store)));
        for (int n = 0; n < ARTIFACTS; n++)
            get_one(store, n, true);
        mf_store_close(store);
    }
    mf_repaired_clear(&repaired);
    return 0;
}
