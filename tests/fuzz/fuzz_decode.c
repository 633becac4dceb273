/* fuzz_decode.c - code streams of JPEG, JPEG-LS and JPEG 2000, as DICOM has them, decoded by the
 * real decoders in their process. The first byte says which kind. Whatever a stream holds, it comes
 * to pixels of the size that its header announces, or to an error; never to a wait without end. */
#include "code_stream.h"
#include "decoder.h"
#include "fuzz.h"

static const struct {
    const char *syntax;
    uint32_t kind;
} kinds[] = {{"1.2.840.10008.1.2.4.50", DECODE_JPEG},
             {"1.2.840.10008.1.2.4.70", DECODE_JPEG},
             {"1.2.840.10008.1.2.4.81", DECODE_JPEG_LS},
             {"1.2.840.10008.1.2.4.91", DECODE_JPEG_2000}};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static decoder d;
    if (size < 2)
        return -1;
    int which = data[0] % 4;
    const packing *p = packing_of(kinds[which].syntax);
    PROMISE(p);
    code_stream s;
    if (failed(code_stream_read("input", p, data + 1, size - 1, &s)))
        return 0;
    dicom_header h = {.rows = s.rows, .columns = s.columns, .bits = s.bits > 8 ? 16 : 8};
    h.bits_stored = s.bits;
    h.is_signed = s.is_signed;
    if (s.columns < 1 || s.rows < 1 || s.columns * s.rows > 1 << 16 ||
        failed(code_stream_check("input", p, &h, &s)))
        return 0;
    const decode_request r = {.kind = kinds[which].kind,
                              .columns = (uint32_t)s.columns,
                              .rows = (uint32_t)s.rows,
                              .bits = (uint32_t)s.bits,
                              .is_signed = s.is_signed,
                              .bytes = size - 1};
    mf_array *pixels = NULL;
    if (!failed(
            decoder_run(&d, "input", p->name, &r, data + 1, s.bits > 8 ? MF_U16 : MF_U8, &pixels)))
        PROMISE(pixels && pixels->shape[1] == s.rows && pixels->shape[2] == s.columns);
    mf_array_unref(pixels);
    return 0;
}
