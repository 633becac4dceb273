/* take.c - take CACHE FILE: imports without asking what is in the file, as a massflow that knows no
 * types would: so a cache comes to hold what somebody made up. */
#include "store/upkeep.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    mf_store *store;
    mf_moved moved;
    if (argc < 3)
        return EXIT_FAILURE;
    mf_status status = mf_store_open(argv[1], MF_STORE_WRITE, &store);
    if (!status) {
        status = mf_store_import(store, argv[2], NULL, &moved);
        mf_store_close(store);
    }
    if (!status)
        return EXIT_SUCCESS;
    char *text = mf_error_text(status);
    fprintf(stderr, "%s\n", text ? text : "out of memory");
    free(text);
    mf_error_free(status);
    return EXIT_FAILURE;
}
