/* anatomy.c - see anatomy.h. Organs are tilted ellipsoids in body coordinates (-1 .. 1 along x to
 * the right, y to the front, z to the head), bent by a smooth random displacement of the body. */
#include "anatomy.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LATTICE 7  /* control points of a smooth field along each axis */
#define TEXTURE 24 /* of the fine texture inside organs */

typedef struct organ {
    const char *name;
    double center[3], radius[3];
    int parent; /* label that it lies in: 0 the body */
    double ct;  /* HU */
    double mr;  /* of full signal */
    double pet; /* SUV */
} organ;

/* clang-format off */
static const organ organs[ANATOMY_ORGANS] = {
    {"liver",           { 0.38,  0.08,  0.08}, {0.40, 0.38, 0.44}, 0,  105, 0.55, 2.2},
    {"spleen",          {-0.56, -0.16,  0.18}, {0.17, 0.21, 0.28}, 0,  135, 0.80, 1.6},
    {"right kidney",    { 0.34, -0.32, -0.46}, {0.15, 0.14, 0.28}, 0,  180, 0.68, 3.0},
    {"left kidney",     {-0.34, -0.32, -0.36}, {0.15, 0.14, 0.28}, 0,  180, 0.68, 3.0},
    {"stomach",         {-0.30,  0.26,  0.16}, {0.24, 0.19, 0.24}, 0,    5, 0.36, 1.2},
    {"spine",           { 0.00, -0.38,  0.00}, {0.14, 0.14, 3.00}, 0,  380, 0.28, 1.0},
    {"aorta",           {-0.08, -0.15,  0.00}, {0.075,0.075,3.00}, 0,  260, 0.12, 1.9},
    {"bladder",         { 0.00,  0.16, -0.80}, {0.24, 0.20, 0.18}, 0,  -10, 0.98, 8.0},
    {"gallbladder",     { 0.30,  0.22, -0.06}, {0.09, 0.10, 0.16}, 1,    0, 0.95, 0.6},
    {"spinal canal",    { 0.00, -0.39,  0.00}, {0.055,0.055,3.00}, 6,   20, 0.90, 0.7},
    {"right lung",      { 0.42,  0.00,  0.86}, {0.34, 0.42, 0.42}, 0, -820, 0.06, 0.5},
    {"left lung",       {-0.46,  0.00,  0.86}, {0.30, 0.42, 0.42}, 0, -820, 0.06, 0.5},
    {"heart",           {-0.08,  0.22,  0.80}, {0.26, 0.24, 0.26}, 0,  140, 0.50, 3.6},
    {"heart chamber",   {-0.08,  0.22,  0.80}, {0.14, 0.13, 0.15},13,  300, 0.20, 1.8},
};
/* clang-format on */

static const double body_radius[3] = {0.88, 0.66, 4.0}, fat = 0.07;

enum { MUSCLE, FAT, AIR, TISSUES };
static const double tissue[TISSUES][3] = {
    {45, 0.42, 0.9}, {-100, 0.85, 0.4}, {-1000, 0.0, 0.0}}; /* CT, MR, PET */

const char *anatomy_organ(int label)
{
    return label >= 1 && label <= ANATOMY_ORGANS ? organs[label - 1].name : "";
}

/* A smooth field: uniform cubic B-spline over n^3 random control values, values about unit scale.
 */
typedef struct field {
    int n;
    float *control;     /* [n, n, n] */
    float *plane, *row; /* the control values collapsed along z, then along y */
} field;

static mf_status field_new(field *f, int n, mf_random *r)
{
    size_t count = (size_t)n * (size_t)n * (size_t)n;
    *f = (field){.n = n,
                 .control = malloc(count * sizeof *f->control),
                 .plane = malloc((size_t)(n * n) * sizeof *f->plane),
                 .row = malloc((size_t)n * sizeof *f->row)};
    if (!f->control || !f->plane || !f->row)
        return mf_no_memory(0, "a field of %d^3 control points", n);
    for (size_t i = 0; i < count; i++)
        f->control[i] = (float)mf_random_normal(r);
    return MF_OK;
}

static void field_free(field *f)
{
    free(f->control);
    free(f->plane);
    free(f->row);
}

/* First of the four control points around t in 0..1, and their weights. */
static int spline(int n, double t, float weights[4])
{
    double s = t * (n - 3);
    int i = (int)s;
    if (i > n - 4)
        i = n - 4;
    double u = s - i, v = 1 - u;
    weights[0] = (float)(v * v * v / 6);
    weights[1] = (float)((3 * u * u * u - 6 * u * u + 4) / 6);
    weights[2] = (float)((3 * v * v * v - 6 * v * v + 4) / 6);
    weights[3] = (float)(u * u * u / 6);
    return i;
}

static void field_slice(field *f, double z)
{
    float w[4];
    int n2 = f->n * f->n, k = spline(f->n, z, w);
    const float *c = f->control + (size_t)k * (size_t)n2;
    for (int i = 0; i < n2; i++)
        f->plane[i] = w[0] * c[i] + w[1] * c[n2 + i] + w[2] * c[2 * n2 + i] + w[3] * c[3 * n2 + i];
}

static void field_row(field *f, double y)
{
    float w[4];
    int n = f->n, k = spline(n, y, w);
    const float *c = f->plane + k * n;
    for (int i = 0; i < n; i++)
        f->row[i] = w[0] * c[i] + w[1] * c[n + i] + w[2] * c[2 * n + i] + w[3] * c[3 * n + i];
}

static double field_at(const field *f, double x)
{
    float w[4];
    const float *c = f->row + spline(f->n, x, w);
    return (double)(w[0] * c[0] + w[1] * c[1] + w[2] * c[2] + w[3] * c[3]);
}

/* One drawn organ: maps body coordinates to its unit ball. */
typedef struct shape {
    double center[3];
    double map[9];   /* rotation, then division by the radii: rows */
    double reach[3]; /* half extent along each axis: a box around it */
} shape;

static void draw_shape(const organ *o, double variation, mf_random *r, shape *s)
{
    double angle[3], scale = exp(variation * 0.08 * mf_random_normal(r)), radius[3], m[9], most = 0;
    for (int a = 0; a < 3; a++) {
        bool endless = o->radius[a] > 2;
        double shift = variation * 0.03 * mf_random_normal(r);
        double stretch = exp(variation * 0.06 * mf_random_normal(r));
        angle[a] = variation * 0.12 * mf_random_normal(r);
        s->center[a] = o->center[a] + (endless ? 0 : shift);
        radius[a] = o->radius[a] * (endless ? 1 : scale * stretch);
        if (endless)
            angle[0] = angle[1] = 0; /* the spine stays upright */
        most = fmax(most, radius[a]);
    }
    if (o->radius[2] > 2)
        angle[0] = angle[1] = 0;
    double cx = cos(angle[0]), sx = sin(angle[0]), cy = cos(angle[1]), sy = sin(angle[1]),
           cz = cos(angle[2]), sz = sin(angle[2]);
    const double rotation[9] = {cy * cz,
                                sx * sy * cz - cx * sz,
                                cx * sy * cz + sx * sz,
                                cy * sz,
                                sx * sy * sz + cx * cz,
                                cx * sy * sz - sx * cz,
                                -sy,
                                sx * cy,
                                cx * cy};
    for (int i = 0; i < 9; i++)
        m[i] = rotation[i] / radius[i / 3];
    memcpy(s->map, m, sizeof m);
    for (int a = 0; a < 3; a++)
        s->reach[a] = most;
}

static double distance2(const shape *s, const double p[3])
{
    double sum = 0;
    for (int a = 0; a < 3; a++) {
        double q = s->map[3 * a] * (p[0] - s->center[0]) +
                   s->map[3 * a + 1] * (p[1] - s->center[1]) +
                   s->map[3 * a + 2] * (p[2] - s->center[2]);
        sum += q * q;
    }
    return sum;
}

static bool inside(const shape *s, const double p[3])
{
    return fabs(p[0] - s->center[0]) <= s->reach[0] && fabs(p[1] - s->center[1]) <= s->reach[1] &&
           fabs(p[2] - s->center[2]) <= s->reach[2] && distance2(s, p) < 1;
}

/* Everything that was drawn by chance, before any voxel is made. */
typedef struct anatomy {
    shape organ[ANATOMY_ORGANS];
    shape lesion;
    bool has_lesion;
    field bend[3], texture, bias;
} anatomy;

static void anatomy_free(anatomy *a)
{
    for (int i = 0; i < 3; i++)
        field_free(&a->bend[i]);
    field_free(&a->texture);
    field_free(&a->bias);
}

static mf_status anatomy_new(const anatomy_options *o, mf_random *r, anatomy *a)
{
    a->has_lesion = mf_random_uniform(r, 0, 1) < o->lesion;
    for (int i = 0; i < ANATOMY_ORGANS; i++)
        draw_shape(&organs[i], o->variation, r, &a->organ[i]);
    a->organ[13].center[0] += a->organ[12].center[0] - organs[12].center[0];
    a->organ[13].center[1] += a->organ[12].center[1] - organs[12].center[1];
    a->organ[13].center[2] += a->organ[12].center[2] - organs[12].center[2];
    /* The lesion: a ball inside the liver, drawn also where it is not used, so that cases with and
     * without differ in nothing else. */
    double size = o->lesion_size * mf_random_uniform(r, 0.10, 0.16);
    a->lesion = (shape){{0}, {1 / size, 0, 0, 0, 1 / size, 0, 0, 0, 1 / size}, {size, size, size}};
    for (int i = 0; i < 3; i++)
        a->lesion.center[i] =
            a->organ[0].center[i] + mf_random_uniform(r, -0.45, 0.45) * organs[0].radius[i];
    for (int i = 0; i < 3; i++)
        MF_TRY(field_new(&a->bend[i], LATTICE, r));
    MF_TRY(field_new(&a->texture, TEXTURE, r));
    return field_new(&a->bias, 5, r);
}

/* Labels and noise-free signal. signal: f32 [z, y, x]; labels: u8; `lesion_voxels` counts. */
static void fill(const anatomy_options *o, anatomy *a, float *signal, uint8_t *labels,
                 int64_t *lesion_voxels)
{
    const int64_t *n = o->grid.size;
    int m = o->modality;
    const double lesion_signal[3] = {90, 0.35, 6.0}, texture_signal[3] = {8, 0.03, 0.10};
    int64_t at = 0;
    for (int64_t z = 0; z < n[2]; z++) {
        double w = ((double)z + 0.5) / (double)n[2];
        for (int i = 0; i < 3; i++)
            field_slice(&a->bend[i], w);
        field_slice(&a->texture, w);
        for (int64_t y = 0; y < n[1]; y++) {
            double v = ((double)y + 0.5) / (double)n[1];
            for (int i = 0; i < 3; i++)
                field_row(&a->bend[i], v);
            field_row(&a->texture, v);
            for (int64_t x = 0; x < n[0]; x++, at++) {
                double u = ((double)x + 0.5) / (double)n[0];
                double p[3] = {2 * u - 1, 2 * v - 1, 2 * w - 1};
                for (int i = 0; i < 3; i++)
                    p[i] += 0.09 * o->variation * field_at(&a->bend[i], u);
                double bx = p[0] / body_radius[0], by = p[1] / body_radius[1];
                double body = sqrt(bx * bx + by * by);
                int label = 0;
                double value = tissue[body > 1 ? AIR : body > 1 - fat ? FAT : MUSCLE][m];
                /* Children stand behind their parents in the list and lie only inside them. */
                if (body < 1 - fat) {
                    for (int i = 0; i < o->organs; i++)
                        if (label == organs[i].parent && inside(&a->organ[i], p))
                            label = i + 1;
                }
                if (label) {
                    const organ *g = &organs[label - 1];
                    value = m == ANATOMY_CT ? g->ct : m == ANATOMY_MR ? g->mr : g->pet;
                }
                if (body <= 1)
                    value += texture_signal[m] * field_at(&a->texture, u);
                labels[at] = (uint8_t)label;
                if (label == 1 && a->has_lesion && inside(&a->lesion, p)) {
                    value += o->lesion_contrast * lesion_signal[m];
                    labels[at] = (uint8_t)(o->lesion_label ? o->organs + 1 : label);
                    ++*lesion_voxels;
                }
                signal[at] = (float)value;
            }
        }
    }
}

/* One pass of the kernel 1 2 1 along each axis: partial volume at the borders of organs. */
static void blur(const int64_t n[3], float *signal, float *line)
{
    const int64_t step[3] = {1, n[0], n[0] * n[1]};
    for (int a = 0; a < 3; a++) {
        int64_t lines = n[0] * n[1] * n[2] / n[a];
        for (int64_t i = 0; i < lines; i++) {
            float *at = signal + (a == 0 ? i * n[0] : a == 1 ? i / n[0] * step[2] + i % n[0] : i);
            for (int64_t k = 0; k < n[a]; k++)
                line[k] = at[k * step[a]];
            for (int64_t k = 0; k < n[a]; k++)
                at[k * step[a]] = 0.25f * line[k ? k - 1 : 0] + 0.5f * line[k] +
                                  0.25f * line[k + 1 < n[a] ? k + 1 : k];
        }
    }
}

/* Makes a scan of the signal: CT in HU with Gaussian noise; MR with a bias field and Rician noise
 * (the magnitude of a complex signal), PET with noise that grows as the root of the activity. */
static void scan(const anatomy_options *o, anatomy *a, mf_random *r, const float *signal,
                 mf_array *voxels)
{
    const int64_t *n = o->grid.size;
    int64_t at = 0;
    for (int64_t z = 0; z < n[2]; z++) {
        field_slice(&a->bias, ((double)z + 0.5) / (double)n[2]);
        for (int64_t y = 0; y < n[1]; y++) {
            field_row(&a->bias, ((double)y + 0.5) / (double)n[1]);
            for (int64_t x = 0; x < n[0]; x++, at++) {
                double s = (double)signal[at], g = mf_random_normal(r), v;
                switch (o->modality) {
                case ANATOMY_CT:
                    v = rint(s + 14 * o->noise * g);
                    ((int16_t *)voxels->data)[at] = (int16_t)(v < -1024  ? -1024
                                                              : v > 3071 ? 3071
                                                                         : v);
                    break;
                case ANATOMY_MR: {
                    double gain = exp(0.35 * field_at(&a->bias, ((double)x + 0.5) / (double)n[0]));
                    double re = 1000 * s * gain + 25 * o->noise * g;
                    double im = 25 * o->noise * mf_random_normal(r);
                    v = rint(sqrt(re * re + im * im));
                    ((uint16_t *)voxels->data)[at] = (uint16_t)(v > 65535 ? 65535 : v);
                    break;
                }
                default:
                    v = s + 0.12 * o->noise * sqrt(s > 0 ? s : 0) * g;
                    ((float *)voxels->data)[at] = (float)(v > 0 ? v : 0);
                }
            }
        }
    }
}

static mf_status make(const anatomy_options *o, anatomy *a, mf_random *r, mf_array *signal,
                      mf_array *voxels, mf_array *labels, anatomy_lesion *lesion)
{
    const int64_t *n = o->grid.size;
    int64_t longest = n[0] > n[1] ? n[0] : n[1], lesion_voxels = 0;
    longest = longest > n[2] ? longest : n[2];
    float *line = malloc((size_t)longest * sizeof *line);
    mf_status status = line ? anatomy_new(o, r, a) : mf_no_memory(0, "a line");
    if (!status) {
        fill(o, a, signal->data, labels->data, &lesion_voxels);
        for (int pass = 0; pass < (o->modality == ANATOMY_PET ? 3 : 1); pass++)
            blur(n, signal->data, line);
        scan(o, a, r, signal->data, voxels);
        const double *s = o->grid.spacing;
        *lesion = (anatomy_lesion){.present = lesion_voxels > 0,
                                   .volume_ml = (double)lesion_voxels * s[0] * s[1] * s[2] / 1000};
        if (lesion->present) {
            double ijk[3];
            for (int i = 0; i < 3; i++)
                ijk[i] = (a->lesion.center[i] + 1) / 2 * (double)n[i] - 0.5;
            mf_grid_to_world(&o->grid, ijk, lesion->center);
        }
    }
    free(line);
    return status;
}

mf_status anatomy_draw(const anatomy_options *o, mf_random *random, mf_array **voxels,
                       mf_array **labels, anatomy_lesion *lesion)
{
    static const mf_dtype dtypes[] = {MF_I16, MF_U16, MF_F32};
    int64_t zyx[3];
    mf_zyx(o->grid.size, zyx);
    anatomy a;
    mf_array *signal = NULL;
    memset(&a, 0, sizeof a);
    *voxels = *labels = NULL;
    mf_status status = mf_array_new(MF_F32, 3, zyx, &signal);
    if (!status)
        status = mf_array_new(dtypes[o->modality], 3, zyx, voxels);
    if (!status)
        status = mf_array_new(MF_U8, 3, zyx, labels);
    if (!status)
        status = make(o, &a, random, signal, *voxels, *labels, lesion);
    anatomy_free(&a);
    mf_array_unref(signal);
    if (status) {
        mf_array_unref(*voxels);
        mf_array_unref(*labels);
        *voxels = *labels = NULL;
    }
    return status;
}
