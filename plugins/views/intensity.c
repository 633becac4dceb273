/* intensity.c - see intensity.h. Sums run in double and in order. */
#include "intensity.h"

#include <massflow/array.h>
#include <massflow/random.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

void mf_intensity_multiply(float *voxels, int64_t count, float factor)
{
    for (int64_t i = 0; i < count; i++)
        voxels[i] *= factor;
}

void mf_intensity_add(float *voxels, int64_t count, float value)
{
    for (int64_t i = 0; i < count; i++)
        voxels[i] += value;
}

typedef struct statistics {
    double mean, deviation; /* of n - 1, as torch.std has it */
    float low, high;
} statistics;

static statistics measure(const float *voxels, int64_t count)
{
    statistics s = {0, 0, voxels[0], voxels[0]};
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < count; i++) {
        sum += voxels[i];
        s.low = voxels[i] < s.low ? voxels[i] : s.low;
        s.high = voxels[i] > s.high ? voxels[i] : s.high;
    }
    s.mean = sum / (double)count;
    for (int64_t i = 0; i < count; i++) {
        double away = voxels[i] - s.mean;
        squares += away * away;
    }
    s.deviation = count > 1 ? sqrt(squares / (double)(count - 1)) : 0;
    return s;
}

void mf_intensity_gamma(float *voxels, int64_t count, double gamma)
{
    statistics before = measure(voxels, count);
    float range = before.high - before.low, power = (float)gamma;
    if (!(range > 0))
        return;
    for (int64_t i = 0; i < count; i++)
        voxels[i] = powf((voxels[i] - before.low) / range, power) * range + before.low;
    statistics after = measure(voxels, count);
    if (!(after.deviation > 0))
        return;
    double scale = before.deviation / after.deviation;
    for (int64_t i = 0; i < count; i++)
        voxels[i] = (float)((voxels[i] - after.mean) * scale + before.mean);
}

void mf_intensity_contrast(float *voxels, int64_t count, double factor)
{
    statistics s = measure(voxels, count);
    for (int64_t i = 0; i < count; i++) {
        float v = (float)((voxels[i] - s.mean) * factor + s.mean);
        voxels[i] = v < s.low ? s.low : v > s.high ? s.high : v;
    }
}

/* One line of `count` vectors of `width` floats, `stride` apart, with the taps weight[-r .. r]. in:
 * a copy of the line, [count][width]. */
static void blur_line(float *out, const float *in, int64_t count, int64_t stride, int64_t width,
                      const float *weight, int64_t r)
{
    for (int64_t i = 0; i < count; i++) {
        float *o = out + i * stride;
        memset(o, 0, (size_t)width * sizeof *o);
        for (int64_t d = -r; d <= r; d++) {
            if (i + d < 0 || i + d >= count)
                continue;
            const float *p = in + (i + d) * width;
            float w = weight[d + r];
            for (int64_t x = 0; x < width; x++)
                o[x] += w * p[x];
        }
    }
}

static void blur_row(float *row, float *padded, int64_t count, const float *weight, int64_t r)
{
    memset(padded, 0, (size_t)(count + 2 * r) * sizeof *padded);
    memcpy(padded + r, row, (size_t)count * sizeof *row);
    memset(row, 0, (size_t)count * sizeof *row);
    for (int64_t d = 0; d <= 2 * r; d++) {
        const float *p = padded + d;
        float w = weight[d];
        for (int64_t x = 0; x < count; x++)
            row[x] += w * p[x];
    }
}

mf_status mf_intensity_blur(float *voxels, const int64_t size[3], double sigma)
{
    int64_t r = (int64_t)ceil(3 * sigma), plane = size[1] * size[2], rows = size[0] * size[1];
    int64_t longest = size[0] > size[1] ? size[0] : size[1];
    float *weight = malloc((size_t)(2 * r + 1) * sizeof *weight);
    /* A z line of rows, a y line of rows or a padded x line. */
    float *line = malloc((size_t)((longest + 1) * size[2] + 2 * r) * sizeof *line);
    double sum = 0;
    if (!weight || !line) {
        free(weight);
        free(line);
        return mf_no_memory(0, "blurring");
    }
    for (int64_t d = -r; d <= r; d++)
        sum += exp(-(double)(d * d) / (2 * sigma * sigma));
    for (int64_t d = -r; d <= r; d++)
        weight[d + r] = (float)(exp(-(double)(d * d) / (2 * sigma * sigma)) / sum);
    for (int64_t i = 0; i < rows; i++)
        blur_row(voxels + i * size[2], line, size[2], weight, r);
    for (int64_t z = 0; z < size[0]; z++) {
        memcpy(line, voxels + z * plane, (size_t)plane * sizeof *line);
        blur_line(voxels + z * plane, line, size[1], size[2], size[2], weight, r);
    }
    for (int64_t y = 0; y < size[1]; y++) {
        for (int64_t z = 0; z < size[0]; z++)
            memcpy(line + z * size[2], voxels + z * plane + y * size[2],
                   (size_t)size[2] * sizeof *line);
        blur_line(voxels + y * size[2], line, size[0], plane, size[2], weight, r);
    }
    free(weight);
    free(line);
    return MF_OK;
}

/* Four normal numbers from one block, by two pairs of Box and Muller 1958. */
static void four_normals(const uint32_t block[4], float out[4])
{
    for (int pair = 0; pair < 2; pair++) {
        float u = ((float)(block[2 * pair] >> 8) + 1) * 0x1p-24f; /* (0, 1] */
        float v = (float)(block[2 * pair + 1] >> 8) * 0x1p-24f;
        float radius = sqrtf(-2 * logf(u)), angle = 6.2831853f * v;
        out[2 * pair] = radius * cosf(angle);
        out[2 * pair + 1] = radius * sinf(angle);
    }
}

void mf_intensity_noise(float *voxels, int64_t count, const uint32_t key[2], float deviation)
{
    for (int64_t i = 0; i < count; i += 4) {
        const uint64_t n = (uint64_t)i / 4;
        const uint32_t counter[4] = {(uint32_t)n, (uint32_t)(n >> 32), 0, 0};
        uint32_t block[4];
        float normal[4];
        mf_philox(key, counter, block);
        four_normals(block, normal);
        for (int64_t j = 0; j < 4 && i + j < count; j++)
            voxels[i + j] += deviation * normal[j];
    }
}
