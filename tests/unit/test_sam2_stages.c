/* Tests of what surrounds the model of SAM 2: pictures, areas, the automatic generator, seeds. The
 * golden numbers are those of PyTorch, Pillow, SciPy and the official code. */
#include "../expect.h"
#include "../run_suite.h"
#include "masks/generate.h"
#include "sam2_golden.h"
#include "shared/area.h"
#include "shared/seeds.h"
#include "shared/zoom.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- inputs, as tests/golden/make_sam2.py makes them ------------------------------------------
 */

static uint8_t noise(uint32_t i)
{
    return (uint8_t)((i * 2654435761u) >> 24);
}

static sam2_picture picture_of(int64_t h, int64_t w)
{
    uint8_t *rgb = malloc((size_t)(h * w * 3));
    for (int64_t i = 0; i < h * w * 3; i++)
        rgb[i] = noise((uint32_t)(i + h * 1000 + w));
    return (sam2_picture){rgb, h, w, w};
}

static uint8_t *mask_of(int64_t h, int64_t w)
{
    uint8_t *m = malloc((size_t)(h * w));
    for (int64_t y = 0; y < h; y++)
        for (int64_t x = 0; x < w; x++)
            m[y * w + x] = ((3 * x + 5 * y) % 23 < 9) ^ (noise((uint32_t)(y * w + x + 7)) < 40);
    return m;
}

static void logits_of(int64_t n, float shift, float *logits)
{
    for (int64_t i = 0; i < n * n; i++)
        logits[i] = ((float)noise((uint32_t)i + 3) - 128) / 16 + shift;
}

/* ---- pictures -------------------------------------------------------------------------------- */

/* f32 against a double reference of values in -2.2..2.7: a few roundings. */
static void same_still(int64_t h, int64_t w, int64_t image, const float *golden)
{
    sam2_picture p = picture_of(h, w);
    float *input = malloc((size_t)(image * image * 3) * sizeof *input);
    ok(sam2_picture_still(&p, image, input));
    for (int64_t i = 0; i < image * image * 3; i++)
        ck_assert_float_eq_tol(input[i], golden[i], 2e-6f);
    free(input);
    free((void *)p.rgb);
}

/* Pillow's bytes, every one. */
static void same_frame(int64_t h, int64_t w, int64_t image, const uint8_t *golden)
{
    static const float mean[3] = {0.485f, 0.456f, 0.406f}, std[3] = {0.229f, 0.224f, 0.225f};
    sam2_picture p = picture_of(h, w);
    float *input = malloc((size_t)(image * image * 3) * sizeof *input);
    ok(sam2_picture_frame(&p, image, input));
    for (int64_t i = 0; i < image * image * 3; i++)
        ck_assert_float_eq(input[i], ((float)(golden[i] / 255.0) - mean[i % 3]) / std[i % 3]);
    free(input);
    free((void *)p.rgb);
}

START_TEST(pictures_are_resized_as_pytorch_and_pillow_do)
{
    same_still(7, 9, 8, still_7_9);
    same_still(41, 33, 12, still_41_33);
    same_frame(7, 9, 8, frame_7_9);
    same_frame(41, 33, 12, frame_41_33);
}
END_TEST

/* A crop is what lies in it, whatever stands around. */
START_TEST(crops_are_pictures)
{
    sam2_picture all = picture_of(20, 30), crop = {all.rgb + 3 * (4 * 30 + 5), 9, 11, 30};
    uint8_t *cut = malloc(9 * 11 * 3);
    float a[8 * 8 * 3], b[8 * 8 * 3];
    for (int y = 0; y < 9; y++)
        memcpy(cut + y * 33, crop.rgb + y * 90, 33);
    const sam2_picture alone = {cut, 9, 11, 11};
    ok(sam2_picture_still(&crop, 8, a));
    ok(sam2_picture_still(&alone, 8, b));
    ck_assert_mem_eq(a, b, sizeof a);
    ok(sam2_picture_frame(&crop, 8, a));
    ok(sam2_picture_frame(&alone, 8, b));
    ck_assert_mem_eq(a, b, sizeof a);
    free(cut);
    free((void *)all.rgb);
}
END_TEST

START_TEST(masks_are_resized_as_pytorch_does)
{
    uint8_t out[256], *small = mask_of(7, 9), *large = mask_of(41, 33);
    ok(sam2_picture_mask(small, 7, 9, 16, out));
    ck_assert_mem_eq(out, mask_7_9, sizeof out);
    ok(sam2_picture_mask(large, 41, 33, 16, out));
    ck_assert_mem_eq(out, mask_41_33, sizeof out);
    free(small);
    free(large);
}
END_TEST

static void same_zoom(int64_t h, int64_t w, const int *golden)
{
    const float thresholds[3] = {1, 0, -1};
    float logits[64];
    uint8_t *dense = malloc((size_t)(h * w));
    sam2_zoom *zoom;
    sam2_extent e;
    sam2_patch p;
    logits_of(8, 0, logits);
    ok(sam2_zoom_new(8, h, w, &zoom));
    sam2_zoom_measure(zoom, logits, thresholds, &e);
    for (int k = 0; k < 3; k++)
        ck_assert_int_eq(e.above[k], golden[k]);
    ok(sam2_zoom_patch(zoom, logits, 0, &p));
    for (int k = 0; k < 2; k++) {
        ck_assert_int_eq(p.lo[k], e.lo[k]);
        ck_assert_int_eq(p.hi[k], e.hi[k]);
    }
    ck_assert_int_eq(sam2_patch_area(&p), golden[1]);
    sam2_patch_crop(&p, (int64_t[]){0, 0}, (int64_t[]){h, w}, w, dense);
    for (int64_t i = 0; i < h * w; i++)
        ck_assert_int_eq(dense[i], golden[3 + i]);
    sam2_patch_clear(&p);
    sam2_zoom_free(zoom);
    free(dense);
}

START_TEST(logits_are_stretched_as_pytorch_does)
{
    same_zoom(13, 21, zoom_13_21);
    same_zoom(5, 6, zoom_5_6);
}
END_TEST

/* Looking only at what is above the lowest threshold must not be seen. */
START_TEST(small_masks_are_found_whole)
{
    const float thresholds[3] = {3, 1, -2};
    float logits[32 * 32];
    sam2_zoom *zoom;
    sam2_extent e;
    sam2_patch p;
    ok(sam2_zoom_new(32, 100, 70, &zoom));
    for (int at = 0; at < 32 * 32; at += 31) {
        uint8_t dense[100 * 70];
        int64_t sum[3] = {0};
        for (int i = 0; i < 32 * 32; i++)
            logits[i] = i == at ? 20 : -10;
        sam2_zoom_measure(zoom, logits, thresholds, &e);
        ok(sam2_zoom_patch(zoom, logits, 1, &p));
        sam2_patch_crop(&p, (int64_t[]){0, 0}, (int64_t[]){100, 70}, 70, dense);
        for (int y = 0; y < 100; y++)
            for (int x = 0; x < 70; x++) {
                const double v = fmax(0, fmin(31, (y + 0.5) * 0.32 - 0.5)) - at / 32;
                const double u = fmax(0, fmin(31, (x + 0.5) * 32 / 70 - 0.5)) - at % 32;
                const double value = 30 * fmax(0, 1 - fabs(u)) * fmax(0, 1 - fabs(v)) - 10;
                for (int k = 0; k < 3; k++)
                    sum[k] += value > (double)thresholds[k];
                ck_assert_int_eq(dense[y * 70 + x], value > 1);
            }
        for (int k = 0; k < 3; k++)
            ck_assert_int_eq(e.above[k], sum[k]);
        ck_assert_int_eq(sam2_patch_area(&p), sum[1]);
        sam2_patch_clear(&p);
    }
    for (int i = 0; i < 32 * 32; i++)
        logits[i] = -10;
    sam2_zoom_measure(zoom, logits, thresholds, &e);
    ck_assert_int_eq(e.above[2], 0);
    ok(sam2_zoom_patch(zoom, logits, 1, &p));
    ck_assert_ptr_null(p.bits);
    ck_assert_int_eq(sam2_patch_area(&p), 0);
    sam2_zoom_free(zoom);
}
END_TEST

/* ---- areas ----------------------------------------------------------------------------------- */

START_TEST(holes_and_sprinkles_go_as_in_official_code)
{
    sam2_parts parts = {0};
    float logits[400];
    logits_of(20, 2, logits);
    ok(sam2_area_clean(&parts, logits, 20, 20, 0.5f, 4, 3));
    for (int i = 0; i < 400; i++)
        ck_assert_float_eq(logits[i], clean_20[i]);
    logits_of(20, 2, logits);
    ok(sam2_area_fill(&parts, logits, 20, 20, 3));
    for (int i = 0; i < 400; i++)
        ck_assert_float_eq(logits[i], fill_20[i]);
    logits_of(20, 2, logits);
    ok(sam2_area_clean(&parts, logits, 20, 20, 0.5f, 0, 0)); /* none: as they are */
    for (int i = 0; i < 400; i++)
        ck_assert_float_eq(logits[i], ((float)noise((uint32_t)i + 3) - 128) / 16 + 2);
    sam2_parts_clear(&parts);
}
END_TEST

START_TEST(least_areas_follow_the_model)
{
    ck_assert_int_eq(sam2_area_for(500, 1024), 500);
    ck_assert_int_eq(sam2_area_for(500, 256), 31);
    ck_assert_int_eq(sam2_area_for(8, 256), 0);
    ck_assert_int_eq(sam2_area_for(8, 2048), 32);
}
END_TEST

/* Two parts cross slice 1, a larger one does not; corners do not touch in 3D. */
START_TEST(the_part_on_the_seed_stays)
{
    static const char *const rows[3][3] = {
        {"##..#", ".....", "####."}, {"##..#", "..#..", "....."}, {"##..#", ".....", "....."}};
    sam2_parts parts = {0};
    uint8_t dense[45];
    int64_t voxels;
    for (int axis = 0; axis < 3; axis++) {
        const int64_t slice = axis == 0 ? 1 : axis == 1 ? 2 : 4;
        static const int64_t kept[3] = {6, 4, 3};
        for (int i = 0; i < 45; i++)
            dense[i] = rows[i / 15][i / 5 % 3][i % 5] == '#' ? 7 : 0;
        ok(sam2_area_keep(&parts, dense, (int64_t[]){3, 3, 5}, axis, slice, &voxels));
        ck_assert_int_eq(voxels, kept[axis]);
        int64_t sum = 0;
        for (int i = 0; i < 45; i++)
            sum += dense[i];
        ck_assert_int_eq(sum, kept[axis]);
        ck_assert_int_eq(dense[axis == 0 ? 0 : axis == 1 ? 10 : 4], 1);
    }
    memset(dense, 0, sizeof dense);
    dense[3] = 1; /* one part alone stays wherever it is */
    ok(sam2_area_keep(&parts, dense, (int64_t[]){3, 3, 5}, 0, 2, &voxels));
    ck_assert_int_eq(voxels, 1);
    dense[40] = 1; /* of two, neither crosses */
    ok(sam2_area_keep(&parts, dense, (int64_t[]){3, 3, 5}, 0, 1, &voxels));
    ck_assert_int_eq(voxels, 0);
    for (int i = 0; i < 45; i++)
        ck_assert_int_eq(dense[i], 0);
    sam2_parts_clear(&parts);
}
END_TEST

/* ---- the generator --------------------------------------------------------------------------- */

static void same_crops(int64_t h, int64_t w, int64_t layers, double overlap, const int *golden,
                       int64_t count)
{
    int32_t(*boxes)[5];
    int64_t n;
    ok(sam2_crop_boxes(h, w, layers, overlap, &boxes, &n));
    ck_assert_int_eq(n, count);
    for (int64_t i = 0; i < 5 * n; i++)
        ck_assert_int_eq(boxes[i / 5][i % 5], golden[i]);
    free(boxes);
}

START_TEST(crops_are_those_of_official_code)
{
    same_crops(512, 512, 2, 0.5, crops_512_512, 21);
    same_crops(60, 97, 1, 512.0 / 1500, crops_60_97, 5);
    same_crops(16, 16, 2, 0.5, crops_16_16, 21);
    int32_t(*boxes)[5];
    int64_t n;
    ok(sam2_crop_boxes(50, 1, 1, 0.5, &boxes, &n)); /* the right half has no width */
    ck_assert_int_eq(n, 3);
    free(boxes);
}
END_TEST

START_TEST(boxes_are_suppressed_in_order)
{
    static const float boxes[6][4] = {{0, 0, 10, 10}, {0, 0, 10, 5}, {0, 0, 10, 5},
                                      {0, 0, 10, 9},  {3, 3, 3, 8},  {3, 3, 3, 8}};
    static const float scores[6] = {0.5f, 0.75f, 0.75f, 0.25f, 0.5f, 0.5f};
    int64_t keep[6], kept;
    ok(sam2_box_nms(*boxes, scores, 6, 0.5, keep, &kept));
    /* Half is not more than half; boxes without area overlap nothing, not even their likes. */
    ck_assert_int_eq(kept, 4);
    const int64_t wanted[4] = {1, 0, 4, 5};
    ck_assert_mem_eq(keep, wanted, sizeof wanted);
    ok(sam2_box_nms(*boxes, scores, 6, 1, keep, &kept));
    ck_assert_int_eq(kept, 6);
    ck_assert_int_eq(keep[0], 1);
    ck_assert_int_eq(keep[1], 2);
    ok(sam2_box_nms(*boxes, scores, 0, 0.5, keep, &kept));
    ck_assert_int_eq(kept, 0);
}
END_TEST

enum { IMAGE = 64, LOW = IMAGE / 4 };

/* The made-up model of make_sam2.py. */
typedef struct eye {
    int shade;
    int64_t steps, total, stop_at;
} eye;

static mf_status look(void *self, const sam2_picture *crop)
{
    ((eye *)self)->shade = crop->rgb[0] % 3;
    return MF_OK;
}

static float disc(const eye *e, const float *xy, int k, float *logits)
{
    const int bx = (int)xy[0] / 16, by = (int)xy[1] / 16;
    const int r = 4 + 3 * k + (bx * 3 + by * 5) % 4;
    for (int i = 0; i < LOW * LOW; i++) {
        const int dx = i % LOW * 4 + 2 - 16 * bx - 8, dy = i / LOW * 4 + 2 - 16 * by - 8;
        const int d = dx * dx + dy * dy;
        logits[i] = by % 2 && d < 9 ? -1.25f : (float)((r * r - d) / 8.0 + 7.0 / 512);
    }
    if (bx % 2)
        logits[0] = 1.25f;
    return (float)(((bx * 7 + by * 3 + k * 5 + e->shade) % 11) / 10.0);
}

/* Index 0 is never chosen and is worthless; 2 is the single mask. */
static mf_status decode(void *self, const sam2_prompts *p, sam2_answers *a)
{
    ck_assert_int_eq(p->points, 1);
    ck_assert(p->pad);
    for (int64_t b = 0; b < p->batch; b++) {
        ck_assert_int_eq(p->labels[b], 1);
        for (int k = 0; k < 4; k++) {
            float *logits = a->logits + (4 * b + k) * LOW * LOW;
            const float *xy = p->xy + 2 * b;
            a->iou[4 * b + k] = disc(self, xy, k, logits);
            if (k == 0) {
                a->iou[4 * b] = 1;
                for (int i = 0; i < LOW * LOW; i++)
                    logits[i] = NAN;
            }
            for (int i = 0; i < LOW * LOW && p->masks && k == 2; i++)
                logits[i] = p->masks[b * LOW * LOW + i] * 0.5f + 0.25f;
            if (p->masks && k == 2)
                a->iou[4 * b + 2] = (float)(((int)xy[0] / 16 * 5 + (int)xy[1] / 16 * 3) % 9 / 10.0);
        }
    }
    return MF_OK;
}

static void choose(void *self, const sam2_answers *a, int64_t batch, int32_t *index)
{
    (void)self, (void)a;
    for (int64_t i = 0; i < batch; i++)
        index[i] = 2;
}

static mf_status step(void *self, int64_t done, int64_t total)
{
    eye *e = self;
    ck_assert_int_eq(done, e->steps);
    e->steps++;
    e->total = total;
    return e->steps == e->stop_at ? mf_fail(MF_CANCELLED, "stopped") : MF_OK;
}

static const sam2_generate_options mass = {.points_per_side = 8,
                                           .points_per_batch = 24,
                                           .pred_iou_thresh = 0.4,
                                           .stability_score_thresh = 0.7,
                                           .stability_score_offset = 1,
                                           .box_nms_thresh = 0.5,
                                           .crop_nms_thresh = 0.5,
                                           .crop_overlap_ratio = 0.5,
                                           .crop_n_points_downscale_factor = 1,
                                           .multimask_output = true,
                                           .threads = 3};

static void made(int64_t h, int64_t w, const sam2_generate_options *o, sam2_proposals *things)
{
    sam2_picture p = picture_of(h, w);
    eye e = {0};
    const sam2_eye seeing = {&e, IMAGE, look, decode, choose, step};
    ok(sam2_generate(&seeing, &p, o, things));
    ck_assert_int_eq(e.steps, e.total);
    free((void *)p.rgb);
}

/* The same set in the same order, with the same boxes, areas and scores. */
static void same_masks(int64_t h, int64_t w, const sam2_generate_options *o, const float *golden,
                       size_t numbers)
{
    sam2_proposals things;
    made(h, w, o, &things);
    ck_assert_uint_eq((size_t)things.count * 13, numbers);
    for (int64_t i = 0; i < things.count; i++, golden += 13) {
        const sam2_proposal *t = things.item + i;
        for (int k = 0; k < 4; k++) {
            ck_assert_float_eq(t->box[k], golden[k]);
            ck_assert_float_eq((float)t->crop[k], golden[9 + k]);
            ck_assert_int_eq(k < 2 ? t->patch.lo[k] : t->patch.hi[k - 2] - 1,
                             (int)golden[k ^ 1]); /* y x for x y */
        }
        ck_assert_int_eq(sam2_patch_area(&t->patch), (int)golden[4]);
        ck_assert_float_eq(t->iou, golden[5]);
        ck_assert_float_eq(t->stability, golden[6]);
        ck_assert_float_eq(t->point[0], golden[7]);
        ck_assert_float_eq(t->point[1], golden[8]);
    }
    sam2_proposals_clear(&things);
}

#define SAME_MASKS(h, w, o, golden) same_masks(h, w, o, golden, sizeof golden / sizeof *golden)

START_TEST(masks_are_those_of_official_code)
{
    sam2_generate_options o = mass;
    SAME_MASKS(90, 110, &o, made_plain);
    o.min_mask_region_area = 9;
    SAME_MASKS(90, 110, &o, made_area);
    o.min_mask_region_area = 3;
    o.crop_n_layers = 2;
    SAME_MASKS(150, 130, &o, made_crops);
    o = mass;
    o.multimask_output = false;
    SAME_MASKS(90, 110, &o, made_single);
    o = mass;
    o.use_m2m = true;
    SAME_MASKS(90, 110, &o, made_m2m);
    o = (sam2_generate_options){.points_per_side = 8,
                                .points_per_batch = 64,
                                .pred_iou_thresh = 0.3,
                                .stability_score_thresh = 0.8,
                                .stability_score_offset = 1,
                                .box_nms_thresh = 0.7,
                                .crop_nms_thresh = 0.7,
                                .crop_overlap_ratio = 512.0 / 1500,
                                .crop_n_layers = 1,
                                .crop_n_points_downscale_factor = 2,
                                .multimask_output = true,
                                .threads = 3};
    SAME_MASKS(150, 130, &o, made_official);
}
END_TEST

START_TEST(batches_change_nothing)
{
    sam2_generate_options o = mass;
    for (int64_t batch = 1; batch < 70; batch += 17) {
        o.points_per_batch = batch;
        o.use_m2m = false;
        SAME_MASKS(90, 110, &o, made_plain);
        o.use_m2m = true;
        SAME_MASKS(90, 110, &o, made_m2m);
    }
}
END_TEST

/* Points of one's own, the same in every layer. */
START_TEST(points_can_be_given)
{
    static const double grid[4] = {0.5 / 8, 0.5 / 8, 3.5 / 8, 2.5 / 8};
    sam2_generate_options o = mass;
    sam2_proposals things;
    o.point_grids = grid;
    o.grid_points = 2;
    o.crop_n_layers = 1;
    made(90, 110, &o, &things);
    ck_assert_int_gt(things.count, 0);
    for (int64_t i = 0; i < things.count; i++) {
        const sam2_proposal *t = things.item + i;
        bool found = false;
        for (int k = 0; k < 4; k += 2)
            found = found || (fabs((double)t->point[0] - t->crop[0] -
                                   grid[k] * (t->crop[2] - t->crop[0])) < 1e-4 &&
                              fabs((double)t->point[1] - t->crop[1] -
                                   grid[k + 1] * (t->crop[3] - t->crop[1])) < 1e-4);
        ck_assert(found);
    }
    sam2_proposals_clear(&things);
    o.point_grids = NULL;
    o.points_per_side = 2;
    o.crop_n_points_downscale_factor = 4; /* none are left in the crops */
    sam2_picture p = picture_of(90, 110);
    eye e = {0};
    const sam2_eye seeing = {&e, IMAGE, look, decode, choose, step};
    fails(sam2_generate(&seeing, &p, &o, &things), "no points are left in crop layer 1");
    e = (eye){.stop_at = 2};
    fails(sam2_generate(&seeing, &p, &mass, &things), "stopped");
    ck_assert_int_eq(things.count, 0);
    free((void *)p.rgb);
}
END_TEST

/* Pictures from a single pixel up do not break it. */
START_TEST(pictures_of_any_size)
{
    static const int64_t sizes[][2] = {{1, 1}, {1, 50}, {50, 1}, {2, 3}, {16, 16}, {700, 5}};
    sam2_generate_options o = mass;
    o.crop_n_layers = 2;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        sam2_proposals things;
        made(sizes[i][0], sizes[i][1], &o, &things);
        for (int64_t k = 0; k < things.count; k++) {
            ck_assert_int_le(things.item[k].patch.hi[0], sizes[i][0]);
            ck_assert_int_le(things.item[k].patch.hi[1], sizes[i][1]);
        }
        sam2_proposals_clear(&things);
    }
}
END_TEST

/* ---- seeds ----------------------------------------------------------------------------------- */

static void seeded(const sam2_seeding *o, int64_t count, double spacing, const uint8_t *body,
                   const uint8_t *dense, const int64_t *wanted, int64_t n)
{
    int64_t *slices, chosen;
    ok(sam2_seed_slices(o, count, spacing, body, dense, &slices, &chosen));
    ck_assert_int_eq(chosen, n);
    for (int64_t i = 0; i < n; i++)
        ck_assert_int_eq(slices[i], wanted[i]);
    free(slices);
}

#define SEEDED(o, count, spacing, body, dense, ...)                                                \
    seeded(o, count, spacing, body, dense, (const int64_t[]){__VA_ARGS__},                         \
           sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t))

START_TEST(slices_are_seeded_as_in_mass)
{
    const sam2_seeding o = {30, 10, 3}, few = {30, 3, 3};
    uint8_t body[40] = {0}, dense[40] = {0};
    int64_t *slices, n;
    memset(body + 7, 1, 21); /* slices 7 to 27 */
    body[15] = 0;
    SEEDED(&few, 40, 5, body, NULL, 7, 13, 19, 25);
    SEEDED(&few, 40, 4, body, NULL, 7, 15, 23); /* 7.5 is rounded to even */
    SEEDED(&o, 40, 5, body, NULL, 7, 9, 11, 13, 15, 18, 20, 22, 24, 27);
    SEEDED(&few, 7, 5, NULL, NULL, 0, 3, 6);
    SEEDED(&o, 7, 5, NULL, NULL, 0, 1, 2, 3, 4, 5, 6);
    SEEDED(&o, 1, 5, NULL, NULL, 0);
    memset(dense + 12, 1, 5); /* 12 to 16, and one more to the left, two to the right */
    memset(dense + 24, 1, 4); /* too short */
    SEEDED(&few, 40, 5, body, dense, 7, 13, 15, 17, 19, 25);
    memset(body, 0, sizeof body);
    fails(sam2_seed_slices(&o, 40, 5, body, NULL, &slices, &n), "the body mask holds no voxel");
}
END_TEST

/* Slices of a scan [z, y, x] = [3, 4, 5] whose array has another shape, or that is empty. */
START_TEST(slices_must_fit_their_scan)
{
    const int64_t size[3] = {5, 4, 3}, none[3] = {5, 4, 0};
    const int64_t shapes[3][4] = {{3, 4, 5, 4}, {3, 5, 4, 3}, {0, 4, 5, 3}};
    static const char *const messages[3] = {
        "slices [3, 4, 5, 4] do not fit their grid, which has [3, 4, 5, 3]",
        "slices [3, 5, 4, 3] do not fit their grid, which has [3, 4, 5, 3]",
        "the scan is empty: 5 x 4 x 0 voxels"};
    const double spacing[3] = {1, 1, 1};
    for (int i = 0; i < 3; i++) {
        mf_artifact *slices;
        mf_array *rgb;
        mf_grid grid;
        sam2_stack s;
        mf_grid_identity(&grid, i == 2 ? none : size, spacing);
        ok(mf_artifact_new("slices", &slices));
        ok(mf_artifact_set_grid(slices, &grid));
        ok(mf_artifact_set_int(slices, "axis", 0));
        ok(mf_array_new(MF_U8, 4, shapes[i], &rgb));
        ok(mf_artifact_add(slices, "rgb", rgb));
        fails(sam2_stack_read(slices, &s), messages[i]);
        mf_array_unref(rgb);
        mf_artifact_unref(slices);
    }
}
END_TEST

/* A voxel has the colour of its place; every axis finds it there. */
START_TEST(slices_are_cut_across_any_axis)
{
    const int64_t size[3] = {5, 4, 3}; /* x y z */
    const double spacing[3] = {1, 2, 3};
    for (int own = 0; own < 3; own++) {
        mf_artifact *slices;
        mf_array *rgb;
        mf_grid grid;
        sam2_stack s;
        const int64_t shapes[3][4] = {{3, 4, 5, 3}, {4, 3, 5, 3}, {5, 3, 4, 3}};
        mf_grid_identity(&grid, size, spacing);
        ok(mf_artifact_new("slices", &slices));
        ok(mf_artifact_set_grid(slices, &grid));
        fails(sam2_stack_read(slices, &s), "slices that do not say their axis");
        ok(mf_artifact_set_int(slices, "axis", own));
        ok(mf_array_new(MF_U8, 4, shapes[own], &rgb));
        uint8_t *p = rgb->data;
        for (int64_t i = 0; i < 60; i++, p += 3) {
            const int64_t a = i / shapes[own][2] / shapes[own][1],
                          b = i / shapes[own][2] % shapes[own][1], c = i % shapes[own][2];
            const int64_t zyx[3][3] = {{a, b, c}, {b, a, c}, {b, c, a}};
            for (int k = 0; k < 3; k++)
                p[k] = (uint8_t)zyx[own][k];
        }
        ok(mf_artifact_add(slices, "rgb", rgb));
        mf_array_unref(rgb);
        ok(sam2_stack_read(slices, &s));
        for (int axis = 0; axis < 3; axis++) {
            int64_t h, w;
            ck_assert_int_eq(sam2_stack_count(&s, axis), size[2 - axis]);
            ck_assert_double_eq(sam2_stack_spacing(&s, axis), spacing[2 - axis]);
            sam2_stack_size(&s, axis, &h, &w);
            for (int64_t i = 0; i < size[2 - axis]; i++) {
                uint8_t slice[60 * 3];
                sam2_stack_slice(&s, axis, i, slice);
                for (int64_t y = 0; y < h; y++)
                    for (int64_t x = 0; x < w; x++) {
                        int64_t lo[3], hi[3];
                        sam2_slice_box(axis, i, (int64_t[]){y, x}, (int64_t[]){y + 1, x + 1}, lo,
                                       hi);
                        for (int k = 0; k < 3; k++) {
                            ck_assert_int_eq(slice[(y * w + x) * 3 + k], lo[k]);
                            ck_assert_int_eq(hi[k], lo[k] + 1);
                        }
                    }
            }
        }
        sam2_stack_clear(&s);
        mf_artifact_unref(slices);
    }
}
END_TEST

START_TEST(a_body_is_seen_from_each_side)
{
    const int64_t size[3] = {5, 4, 3};
    const double spacing[3] = {1, 1, 1};
    uint8_t voxels[60] = {0}, has[5];
    mf_grid grid;
    mf_grid_identity(&grid, size, spacing);
    voxels[1 * 20 + 2 * 5 + 4] = 9;
    for (int axis = 0; axis < 3; axis++) {
        static const int64_t at[3] = {1, 2, 4};
        sam2_project(&grid, voxels, axis, has);
        for (int64_t i = 0; i < size[2 - axis]; i++)
            ck_assert_int_eq(has[i], i == at[axis]);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sam2_stages");
    TCase *cases = tcase_create("sam2_stages");
    tcase_set_timeout(cases, 120);
    tcase_add_test(cases, pictures_are_resized_as_pytorch_and_pillow_do);
    tcase_add_test(cases, crops_are_pictures);
    tcase_add_test(cases, masks_are_resized_as_pytorch_does);
    tcase_add_test(cases, logits_are_stretched_as_pytorch_does);
    tcase_add_test(cases, small_masks_are_found_whole);
    tcase_add_test(cases, holes_and_sprinkles_go_as_in_official_code);
    tcase_add_test(cases, least_areas_follow_the_model);
    tcase_add_test(cases, the_part_on_the_seed_stays);
    tcase_add_test(cases, crops_are_those_of_official_code);
    tcase_add_test(cases, boxes_are_suppressed_in_order);
    tcase_add_test(cases, masks_are_those_of_official_code);
    tcase_add_test(cases, batches_change_nothing);
    tcase_add_test(cases, points_can_be_given);
    tcase_add_test(cases, pictures_of_any_size);
    tcase_add_test(cases, slices_are_seeded_as_in_mass);
    tcase_add_test(cases, slices_must_fit_their_scan);
    tcase_add_test(cases, slices_are_cut_across_any_axis);
    tcase_add_test(cases, a_body_is_seen_from_each_side);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
