/* by_mpi.c - see by_mpi.h. */
#include "by_mpi.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MODULE "massflow-mpi.so"

static mf_mpi_close *close_it;

/* BUILD/tools/massflow/massflow has BUILD/tools/mpi, PREFIX/bin/massflow has PREFIX/LIB. */
static bool find_module(char path[4096])
{
    static const char *const places[] = {"../mpi", "../" MF_LIBDIR};
    char program[2048];
    const ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);

    if (length <= 0)
        return false;
    program[length] = 0;
    *strrchr(program, '/') = 0; /* the path is absolute: there is one */
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        snprintf(path, 4096, "%s/%s/" MODULE, program, places[i]);
        if (!access(path, R_OK))
            return true;
    }
    return false;
}

static mf_status load(const char *path, mf_mpi_open **open_it)
{
    void *module = dlopen(path, RTLD_NOW | RTLD_GLOBAL);

    if (!module)
        return mf_fail(MF_UNSUPPORTED, "MPI cannot be loaded: %s", dlerror());
    *(void **)open_it = dlsym(module, MF_MPI_OPEN);
    *(void **)&close_it = dlsym(module, MF_MPI_CLOSE);
    return *open_it && close_it ? MF_OK
                                : mf_fail(MF_UNSUPPORTED, "'%s' is of another version", path);
}

mf_status by_mpi_open(mf_mpi *mpi)
{
    char path[4096];
    mf_mpi_open *open_it = NULL;

    if (!find_module(path))
        return mf_hint(
            mf_fail(MF_UNSUPPORTED, "this massflow was built without MPI"),
            "install libopenmpi-dev and build it again; without --mpi workers reach each "
            "other by TCP");
    MF_TRY(load(path, &open_it));
    const char *why = open_it(mpi);
    if (why)
        return mf_fail(MF_UNSUPPORTED, "MPI cannot be used: %s", why);
    return MF_OK;
}

void by_mpi_close(void)
{
    close_it();
}
