/* number.c - see number.h. */
#include "number.h"

#include <string.h>

static const mf_number numbers[] = {
    {"F32", MF_F32, 4}, {"F16", MF_F16, 2}, {"BF16", MF_F32, 2}, {"F64", MF_F64, 8},
    {"U8", MF_U8, 1},   {"I8", MF_I8, 1},   {"BOOL", MF_U8, 1},  {"U16", MF_U16, 2},
    {"I16", MF_I16, 2}, {"U32", MF_U32, 4}, {"I32", MF_I32, 4},  {"I64", MF_I64, 8},
};

const mf_number *mf_number_named(const char *text)
{
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (!strcmp(numbers[i].text, text))
            return &numbers[i];
    return NULL;
}

void mf_number_widen(const mf_number *n, mf_array *a)
{
    const uint8_t *half = a->data;
    if (strcmp(n->text, "BF16"))
        return;
    for (int64_t i = mf_array_count(a); i-- > 0;) { /* from the back, so in place */
        uint32_t bits = (uint32_t)half[2 * i] << 16 | (uint32_t)half[2 * i + 1] << 24;
        memcpy((uint8_t *)a->data + 4 * i, &bits, 4); /* the upper half of an f32 */
    }
}
