/* look.h - what the part Look of the desk keeps open between requests. */
#ifndef MASSFLOW_DESK_LOOK_H
#define MASSFLOW_DESK_LOOK_H

#include "slabs.h"

typedef struct desk_look desk_look;
MF_MUST_USE mf_status desk_look_new(desk_look **look);
void desk_look_free(desk_look *look); /* NULL is fine; no request is answered any more */

#endif
