/* constants.h - what SAM 2 computes from its sizes alone, once, in double: positions and grids. */
#ifndef SAM2_CONSTANTS_H
#define SAM2_CONSTANTS_H

#include <stdint.h>

/* The trunk's position embedding: `coarse` [channels,from,from] resized to edge x edge by cubic
 * convolution (Keys 1981, a = -0.75; half-pixel centers, the border repeated) plus `window`
 * [channels,tile,tile] laid out as tiles. -> [edge,edge,channels] */
void sam2_trunk_positions(const float *coarse, int64_t from, const float *window, int64_t tile,
                          int64_t channels, int64_t edge, float *out);
/* Sine embedding of a grid (Carion et al. 2020): rows in the first half of the channels, columns in
 * the second, sines and cosines in turn; times `factor`. -> [edge,edge,channels] */
void sam2_grid_sines(int64_t edge, int64_t channels, double factor, float *out);
/* Sine embedding of a number: all sines, then all cosines. -> [channels] */
void sam2_number_sines(double value, int64_t channels, double *out);
/* Random Fourier features of the middles of grid cells; frequencies [2,channels/2].
 * -> [edge,edge,channels] */
void sam2_grid_features(int64_t edge, int64_t channels, const float *frequencies, float *out);
/* Rotations of a grid's tokens: of the pairs of channels the first half turn with the column, the
 * second with the row. -> [edge*edge,channels/2,2] (cos, sin) */
void sam2_grid_rotations(int64_t edge, int64_t channels, float *out);

#endif
