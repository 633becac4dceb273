/* regions.h - from cluster labels to connected regions, and unions of regions that are alike. */
#ifndef MF_SLIC_REGIONS_H
#define MF_SLIC_REGIONS_H

#include <massflow/error.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct mf_region {
    int64_t voxels, body; /* all, and those inside the body */
    int64_t sum;          /* of intensities */
    int64_t lo[3], hi[3]; /* box, z y x */
    int32_t parts;        /* supervoxels that it is made of; 0: joined to another region */
} mf_region;

typedef struct mf_regions {
    int64_t shape[3];   /* z y x */
    int32_t *of;        /* [z,y,x], the supervoxel of each voxel */
    mf_region *regions; /* one a supervoxel; a union is that of the first of its supervoxels */
    int32_t *union_of;  /* the region that a supervoxel belongs to now */
    int32_t count;
} mf_regions;

/* The region of voxel i. */
static inline int32_t mf_region_at(const mf_regions *r, int64_t i)
{
    return r->union_of[r->of[i]];
}

/* Splits labels i32 [z,y,x] into connected parts (6 neighbours) and joins parts of less than
 * `least` voxels to the neighbour that they share most faces with. Takes `label` over: it becomes
 * `of`. image: u16; body: u8, not 0 inside, or NULL for everywhere. */
MF_MUST_USE mf_status mf_regions_new(int32_t *label, const int64_t shape[3], int64_t least,
                                     const uint16_t *image, const uint8_t *body,
                                     mf_regions *regions);
void mf_regions_free(mf_regions *regions);

/* Joins neighbours whose mean intensities lie within `difference` (in levels), the most similar
 * first, as long as the union has at most `most` voxels. Only regions with half of their voxels in
 * the body take part. */
MF_MUST_USE mf_status mf_regions_join(mf_regions *regions, double difference, int64_t most);

/* Share of region n's border, in faces within the image, across which the mean intensity of regions
 * steps by at least `step` (in levels): 0 inside one tissue, 1 for an object with a visible border.
 * 0 without a border. */
double mf_region_edge(const mf_regions *regions, int32_t n, double step);

/* Half of the region or more lies in the body. */
bool mf_region_inside(const mf_region *region);

#endif
