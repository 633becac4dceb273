/* differentiate.h - differentiation from where no loss is: a check of one op. */
#ifndef MF_PROGRAM_DIFFERENTIATE_H
#define MF_PROGRAM_DIFFERENTIATE_H

#include "program/ir/op.h"

/* Instead of mf_differentiate, where d loss / d y is a value of the program: the result of an op,
 * so that it can be added to the gradient of a weight that is y itself. */
void mf_differentiate_from(mf_program *p, mf_value y, mf_value gradient);

#endif
