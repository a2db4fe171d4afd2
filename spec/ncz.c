// SPDX-License-Identifier: Apache-2.0
// A second reader of the .ncz format 0.2, written from spec/ncz-v1.md alone. C11 and libzstd; nothing else.
//
// As a library:
//
//     int ncz_open(ncz *f, const void *file, size_t size, void *work, size_t work_size);
//         Opens a file that lies in memory: steps 1 and 2 of §7. The file and the workspace stay as they are while f is used.
//     uint64_t f->tensors; int ncz_tensor(ncz *f, uint64_t i, ncz_tensor *t);
//         Tensor i. t->verdict is NCZ_UNSUPPORTED where this reader cannot decode it; t->bytes is what it decodes to.
//     int ncz_find(ncz *f, const char *name, size_t size, ncz_tensor *t);
//         The tensor of that name; NCZ_ABSENT where there is none.
//     int ncz_decode(ncz *f, const ncz_tensor *t, void *out, void *work, size_t work_size, int digest);
//         Decodes a tensor into t->bytes bytes at `out`: step 3 of §7; with `digest`, compares its digest too.
//     int ncz_test(ncz *f, void *work, size_t work_size, uint64_t limit);
//         What step 4 of §7 says of the file besides its tensors: padding, container (of at most `limit` remaining bytes),
//         the file's digest; and the CRC-32 of the blocks of tensors that cannot be decoded. Not the rule that reads HDF5.
//
// Each returns NCZ_OK or a verdict, and then f->why says why. NCZ_SPACE says that the workspace is too small: f->need bytes
// are enough for the next thing that needs some, so try again until it is no longer returned. Workspaces are aligned as
// malloc's are. Nothing is allocated here; there is no global state. Real numbers are read with strtod, in the locale "C".
//
// As a program (-DNCZ_MAIN): `ncz FILE` lists the tensors and tests the whole file, `ncz FILE NAME` writes a tensor's values.

#define ZSTD_STATIC_LINKING_ONLY
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

enum { NCZ_OK = 0, NCZ_CORRUPT = 65, NCZ_UNSUPPORTED = 69, NCZ_OVER = 75, NCZ_SPACE = -1, NCZ_ABSENT = -2 };

typedef uint8_t u8;
typedef uint32_t u32;
typedef uint64_t u64;

#define MAX_RANK 32u
#define MAX_NAME 4096u
#define MAX_TENSORS (1u << 19)
#define MAX_DIRECTORY (256u << 20)
#define MAX_DEPTH 64u
#define MAX_VALUES (1u << 24)
#define MAX_WINDOW (8u << 20)
#define BLOCK (1u << 20)    // bytes of a piece of a raw array, and most stored bytes of any block
#define WEIGHTS (1u << 18)  // most weights of a row block

typedef struct ncz_tensor {
    const u8 *name;     // as the directory spells it: after the opening quote, \" and \\ escaped
    size_t name_size;
    const char *type_name;
    unsigned rank;
    u64 shape[MAX_RANK];
    u64 bytes;          // of the decoded values
    int verdict;        // NCZ_OK, or NCZ_UNSUPPORTED
    int encoding;
    // What follows is the reader's own.
    u64 number, rows, columns, parts;
    const u8 *digest, *place;
    int type;                       // index in TYPES, -1: unknown
    unsigned size;                  // bytes of an element, 0: unknown
    bool history, permuted, planes;
    unsigned axes[MAX_RANK];
    int positions, values;          // of sparse and levels, see the lists of words there
    u64 scale_per;                  // columns of a group; SCALE_TENSOR, SCALE_ROW
    u64 least, levels, exceptions, factor_rank;
    unsigned bits, row_classes, column_classes;
} ncz_tensor;

struct pair { u64 a, b; };
struct place { const u8 *json, *payload; u64 at; };  // where a tensor and its payloads are

typedef struct ncz {
    const char *why;
    size_t need;
    u64 tensors;
    bool network_unsupported;    // what only running the network, and only restoring the source file, would meet
    bool container_unsupported;
    // What follows is the reader's own.
    const u8 *file, *directory;
    u64 size, start, steps;      // `start`: where the directory starts in the file
    bool mapped;
    const u8 *container, *digest, *network, *payloads, *container_digest, *container_kind, *container_payload;
    u64 container_size, container_at, container_left;
    struct place *index;         // in the order of the file
    struct pair *names;          // sorted by name; a: offset of the name in the directory, b: number of the tensor
    u32 crc[256], key[1040];
} ncz;

static int fail(ncz *f, int verdict, const char *why) { f->why = why; return verdict; }
#define CORRUPT(why) return fail(f, NCZ_CORRUPT, why)
#define TRY(call) do { int verdict_ = (call); if (verdict_ != NCZ_OK) return verdict_; } while (0)

static u64 load(const u8 *p, unsigned bytes)
{
    u64 x = 0;
    while (bytes-- > 0) x = x << 8 | p[bytes];
    return x;
}

static u64 smaller(u64 a, u64 b) { return a < b ? a : b; }
static u64 divide_up(u64 a, u64 b) { return a / b + (a % b != 0); }

// Takes `bytes` of a workspace; null where not so many are left. `used` counts on all the same, for NCZ_SPACE.
struct space { u8 *base; u64 size, used; };

static void *take(struct space *s, u64 bytes)
{
    u64 at = s->used;
    if (bytes > UINT64_MAX / 4 || at > UINT64_MAX / 4) { s->used = UINT64_MAX / 2; return NULL; }
    s->used = at + (bytes + 63) / 64 * 64;
    return s->used <= s->size ? s->base + at : NULL;
}

static int no_space(ncz *f, const struct space *s)
{
    if (s->used > SIZE_MAX / 2) return fail(f, NCZ_OVER, "more memory than there are addresses");
    f->need = (size_t)s->used;
    return fail(f, NCZ_SPACE, "the workspace is too small");
}

// CRC-32 and SHA-256 ------------------------------------------------------------------------------------------------------

static void crc_table(u32 table[256])
{
    for (u32 i = 0; i < 256; i++) {
        u32 x = i;
        for (int bit = 0; bit < 8; bit++) x = x & 1 ? x >> 1 ^ 0xEDB88320u : x >> 1;
        table[i] = x;
    }
}

static u32 crc32_of(const ncz *f, const u8 *p, u64 n)
{
    u32 x = 0xFFFFFFFFu;
    for (u64 i = 0; i < n; i++) x = x >> 8 ^ f->crc[(x ^ p[i]) & 255];
    return ~x;
}

struct sha { u32 h[8]; u64 bytes; u8 block[64]; };

static u32 rotate(u32 x, unsigned n) { return x >> n | x << (32 - n); }

static void sha_block(struct sha *s, const u8 *p)
{
    static const u32 k[64] = {
        0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
        0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
        0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
        0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
        0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
        0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
        0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
        0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2 };
    u32 w[64], v[8];
    for (int i = 0; i < 16; i++, p += 4) w[i] = (u32)p[0] << 24 | (u32)p[1] << 16 | (u32)p[2] << 8 | p[3];
    for (int i = 16; i < 64; i++) {
        u32 a = w[i - 15], b = w[i - 2];
        w[i] = w[i - 16] + w[i - 7] + (rotate(a, 7) ^ rotate(a, 18) ^ a >> 3) + (rotate(b, 17) ^ rotate(b, 19) ^ b >> 10);
    }
    memcpy(v, s->h, sizeof v);
    for (int i = 0; i < 64; i++) {
        u32 e = v[4], a = v[0];
        u32 x = v[7] + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & v[5]) ^ (~e & v[6])) + k[i] + w[i];
        u32 y = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & v[1]) ^ (a & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof *v);
        v[4] += x;
        v[0] = x + y;
    }
    for (int i = 0; i < 8; i++) s->h[i] += v[i];
}

static void sha_begin(struct sha *s)
{
    static const u32 h[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
    memcpy(s->h, h, sizeof h);
    s->bytes = 0;
}

static void sha_add(struct sha *s, const void *data, u64 n)
{
    for (const u8 *p = data, *end = p + n; p < end; ) {
        u64 at = s->bytes % 64, part = smaller(64 - at, (u64)(end - p));
        memcpy(s->block + at, p, (size_t)part);
        s->bytes += part;
        p += part;
        if (at + part == 64) sha_block(s, s->block);
    }
}

static void sha_text(struct sha *s, const char *text) { sha_add(s, text, strlen(text)); }

static void sha_end(struct sha *s, u8 digest[32])
{
    u64 bits = s->bytes * 8;
    u8 tail[72] = { 0x80 }, n = (u8)((119 - s->bytes % 64) % 64 + 1);
    for (int i = 0; i < 8; i++) tail[n + i] = (u8)(bits >> (56 - 8 * i));
    sha_add(s, tail, n + 8u);
    for (int i = 0; i < 32; i++) digest[i] = (u8)(s->h[i / 4] >> (24 - 8 * (i % 4)));
}

// The digests of §3.1.
static void make_key(ncz *f)
{
    for (unsigned i = 0; i < 130; i++) {
        struct sha s;
        u8 digest[32];
        char text[32];
        snprintf(text, sizeof text, "ncz digest key %u", i);
        sha_begin(&s);
        sha_text(&s, text);
        sha_end(&s, digest);
        for (unsigned j = 0; j < 8; j++) f->key[8 * i + j] = (u32)load(digest + 4 * j, 4);
    }
}

// Adds values, of which only the last ones may be no multiple of 4096 bytes.
static void fold(const ncz *f, struct sha *s, const u8 *p, u64 n)
{
    while (n > 0) {
        u64 piece = smaller(n, 4096), h[4] = { 0 };
        for (u64 i = 0; i < piece; i += 8) {
            u8 padded[8] = { 0 };
            memcpy(padded, p + i, (size_t)smaller(8, piece - i));
            u32 a = (u32)load(padded, 4), b = (u32)load(padded + 4, 4);
            for (u64 t = 0; t < 4; t++) h[t] += (u64)(u32)(a + f->key[i / 4 + 4 * t]) * (u32)(b + f->key[i / 4 + 1 + 4 * t]);
        }
        u8 bytes[32];
        for (int i = 0; i < 32; i++) bytes[i] = (u8)(h[i / 8] >> 8 * (i % 8));
        sha_add(s, bytes, 32);
        p += piece;
        n -= piece;
    }
}

// Is this the digest that the directory has as 32 hexadecimal digits?
static bool same_digest(struct sha *s, const u8 *string)
{
    u8 digest[32];
    sha_end(s, digest);
    for (int i = 0; i < 32; i++) {
        int digit = digest[i / 2] >> (i % 2 ? 0 : 4) & 15;
        if (string[1 + i] != "0123456789abcdef"[digit]) return false;
    }
    return true;
}

// JSON in canonical form, §2.4 ----------------------------------------------------------------------------------------------

// Bytes of the UTF-8 character at p; 0 where there is none.
static unsigned utf8(const u8 *p, const u8 *end)
{
    static const u32 least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
    if (p == end) return 0;
    if (*p < 0x80) return 1;
    unsigned n = *p >= 0xF0 ? 4 : *p >= 0xE0 ? 3 : 2;
    if (*p < 0xC2 || *p > 0xF4 || end - p < (ptrdiff_t)n) return 0;
    u32 c = *p & (0x7Fu >> n);
    for (unsigned i = 1; i < n; i++) {
        if (p[i] >> 6 != 2) return 0;
        c = c << 6 | (p[i] & 63u);
    }
    return c < least[n] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000) ? 0 : n;
}
