/* encode_jpeg.cc - see encode.h: JPEG by DCMTK. */
#include "encode.h"
#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmjpeg/djcparam.h>
#include <dcmtk/dcmjpeg/djeijg12.h>
#include <dcmtk/dcmjpeg/djeijg16.h>
#include <dcmtk/dcmjpeg/djeijg8.h>

#include <cstdlib>
#include <cstring>

template <typename encoder, typename pixel>
static unsigned char *run(encoder &&e, const picture *p, size_t *size)
{
    Uint8 *made = nullptr;
    Uint32 length = 0;
    OFCondition result =
        e.encode(static_cast<Uint16>(p->columns), static_cast<Uint16>(p->rows), EPI_Monochrome2, 1,
                 const_cast<pixel *>(static_cast<const pixel *>(p->pixels)), made, length);
    if (result.bad())
        abort();
    auto *copy = static_cast<unsigned char *>(malloc(length));
    memcpy(copy, made, length);
    delete[] made;
    *size = length;
    return copy;
}

unsigned char *encode_jpeg(const picture *p, bool lossless, size_t *size)
{
    DJCodecParameter parameters(ECC_lossyYCbCr, EDC_never, EUC_never, EPC_default);
    if (p->bits <= 8 && lossless)
        return run<DJCompressIJG8Bit, Uint8>({parameters, EJM_lossless, 1, 0}, p, size);
    if (p->bits <= 8)
        return run<DJCompressIJG8Bit, Uint8>({parameters, EJM_baseline, static_cast<Uint8>(100)}, p,
                                             size);
    if (p->bits <= 12 && lossless)
        return run<DJCompressIJG12Bit, Uint16>({parameters, EJM_lossless, 1, 0}, p, size);
    if (p->bits <= 12)
        return run<DJCompressIJG12Bit, Uint16>(
            {parameters, EJM_sequential, static_cast<Uint8>(100)}, p, size);
    return run<DJCompressIJG16Bit, Uint16>({parameters, EJM_lossless, 1, 0}, p, size);
}
