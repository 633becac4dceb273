/* address.h - "HOST:PORT" and sockets. */
#ifndef MASSFLOW_RUN_REMOTE_ADDRESS_H
#define MASSFLOW_RUN_REMOTE_ADDRESS_H

#include <massflow/error.h>

#include <stdbool.h>

/* A connected socket, for the caller to close; -1 with an error. Waits as long as the system does.
 */
MF_MUST_USE mf_status mf_address_connect(const char *where, int *out);
/* A socket that listens at this host's address of a connected one, at any port that is free; and
 * where it does. The caller closes it. */
MF_MUST_USE mf_status mf_address_listen_beside(int connected, int *out, char where[96]);
bool mf_address_is_loopback(const char *where); /* of one that the above has told */

#endif
