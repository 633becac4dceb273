/* fuzz_scan.c - folders of DICOM files, and NIfTI, NRRD and MetaImage files with what their headers
 * name. Bits of the first byte: 1: several files, parted by the bytes ff 25 25 ff; 2: a label map,
 * not a scan; 4: the first of the files is loaded, not their folder; 8: the first time point of a
 * scan. Each file begins with its name and a zero byte. Left out are ITK (no_itk.c) and the
 * decoders of compressed pixels, which run in another process (no_decoder.c; fuzz_decode.c). */
#include "fuzz.h"
#include "load.h"
#include "reader.h"
#include "scan/scan.h"

#include <limits.h>
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

/* A part lies in the folder that the header is in. */
static mf_status take_part(void *self, const char *part)
{
    char here[PATH_MAX], real[PATH_MAX];
    (void)self;
    PROMISE(realpath("scan", here) && realpath(part, real));
    size_t n = strlen(here);
    PROMISE(!strncmp(real, here, n) && real[n] == '/');
    return MF_OK;
}

static mf_status load(const char *path, bool labels, int64_t time, mf_artifact **artifact)
{
    const load_options volume = {.read = {time, NULL},
                                 .orient = "RAS",
                                 .crop = "none",
                                 .threshold = -500,
                                 .margin = 20,
                                 .modality = "auto"};
    const labels_options map = {.read = {-1, NULL}, .orient = "RAS"};
    scan notes;
    memset(&notes, 0, sizeof notes);
    return labels ? load_labels(path, &map, NULL, &notes, artifact)
                  : load_volume(path, &volume, &notes, artifact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char first[80] = "";
    mf_artifact *artifact = NULL;
    enter_scratch();
    if (size < 4)
        return -1;
    nftw("scan", remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    PROMISE(mkdir("scan", 0700) == 0);
    bool several = data[0] & 1, labels = data[0] & 2, named = !several || data[0] & 4;
    write_files(data + 1, data + size, several, first);
    const char *path = named ? first : "scan";
    bool listed = !failed(scan_parts(path, take_part, NULL));
    if (!failed(load(path, labels, data[0] & 8 ? 0 : -1, &artifact))) {
        mf_grid grid;
        PROMISE(listed); /* what is read can be listed */
        PROMISE(artifact && !failed(mf_artifact_grid(artifact, &grid)));
        PROMISE(mf_grid_voxels(&grid) > 0);
    }
    mf_artifact_unref(artifact);
    return 0;
}
