/* click.h - what the part Click of the desk keeps between requests: a scan as a model sees it. */
#ifndef MASSFLOW_DESK_CLICK_H
#define MASSFLOW_DESK_CLICK_H

#include <massflow/error.h>

typedef struct desk_click desk_click;
MF_MUST_USE mf_status desk_click_new(desk_click **click);
void desk_click_stop(desk_click *click); /* ends what it runs; no more is begun */
void desk_click_free(desk_click *click); /* NULL is fine; no request is answered any more */

#endif
