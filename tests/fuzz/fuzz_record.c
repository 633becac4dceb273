/* fuzz_record.c - records of artifacts. An odd first byte: the bytes are a record or an error, and
 * a record that was read and is written again gives the same bytes. Else an artifact is forged
 * (forge.h), and whatever is taken for one of its type can be read, drawn and cropped. Its chunks
 * are found in memory: no cache is written, so that millions can be tried. */
#include "forge.h"

static forged at_hand;

/* In place of the store's own: the program is linked with --wrap=mf__chunk_read. */
mf_status __wrap_mf__chunk_read(mf__reader *r, mf__scratch *memory,
                                const uint8_t digest[MF_DIGEST_BYTES], uint8_t *dst, size_t raw,
                                bool *damaged);
mf_status __wrap_mf__chunk_read(mf__reader *r, mf__scratch *memory,
                                const uint8_t digest[MF_DIGEST_BYTES], uint8_t *dst, size_t raw,
                                bool *damaged)
{
    (void)r, (void)memory;
    *damaged = false;
    for (size_t i = 0; i < at_hand.count; i++) {
        const forged_chunk *c = &at_hand.chunk[i];
        if (memcmp(c->digest, digest, MF_DIGEST_BYTES) || c->size != raw)
            continue;
        memcpy(dst, c->bytes, raw);
        return MF_OK;
    }
    return mf_fail(MF_CORRUPT, "there is no such chunk");
}

static mf_status see(void *self, const uint8_t *digest)
{
    int64_t *sum = self;
    *sum += digest[0];
    return MF_OK;
}

static void write_again(const mf_artifact *a, const mf__record_array *arrays, size_t count,
                        const uint8_t *data, size_t size)
{
    mf__buffer b = {0};
    mf__record_begin(&b, a);
    for (size_t i = 0; i < count; i++) {
        mf_array_info info;
        mf_artifact_array_info(a, i, &info);
        mf__record_array_begin(&b, &info);
        mf__record_digests(&b, arrays[i].digests, arrays[i].layout.count);
        if (info.ragged)
            mf__record_digests(&b, arrays[i].row_digests, arrays[i].row_digest_count);
    }
    PROMISE(!b.failed && b.size == size && !memcmp(b.bytes, data, size));
    free(b.bytes);
}

static void try_record(const uint8_t *data, size_t size)
{
    mf_artifact *a = NULL;
    mf__record_array *arrays = NULL;
    size_t count = 0;
    char *type = NULL;
    int64_t sum = 0;
    bool named = !failed(mf__record_chunks(data, size, see, &sum));
    if (failed(mf__record_type(data, size, &type)))
        return;
    PROMISE(!failed(mf_artifact_new(type, &a)));
    bool read = !failed(mf__record_read(data, size, a, &arrays, &count));
    PROMISE(read == named);
    if (read) {
        PROMISE(count == mf_artifact_array_count(a));
        write_again(a, arrays, count, data, size);
        mf__record_arrays_free(arrays, count);
    }
    mf_artifact_unref(a);
    free(type);
}

static void try_forged(mf_store *store, forge_bytes *in, bool draw)
{
    mf_artifact *a;
    char id[MF_HEX_SIZE];
    forge(in, &at_hand);
    try_record(at_hand.record.bytes, at_hand.record.size);
    uint8_t *record = malloc(at_hand.record.size);
    PROMISE(record);
    memcpy(record, at_hand.record.bytes, at_hand.record.size);
    mf_hex_encode(at_hand.id, id);
    if (!failed(mf__lazy_new(store, id, record, at_hand.record.size, &a)))
        forge_use(a, draw);
    mf_artifact_unref(a);
    forge_clear(&at_hand);
}

/* Drawing takes a hundred times as long as all the rest. */
static bool one_of_64(const uint8_t *data, size_t size)
{
    unsigned sum = 0;
    for (size_t i = 0; i < size; i++)
        sum += data[i];
    return sum % 64 == 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static mf_store *store;
    if (size > 1 << 16)
        return -1;
    if (!size || data[0] & 1) {
        try_record(data, size);
        return 0;
    }
    enter_scratch();
    if (!store)
        PROMISE(!failed(mf_store_open("cache", MF_STORE_WRITE, &store)));
    try_forged(store, &(forge_bytes){data + 1, size - 1}, one_of_64(data, size));
    return 0;
}
