/* artifact.h - what flows along a graph's edges: a type name, typed attributes, named arrays.
 *
 * An artifact that a stage builds is in memory. One from the store is lazy: its attributes are
 * available at once, its arrays are read on demand, whole, by box or by row, so a data set need not
 * fit in memory. The same calls read both.
 *
 * Axis order. Arrays are [z, y, x], x fastest; boxes and array shapes are given in that order.
 * Geometry (mf_grid) is in the field's order x, y, z. World coordinates are RAS+ millimetres, as in
 * NIfTI: x increases to the patient's right, y to the front, z to the head. An orientation such as
 * "RAS" gives the directions of increasing voxel indices i, j, k (as nibabel's aff2axcodes). */
#ifndef MASSFLOW_ARTIFACT_H
#define MASSFLOW_ARTIFACT_H

#include <massflow/array.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mf_artifact mf_artifact; /* opaque; references are counted */

/* ---- building -------------------------------------------------------------------------------- */

/* An empty artifact of a type ("volume", "masks", ...) with one reference, which the caller unrefs.
 */
MF_API MF_MUST_USE mf_status mf_artifact_new(const char *type, mf_artifact **artifact);
MF_API mf_artifact *mf_artifact_ref(const mf_artifact *artifact); /* one reference more */
MF_API void mf_artifact_unref(const mf_artifact *artifact);       /* NULL is fine */

/* Setting an attribute twice replaces it. Values and names are copied. */
MF_API MF_MUST_USE mf_status mf_artifact_set_text(mf_artifact *a, const char *name, const char *v);
MF_API MF_MUST_USE mf_status mf_artifact_set_int(mf_artifact *a, const char *name, int64_t v);
MF_API MF_MUST_USE mf_status mf_artifact_set_reals(mf_artifact *a, const char *name,
                                                   const double *v, size_t count);

/* Adds an array under a name that is not taken; the artifact takes a reference of its own. */
MF_API MF_MUST_USE mf_status mf_artifact_add(mf_artifact *a, const char *name, mf_array *array);

/* Adds a ragged array: row i is bytes[offsets[i] .. offsets[i + 1]). `bytes` is u8 [n]; `offsets`
 * is i64 [rows + 1], starts at 0, never falls, ends at n. Each row is stored and read by itself. */
MF_API MF_MUST_USE mf_status mf_artifact_add_rows(mf_artifact *a, const char *name, mf_array *bytes,
                                                  mf_array *offsets);

/* ---- reading --------------------------------------------------------------------------------- */

MF_API const char *mf_artifact_type(const mf_artifact *a); /* borrowed */
/* The content id, 64 hex digits; NULL for an artifact that is not stored. */
MF_API const char *mf_artifact_id(const mf_artifact *a);

/* Attributes: NULL or false when there is none of that name and kind. Pointers are borrowed. */
MF_API const char *mf_artifact_text(const mf_artifact *a, const char *name);
MF_API bool mf_artifact_int(const mf_artifact *a, const char *name, int64_t *value);
MF_API const double *mf_artifact_reals(const mf_artifact *a, const char *name, size_t *count);

/* What an attribute holds: a text, an integer, or a list of reals. */
typedef enum mf_attribute_kind {
    MF_ATTRIBUTE_TEXT,
    MF_ATTRIBUTE_INT,
    MF_ATTRIBUTE_REALS
} mf_attribute_kind;
MF_API size_t mf_artifact_attribute_count(const mf_artifact *a); /* how many it has */
/* The name of the i-th attribute, in order of name; borrowed. *kind: what it holds. */
MF_API const char *mf_artifact_attribute(const mf_artifact *a, size_t i, mf_attribute_kind *kind);

/* What an artifact says of one of its arrays, without reading it. */
typedef struct mf_array_info {
    const char *name;           /* borrowed from the artifact */
    mf_dtype dtype;             /* kind of its elements */
    int rank;                   /* number of dimensions */
    int64_t shape[MF_MAX_RANK]; /* of a ragged array: [total bytes] */
    bool ragged;                /* rows of different lengths, see mf_artifact_add_rows */
    int64_t rows;               /* of a ragged array */
} mf_array_info;
MF_API size_t mf_artifact_array_count(const mf_artifact *a); /* arrays are in order of name */
/* Of the i-th array; i is below the count. */
MF_API void mf_artifact_array_info(const mf_artifact *a, size_t i, mf_array_info *info);
/* Of the array of that name; false where there is none. */
MF_API bool mf_artifact_find(const mf_artifact *a, const char *name, mf_array_info *info);

/* The whole array; the caller unrefs it. Lazy artifacts read it each time and keep nothing. */
MF_API MF_MUST_USE mf_status mf_artifact_array(const mf_artifact *a, const char *name,
                                               mf_array **array);
/* The half-open box [lo, hi) of a rank-3 array, dense, in the array's dtype. The box must lie
 * inside the array; dst holds its elements. */
MF_API MF_MUST_USE mf_status mf_artifact_read_box(const mf_artifact *a, const char *name,
                                                  const int64_t lo[3], const int64_t hi[3],
                                                  void *dst);
/* One row of a ragged array; the caller frees *bytes (NULL for an empty row). */
MF_API MF_MUST_USE mf_status mf_artifact_read_row(const mf_artifact *a, const char *name,
                                                  int64_t row, uint8_t **bytes, size_t *size);
/* Rank-1 or rank-2 small arrays read once and kept inside the artifact: borrowed, NULL + error when
 * the name, dtype or rank does not fit. For indexes such as the boxes of masks. */
MF_API MF_MUST_USE mf_status mf_artifact_table(const mf_artifact *a, const char *name,
                                               mf_dtype dtype, const void **data, int64_t *count);

/* ---- geometry -------------------------------------------------------------------------------- */

/* Where the voxels of a volume lie. */
typedef struct mf_grid {
    int64_t size[3];     /* voxels along x, y, z */
    double spacing[3];   /* mm along x, y, z */
    double origin[3];    /* RAS+ mm of the center of voxel (0, 0, 0) */
    double direction[9]; /* row-major; column j is the RAS+ unit vector of index axis j */
} mf_grid;

/* From x y z, the order of grids and of graph files, to z y x, the order of arrays, or back: the
 * shape of an array on a grid is mf_zyx of the grid's size. */
static inline void mf_zyx(const int64_t xyz[3], int64_t zyx[3])
{
    for (int i = 0; i < 3; i++)
        zyx[i] = xyz[2 - i];
}
MF_API int64_t mf_grid_voxels(const mf_grid *grid); /* how many it has */
/* From voxel indices along x, y, z (with fractions; the center of the first voxel is 0, 0, 0) to
 * world coordinates in RAS+ mm, and back. */
MF_API void mf_grid_to_world(const mf_grid *grid, const double ijk[3], double xyz[3]);
MF_API void mf_grid_to_index(const mf_grid *grid, const double xyz[3], double ijk[3]);
/* Whether two grids have the same size and the corners of both lie within `tolerance_mm`. */
MF_API bool mf_grid_equal(const mf_grid *a, const mf_grid *b, double tolerance_mm);
/* A grid with its origin at 0, 0, 0 and its axes along x, y and z; sizes in voxels, spacing in mm.
 */
MF_API void mf_grid_identity(mf_grid *grid, const int64_t size_xyz[3], const double spacing[3]);
/* The grid as the attributes size, spacing, origin and direction of an artifact. Reading it fails
 * where one of them is missing or is not what it should be. */
MF_API MF_MUST_USE mf_status mf_artifact_set_grid(mf_artifact *a, const mf_grid *grid);
MF_API MF_MUST_USE mf_status mf_artifact_grid(const mf_artifact *a, mf_grid *grid);

/* A scan's own grid, as it lies in its file (attributes scan.size, scan.spacing, ...): set by the
 * loader, which may have reoriented or cropped; writers put results back on it. */
MF_API MF_MUST_USE mf_status mf_artifact_set_scan_grid(mf_artifact *a, const mf_grid *grid);
MF_API bool mf_artifact_scan_grid(const mf_artifact *a, mf_grid *grid);
/* Copies what a result keeps of the scan it was made from, where the scan says so: the scan grid,
 * the modality, that left and right are assumed (text `sides`, "assumed": the file does not say how
 * the patient lies), and whether there is a lesion (int `lesion`, 0 or 1: what a classifier
 * learns).
 */
MF_API MF_MUST_USE mf_status mf_artifact_inherit(mf_artifact *result, const mf_artifact *scan);

/* ---- masks ----------------------------------------------------------------------------------- *
 * Type `masks`: attributes of a grid; arrays
 *     box    i32 [K, 6]   z0 y0 x0 z1 y1 x1, half-open, never empty
 *     score  f32 [K]      quality of the mask, 1 where its source knows none
 *     seed   i32 [K, 2]   axis (0 z, 1 y, 2 x) and slice the mask was found on; -1 -1 where none
 *     bits   rows         one row a mask: bit i of the box in row-major order, lowest bit first
 * A `sample` holds the same arrays beside its image. */

/* One mask without its bits. */
typedef struct mf_mask {
    int64_t lo[3], hi[3];          /* z y x, half-open */
    float score;                   /* its quality, 1 where its source knows none */
    int32_t seed_axis, seed_slice; /* that it was found on; -1 where there is none */
} mf_mask;

typedef struct mf_masks_builder mf_masks_builder; /* opaque: masks that are being collected */
/* Begins to collect masks of one grid. mf_masks_finish or mf_masks_abandon frees the builder. */
MF_API MF_MUST_USE mf_status mf_masks_begin(const mf_grid *grid, mf_masks_builder **builder);
/* Adds the voxels of `dense` (u8, not 0 = inside) that lie in the box mask->lo..hi; dense is the
 * box alone, row-major. The box is shrunk to the voxels set; an empty mask is not added, and
 * *added says so. */
MF_API MF_MUST_USE mf_status mf_masks_add(mf_masks_builder *builder, const mf_mask *mask,
                                          const uint8_t *dense, bool *added);
/* Writes the four arrays into `artifact` (type masks or sample) and frees the builder. */
MF_API MF_MUST_USE mf_status mf_masks_finish(mf_masks_builder *builder, mf_artifact *artifact);
MF_API void mf_masks_abandon(mf_masks_builder *builder); /* frees it without a result */

MF_API int64_t mf_masks_count(const mf_artifact *a); /* 0 when it has none */
/* Box, score and seed of mask k. */
MF_API MF_MUST_USE mf_status mf_masks_get(const mf_artifact *a, int64_t k, mf_mask *mask);
/* The number of voxels that are set in mask k. */
MF_API MF_MUST_USE mf_status mf_masks_volume(const mf_artifact *a, int64_t k, int64_t *voxels);
/* Writes 0 or 1 for each voxel of the box [lo, hi), which may reach outside the grid (0 there). */
MF_API MF_MUST_USE mf_status mf_masks_crop(const mf_artifact *a, int64_t k, const int64_t lo[3],
                                           const int64_t hi[3], uint8_t *dst);

/* ---- tables ---------------------------------------------------------------------------------- *
 * Type `table`: attribute `columns` (names joined by tabs); array `column.N` f64 [rows], or, for a
 * column of text, rows of UTF-8 bytes under the same name. */

typedef struct mf_table mf_table; /* opaque: a table that is being written */
/* columns: "name" for numbers, "name:text" for text, NULL at the end. mf_table_finish or
 * mf_table_free frees the table. */
MF_API MF_MUST_USE mf_status mf_table_new(const char *const *columns, mf_table **table);
/* One value a column: double or const char * as declared. */
MF_API MF_MUST_USE mf_status mf_table_row(mf_table *table, ...);
/* The same from lists, for columns that are known only at run time: column i is numbers[i] or
 * texts[i], as it is declared. */
MF_API MF_MUST_USE mf_status mf_table_put(mf_table *table, const double *numbers,
                                          const char *const *texts);
/* The finished artifact; frees the table. */
MF_API MF_MUST_USE mf_status mf_table_finish(mf_table *table, mf_artifact **artifact);
MF_API void mf_table_free(mf_table *table); /* frees it without a result */

/* ---- files ----------------------------------------------------------------------------------- *
 * Type `file`: a file that massflow hands on and does not look into, such as a report, a mesh or a
 * DICOM object. Attributes
 *     name         text, "report.pdf": what to call it. A name and no path, 1 to 200 bytes of UTF-8
 *                  without control characters, that does not begin with a dot.
 *     media_type   text, "application/pdf" (RFC 6838): what it is; without parameters
 * and the array
 *     bytes        u8 [n], at most MF_FILE_MOST of them */

#define MF_FILE_MOST ((size_t)1 << 31) /* 2 GiB: whoever writes it reads it whole */

/* An artifact of this type with a copy of `size` bytes; the caller unrefs it. */
MF_API MF_MUST_USE mf_status mf_artifact_new_file(const char *name, const char *media_type,
                                                  const void *bytes, size_t size,
                                                  mf_artifact **artifact);
/* Whether name, media type and size are as written above. */
MF_API MF_MUST_USE mf_status mf_artifact_check_file(const mf_artifact *a);
/* The suffix of a file's name with its dot, ".pdf", borrowed; "" where it has none. */
MF_API const char *mf_artifact_file_suffix(const mf_artifact *a);

#ifdef __cplusplus
}
#endif
#endif
