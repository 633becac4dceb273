/* fuzz_decode.c - code streams of JPEG, JPEG-LS and JPEG 2000, as DICOM has them, decoded by the
 * real decoders in their process. The first byte says which kind. Whatever a stream holds, it comes
 * to pixels of the size that its header announces, or to an error; never to a wait without end. */
#include "dicom/code_stream.h"
#include "dicom/decoder.h"
#include "fuzz.h"

static const struct {
    const char *syntax;
    uint32_t kind;
} kinds[] = {{"1.2.840.10008.1.2.4.50", DECODE_JPEG},
             {"1.2.840.10008.1.2.4.70", DECODE_JPEG},
             {"1.2.840.10008.1.2.4.81", DECODE_JPEG_LS},
             {"1.2.840.10008.1.2.4.91", DECODE_JPEG_2000}};

/* Where the coded pixels begin: behind the header of the scan, or of the tile-part. */
static size_t coded(const uint8_t *data, size_t size)
{
    bool tiles = size && data[0] % 4 == 3;
    const uint8_t *mark = memmem(data, size, tiles ? "\xff\x93" : "\xff\xda", 2);
    size_t at = mark ? (size_t)(mark - data) + 2 : size;
    if (!tiles && at + 2 <= size)
        at += (size_t)(data[at] << 8 | data[at + 1]);
    return at;
}

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t room) __attribute__((weak));
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t room, unsigned seed);

/* Most changes to a header end before the decoder is asked: three of four are to what is coded. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t room, unsigned seed)
{
    static uint8_t body[1 << 16];
    size_t at = coded(data, size);
    if (seed % 4 == 0 || at + 4 > size || size > sizeof body)
        return LLVMFuzzerMutate(data, size, room);
    size_t length = size - at - 2; /* without the mark at the end */
    memcpy(body, data + at, length);
    memcpy(data + at, body, LLVMFuzzerMutate(body, length, length));
    return size;
}

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
        return -1; /* not kept: fuzz_scan.c is about headers */
    dicom_header h = {.rows = s.rows, .columns = s.columns, .bits = s.bits > 8 ? 16 : 8};
    h.bits_stored = s.bits;
    h.is_signed = s.is_signed;
    if (s.columns < 1 || s.rows < 1 || s.columns > 1024 || s.rows > 1024 ||
        failed(code_stream_check("input", p, &h, &s)))
        return -1;
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
