/* back.h - the files that a command wrote, as artifacts. */
#ifndef EXEC_BACK_H
#define EXEC_BACK_H

#include "command.h"
#include <massflow/stage.h>

#define MOST_TEXT_BYTES ((int64_t)64 << 20) /* of the file */

/* Reads `path`, which has to be a regular file and no link, as what belongs on the output port. A
 * volume or label map is put on the grid of `like` (a volume or label map, or NULL): a .npy has to
 * have its shape, other files have to lie on its scan's own grid. */
MF_MUST_USE mf_status back_read(mf_task *t, const exec_port *port, const char *path,
                                const mf_artifact *like, mf_artifact **artifact);

#endif
