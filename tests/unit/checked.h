/* checked.h - the list of checks of engine/check in unit tests, and the refusal of shapes. */
#ifndef CHECKED_H
#define CHECKED_H

#include "../expect.h"
#include <massflow/program.h>

/* One device for the whole program. */
mf_device *test_device(void);
/* Every case of a family in the device's own form of the kernels, and all but the thorough ones in
 * the other form. Fails the running test with the wrong elements. */
void check_family(const char *family);
/* The whole error of compiling what `build` declares. */
void refuses(mf_value (*build)(mf_program *p), const char *expected);

#endif
