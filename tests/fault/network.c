/* network.c - preloaded into massflow: every folder says that it lies on NFS. */
#undef _FILE_OFFSET_BITS /* statfs and statfs64 are two functions here */
#include <sys/vfs.h>

#define NFS 0x6969

int statfs(const char *path, struct statfs *s)
{
    (void)path;
    *s = (struct statfs){.f_type = NFS};
    return 0;
}

int statfs64(const char *path, struct statfs64 *s)
{
    (void)path;
    *s = (struct statfs64){.f_type = NFS};
    return 0;
}
