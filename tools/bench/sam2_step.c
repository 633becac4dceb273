/* sam2_step.c - our side of bench_sam2: the parts of SAM 2 that take the time, on noise.
 *
 * sam2_step WEIGHTS encode COUNT          the image encoder
 * sam2_step WEIGHTS generate SIDE POINTS  automatic masks of a SIDE x SIDE picture, POINTS^2 points
 * sam2_step WEIGHTS track OBJECTS FRAMES  objects followed; FRAMES after the seed
 *
 * prints the seconds of each encoding, of each picture (two of them), or of each frame, one a line.
 */
#include "bench.h"
#include "masks/generate.h"
#include "model/predictor.h"
#include "model/tensor_names.h"
#include "propagation/track.h"
#include "read.h"

#include <massflow/random.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *room(size_t count, size_t size)
{
    void *p = calloc(count, size);
    if (!p)
        check(mf_no_memory(0, "a benchmark"));
    return p;
}

static void lap(double *start)
{
    double end = mf_seconds();
    printf("%.6f\n", end - *start);
    fflush(stdout);
    *start = mf_seconds();
}

static sam2_predictor *open_model(mf_device *device, const char *path)
{
    mf_tensors t = {0};
    sam2_config config;
    sam2_predictor *p;
    check(mf_tensors_read(path, &t));
    check(sam2_config_from(&t, &(sam2_config){0}, &config));
    check(sam2_predictor_new(device, &config, &t, 0, &p));
    mf_tensors_clear(&t);
    return p;
}

/* Smooth noise, so that masks have some shape. */
static uint8_t *draw_picture(int64_t side)
{
    mf_random random;
    uint8_t *rgb = room((size_t)(side * side), 3);
    mf_random_seed(&random, 1, "bench", 0);
    for (int64_t y = 0; y < side; y += 16)
        for (int64_t x = 0; x < side; x += 16) {
            uint8_t color[3];
            for (int c = 0; c < 3; c++)
                color[c] = (uint8_t)mf_random_below(&random, 256);
            for (int64_t v = y; v < y + 16 && v < side; v++)
                for (int64_t u = x; u < x + 16 && u < side; u++)
                    memcpy(rgb + 3 * (v * side + u), color, 3);
        }
    return rgb;
}

static float *draw_input(const sam2_predictor *p)
{
    int64_t image = sam2_predictor_config(p)->image;
    uint8_t *rgb = draw_picture(image);
    float *input = room((size_t)(image * image) * 3, sizeof *input);
    check(sam2_picture_still(&(sam2_picture){rgb, image, image, image}, image, input));
    free(rgb);
    return input;
}

static void encode(sam2_predictor *p, int count)
{
    float *input = draw_input(p);
    sam2_features f = {0};
    check(sam2_encode(p, input, &f)); /* kernels are built */
    double start = mf_seconds();
    for (int i = 0; i < count; i++) {
        check(sam2_encode(p, input, &f));
        lap(&start);
    }
    sam2_features_clear(&f);
    free(input);
}

/* ---- automatic masks ------------------------------------------------------------------------- */

typedef struct eye {
    sam2_predictor *p;
    sam2_features f;
    float *input;
} eye;

static mf_status look(void *self, const sam2_picture *crop)
{
    eye *e = self;
    MF_TRY(sam2_picture_still(crop, sam2_predictor_config(e->p)->image, e->input));
    return sam2_encode(e->p, e->input, &e->f);
}

static mf_status decode(void *self, const sam2_prompts *prompts, sam2_answers *answers)
{
    eye *e = self;
    return sam2_decode(e->p, &e->f, prompts, answers);
}

static void choose(void *self, const sam2_answers *answers, int64_t batch, int32_t *index)
{
    sam2_choose_single(sam2_predictor_config(((eye *)self)->p), answers, batch, index);
}

static mf_status step(void *self, int64_t done, int64_t total)
{
    (void)self, (void)done, (void)total;
    return MF_OK;
}

static void generate(sam2_predictor *p, int64_t side, int64_t points)
{
    int64_t image = sam2_predictor_config(p)->image;
    eye e = {p, {0}, room((size_t)(image * image) * 3, sizeof(float))};
    const sam2_eye seen = {&e, image, look, decode, choose, step};
    const sam2_generate_options o = {.points_per_side = points,
                                     .points_per_batch = 64,
                                     .stability_score_offset = 1,
                                     .box_nms_thresh = 0.7,
                                     .crop_nms_thresh = 0.7,
                                     .crop_overlap_ratio = 0.5,
                                     .crop_n_points_downscale_factor = 1,
                                     .multimask_output = true,
                                     .threads = (int)sysconf(_SC_NPROCESSORS_ONLN)};
    uint8_t *rgb = draw_picture(side);
    double start = mf_seconds();
    for (int i = 0; i < 2; i++) {
        sam2_proposals proposals = {0};
        check(sam2_generate(&seen, &(sam2_picture){rgb, side, side, side}, &o, &proposals));
        sam2_proposals_clear(&proposals);
        lap(&start);
    }
    sam2_features_clear(&e.f);
    free(e.input);
    free(rgb);
}

/* ---- objects followed ------------------------------------------------------------------------ */

static void follow(sam2_predictor *p, int64_t objects, int64_t frames)
{
    const sam2_config *c = sam2_predictor_config(p);
    int64_t n = c->image, low = n / 4;
    float *input = draw_input(p), *logits = room((size_t)(objects * low * low), sizeof *logits);
    uint8_t *masks = room((size_t)(objects * n * n), 1);
    sam2_features f = {0};
    sam2_track *track;
    for (int64_t k = 0; k < objects; k++) /* bands */
        memset(masks + (k * n + k * n / objects) * n, 1, (size_t)(n / objects * n));
    check(sam2_encode(p, input, &f));
    check(sam2_track_new(p, frames + 1, 0, objects, masks, &f, 0, &track));
    double start = mf_seconds();
    for (int64_t t = 1; t <= frames; t++) {
        check(sam2_track_step(track, t, false, &f, logits, NULL, NULL));
        lap(&start);
    }
    sam2_track_free(track);
    sam2_features_clear(&f);
    free(masks);
    free(logits);
    free(input);
}

int main(int argc, char **argv)
{
    mf_device *device;
    if (argc < 4) {
        fprintf(stderr, "usage: sam2_step WEIGHTS encode COUNT | generate SIDE POINTS | "
                        "track OBJECTS FRAMES\n");
        return 2;
    }
    check(mf_device_open("", &device));
    sam2_predictor *p = open_model(device, argv[1]);
    if (!strcmp(argv[2], "encode"))
        encode(p, atoi(argv[3]));
    else if (argc == 5 && !strcmp(argv[2], "generate"))
        generate(p, atoi(argv[3]), atoi(argv[4]));
    else if (argc == 5 && !strcmp(argv[2], "track"))
        follow(p, atoi(argv[3]), atoi(argv[4]));
    sam2_predictor_free(p);
    mf_device_unref(device);
    return 0;
}
