/* fuzz_import.c - files that `cache import` is given. An odd first byte: the closing sum is made
 * right; the input is the file without its last section. Else the whole file is forged (forge.h),
 * each digest in it right. After whatever was imported the cache is sound, and each artifact in it
 * is what its type says. */
#include "forge.h"
#include "store/upkeep.h"

static void write_summed(const uint8_t *data, size_t size)
{
    static const uint8_t head[9] = {'z', 32};
    uint8_t sum[MF_DIGEST_BYTES];
    FILE *f = fopen("in.mfx", "wb");
    mf_digest_bytes(data, size, sum);
    PROMISE(f && fwrite(data, 1, size, f) == size && fwrite(head, 1, sizeof head, f) == 9 &&
            fwrite(sum, 1, sizeof sum, f) == sizeof sum && fclose(f) == 0);
}

/* What `massflow cache import` asks. */
static mf_status check_artifact(void *self, const mf_artifact *a, bool whole)
{
    const mf_registry *registry = forge_registry();
    (void)self;
    if (!mf_registry_type(registry, mf_artifact_type(a)))
        return MF_OK;
    return whole ? mf_check_artifact(registry, a) : mf_check_record(registry, a);
}

static mf_status check_action(void *self, const mf_action *action, const char *const *types)
{
    (void)self;
    return mf_check_action(forge_registry(), action, types);
}

static void print_damage(void *self, const mf_damage *d)
{
    (void)self;
    if (!d->conflict)
        fprintf(stderr, "%s: %s\n", d->what, d->means);
}

static void use_artifacts(mf_store *store, char (*ids)[MF_HEX_SIZE], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        mf_artifact *a;
        if (failed(mf_store_get(store, ids[i], &a)))
            continue; /* refused, or without its data */
        PROMISE(forge_use(a, false) || !mf_registry_type(forge_registry(), mf_artifact_type(a)));
        mf_artifact_unref(a);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const mf_import_calls calls = {.artifact = check_artifact, .action = check_action};
    static mf_store *store;
    static int inputs;
    mf_moved moved;
    mf_verified verified;
    char ids[4][MF_HEX_SIZE];
    size_t count = 0;
    enter_scratch();
    if (!store)
        PROMISE(!failed(mf_store_open("cache", MF_STORE_WRITE, &store)));
    if (!size || data[0] & 1) {
        write_summed(data, size);
    } else {
        size_t length;
        uint8_t *bytes = forge_export(&(forge_bytes){data + 1, size - 1}, &length, ids, &count);
        write_file("in.mfx", bytes, length);
        free(bytes);
    }
    bool taken = !failed(mf_store_import(store, "in.mfx", &calls, &moved));
    use_artifacts(store, ids, count);
    if ((taken && moved.new_actions && inputs % 4 == 0) || inputs % 64 == 0) {
        PROMISE(!failed(mf_store_verify("cache", print_damage, NULL, &verified)));
        PROMISE(verified.damages == 0);
    }
    if (++inputs % 256 == 0) { /* what was imported does not gather without end */
        mf_store_close(store);
        nftw("cache", remove_entry, 8, FTW_DEPTH | FTW_PHYS);
        PROMISE(!failed(mf_store_open("cache", MF_STORE_WRITE, &store)));
    }
    return 0;
}
