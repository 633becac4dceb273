/* slic.cl - the two parallel steps of SLIC (Achanta et al. 2012) on a grid of clusters: each voxel
 * to the nearest center, sums a cluster.
 *
 * Clusters start as the cells of a regular grid; a voxel looks at the centers of the 27 cells around
 * its own, and `slot` is the number of its choice, (dz + 1) 9 + (dy + 1) 3 + dx + 1. Distances use
 * no operation that may be contracted or is not exactly rounded, and sums are of integers: all
 * devices give the same bits. */
#pragma OPENCL FP_CONTRACT OFF

#ifndef RUN
#define RUN (MF_CPU ? 16 : 1)
#endif
#if RUN > 1 /* a run of voxels along x is one vector */
typedef float16 real_run;
typedef int16 int_run;
#define LOAD_RUN(p) convert_float16(vload16(0, p))
#define IOTA ((float16)(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))
#else
typedef float real_run;
typedef int int_run;
#define LOAD_RUN(p) convert_float(*(p))
#define IOTA 0.0f
#endif

/* image: ushort [nz, ny, nx] and RUN more; centers: float4 [cells_z, cells_y, cells_x] (x y z
 * voxels, intensity); cell_z: int [nz], cell_y: int [ny], the cell of each slice and row; runs: int
 * [run_count, 3]: first voxel, voxels (at most RUN), cell along x; weight: of squared distances in
 * voxels along x y z, against squared intensities; slots: uchar [nz, ny, nx]. An item is a run of a
 * row: count = nz * ny * run_count. */
__kernel void slic_assign(__global const ushort *image, __global const float4 *centers,
                          __global const int *cell_z, __global const int *cell_y,
                          __global const int *runs, int run_count, int ny, int nx, int cells_z,
                          int cells_y, int cells_x, float weight_x, float weight_y, float weight_z,
                          __global uchar *slots, int count)
{
    int item = (int)get_global_id(0);
    if (item >= count)
        return;
    __global const int *run = runs + 3 * (item % run_count);
    int y = item / run_count % ny, z = item / run_count / ny;
    int cz = cell_z[z], cy = cell_y[y], cx = run[2];
    long start = ((long)z * ny + y) * nx + run[0];
    real_run value = LOAD_RUN(image + start), x = IOTA + (float)run[0];
    real_run best = (real_run)(INFINITY);
    int_run chosen = (int_run)(13);
    for (int dz = -1; dz <= 1; dz++)
        for (int dy = -1; dy <= 1; dy++)
            for (int dx = -1; dx <= 1; dx++) {
                int oz = cz + dz, oy = cy + dy, ox = cx + dx;
                if (oz < 0 || oz >= cells_z || oy < 0 || oy >= cells_y || ox < 0 || ox >= cells_x)
                    continue;
                float4 center = centers[(oz * cells_y + oy) * cells_x + ox];
                float fz = (float)z - center.z, fy = (float)y - center.y;
                float across = weight_z * (fz * fz) + weight_y * (fy * fy);
                real_run fx = x - center.x, di = value - center.w;
                real_run away = di * di + (weight_x * (fx * fx) + across);
                int_run nearer = away < best;
                best = select(best, away, nearer);
                chosen = select(chosen, (int_run)((dz + 1) * 9 + (dy + 1) * 3 + dx + 1), nearer);
            }
#if RUN > 1
    uchar16 out = convert_uchar16(chosen);
    if (run[1] == RUN) {
        vstore16(out, 0, slots + start);
    } else {
        uchar some[RUN];
        vstore16(out, 0, some);
        for (int i = 0; i < run[1]; i++)
            slots[start + i] = some[i];
    }
#else
    slots[start] = (uchar)chosen;
#endif
}

/* What each cell's voxels give to the 27 clusters around it. edge_z: int [cells_z + 1], and so on:
 * where cells begin. sums: long [cells, 27, 5]: voxels, intensity, x y z counted from the cell's
 * corner. An item is a cell. */
__kernel void slic_sum(__global const ushort *image, __global const uchar *slots,
                       __global const int *edge_z, __global const int *edge_y,
                       __global const int *edge_x, int ny, int nx, int cells_y, int cells_x,
                       __global long *sums, int count)
{
    int cell = (int)get_global_id(0);
    if (cell >= count)
        return;
    int cx = cell % cells_x, cy = cell / cells_x % cells_y, cz = cell / cells_x / cells_y;
    int x0 = edge_x[cx], x1 = edge_x[cx + 1];
    int y0 = edge_y[cy], y1 = edge_y[cy + 1];
    int z0 = edge_z[cz], z1 = edge_z[cz + 1];
    __global long *own = sums + (long)cell * 27 * 5;
    for (int i = 0; i < 27 * 5; i++)
        own[i] = 0;
    for (int z = z0; z < z1; z++)
        for (int y = y0; y < y1; y++) {
            long row = ((long)z * ny + y) * nx;
            for (int x = x0; x < x1; x++) {
                __global long *sum = own + 5 * slots[row + x];
                sum[0] += 1;
                sum[1] += image[row + x];
                sum[2] += x - x0;
                sum[3] += y - y0;
                sum[4] += z - z0;
            }
        }
}
