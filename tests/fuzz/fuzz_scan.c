/* fuzz_scan.c - folders of DICOM files, NIfTI and MetaImage files. The first byte says how many
 * files the input is cut in (0: one file, else a folder); files are parted by the bytes ff 25 25
 * ff, and each begins with its name and a zero byte. What only ITK can read is left out: see
 * no_itk.c. */
#include "fuzz.h"
#include "load.h"

#include <sys/stat.h>

/* A name without a folder, that is not hidden; made where the input has none. */
static void take_name(const uint8_t **at, const uint8_t *end, int number, char name[80])
{
    const uint8_t *zero = memchr(*at, 0, (size_t)(end - *at));
    size_t size = zero ? (size_t)(zero - *at) : 0;
    if (zero)
        *at = zero + 1;
    snprintf(name, 80, "scan/%d", number);
    if (!size || size > 60)
        return;
    memcpy(name + 5, zero - size, size);
    name[5 + size] = 0;
    for (char *c = name + 5; *c; c++)
        if (*c == '/' || (*c == '.' && c == name + 5))
            *c = '_';
}

static void write_files(const uint8_t *at, const uint8_t *end, bool folder, char first[80])
{
    char name[80];
    for (int i = 0; i < 4 && at < end; i++) {
        const uint8_t *cut = memmem(at, (size_t)(end - at), "\xff%%\xff", 4);
        const uint8_t *stop = folder && cut ? cut : end;
        take_name(&at, stop, i, name);
        if (i == 0)
            strcpy(first, name);
        write_file(name, at, (size_t)(stop - at));
        at = folder && cut ? cut + 4 : end;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    load_options o = {.read = {-1, NULL},
                      .orient = "RAS",
                      .crop = "none",
                      .threshold = -500,
                      .margin = 20,
                      .modality = "auto"};
    char first[80] = "";
    scan notes;
    mf_artifact *volume = NULL;
    enter_scratch();
    if (size < 4)
        return -1;
    nftw("scan", remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    PROMISE(mkdir("scan", 0700) == 0);
    bool folder = data[0] & 1;
    write_files(data + 1, data + size, folder, first);
    memset(&notes, 0, sizeof notes);
    if (!failed(load_volume(folder ? "scan" : first, &o, &notes, &volume))) {
        mf_grid grid;
        PROMISE(volume && !failed(mf_artifact_grid(volume, &grid)));
        PROMISE(mf_grid_voxels(&grid) > 0);
    }
    mf_artifact_unref(volume);
    return 0;
}
