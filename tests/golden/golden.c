/* golden.c - see golden.h. */
#include "golden.h"
#include "../expect.h"
#include "model.h"
#include "read.h"

#include <check.h>
#include <massflow/random.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void golden_path(const char *name, char *path)
{
    const char *folder = getenv("MASSFLOW_GOLDEN");
    ck_assert_msg(folder, "MASSFLOW_GOLDEN is not set");
    snprintf(path, 4096, "%s/%s", folder, name);
}

void golden_read(const char *name, mf_tensors *golden)
{
    char path[4096], file[64];
    snprintf(file, sizeof file, "%s.safetensors", name);
    golden_path(file, path);
    ok(mf_tensors_read(path, golden));
}

void golden_draw_weight(const char *name, int rank, const int64_t *shape, float *values)
{
    size_t length = strlen(name);
    bool gain = length > 6 && !strcmp(name + length - 6, "weight");
    bool variance = length > 11 && !strcmp(name + length - 11, "running_var");
    bool embedding = length > 9 && !strcmp(name + length - 9, "embedding");
    int64_t count = 1, fan_in = 1;
    mf_random random;
    for (int i = 0; i < rank; i++) {
        count *= shape[i];
        fan_in *= i ? shape[i] : 1;
    }
    mf_random_seed(&random, GOLDEN_WEIGHTS, name, 0);
    float scale = embedding ? 1.75f : (float)sqrt(3.0 / (double)fan_in);
    for (int64_t i = 0; i < count; i++) {
        float u = (float)mf_random_uniform(&random, -1, 1);
        values[i] = rank > 1 ? u * scale : gain || variance ? 1 + 0.25f * u : 0.125f * u;
    }
}

void golden_draw_weights(mf_weights *w)
{
    for (size_t i = 0; i < mf_weights_count(w); i++) {
        mf_weight_info info;
        mf_weights_info(w, i, &info);
        float *values = malloc((size_t)info.count * sizeof *values);
        ck_assert_ptr_nonnull(values);
        golden_draw_weight(info.name, info.rank, info.shape, values);
        ok(mf_weights_set(w, i, values));
        free(values);
    }
}

void golden_draw_model(const mf_iris *iris, mf_tensors *t)
{
    mf_program *p;
    mf_device *device;
    mf_weights *w;
    ok(mf_device_open("", &device));
    ok(mf_weights_new(device, &w));
    ok(mf_program_new(&p));
    mf_model_program(p, iris);
    ok(mf_weights_declare(w, p));
    for (size_t i = 0; i < mf_weights_count(w); i++) {
        mf_weight_info info;
        mf_array *a;
        mf_weights_info(w, i, &info);
        ok(mf_tensors_make(t, info.name, MF_F32, info.rank, info.shape, &a));
        golden_draw_weight(info.name, info.rank, info.shape, a->data);
    }
    mf_program_free(p);
    mf_weights_free(w);
    mf_device_unref(device);
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

void golden_draw_mask(const int64_t crop[3], int64_t k, int64_t shift, uint8_t *mask)
{
    int64_t center[3], half[3], v[3];
    for (int64_t a = 0; a < 3; a++) {
        center[a] = crop[a] / 2 + floor_div(((k * (3 + a) + shift) % 7 - 3) * crop[a], 16);
        half[a] = crop[a] / (3 + (k + a) % 3) > 2 ? crop[a] / (3 + (k + a) % 3) : 2;
    }
    for (v[0] = 0; v[0] < crop[0]; v[0]++)
        for (v[1] = 0; v[1] < crop[1]; v[1]++)
            for (v[2] = 0; v[2] < crop[2]; v[2]++) {
                int64_t r = 0;
                for (int a = 0; a < 3; a++) {
                    int64_t d = floor_div((v[a] - center[a]) * 64, half[a]);
                    r += d * d;
                }
                *mask++ = r < 4096;
            }
}

void golden_draw_inputs(const int64_t crop[3], int64_t k, mf_tensors *t)
{
    static const char *const names[2] = {"target", "reference"};
    int64_t voxels = crop[0] * crop[1] * crop[2];
    int64_t shape[4] = {k, crop[0], crop[1], crop[2]};
    for (int64_t shift = 0; shift < 2; shift++) {
        char name[32];
        mf_array *image, *masks;
        mf_random random;
        snprintf(name, sizeof name, "%s_masks", names[shift]);
        ok(mf_tensors_make(t, names[shift], MF_F32, 3, crop, &image));
        ok(mf_tensors_make(t, name, MF_U8, 4, shape, &masks));
        float *x = image->data;
        uint8_t *m = masks->data;
        mf_random_seed(&random, GOLDEN_INPUTS, names[shift], 0);
        for (int64_t v = 0; v < voxels; v++)
            x[v] = 0.5f * (float)mf_random_uniform(&random, -1, 1);
        memset(m + (k - 1) * voxels, 1, (size_t)voxels);
        for (int64_t i = 0; i < k - 1; i++) {
            golden_draw_mask(crop, i, shift, m + i * voxels);
            for (int64_t v = 0; v < voxels; v++)
                x[v] += m[i * voxels + v] * (i % 2 ? 0.5f : -0.75f);
        }
    }
}

/* ---- comparing ------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double golden_quantile(golden_tally *t, double part)
{
    qsort(t->gradient, (size_t)t->gradients, sizeof *t->gradient, by_size);
    return t->gradient[(int)(part * (t->gradients - 1))];
}

static int64_t most_stored(const char *name)
{
    return !strncmp(name, "after.", 6) ? 96 : !strncmp(name, "grad.", 5) ? 192 : 2048;
}

double golden_distance(const mf_tensors *golden, const char *stored, const char *name,
                       const mf_array *ours, double *theirs)
{
    char key[256];
    snprintf(key, sizeof key, "%s~", stored);
    const mf_array *exact = mf_tensors_find(golden, stored), *facts = mf_tensors_find(golden, key);
    ck_assert_msg(exact && facts && facts->bytes >= 3 * sizeof(double), "no %s", stored);
    ck_assert_msg(ours && ours->dtype == MF_F32, "parity gave no %s", name);
    const double *e = exact->data, *f = facts->data;
    const float *x = ours->data;
    int64_t stored_count = mf_array_count(exact), count = mf_array_count(ours);
    bool whole = stored_count == count;
    ck_assert(whole || stored_count <= most_stored(name));

    mf_random random;
    double apart = 0, norm = 0, all = 0;
    mf_random_seed(&random, GOLDEN_SAMPLES, name, 0);
    for (int64_t i = 0; i < stored_count; i++) {
        double unit = (mf_random_uniform(&random, -1, 1) + 1) * 0.5;
        double d = (double)x[whole ? i : (int64_t)(unit * (double)count)] - e[i];
        apart += d * d;
        norm += e[i] * e[i];
    }
    for (int64_t i = 0; i < count; i++)
        all += (double)x[i] * (double)x[i];
    double distance = norm > 0 ? sqrt(apart / norm) : sqrt(apart);
    *theirs = f[0] > 0x1p-24 ? f[0] : 0x1p-24;
    if (getenv("MASSFLOW_GOLDEN_TABLE"))
        printf("%-80s %9.2e %9.2e %6.2f\n", stored, distance, f[0], distance / *theirs);
    /* The whole tensor's norm catches what the drawn elements miss. */
    double slack = 2 * fabs(f[2] - f[1]) + 1e-3 * f[1];
    ck_assert_msg(fabs(sqrt(all) - f[1]) <= slack, "%s: norm %.9g, not %.9g", stored, sqrt(all),
                  f[1]);
    return distance;
}

bool golden_is_gradient(const char *name)
{
    return !strncmp(name, "grad.", 5) || !strncmp(name, "after.", 6) || !strcmp(name, "norm");
}

void golden_compare_gradient(const mf_tensors *golden, const char *stored, const char *name,
                             const mf_array *ours, golden_tally *t)
{
    double theirs, distance = golden_distance(golden, stored, name, ours, &theirs);
    ck_assert_int_lt(t->gradients, GOLDEN_MOST);
    t->gradient[t->gradients++] = distance / theirs;
    t->worse += distance > 1e-2;
    if (distance > 1e-2)
        printf("%s: %g\n", stored, distance);
}

void golden_compare(const mf_tensors *golden, const char *stored, const char *name,
                    const mf_array *ours, golden_tally *t)
{
    if (golden_is_gradient(stored)) {
        golden_compare_gradient(golden, stored, name, ours, t);
        return;
    }
    double theirs, distance = golden_distance(golden, stored, name, ours, &theirs);
    double ratio = distance / theirs;
    t->values++;
    t->most = ratio > t->most ? ratio : t->most;
    t->worse +=
        (ratio > 2 && !(mf_array_count(ours) == 1 && distance <= 0x1p-20)) || distance > 1e-3;
}
