/* encode.c - see encode.h. */
#include "encode.h"
#include <charls/charls.h>
#include <openjpeg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(bool good)
{
    if (!good)
        abort();
}

static size_t width_of(const picture *p)
{
    return p->bits > 16 ? 4 : p->bits > 8 ? 2 : 1;
}

/* ---- RLE ------------------------------------------------------------------------------------- */

/* A row of one byte of each pixel, in runs and in packets of what does not repeat. */
static size_t pack(const unsigned char *row, size_t n, size_t step, unsigned char *to)
{
    size_t used = 0;
    for (size_t i = 0; i < n;) {
        size_t run = 1, literal = 1;
        while (i + run < n && run < 128 && row[(i + run) * step] == row[i * step])
            run++;
        if (run > 1) {
            to[used++] = (unsigned char)(257 - run);
            to[used++] = row[i * step];
            i += run;
            continue;
        }
        while (i + literal < n && literal < 128 &&
               (i + literal + 1 == n || row[(i + literal) * step] != row[(i + literal + 1) * step]))
            literal++;
        to[used++] = (unsigned char)(literal - 1);
        for (size_t k = 0; k < literal; k++)
            to[used++] = row[(i + k) * step];
        i += literal;
    }
    return used;
}

unsigned char *encode_rle(const picture *p, size_t *size)
{
    size_t width = width_of(p), columns = (size_t)p->columns, rows = (size_t)p->rows;
    unsigned char *made = calloc(1, 64 + width * rows * (2 * columns + 2));
    must(made);
    uint32_t table[16] = {(uint32_t)width};
    *size = 64;
    for (size_t k = 0; k < width; k++) {
        table[k + 1] = (uint32_t)*size;
        for (size_t y = 0; y < rows; y++)
            *size += pack((const unsigned char *)p->pixels + y * columns * width + (width - 1 - k),
                          columns, width, made + *size);
        *size += *size % 2;
    }
    memcpy(made, table, sizeof table);
    return made;
}

/* ---- JPEG-LS --------------------------------------------------------------------------------- */

unsigned char *encode_jpeg_ls(const picture *p, int near, size_t *size)
{
    const charls_frame_info info = {(uint32_t)p->columns, (uint32_t)p->rows, p->bits, 1};
    charls_jpegls_encoder *e = charls_jpegls_encoder_create();
    size_t room = 0, pixels = (size_t)(p->columns * p->rows) * width_of(p);
    must(e && !charls_jpegls_encoder_set_frame_info(e, &info) &&
         !charls_jpegls_encoder_set_near_lossless(e, near) &&
         !charls_jpegls_encoder_get_estimated_destination_size(e, &room));
    unsigned char *made = calloc(1, room + 1);
    must(made && !charls_jpegls_encoder_set_destination_buffer(e, made, room) &&
         !charls_jpegls_encoder_encode_from_buffer(e, p->pixels, pixels, 0) &&
         !charls_jpegls_encoder_get_bytes_written(e, size));
    charls_jpegls_encoder_destroy(e);
    *size += *size % 2;
    return made;
}

/* ---- JPEG 2000 ------------------------------------------------------------------------------- */

typedef struct sink {
    unsigned char *bytes;
    size_t room, size, at;
} sink;

static OPJ_SIZE_T put(void *from, OPJ_SIZE_T n, void *of)
{
    sink *s = of;
    must(n <= s->room - s->at);
    memcpy(s->bytes + s->at, from, n);
    s->at += n;
    s->size = s->size > s->at ? s->size : s->at;
    return n;
}

static OPJ_OFF_T skip(OPJ_OFF_T by, void *of)
{
    ((sink *)of)->at += (size_t)by;
    return by;
}

static OPJ_BOOL seek(OPJ_OFF_T to, void *of)
{
    ((sink *)of)->at = (size_t)to;
    return OPJ_TRUE;
}

static opj_image_t *image_of(const picture *p)
{
    opj_image_cmptparm_t c = {.dx = 1,
                              .dy = 1,
                              .w = (OPJ_UINT32)p->columns,
                              .h = (OPJ_UINT32)p->rows,
                              .prec = (OPJ_UINT32)p->bits,
                              .sgnd = p->is_signed};
    opj_image_t *image = opj_image_create(1, &c, OPJ_CLRSPC_GRAY);
    must(image);
    image->x1 = c.w;
    image->y1 = c.h;
    for (int i = 0; i < p->columns * p->rows; i++)
        image->comps->data[i] = width_of(p) == 1 ? p->is_signed ? ((const int8_t *)p->pixels)[i]
                                                                : ((const uint8_t *)p->pixels)[i]
                                : p->is_signed ? ((const int16_t *)p->pixels)[i]
                                                 : ((const uint16_t *)p->pixels)[i];
    return image;
}

unsigned char *encode_jpeg_2000(const picture *p, float quality, size_t *size)
{
    opj_cparameters_t parameters;
    opj_set_default_encoder_parameters(&parameters);
    parameters.numresolution = 3;
    parameters.irreversible = quality > 0;
    parameters.tcp_numlayers = 1;
    parameters.cp_fixed_quality = quality > 0;
    parameters.cp_disto_alloc = quality == 0;
    parameters.tcp_distoratio[0] = quality;
    sink s = {.room = (size_t)(p->columns * p->rows) * 8 + 4096};
    s.bytes = calloc(1, s.room);
    opj_image_t *image = image_of(p);
    opj_codec_t *codec = opj_create_compress(OPJ_CODEC_J2K);
    opj_stream_t *stream = opj_stream_create(1 << 16, OPJ_FALSE);
    must(s.bytes && codec && stream && opj_setup_encoder(codec, &parameters, image));
    opj_stream_set_user_data(stream, &s, NULL);
    opj_stream_set_write_function(stream, put);
    opj_stream_set_skip_function(stream, skip);
    opj_stream_set_seek_function(stream, seek);
    must(opj_start_compress(codec, image, stream) && opj_encode(codec, stream) &&
         opj_end_compress(codec, stream));
    opj_stream_destroy(stream);
    opj_destroy_codec(codec);
    opj_image_destroy(image);
    *size = s.size + s.size % 2;
    return s.bytes;
}
