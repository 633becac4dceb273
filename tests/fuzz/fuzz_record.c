/* fuzz_record.c - records of artifacts: whatever the bytes are, they are a record or an error; and
 * a record that was read and is written again gives the same bytes. */
#include "fuzz.h"
#include "store/check.h"

static mf_status see(void *self, const uint8_t *digest)
{
    int64_t *sum = self;
    *sum += digest[0];
    return MF_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mf_artifact *a = NULL;
    mf__record_array *arrays = NULL;
    size_t count = 0;
    char *type = NULL;
    int64_t sum = 0;
    if (size > 1 << 16)
        return -1;
    bool named = !failed(mf__record_chunks(data, size, see, &sum));
    if (failed(mf__record_type(data, size, &type)))
        return 0;
    PROMISE(!failed(mf_artifact_new(type, &a)));
    bool read = !failed(mf__record_read(data, size, a, &arrays, &count));
    PROMISE(read == named);
    if (read) {
        mf__buffer b = {0};
        PROMISE(count == mf_artifact_array_count(a));
        mf__record_begin(&b, a);
        PROMISE(!b.failed && b.size <= size + 4096);
        free(b.bytes);
        mf__record_arrays_free(arrays, count);
    }
    mf_artifact_unref(a);
    free(type);
    return 0;
}
