/* Whether a scan has a background, and the body in it: made scans of each kind whose body is known.
 */
#include "../expect.h"
#include "../run_suite.h"
#include "background.h"

#include <check.h>
#include <massflow/random.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { Z = 36, Y = 48, X = 44, VOXELS = Z * Y * X };
static const int64_t size[3] = {Z, Y, X};
static const double spacing[3] = {4, 3, 3};

enum { AIR, TISSUE, BRIGHT, DIM, LUNG }; /* what lies where; labels are BRIGHT and DIM */

typedef struct made {
    float v[VOXELS];
    uint8_t is[VOXELS];
    uint8_t body[VOXELS]; /* as found */
    mf_background found;
    char words[MF_BACKGROUND_WORDS];
} made;

static double from_center(int z, int y, int x, const double c[3], const double r[3])
{
    const double d[3] = {(z - c[0]) / r[0], (y - c[1]) / r[1], (x - c[2]) / r[2]};
    return d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
}

/* A trunk that reaches through all slices, with organs at the places that `lungs` leaves. */
static void draw(made *m, bool lungs)
{
    for (int z = 0, i = 0; z < Z; z++)
        for (int y = 0; y < Y; y++)
            for (int x = 0; x < X; x++, i++) {
                const double trunk =
                    from_center(0, y, x, (double[]){0, 23.5, 21.5}, (double[]){1, 18, 17});
                const double left =
                    from_center(z, y, x, (double[]){20, 22, 13}, (double[]){12, 9, 6});
                const double right =
                    from_center(z, y, x, (double[]){20, 22, 30}, (double[]){12, 9, 6});
                m->is[i] = trunk > 1   ? AIR
                           : left < 1  ? (lungs ? LUNG : BRIGHT)
                           : right < 1 ? (lungs ? LUNG : DIM)
                                       : TISSUE;
            }
}

static void paint(made *m, const double value[5], double noise, bool magnitude)
{
    mf_random r;
    mf_random_seed(&r, 5, "background", 0);
    for (int i = 0; i < VOXELS; i++) {
        const double a = value[m->is[i]] + noise * mf_random_normal(&r);
        const double b = magnitude ? noise * mf_random_normal(&r) : 0;
        m->v[i] = (float)(magnitude ? sqrt(a * a + b * b) : a);
    }
}

static const double mr[5] = {0, 500, 900, 200, 0}, ct[5] = {-1000, 40, 110, 0, -850};

static void find(made *m, mf_modality modality)
{
    ok(mf_background_find(m->v, size, spacing, modality, -500, m->body, &m->found));
    mf_background_words(&m->found, m->words, sizeof m->words);
    int64_t inside = 0;
    for (int i = 0; i < VOXELS; i++)
        inside += m->body[i];
    ck_assert_int_eq(inside, m->found.inside);
}

/* Shares of the body that were lost, and of the rest that were kept. */
static void compare(const made *m, double *lost, double *kept)
{
    int64_t body = 0, gone = 0, more = 0;
    for (int i = 0; i < VOXELS; i++) {
        body += m->is[i] != AIR;
        gone += m->is[i] != AIR && !m->body[i];
        more += m->is[i] == AIR && m->body[i];
    }
    *lost = (double)gone / (double)body;
    *kept = body < VOXELS ? (double)more / (double)(VOXELS - body) : 0;
}

/* All of the body is found, but for that share, and little else. */
static void is_found(const made *m, double most_lost, double most_kept)
{
    double lost, kept;
    compare(m, &lost, &kept);
    ck_assert_int_eq(m->found.kind, MF_BACKGROUND_SOME);
    ck_assert_msg(lost <= most_lost && kept <= most_kept, "%.4f lost, %.4f kept: %s", lost, kept,
                  m->words);
}

static void is_whole(const made *m, mf_background_kind kind)
{
    ck_assert_msg(m->found.inside == VOXELS, "%s", m->words);
    ck_assert_int_eq(m->found.kind, kind);
    ck_assert_double_eq(m->found.body, 1);
}

static made *begin(void)
{
    made *m = calloc(1, sizeof *m);
    ck_assert_ptr_nonnull(m);
    draw(m, false);
    return m;
}

START_TEST(mr_in_air)
{
    made *m = begin();
    paint(m, mr, 10, true);
    find(m, MF_MODALITY_MR);
    is_found(m, 0, 0.005);
    ck_assert_str_eq(m->words,
                     "background: air at the border (at most 48.6629) 54.5% of the volume; "
                     "the body is the rest, 45.5%");
    free(m);
}
END_TEST

/* The same scan in other numbers has the same body. */
START_TEST(numbers_do_not_matter)
{
    made *m = begin(), *n = begin();
    paint(m, mr, 10, true);
    find(m, MF_MODALITY_MR);
    static const double scale[] = {1e-4, 3e4, 1 / 256.0, 1}, shift[] = {0, 0, -1, -2048};
    for (int k = 0; k < 4; k++) {
        for (int i = 0; i < VOXELS; i++)
            n->v[i] = (float)(m->v[i] * scale[k] + shift[k]);
        find(n, k % 2 ? MF_MODALITY_PET : MF_MODALITY_MR);
        is_found(n, 0, 0.005);
    }
    for (int i = 0; i < VOXELS; i++) /* 8 bits */
        n->v[i] = (float)floor(fmin(m->v[i] / 940 * 255, 255));
    find(n, MF_MODALITY_MR);
    is_found(n, 0.0005, 0.01);
    free(m), free(n);
}
END_TEST

START_TEST(a_bias_field)
{
    made *m = begin();
    paint(m, mr, 10, true);
    for (int i = 0; i < VOXELS; i++)
        m->v[i] *= (float)exp(1.2 * (i % X - X / 2.0) / X);
    find(m, MF_MODALITY_MR);
    is_found(m, 0, 0.01);
    free(m);
}
END_TEST

/* Noise that hides the air from single voxels: the means widen the body by about a voxel. */
START_TEST(noise_of_a_tenth_of_the_tissue)
{
    made *m = begin();
    paint(m, mr, 50, true);
    find(m, MF_MODALITY_MR);
    ck_assert(m->found.smoothed);
    is_found(m, 0, 0.15);
    for (int i = 0; i < VOXELS; i++)
        ck_assert(m->is[i] != BRIGHT || m->body[i]);
    free(m);
}
END_TEST

/* A box in the body whose dark half Otsu would drop: nothing is background. */
START_TEST(a_crop_inside_the_body)
{
    made *m = begin();
    for (int z = 0, i = 0; z < Z; z++)
        for (int y = 0; y < Y; y++)
            for (int x = 0; x < X; x++, i++)
                m->is[i] = x < 18 + y % 7 ? TISSUE : (x + y + z) % 11 == 0 ? AIR : BRIGHT;
    paint(m, mr, 40, true);
    find(m, MF_MODALITY_MR);
    is_whole(m, MF_BACKGROUND_NONE);
    ck_assert_str_eq(m->words,
                     "no background: no padding, and dark regions at the border (at most "
                     "134.657) hold 0.0% of the volume (5% would be air); the body is the "
                     "whole volume");
    /* Nothing dark at all, and so smooth that one tissue is within a tenth of the range. */
    for (int i = 0; i < VOXELS; i++)
        m->is[i] = m->is[i] == AIR ? TISSUE : m->is[i];
    paint(m, mr, 5, true);
    find(m, MF_MODALITY_MR);
    is_whole(m, MF_BACKGROUND_NONE);
    ck_assert_str_eq(m->words,
                     "no background: no padding and nothing as dark as air (a tenth of the "
                     "way from percentile 2 to 98 is 532.921, above a quarter of percentile "
                     "98); the body is the whole volume");
    paint(m, ct, 20, false);
    for (int i = 0; i < VOXELS; i++)
        m->v[i] = i % 13 ? m->v[i] : 20;
    find(m, MF_MODALITY_CT);
    is_whole(m, MF_BACKGROUND_NONE);
    ck_assert_str_eq(m->words,
                     "no background: no padding and no air (at most -500 HU) at the border; "
                     "the body is the whole volume");
    free(m);
}
END_TEST

/* Grey values upside down: a bright background is not looked for, and nothing is lost. */
START_TEST(inverted)
{
    made *m = begin();
    paint(m, mr, 10, true);
    for (int i = 0; i < VOXELS; i++)
        m->v[i] = 1000 - m->v[i];
    find(m, MF_MODALITY_MR);
    is_whole(m, MF_BACKGROUND_NONE);
    free(m);
}
END_TEST

/* Stripped: dark tissue at the edge of the mask is body, and so is a small piece, whatever the
 * padding's value is. */
START_TEST(padding_of_any_value)
{
    made *m = begin();
    m->is[(9 * Y + 3) * X + 5] = TISSUE;
    static const double padding[] = {0, -3024, 430, NAN, INFINITY};
    for (size_t k = 0; k < sizeof padding / sizeof *padding; k++) {
        paint(m, (const double[]){0, 500, 900, 30, 0}, 10, true);
        for (int i = 0; i < VOXELS; i++) {
            const double y = i / X % Y - 23.5, x = i % X - 21.5;
            if (m->is[i] == AIR)
                m->v[i] = (float)padding[k];
            else if (y * y / 256 + x * x / 225 > 1)
                m->v[i] /= 20;
        }
        find(m, MF_MODALITY_MR);
        is_found(m, 0, 0);
        ck_assert_int_eq(m->found.constant, k < 3);
        ck_assert_double_eq(m->found.air, 0);
    }
    ck_assert_str_eq(m->words,
                     "background: padding (not finite) 54.5% of the volume; the body is the "
                     "rest, 45.5%");
    free(m);
}
END_TEST

/* A scan with noise in its air that was turned: padding in the corners, air between. */
START_TEST(padding_around_air)
{
    made *m = begin();
    paint(m, mr, 10, true);
    for (int i = 0; i < VOXELS; i++) {
        const int x = i % X, y = i / X % Y;
        if (x + y < 14 || x + y > X + Y - 16 || x - y > X - 14 || y - x > Y - 14)
            m->v[i] = 0;
    }
    find(m, MF_MODALITY_MR);
    is_found(m, 0, 0.005);
    ck_assert_double_gt(m->found.padding, 0.05);
    ck_assert_double_gt(m->found.air, 0.2);
    free(m);
}
END_TEST

/* PET: no activity in the air, and a smooth edge. */
START_TEST(pet_with_a_halo)
{
    made *m = begin();
    for (int i = 0; i < VOXELS; i++) {
        const double y = (i / X % Y - 23.5) / 18, x = (i % X - 21.5) / 17, r = sqrt(y * y + x * x);
        const double edge = fmin(fmax((r - 0.9) / 0.5, 0), 1);
        m->v[i] = (float)((m->is[i] == BRIGHT ? 3 : 0.8) * (1 - edge) * (1 - edge));
        m->v[i] = m->v[i] < 1e-3f ? 0 : m->v[i];
    }
    find(m, MF_MODALITY_PET);
    is_found(m, 0, 0.25);
    free(m);
}
END_TEST

/* Lungs belong to the body, also where the scan's border cuts them; the air around does not. */
START_TEST(ct_with_lungs)
{
    static made cut;
    made *m = begin();
    draw(m, true);
    paint(m, ct, 25, false);
    find(m, MF_MODALITY_CT);
    is_found(m, 0, 0);
    ck_assert_str_eq(m->words,
                     "background: air at the border (at most -500 HU) 54.5% of the volume; "
                     "the body is the rest, 45.5%");
    /* From the middle of both lungs on: they touch the first slices, and from the middle of one. */
    for (int from = 0; from < 2; from++) {
        for (int i = 0; i < VOXELS; i++) {
            const int x = i % X, y = i / X % Y, z = i / X / Y;
            const int at = from ? (z * Y + y) * X + (x + 13) % X : ((z + 20) % Z * Y + y) * X + x;
            cut.v[i] = m->v[at], cut.is[i] = m->is[at];
            if (from ? x + 13 >= X : z + 20 >= Z)
                cut.v[i] = -1000, cut.is[i] = AIR;
        }
        find(&cut, MF_MODALITY_CT);
        is_found(&cut, 0, 0);
    }
    free(m);
}
END_TEST

/* All lung, as around a nodule; and all air. */
START_TEST(ct_of_one_kind)
{
    made *m = begin();
    memset(m->is, LUNG, sizeof m->is);
    m->is[VOXELS / 2] = TISSUE;
    paint(m, ct, 40, false);
    find(m, MF_MODALITY_CT);
    is_whole(m, MF_BACKGROUND_NONE);
    memset(m->is, AIR, sizeof m->is);
    paint(m, ct, 20, false);
    find(m, MF_MODALITY_CT);
    is_whole(m, MF_BACKGROUND_ALL);
    ck_assert_str_eq(m->words,
                     "the volume holds nothing but air (at most -500 HU); the body is the "
                     "whole volume");
    for (int i = 0; i < VOXELS; i++)
        m->v[i] = 7;
    for (int k = 0; k < 2; k++) {
        find(m, k ? MF_MODALITY_CT : MF_MODALITY_MR);
        is_whole(m, MF_BACKGROUND_CONSTANT);
        m->v[0] = NAN;
    }
    ck_assert_str_eq(m->words,
                     "no background: the volume is constant; the body is the whole volume");
    free(m);
}
END_TEST

/* CT clipped to a window and stored in 8 bits: air, lung and fat are one value. */
START_TEST(ct_in_a_window)
{
    made *m = begin();
    draw(m, true);
    paint(m, ct, 10, false);
    for (int i = 0; i < VOXELS; i++)
        m->v[i] = (float)floor(fmin(fmax((m->v[i] + 160) / 400, 0), 1) * 255);
    find(m, MF_MODALITY_CT);
    is_found(m, 0, 0);
    free(m);
}
END_TEST

/* Two legs are one body; specks and a thin table are not. */
START_TEST(parts)
{
    made *m = begin();
    for (int i = 0; i < VOXELS; i++) {
        const int x = i % X, y = i / X % Y;
        const bool leg = (x > 5 && x < 18) || (x > 24 && x < 36);
        m->is[i] = leg && y > 12 && y < 32 ? TISSUE : AIR;
    }
    for (int x = 4; x < 40; x++)
        m->is[(9 * Y + 40) * X + x] = TISSUE;
    m->is[(20 * Y + 6) * X + 20] = TISSUE;
    paint(m, ct, 20, false);
    for (int x = 4; x < 40; x++)
        m->is[(9 * Y + 40) * X + x] = AIR; /* what is wanted */
    m->is[(20 * Y + 6) * X + 20] = AIR;
    find(m, MF_MODALITY_CT);
    is_found(m, 0, 0);
    free(m);
}
END_TEST

/* Odd shapes: one slice, one row, one voxel. */
START_TEST(small_volumes)
{
    made *m = begin();
    paint(m, mr, 10, true);
    uint8_t body[Y * X], none = 9;
    mf_background found;
    ok(mf_background_find(m->v, (const int64_t[]){1, Y, X}, spacing, MF_MODALITY_MR, 0, body,
                          &found));
    int64_t wrong = 0;
    for (int i = 0; i < Y * X; i++)
        wrong += (m->is[i] != AIR) != body[i];
    ck_assert_int_le(wrong, Y * X / 100);
    for (int n = 1; n <= 5; n += 4) {
        ok(mf_background_find(m->v, (const int64_t[]){1, 1, n}, spacing, MF_MODALITY_CT, -500, body,
                              &found));
        ck_assert_int_eq(found.inside, n);
        ok(mf_background_find(m->v, (const int64_t[]){n, 1, 1}, spacing, MF_MODALITY_MR, -500, body,
                              &found));
        ck_assert_int_eq(found.inside, n);
    }
    ok(mf_background_find(m->v, (const int64_t[]){0, 4, 4}, spacing, MF_MODALITY_MR, 0, &none,
                          &found));
    ck_assert_int_eq(found.inside, 0);
    ck_assert_int_eq(none, 9);
    fails(mf_background_find(m->v, (const int64_t[]){2048, 2048, 2048}, spacing, MF_MODALITY_MR, 0,
                             body, &found),
          "a body mask of over 2^31 voxels");
    free(m);
}
END_TEST

/* ---- crops without air, dark tissue beside air ------------------------------------------------
 */

enum { N = 64, CUBE = N * N * N };
enum noise { ABOVE, NORMAL, RICE }; /* absolute, signed, magnitude */

/* Two tissues: `bright` where a smooth random field of deviation 1 is above `cut`, or within
 * `radius` voxels of the center. Air lies farther than `body` voxels from the center. */
typedef struct kind {
    const char *name;
    mf_modality modality;
    double dark, bright, cut, radius, body;
    double noise;
    enum noise of;
    double air, air_noise;
    double clip[2];    /* if not 0: clipped to this, rounded */
    double texture;    /* the field times this is added to the darker tissue */
    bool score;        /* then mean 0, deviation 1 */
    const char *doubt; /* the words hold this */
} kind;

#define NO_NOISE "is not like noise about no signal: it counts as body"

static const kind kinds[] = {
    {"PET, hot on 0.6", MF_MODALITY_PET, 0.6, 8, 1, 0, 0, 0.1, .doubt = NO_NOISE},
    {"PET, lesion of 5", MF_MODALITY_PET, 0.8, 5, 0, 14, 0, 0.1, .doubt = NO_NOISE},
    {"PET, lesion of 10", MF_MODALITY_PET, 0.8, 10, 0, 14, 0, 0.1, .doubt = NO_NOISE},
    {"PET, bladder", MF_MODALITY_PET, 2, 60, 0, 10, 0, 0.2, .doubt = NO_NOISE},
    {"PET, signed noise", MF_MODALITY_PET, 0.8, 10, 0, 14, 0, 0.15, NORMAL, .doubt = NO_NOISE},
    {"MR, vessels on 80", MF_MODALITY_MR, 80, 1000, 1.2, 0, 0, 8, .doubt = NO_NOISE},
    {"MR, 60 and 1000", MF_MODALITY_MR, 60, 1000, 0, 0, 0, 8, .doubt = NO_NOISE},
    {"MR, Rice", MF_MODALITY_MR, 60, 1000, 1.2, 0, 0, 15, RICE, .doubt = NO_NOISE},
    {"MR, z-scores", MF_MODALITY_MR, -0.3, 2.5, 0.8, 0, 0, 0.1, NORMAL, .doubt = NO_NOISE},
    {"MR, scored", MF_MODALITY_MR, 60, 1000, 0.8, 0, 0, 15, RICE, .score = true, .doubt = NO_NOISE},
    {"CT, lung in a window", MF_MODALITY_CT, -850, 40, 0.3, 0, 0, 20, NORMAL, .clip = {-200, 250},
     .doubt = "holds the lowest value (-200), which may be clipped tissue: it counts as body"},
    {"CT, emphysema", MF_MODALITY_CT, -955, 40, 0.8, 0, 0, 20, NORMAL, .texture = 50,
     .doubt = "varies more than air, as lung does: it counts as body"},
    {"MR, dark tissue in air", MF_MODALITY_MR, 30, 300, 0, 0, 27, 5, NORMAL, 0, 8},
    {"MR, more of it", MF_MODALITY_MR, 60, 900, 0.8, 0, 25, 10, RICE, 0, 10},
    {"MR in air, scored", MF_MODALITY_MR, 300, 600, 0, 0, 25, 10, RICE, 0, 10, .score = true},
    {"MR in signed air", MF_MODALITY_MR, 300, 600, 0, 0, 25, 10, NORMAL, 0, 10},
    {"PET in air, a hot organ", MF_MODALITY_PET, 0.8, 30, 0, 12, 26, 0.15, NORMAL, 0, 0.03},
    {"CT in air", MF_MODALITY_CT, -80, 60, 0, 0, 24, 20, NORMAL, -1000, 10},
    {"CT in air, noise of 60 HU", MF_MODALITY_CT, -80, 60, 0, 0, 24, 60, NORMAL, -1000, 60},
    {"CT in air, a window", MF_MODALITY_CT, -80, 60, 0, 0, 24, 20, NORMAL, -1000, 10,
     .clip = {-200, 250}},
};

static double noisy(mf_random *r, double value, double noise, enum noise of)
{
    const double a = noise * mf_random_normal(r);
    if (of != RICE)
        return value + (of == ABOVE ? fabs(a) : a);
    const double b = noise * mf_random_normal(r);
    return sqrt((value + a) * (value + a) + b * b);
}

/* A smooth random field of mean 0 and deviation 1: waves along random directions. */
static void make_field(float *field)
{
    enum { WAVES = 24 };
    double wave[WAVES][4];
    mf_random r;
    mf_random_seed(&r, 7, "field", 0);
    for (int w = 0; w < WAVES; w++) {
        for (int a = 0; a < 3; a++)
            wave[w][a] = 0.11 * mf_random_normal(&r);
        wave[w][3] = mf_random_uniform(&r, 0, 6.28318);
    }
    for (int i = 0; i < CUBE; i++) {
        const int x = i % N, y = i / N % N, z = i / N / N;
        double sum = 0;
        for (int w = 0; w < WAVES; w++)
            sum += cos(wave[w][0] * z + wave[w][1] * y + wave[w][2] * x + wave[w][3]);
        field[i] = (float)(sum / sqrt(WAVES / 2.0));
    }
}

static void make_kind(const kind *k, const float *field, float *v, uint8_t *is)
{
    mf_random r;
    mf_random_seed(&r, 3, k->name, 0);
    double sum = 0, square = 0;
    for (int i = 0; i < CUBE; i++) {
        const double z = i / N / N - 31.5, y = i / N % N - 31.5, x = i % N - 31.5,
                     far = sqrt(x * x + y * y + z * z);
        const bool bright = k->radius > 0 ? far < k->radius : (double)field[i] > k->cut;
        is[i] = k->body > 0 && far >= k->body ? AIR : TISSUE;
        double value = is[i] == TISSUE
                           ? noisy(&r, bright ? k->bright : k->dark + k->texture * (double)field[i],
                                   k->noise, k->of)
                           : noisy(&r, k->air, k->air_noise, k->of);
        if (k->clip[0] < k->clip[1])
            value = floor(fmin(fmax(value, k->clip[0]), k->clip[1]));
        v[i] = (float)value;
        sum += value, square += value * value;
    }
    const double mean = sum / CUBE, deviation = sqrt(square / CUBE - mean * mean);
    for (int i = 0; i < CUBE && k->score; i++)
        v[i] = (float)((v[i] - mean) / deviation);
}

/* At least 0.99 of the body is kept, and the air around it is not. */
START_TEST(dark_tissue_is_no_air)
{
    const kind *k = &kinds[_i];
    float *field = malloc(2 * CUBE * sizeof *field), *v = field + CUBE;
    uint8_t *is = malloc(2 * (size_t)CUBE), *body = is + CUBE;
    char words[MF_BACKGROUND_WORDS];
    mf_background found;
    ck_assert(field && is);
    make_field(field);
    make_kind(k, field, v, is);
    ok(mf_background_find(v, (const int64_t[]){N, N, N}, (const double[]){2, 2, 2}, k->modality,
                          -500, body, &found));
    mf_background_words(&found, words, sizeof words);
    int64_t tissue = 0, kept = 0, air = 0;
    for (int i = 0; i < CUBE; i++) {
        tissue += is[i] == TISSUE;
        kept += is[i] == TISSUE && body[i];
        air += is[i] == AIR && body[i];
    }
    ck_assert_msg(100 * kept >= 99 * tissue && 100 * air <= CUBE - tissue,
                  "%s: %.3f of the body and %d voxels of air: %s", k->name,
                  (double)kept / (double)tissue, (int)air, words);
    if (k->body > 0)
        ck_assert_msg(!strstr(words, "in doubt"), "%s: %s", k->name, words);
    else
        ck_assert_int_eq(kept, CUBE);
    ck_assert_msg(!k->doubt || strstr(words, k->doubt), "%s: %s", k->name, words);
    free(field), free(is);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("background");
    TCase *tests = tcase_create("background");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, mr_in_air);
    tcase_add_test(tests, numbers_do_not_matter);
    tcase_add_test(tests, a_bias_field);
    tcase_add_test(tests, noise_of_a_tenth_of_the_tissue);
    tcase_add_test(tests, a_crop_inside_the_body);
    tcase_add_test(tests, inverted);
    tcase_add_test(tests, padding_of_any_value);
    tcase_add_test(tests, padding_around_air);
    tcase_add_test(tests, pet_with_a_halo);
    tcase_add_test(tests, ct_with_lungs);
    tcase_add_test(tests, ct_of_one_kind);
    tcase_add_test(tests, ct_in_a_window);
    tcase_add_test(tests, parts);
    tcase_add_test(tests, small_volumes);
    tcase_add_loop_test(tests, dark_tissue_is_no_air, 0, (int)(sizeof kinds / sizeof *kinds));
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
