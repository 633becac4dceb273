/* pickle_write.c - see pickle_write.h. Opcodes: Python's pickletools.py. */
#include "pickle_write.h"

#include <inttypes.h>
#include <string.h>

/* A little-endian number of `size` bytes. */
static void put(FILE *out, uint64_t value, int size)
{
    for (int i = 0; i < size; i++)
        fputc((int)(value >> (8 * i) & 255), out);
}

void pickle_put_begin(FILE *out)
{
    fputs("\x80\x02", out);
}

void pickle_put_end(FILE *out)
{
    fputc('.', out);
}

void pickle_put_dict(FILE *out)
{
    fputs("}(", out);
}

void pickle_put_dict_end(FILE *out)
{
    fputc('u', out);
}

void pickle_put_list(FILE *out)
{
    fputs("](", out);
}

void pickle_put_list_end(FILE *out)
{
    fputc('e', out);
}

void pickle_put_text(FILE *out, const char *text)
{
    fputc('X', out);
    put(out, strlen(text), 4);
    fputs(text, out);
}

void pickle_put_int(FILE *out, int64_t value)
{
    bool small = value >= 0 && value < 256, medium = value >= INT32_MIN && value <= INT32_MAX;
    if (small) {
        fputc('K', out);
        put(out, (uint64_t)value, 1);
    } else if (medium) {
        fputc('J', out);
        put(out, (uint64_t)value, 4);
    } else {
        fputs("\x8a\x08", out);
        put(out, (uint64_t)value, 8);
    }
}

void pickle_put_real(FILE *out, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    fputc('G', out);
    put(out, __builtin_bswap64(bits), 8); /* the one number that is big-endian */
}

void pickle_put_bool(FILE *out, bool value)
{
    fputc(value ? 0x88 : 0x89, out);
}

void pickle_put_ints(FILE *out, const int64_t *values, size_t count)
{
    pickle_put_list(out);
    for (size_t i = 0; i < count; i++)
        pickle_put_int(out, values[i]);
    pickle_put_list_end(out);
}

static const char *storage_of(mf_dtype dtype)
{
    static const char *const names[MF_DTYPE_COUNT] = {
        [MF_U8] = "ByteStorage",   [MF_I8] = "CharStorage",   [MF_I16] = "ShortStorage",
        [MF_I32] = "IntStorage",   [MF_I64] = "LongStorage",  [MF_F16] = "HalfStorage",
        [MF_F32] = "FloatStorage", [MF_F64] = "DoubleStorage"};
    return names[dtype];
}

static void put_tuple(FILE *out, const int64_t *values, int count)
{
    fputc('(', out);
    for (int i = 0; i < count; i++)
        pickle_put_int(out, values[i]);
    fputc('t', out);
}

/* torch._utils._rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks) */
bool pickle_put_tensor(FILE *out, int64_t key, mf_dtype dtype, int rank, const int64_t *shape)
{
    int64_t strides[MF_MAX_RANK], count = 1;
    char name[24];
    if (!storage_of(dtype))
        return false;
    for (int i = rank; i-- > 0;) {
        strides[i] = count;
        count *= shape[i];
    }
    snprintf(name, sizeof name, "%" PRId64, key);
    fputs("ctorch._utils\n_rebuild_tensor_v2\n((", out);
    pickle_put_text(out, "storage");
    fprintf(out, "ctorch\n%s\n", storage_of(dtype));
    pickle_put_text(out, name);
    pickle_put_text(out, "cpu");
    pickle_put_int(out, count);
    fputs("tQ", out);
    pickle_put_int(out, 0);
    put_tuple(out, shape, rank);
    put_tuple(out, strides, rank);
    pickle_put_bool(out, false);
    fputs("ccollections\nOrderedDict\n)RtR", out);
    return true;
}
