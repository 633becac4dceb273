/* replay.c - runs a fuzz target on files, or on all files of folders: the kept corpus as a test. */
#include "fuzz.h"

#include <dirent.h>
#include <sys/stat.h>

static int count;

static void replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct stat st;
    PROMISE(f && fstat(fileno(f), &st) == 0);
    uint8_t *bytes = malloc((size_t)st.st_size + 1);
    PROMISE(bytes && fread(bytes, 1, (size_t)st.st_size, f) == (size_t)st.st_size);
    fclose(f);
    LLVMFuzzerTestOneInput(bytes, (size_t)st.st_size);
    free(bytes);
    count++;
}

static void replay(const char *path)
{
    struct stat st;
    struct dirent **names;
    PROMISE(stat(path, &st) == 0);
    if (!S_ISDIR(st.st_mode)) {
        replay_file(path);
        return;
    }
    int n = scandir(path, &names, NULL, alphasort);
    PROMISE(n >= 0);
    for (int i = 0; i < n; i++) {
        char *inner;
        PROMISE(asprintf(&inner, "%s/%s", path, names[i]->d_name) > 0);
        if (names[i]->d_name[0] != '.')
            replay(inner);
        free(inner);
        free(names[i]);
    }
    free(names);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        char *path = realpath(argv[i], NULL); /* targets change the folder */
        PROMISE(path);
        replay(path);
        free(path);
    }
    PROMISE(count > 0);
    printf("100%%: Checks: %d, Failures: 0, Errors: 0\n", count);
    return 0;
}
