/* secret.c - token files, HMACs and sealed frames, by libcrypto. See secret.h. */
#include "run/remote/secret.h"
#include "store/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define LEAST_TOKEN 32
#define MOST_TOKEN 4096

mf_status mf_secret_random(uint8_t bytes[MF_SECRET_BYTES])
{
    if (getrandom(bytes, MF_SECRET_BYTES, 0) == MF_SECRET_BYTES)
        return MF_OK;
    return mf_fail(MF_IO, "the system gives no random numbers: %s", strerror(errno));
}

bool mf_secret_same(const uint8_t *a, const uint8_t *b, size_t size)
{
    return CRYPTO_memcmp(a, b, size) == 0;
}

void mf_secret_derive(const mf_token *token, const char *word, const uint8_t a[MF_SECRET_BYTES],
                      const uint8_t b[MF_SECRET_BYTES], uint8_t out[MF_SECRET_BYTES])
{
    uint8_t text[64 + 2 * MF_SECRET_BYTES] = {0};

    snprintf((char *)text, 64, "massflow link 2 %s", word);
    memcpy(text + 64, a, MF_SECRET_BYTES);
    memcpy(text + 64 + MF_SECRET_BYTES, b, MF_SECRET_BYTES);
    if (!HMAC(EVP_sha256(), token->key, sizeof token->key, text, sizeof text, out, NULL))
        memset(out, 0, MF_SECRET_BYTES); /* the two ends will not agree */
}

/* ---- the file -------------------------------------------------------------------------------- */

static mf_status failed(const char *doing, const char *path)
{
    return mf_fail(MF_IO, "cannot %s the token file '%s': %s", doing, path, strerror(errno));
}

static mf_status make_file(const char *path)
{
    uint8_t random[MF_SECRET_BYTES];
    char hex[MF_HEX_SIZE + 1];
    int file;
    bool good;

    MF_TRY(mf_secret_random(random));
    mf_hex_encode(random, hex);
    strcat(hex, "\n");
    file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0)
        return errno == EEXIST ? MF_OK : failed("make", path);
    good = write(file, hex, strlen(hex)) == (ssize_t)strlen(hex);
    good = fsync(file) == 0 && good; /* workers of other machines read it */
    if (close(file) != 0 || !good) {
        mf_status status = failed("write", path);
        unlink(path);
        return status;
    }
    return MF_OK;
}

mf_status mf_token_of(const char *name, const char *text, size_t size, mf_token *token)
{
    while (size > 0 && (text[size - 1] == '\n' || text[size - 1] == '\r' || text[size - 1] == ' '))
        size--;
    if (size < LEAST_TOKEN || size > MOST_TOKEN)
        return mf_hint(mf_fail(MF_INVALID, "%s has %zu bytes, not %d to %d", name, size,
                               LEAST_TOKEN, MOST_TOKEN),
                       "'massflow run --listen' makes one where there is none");
    mf_digest_bytes(text, size, token->key);
    return MF_OK;
}

static mf_status read_file(const char *path, int file, mf_token *token)
{
    struct stat st;
    char text[MOST_TOKEN + 1];
    ssize_t size;

    if (fstat(file, &st) != 0)
        return failed("read", path);
    if (!S_ISREG(st.st_mode))
        return mf_fail(MF_INVALID, "the token file '%s' is not a regular file", path);
    if (st.st_uid != geteuid() || (st.st_mode & 077))
        return mf_hint(
            mf_fail(MF_INVALID, "the token file '%s' can be read by others than its owner", path),
            "chmod 600 '%s', as the user that runs massflow", path);
    size = read(file, text, sizeof text);
    if (size < 0)
        return failed("read", path);
    char *name;
    if (asprintf(&name, "the token file '%s'", path) < 0)
        return mf_no_memory(0, "a token");
    mf_status status = mf_token_of(name, text, (size_t)size, token);
    free(name);
    OPENSSL_cleanse(text, sizeof text);
    return status;
}

mf_status mf_token_read(const char *path, bool make, mf_token *token)
{
    int file;
    mf_status status;

    if (make)
        MF_TRY(make_file(path));
    file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
        return mf_hint(failed("read", path),
                       "it is the one that 'massflow run --listen --token FILE' names");
    status = read_file(path, file, token);
    close(file);
    return status;
}

/* ---- seals ----------------------------------------------------------------------------------- */

struct mf_seal {
    EVP_CIPHER_CTX *context;
    uint64_t number; /* of the next frame */
};

mf_status mf_seal_new(const uint8_t key[MF_SECRET_BYTES], mf_seal **seal)
{
    mf_seal *s = calloc(1, sizeof *s);

    *seal = NULL;
    if (s)
        s->context = EVP_CIPHER_CTX_new();
    if (!s || !s->context ||
        !EVP_CipherInit_ex(s->context, EVP_aes_256_gcm(), NULL, key, NULL, 1)) {
        mf_seal_free(s);
        return mf_fail(MF_UNSUPPORTED, "libcrypto has no AES-256-GCM");
    }
    *seal = s;
    return MF_OK;
}

void mf_seal_free(mf_seal *s)
{
    if (!s)
        return;
    EVP_CIPHER_CTX_free(s->context);
    free(s);
}

/* The number is the nonce: each is used once, for a key is of one direction of one connection. */
static bool begin(mf_seal *s, bool closing, const void *clear, size_t clear_size)
{
    uint8_t nonce[12] = {0};
    int n;

    for (int i = 0; i < 8; i++)
        nonce[4 + i] = (uint8_t)(s->number >> (8 * i));
    s->number++;
    return EVP_CipherInit_ex(s->context, NULL, NULL, NULL, nonce, closing) &&
           EVP_CipherUpdate(s->context, NULL, &n, clear, (int)clear_size);
}

mf_status mf_seal_close(mf_seal *s, const void *clear, size_t clear_size, const void *head,
                        size_t head_size, const void *body, size_t body_size, uint8_t *out,
                        uint8_t tag[MF_SEAL_BYTES])
{
    int n = 0;

    if (begin(s, true, clear, clear_size) &&
        EVP_CipherUpdate(s->context, out, &n, head, (int)head_size) &&
        (!body_size || EVP_CipherUpdate(s->context, out + head_size, &n, body, (int)body_size)) &&
        EVP_CipherFinal_ex(s->context, out + head_size + body_size, &n) &&
        EVP_CIPHER_CTX_ctrl(s->context, EVP_CTRL_AEAD_GET_TAG, MF_SEAL_BYTES, tag))
        return MF_OK;
    return mf_fail(MF_INTERNAL, "a message could not be sealed");
}

bool mf_seal_open(mf_seal *s, const void *clear, size_t clear_size, uint8_t *bytes, size_t size,
                  const uint8_t tag[MF_SEAL_BYTES])
{
    int n = 0;

    return begin(s, false, clear, clear_size) &&
           EVP_CipherUpdate(s->context, bytes, &n, bytes, (int)size) &&
           EVP_CIPHER_CTX_ctrl(s->context, EVP_CTRL_AEAD_SET_TAG, MF_SEAL_BYTES, (void *)tag) &&
           EVP_CipherFinal_ex(s->context, bytes + size, &n) > 0;
}
