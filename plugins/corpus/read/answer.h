/* answer.h - what massflow-hdf5 says on its standard output: an answer that says how many masks
 * there are, then for each mask an answer and its voxels. In the place of any answer an error may
 * stand, and its words behind it; nothing comes after them. Both sides are of one build; numbers
 * are in the order of bytes of the machine.
 *
 * It is started as: massflow-hdf5 FILE GROUP DEPTH HEIGHT WIDTH, where the sizes are those that the
 * masks are to have: those of the image. */
#ifndef CORPUS_ANSWER_H
#define CORPUS_ANSWER_H

#include <stdint.h>

#define ANSWER_MARK 0x6d663561
#define ANSWER_TEXT 600         /* bytes of an error's words at most */
#define ANSWER_MOST_MASKS 65535 /* of one scan */

typedef struct answer {
    uint32_t mark, failed;
    uint32_t bytes, hint; /* of an error's words; of its remedy, behind them */
    int64_t masks;        /* u8 [depth, height, width] each, 0 or not */
} answer;

#endif
