/* jpeg.cc - JPEG, lossy and lossless, 8 to 16 bits, by DCMTK, whose three copies of the IJG's
 * library are built for up to 8, 12 and 16 bits. The library goes on after damage with pixels of
 * its own making and a warning; here a warning is an error. */
#include "decoders.h"
#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmjpeg/djcparam.h>
#include <dcmtk/dcmjpeg/djdijg12.h>
#include <dcmtk/dcmjpeg/djdijg16.h>
#include <dcmtk/dcmjpeg/djdijg8.h>

#include <cstdio>
#include <memory>
#include <new>

namespace
{

template <typename base> class strict : public base
{
  public:
    strict(const DJCodecParameter &parameters, bool *warned)
        : base(parameters, OFFalse), warned_(warned)
    {
    }
    void emitMessage(int level) const override
    {
        if (level < 0)
            *warned_ = true;
    }

  private:
    bool *warned_;
};

std::unique_ptr<DJDecoder> decoder_for(const decode_request *r, const DJCodecParameter &parameters,
                                       bool *warned)
{
    if (r->bits <= 8)
        return std::make_unique<strict<DJDecompressIJG8Bit>>(parameters, warned);
    if (r->bits <= 12)
        return std::make_unique<strict<DJDecompressIJG12Bit>>(parameters, warned);
    return std::make_unique<strict<DJDecompressIJG16Bit>>(parameters, warned);
}

} // namespace

bool decode_jpeg(const decode_request *r, const unsigned char *stream, void *pixels,
                 char why[DECODE_TEXT])
try {
    const DJCodecParameter parameters(ECC_lossyYCbCr, EDC_never, EUC_never, EPC_default);
    bool warned = false;
    std::unique_ptr<DJDecoder> decoder = decoder_for(r, parameters, &warned);
    const size_t size = decode_pixel_bytes(r);
    OFCondition result = decoder->init();
    if (size > UINT32_MAX || r->bytes > UINT32_MAX) {
        snprintf(why, DECODE_TEXT, "they are too many for the library");
        return false;
    }
    if (result.good())
        result = decoder->decode(const_cast<Uint8 *>(stream), static_cast<Uint32>(r->bytes),
                                 static_cast<Uint8 *>(pixels), static_cast<Uint32>(size), OFFalse);
    if (result.good() && !warned)
        return true;
    snprintf(why, DECODE_TEXT, "%s", result.good() ? "what is coded is not valid" : result.text());
    return false;
} catch (const std::bad_alloc &) {
    snprintf(why, DECODE_TEXT, "there is no memory for them");
    return false;
}
