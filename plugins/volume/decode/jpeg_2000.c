/* jpeg_2000.c - JPEG 2000 by OpenJPEG. Its warnings count as errors: it says nothing more of a part
 * that it could not decode, and leaves other pixels there. */
#include "decoders.h"
#include <openjpeg.h>
#include <stdio.h>
#include <string.h>

typedef struct source {
    const unsigned char *bytes;
    size_t size, at;
} source;

static OPJ_SIZE_T take(void *to, OPJ_SIZE_T size, void *of)
{
    source *s = of;
    size_t n = size < s->size - s->at ? size : s->size - s->at;
    if (!n)
        return (OPJ_SIZE_T)-1;
    memcpy(to, s->bytes + s->at, n);
    s->at += n;
    return n;
}

static OPJ_OFF_T skip(OPJ_OFF_T by, void *of)
{
    source *s = of;
    if (by < 0 || (size_t)by > s->size - s->at)
        return -1;
    s->at += (size_t)by;
    return by;
}

static OPJ_BOOL seek(OPJ_OFF_T to, void *of)
{
    source *s = of;
    if (to < 0 || (size_t)to > s->size)
        return OPJ_FALSE;
    s->at = (size_t)to;
    return OPJ_TRUE;
}

/* Keeps the first words. */
static void hear(const char *text, void *of)
{
    char *why = of;
    if (!*why)
        snprintf(why, DECODE_TEXT, "%.*s", (int)strcspn(text, "\r\n"), text);
}

static bool is_as_asked(const decode_request *r, const opj_image_t *image)
{
    const opj_image_comp_t *c = image->comps;
    return image->numcomps == 1 && c->w == r->columns && c->h == r->rows && c->prec == r->bits &&
           c->sgnd == r->is_signed;
}

static void put_pixels(const decode_request *r, const opj_image_comp_t *c, void *pixels)
{
    size_t n = (size_t)r->columns * r->rows;
    for (size_t i = 0; i < n; i++)
        if (r->bits > 8)
            ((uint16_t *)pixels)[i] = (uint16_t)c->data[i];
        else
            ((uint8_t *)pixels)[i] = (uint8_t)c->data[i];
}

static bool decode(opj_codec_t *codec, opj_stream_t *stream, opj_image_t **image, char *why)
{
    opj_dparameters_t parameters;
    opj_set_default_decoder_parameters(&parameters);
    opj_set_warning_handler(codec, hear, why);
    opj_set_error_handler(codec, hear, why);
    return opj_setup_decoder(codec, &parameters) && opj_decoder_set_strict_mode(codec, OPJ_TRUE) &&
           opj_read_header(stream, codec, image) && opj_decode(codec, stream, *image) &&
           opj_end_decompress(codec, stream) && !*why;
}

bool decode_jpeg_2000(const decode_request *r, const unsigned char *bytes, void *pixels,
                      char why[DECODE_TEXT])
{
    source from = {bytes, r->bytes, 0};
    opj_image_t *image = NULL;
    opj_codec_t *codec = opj_create_decompress(OPJ_CODEC_J2K);
    opj_stream_t *stream = opj_stream_create(1 << 16, OPJ_TRUE);
    bool good = false;
    *why = 0;
    if (codec && stream) {
        opj_stream_set_user_data(stream, &from, NULL);
        opj_stream_set_user_data_length(stream, r->bytes);
        opj_stream_set_read_function(stream, take);
        opj_stream_set_skip_function(stream, skip);
        opj_stream_set_seek_function(stream, seek);
        good = decode(codec, stream, &image, why);
        if (good && !(good = is_as_asked(r, image) && image->comps->data))
            hear("its size is not what its header says", why);
    }
    if (good)
        put_pixels(r, image->comps, pixels);
    else
        hear("it cannot be decoded", why);
    opj_image_destroy(image);
    opj_stream_destroy(stream);
    opj_destroy_codec(codec);
    return good;
}
