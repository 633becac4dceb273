/* models.c - `massflow models`: which published weights the stages take, where they come from, and
 * whether a downloaded file is one of them, whole. The digests are those of the published files. */
#include "command.h"
#include "small_model.h"

#include "store/digest.h"
#include <stdio.h>
#include <string.h>

#define SAM2_1 "https://dl.fbaipublicfiles.com/segment_anything_2/092824/"
#define SAM2_0 "https://dl.fbaipublicfiles.com/segment_anything_2/072824/"

static const struct published {
    const char *name, *from, *sha256;
} published[] = {
    {"sam2.1_hiera_tiny.pt", SAM2_1,
     "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69"},
    {"sam2.1_hiera_small.pt", SAM2_1,
     "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38"},
    {"sam2.1_hiera_base_plus.pt", SAM2_1,
     "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5"},
    {"sam2.1_hiera_large.pt", SAM2_1,
     "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318"},
    {"sam2_hiera_tiny.pt", SAM2_0,
     "65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125"},
    {"sam2_hiera_small.pt", SAM2_0,
     "95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3"},
    {"sam2_hiera_base_plus.pt", SAM2_0,
     "d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071"},
    {"sam2_hiera_large.pt", SAM2_0,
     "7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b"},
};
static const size_t published_count = sizeof published / sizeof *published;

static void list(void)
{
    printf("SAM 2 (Apache-2.0, Meta; github.com/facebookresearch/sam2), for sam2.masks and\n"
           "sam2.propagate; larger is better and slower. MASS was made with "
           "sam2.1_hiera_large.pt.\n\n");
    for (size_t i = 0; i < published_count; i++)
        printf("  %-26s %s%s\n", published[i].name, published[i].from, published[i].name);
    printf(
        "\nOf the package transformers: model.safetensors of facebook/sam2.1-hiera-tiny, -small,\n"
        "-base-plus and -large at huggingface.co.\n"
        "\n"
        "  sam2-small.safetensors     comes with massflow, in graphs/models: the same "
        "architecture, small\n"
        "                             and briefly trained, for trials and tests; never "
        "for results\n"
        "\n"
        "'massflow models FILE...' says whether a file is one of the published ones, whole. "
        "Then:\n"
        "  massflow run graphs/sam2.yaml --set weights=FILE\n");
}

static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* False where the file bears the name of a published one and is another. */
static bool tell(const char *path, const char *digest)
{
    for (size_t i = 0; i < published_count; i++)
        if (!strcmp(published[i].sha256, digest)) {
            printf("%s: %s, as published\n", path, published[i].name);
            return true;
        }
    if (!strcmp(MF_SMALL_SHA256, digest)) {
        printf("%s: the small SAM 2 of this massflow: for trials and tests, not for results\n",
               path);
        return true;
    }
    for (size_t i = 0; i < published_count; i++)
        if (!strcmp(published[i].name, base_of(path))) {
            printf("%s: NOT the published file: its SHA-256 is\n  %s, not\n  %s\n"
                   "  download it again from %s%s\n",
                   path, digest, published[i].sha256, published[i].from, published[i].name);
            return false;
        }
    printf("%s: none of the published files; 'massflow show %s' lists what is in it\n", path, path);
    return true;
}

static int models(const args *a)
{
    int code = EXIT_DONE;
    if (!args_count(a))
        list();
    for (size_t i = 0; i < args_count(a); i++) {
        char digest[MF_HEX_SIZE];
        mf_status status = mf_digest_file(args_at(a, i), digest);
        if (status)
            return command_fail(status, EXIT_REQUEST);
        if (!tell(args_at(a, i), digest))
            code = EXIT_FAILED;
    }
    return code;
}

const command command_models = {"models",
                                "[FILE...]",
                                "list published weights, or check files of them",
                                "Without FILE: lists the weights that stages can load, and their "
                                "sources. With FILE: compares the\n"
                                "SHA-256 with the published one. Exit status 1 if a file has a "
                                "published name but other content.",
                                NULL,
                                0,
                                -1,
                                models};
