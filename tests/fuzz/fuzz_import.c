/* fuzz_import.c - files that `cache import` is given. The closing sum is made right, so that what
 * lies behind it is reached: the input is the file without its last section. After whatever was
 * imported the cache is sound. */
#include "fuzz.h"
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static mf_store *store;
    static int inputs;
    mf_moved moved;
    mf_verified verified;
    enter_scratch();
    if (!store)
        PROMISE(!failed(mf_store_open("cache", MF_STORE_WRITE, &store)));
    write_summed(data, size);
    bool taken = !failed(mf_store_import(store, "in.mfx", NULL, &moved));
    if (taken || inputs % 64 == 0) {
        PROMISE(!failed(mf_store_verify("cache", NULL, NULL, &verified)));
        PROMISE(verified.damages == 0);
    }
    if (++inputs % 256 == 0) { /* what was imported does not gather without end */
        mf_store_close(store);
        nftw("cache", remove_entry, 8, FTW_DEPTH | FTW_PHYS);
        PROMISE(!failed(mf_store_open("cache", MF_STORE_WRITE, &store)));
    }
    return 0;
}
