/* meta.c - MetaImage: what follows from its header for voxels and place.
 *
 * ITK's reader prints to the terminal and hands out a half-read volume as a whole one, so this
 * format is read here. https://itk.org/Wiki/MetaIO/Documentation */
#include "meta.h"
#include "../scan/geometry.h"
#include "../scan/pieces.h"
#include "../scan/voxels.h"
#include "meta_header.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

bool meta_is(const char *head)
{
    for (const char *line = head; line; line = strchr(line, '\n')) {
        line += strspn(line, " \t\r\n");
        char sign = strncmp(line, "NDims", 5) ? 0 : line[5 + strspn(line + 5, " \t")];
        if (sign == '=' || sign == ':')
            return true;
    }
    return false;
}

static mf_status read_voxels(const char *path, const meta_header *m, const scan_options *o, scan *s)
{
    char promised[96];
    char *self = (char *)path;
    size_t one = mf_dtype_size(m->dtype), all;
    int64_t size[4] = {1, 1, 1, 1};
    memcpy(size, m->size, (size_t)m->rank * sizeof *size);
    for (int i = 0; i < 3; i++)
        if (!mf_size_mul(one, (size_t)size[i], &one))
            return mf_fail(MF_CORRUPT, "%s: claims an impossible size", path);
    if (!mf_size_mul(one, (size_t)size[3], &all) || all > (size_t)INT64_MAX / 4)
        return mf_fail(MF_CORRUPT, "%s: claims an impossible size", path);
    snprintf(promised, sizeof promised, "%lld x %lld x %lld x %lld voxels", (long long)size[0],
             (long long)size[1], (long long)size[2], (long long)size[3]);
    voxel_pieces p = {.file = m->local ? &self : m->parts.path,
                      .files = m->local ? 1 : m->parts.count,
                      .start = m->local ? m->end : 0,
                      .packing = m->compressed && !m->text ? INFLATE_DEFLATE : INFLATE_PLAIN,
                      .form = m->text ? PIECES_TEXT : PIECES_BINARY,
                      .dtype = m->dtype,
                      .uint64 = m->uint64,
                      .promised = promised};
    p.bytes = all / p.files;
    if (m->header_bytes > 0)
        p.start = m->header_bytes;
    else if (m->header_bytes == -1)
        p.byte_skip = -1;
    MF_TRY(pieces_check(&p));
    MF_TRY(scan_check_time(path, size[3], "time points", o));
    MF_TRY(scan_check_size(path, size));
    int64_t shape[3];
    mf_zyx(size, shape);
    MF_TRY(mf_array_new(m->dtype, 3, shape, &s->voxels));
    MF_TRY(
        pieces_read(&p, one, all, (size_t)(o->time > 0 ? o->time : 0) * one, s->voxels->data, one));
    if (m->big && !m->text)
        voxels_swap(s->voxels);
    memcpy(s->grid.size, size, sizeof s->grid.size);
    return m->uint64 ? voxels_check_unsigned(path, s->voxels) : MF_OK;
}

/* The affine of the header, LPS, to the grid. Row i of the matrix is the direction of axis i. */
static mf_status place(const char *path, const meta_header *m, scan *s)
{
    double a[12] = {0};
    for (int j = 0; j < 3; j++)
        for (int i = 0; i < 3; i++) {
            double d = i == j;
            if (m->has_matrix && i < m->rank && j < m->rank)
                d = m->matrix[j * m->rank + i];
            a[4 * i + j] = d * (m->has_spacing && j < m->rank ? m->spacing[j] : 1);
        }
    for (int i = 0; i < 3; i++)
        a[4 * i + 3] = m->has_offset && i < m->rank ? m->offset[i] : 0;
    for (int k = 0; k < 8; k++) /* the first two world axes: left and back to right and front */
        a[k] = -a[k];
    s->sides_assumed = !m->has_matrix;
    if (!m->has_matrix)
        scan_note(s, "%s: does not say its orientation: taken as LPS", path);
    if (!m->has_spacing)
        scan_note(s, "%s: does not say its voxel size: taken as 1 mm", path);
    if (!m->has_offset)
        scan_note(s, "%s: does not say where it lies: its first voxel is taken as the origin",
                  path);
    if (m->slope != 1 || m->intercept != 0)
        scan_note(s,
                  "%s: says that intensities are %g * value + %g; values are taken as they are, as "
                  "ITK does",
                  path, m->slope, m->intercept);
    return geometry_split(path, a, &s->grid);
}

mf_status meta_read(const char *path, const scan_options *o, scan *s)
{
    meta_header m;
    MF_TRY(meta_header_read(path, &m));
    mf_status status = read_voxels(path, &m, o, s);
    if (!status)
        status = place(path, &m, s);
    meta_header_free(&m);
    return status;
}

mf_status meta_parts(const char *path, part_list *parts)
{
    meta_header m;
    MF_TRY(meta_header_read(path, &m));
    *parts = m.parts;
    return MF_OK;
}
