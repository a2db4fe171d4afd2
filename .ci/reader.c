// SPDX-License-Identifier: Apache-2.0
// A second reader of the .ncz format 0.2, written from spec/ncz-v1.md alone. C11 and libzstd; nothing else.
//
// As a library:
//
//     int ncz_open(ncz *f, const void *file, size_t size, void *work, size_t work_size);
//         Opens a file that lies in memory: steps 1 and 2 of §7. The file and the workspace stay as they are while f is used.
//     uint64_t f->tensors; int ncz_tensor_at(ncz *f, uint64_t i, ncz_tensor *t);
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
    u64 least, levels, exceptions, factor_rank, seed, threshold;
    unsigned bits, row_classes, column_classes;
} ncz_tensor;

struct pair { u64 a, b; };
struct place { const u8 *json, *payload; u64 at; };  // where a tensor and its payloads are

typedef struct ncz {
    const char *why;
    size_t need;
    u64 tensors;
    bool network_unsupported;    // what only running the network, restoring the source file, checking what a step claims would meet
    bool container_unsupported;
    bool steps_unsupported;
    // What follows is the reader's own.
    const u8 *file, *directory;
    char version[40];            // for a verdict on it
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

static u64 load(const u8 *p, unsigned bytes) {
    u64 x = 0;
    while (bytes-- > 0) x = x << 8 | p[bytes];
    return x;
}

static u64 smaller(u64 a, u64 b) { return a < b ? a : b; }
static u64 divide_up(u64 a, u64 b) { return a / b + (a % b != 0); }

// Takes `bytes` of a workspace; null where not so many are left. `used` counts on all the same, for NCZ_SPACE.
struct space { u8 *base; u64 size, used; };

static void *take(struct space *s, u64 bytes) {
    u64 at = s->used;
    if (bytes > UINT64_MAX / 4 || at > UINT64_MAX / 4) { s->used = UINT64_MAX; return NULL; }
    s->used = at + (bytes + 64) / 64 * 64;  // more than none, so that it is not null
    return s->used <= s->size ? s->base + at : NULL;
}

static int no_space(ncz *f, const struct space *s) {
    if (s->used > SIZE_MAX / 2) return fail(f, NCZ_OVER, "more memory than there are addresses");
    f->need = (size_t)s->used;
    return fail(f, NCZ_SPACE, "the workspace is too small");
}

// CRC-32 and SHA-256 ------------------------------------------------------------------------------------------------------

static void crc_table(u32 table[256]) {
    for (u32 i = 0; i < 256; i++) {
        u32 x = i;
        for (int bit = 0; bit < 8; bit++) x = x & 1 ? x >> 1 ^ 0xEDB88320u : x >> 1;
        table[i] = x;
    }
}

static u32 crc32_of(const ncz *f, const u8 *p, u64 n) {
    u32 x = 0xFFFFFFFFu;
    for (u64 i = 0; i < n; i++) x = x >> 8 ^ f->crc[(x ^ p[i]) & 255];
    return ~x;
}

struct sha { u32 h[8]; u64 bytes; u8 block[64]; };

static u32 rotate(u32 x, unsigned n) { return x >> n | x << (32 - n); }

static void sha_block(struct sha *s, const u8 *p) {
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

static void sha_begin(struct sha *s) {
    static const u32 h[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
    memcpy(s->h, h, sizeof h);
    s->bytes = 0;
}

static void sha_add(struct sha *s, const void *data, u64 n) {
    for (const u8 *p = data, *end = p + n; p < end; ) {
        u64 at = s->bytes % 64, part = smaller(64 - at, (u64)(end - p));
        memcpy(s->block + at, p, (size_t)part);
        s->bytes += part;
        p += part;
        if (at + part == 64) sha_block(s, s->block);
    }
}

static void sha_text(struct sha *s, const char *text) { sha_add(s, text, strlen(text)); }

static void sha_end(struct sha *s, u8 digest[32]) {
    u64 bits = s->bytes * 8;
    u8 tail[72] = { 0x80 }, n = (u8)((119 - s->bytes % 64) % 64 + 1);
    for (int i = 0; i < 8; i++) tail[n + i] = (u8)(bits >> (56 - 8 * i));
    sha_add(s, tail, n + 8u);
    for (int i = 0; i < 32; i++) digest[i] = (u8)(s->h[i / 4] >> (24 - 8 * (i % 4)));
}

// The digests of §3.1.
static void make_key(ncz *f) {
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
static void fold(const ncz *f, struct sha *s, const u8 *p, u64 n) {
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
static bool same_digest(struct sha *s, const u8 *string) {
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
static unsigned utf8(const u8 *p, const u8 *end) {
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

// The end of the string at p, null where it is not canonical.
static const u8 *check_string(const u8 *p, const u8 *end) {
    if (p == end || *p != '"') return NULL;
    for (p++; p < end && *p != '"'; ) {
        if (*p == '\\') {
            if (end - p >= 2 && (p[1] == '"' || p[1] == '\\')) { p += 2; continue; }
            if (end - p < 6 || memcmp(p, "\\u00", 4) != 0 || (p[4] != '0' && p[4] != '1')) return NULL;
            if (!(p[5] >= '0' && p[5] <= '9') && !(p[5] >= 'a' && p[5] <= 'f')) return NULL;
            p += 6;
        } else {
            unsigned n = *p < 0x20 ? 0 : utf8(p, end);
            if (n == 0) return NULL;
            p += n;
        }
    }
    return p < end ? p + 1 : NULL;
}

// The next byte that a checked string stands for, from p on, which is inside; −1 at its end.
static int next_byte(const u8 **p) {
    const u8 *s = *p;
    if (*s == '"') return -1;
    *p = s + (*s != '\\' ? 1 : s[1] != 'u' ? 2 : 6);
    if (*s != '\\') return *s;
    if (s[1] != 'u') return s[1];
    return (s[4] - '0') * 16 + (s[5] <= '9' ? s[5] - '0' : s[5] - 'a' + 10);
}

static bool ascending(const u8 *a, const u8 *b) {
    int x, y;
    a++, b++;
    do { x = next_byte(&a); y = next_byte(&b); } while (x == y && x >= 0);
    return x < y;
}

#define NUMBER 32  // more than the bytes of any canonical number, with a zero

// Copies the number at p into text, as far as it fits. Without an end, one is known to come.
static const u8 *copy_number(const u8 *p, const u8 *end, char text[NUMBER]) {
    size_t n = 0;
    for (; (end == NULL || p < end) && n < NUMBER - 1; p++) {
        if (!(*p >= '0' && *p <= '9') && *p != '-' && *p != '+' && *p != '.' && *p != 'e') break;
        text[n++] = (char)*p;
    }
    text[n] = 0;
    return p;
}

static bool check_number(const char *text) {
    if (strchr(text, 'e') == NULL) {
        const char *digits = text + (*text == '-');
        size_t n = strspn(digits, "0123456789");
        u64 x = 0;
        if (n == 0 || n > 19 || digits[n] != 0 || (*digits == '0' && text[1] != 0)) return false;
        for (size_t i = 0; i < n; i++) x = x * 10 + (u64)(digits[i] - '0');
        return x <= (u64)INT64_MAX + (*text == '-');
    }
    double x = strtod(text, NULL);
    if (!isfinite(x) || (x == 0 && signbit(x))) return false;
    for (int precision = 0; precision <= 16; precision++) {
        char canonical[NUMBER];
        snprintf(canonical, sizeof canonical, "%.*e", precision, x);
        if (strtod(canonical, NULL) == x) return strcmp(canonical, text) == 0;
    }
    return false;
}

static int check_json(ncz *f, const u8 *p, const u8 *end) {
    const u8 *key[MAX_DEPTH];  // the last key of an object
    u8 close[MAX_DEPTH];
    unsigned depth = 0;
    u32 values = 0;
    for (;;) {  // a value starts at p
        bool opened = false;
        if (p == end) CORRUPT("the directory ends too early");
        if (++values > MAX_VALUES) return fail(f, NCZ_OVER, "more than 2^24 values in the directory");
        if (*p == '{' || *p == '[') {
            if (depth == MAX_DEPTH) return fail(f, NCZ_OVER, "the directory is nested deeper than 64");
            key[depth] = NULL;
            close[depth++] = *p++ == '{' ? '}' : ']';
            opened = true;
        } else if (*p == '"') {
            p = check_string(p, end);
            if (p == NULL) CORRUPT("a string in the directory is not canonical");
        } else if (*p == '-' || (*p >= '0' && *p <= '9')) {
            char text[NUMBER];
            p = copy_number(p, end, text);
            if (!check_number(text)) CORRUPT("a number in the directory is not canonical");
        } else {
            size_t n = *p == 'f' ? 5 : 4;
            if ((size_t)(end - p) < n || (memcmp(p, "true", 4) != 0 && memcmp(p, "null", 4) != 0 &&
                                          (n != 5 || memcmp(p, "false", 5) != 0))) CORRUPT("the directory is no canonical JSON");
            p += n;
        }
        while (depth > 0 && p < end && *p == close[depth - 1]) { p++; depth--; opened = false; }
        if (depth == 0) break;
        if (!opened) {
            if (p == end || *p != ',') CORRUPT("the directory is no canonical JSON");
            p++;
        }
        if (close[depth - 1] == '}') {
            const u8 *start = p;
            p = check_string(p, end);
            if (p == NULL) CORRUPT("a key in the directory is not canonical");
            if (key[depth - 1] != NULL && !ascending(key[depth - 1], start)) CORRUPT("keys are not sorted, or one is there twice");
            key[depth - 1] = start;
            if (p == end || *p != ':') CORRUPT("the directory is no canonical JSON");
            p++;
        }
    }
    if (p != end) CORRUPT("bytes after the directory's object");
    return NCZ_OK;
}

// From here on JSON has been checked, so that no end need be looked for. A value is a pointer to its first byte.

static const u8 *after_string(const u8 *p) {
    for (p++; *p != '"'; p++) p += *p == '\\';
    return p + 1;
}

static const u8 *after(const u8 *p) {
    unsigned depth = 0;
    do {
        if (*p == '"') p = after_string(p);
        else {
            if (*p == '{' || *p == '[') depth++;
            else if (*p == '}' || *p == ']') depth--;
            // A number or a word ends before a sign; at depth 0 it is the whole value.
            else if (depth == 0) { while (*p != ',' && *p != '}' && *p != ']') p++; return p; }
            p++;
        }
    } while (depth > 0);
    return p;
}

// Goes through an array: starts with *at = array + 1. Null at the end.
static const u8 *next_item(const u8 **at) {
    const u8 *p = *at + (**at == ',');
    if (*p == ']') return NULL;
    *at = after(p);
    return p;
}

static const u8 *next_member(const u8 **at, const u8 **key) {
    const u8 *p = *at + (**at == ',');
    if (*p == '}') return NULL;
    *key = p;
    p = after_string(p) + 1;
    *at = after(p);
    return p;
}

static u64 count_items(const u8 *array) {
    u64 n = 0;
    for (const u8 *at = array + 1; next_item(&at) != NULL; ) n++;
    return n;
}

// The number of the word in a list, words being separated by spaces, that a string spells; −1 where there is none.
// A word may end with `?`, which is no part of it.
static int word(const u8 *string, const char *list) {
    const char *text = (const char *)string + 1;
    size_t size = (size_t)(after_string(string) - string) - 2;
    for (int i = 0; *list != 0; i++) {
        size_t n = strcspn(list, " ?");
        if (n == size && memcmp(text, list, n) == 0) return i;
        list += strcspn(list, " ");
        list += strspn(list, " ");
    }
    return -1;
}

// Looks for the members of an object whose keys are the words of a list: values[i] is that of word i, null where it is not
// there. False where one is missing whose word does not end with `?`. Sets *unknown where there are other keys, of which
// those that begin with x- or d- do not count if `open`.
static bool members(const u8 *object, const char *list, const u8 **values, bool open, bool *unknown) {
    const u8 *key, *value;
    int i = 0;
    for (const char *p = list; *p != 0; p += strspn(p, " ")) { values[i++] = NULL; p += strcspn(p, " "); }
    for (const u8 *at = object + 1; (value = next_member(&at, &key)) != NULL; ) {
        i = word(key, list);
        if (i >= 0) values[i] = value;
        else if (!open || (memcmp(key, "\"x-", 3) != 0 && memcmp(key, "\"d-", 3) != 0)) *unknown = true;
    }
    i = 0;
    for (const char *p = list; *p != 0; p += strspn(p, " ")) {
        p += strcspn(p, " ");
        if (values[i++] == NULL && p[-1] != '?') return false;
    }
    return true;
}

static bool is_integer(const u8 *p) {
    if (*p != '-' && !(*p >= '0' && *p <= '9')) return false;
    for (p++; *p != ',' && *p != '}' && *p != ']'; p++) if (*p == 'e') return false;
    return true;
}

// Is p an integer in least…most?
static bool integer(const u8 *p, int64_t least, int64_t most, int64_t *x) {
    u64 n = 0;
    if (!is_integer(p)) return false;
    for (const u8 *q = p + (*p == '-'); *q >= '0' && *q <= '9'; q++) n = n * 10 + (u64)(*q - '0');
    *x = *p != '-' ? (int64_t)n : n > (u64)INT64_MAX ? INT64_MIN : -(int64_t)n;
    return *x >= least && *x <= most;
}

static bool natural(const u8 *p, u64 least, u64 most, u64 *x) {
    int64_t n;
    if (!integer(p, (int64_t)least, (int64_t)most, &n)) return false;
    *x = (u64)n;
    return true;
}

static bool real(const u8 *p, double least, double most, double *x) {
    char text[NUMBER];
    if ((*p != '-' && !(*p >= '0' && *p <= '9')) || is_integer(p)) return false;
    copy_number(p, NULL, text);
    *x = strtod(text, NULL);
    return *x >= least && *x <= most;
}

static bool is_true(const u8 *p) { return *p == 't'; }

static bool is_hexadecimal(const u8 *p, int digits) {
    if (*p++ != '"') return false;
    for (int i = 0; i < digits; i++, p++) if (!(*p >= '0' && *p <= '9') && !(*p >= 'a' && *p <= 'f')) return false;
    return *p == '"';
}

static bool is_digest(const u8 *p) { return is_hexadecimal(p, 32); }

// Is p a string, and how many bytes does it stand for? `plain`: it may have no control characters.
static bool is_string(const u8 *p, bool plain, u64 *size) {
    int c;
    if (*p++ != '"') return false;
    for (*size = 0; (c = next_byte(&p)) >= 0; ++*size) if (plain && (c < 0x20 || c == 0x7F)) return false;
    return true;
}

// Frames and blocks, §2.3 -----------------------------------------------------------------------------------------------------

static ZSTD_DCtx *take_zstd(struct space *s) {
    size_t size = ZSTD_estimateDCtxSize();
    void *p = take(s, size);
    return p == NULL ? NULL : ZSTD_initStaticDCtx(p, size);
}

// Decodes exactly one frame into exactly `size` bytes, more than 0.
static int unpack(ncz *f, ZSTD_DCtx *z, const u8 *p, size_t n, u8 *out, size_t size) {
    static const unsigned dictionary_bytes[4] = { 0, 1, 2, 4 }, size_bytes[4] = { 0, 2, 4, 8 };
    if (n < 6 || load(p, 4) != 0xFD2FB528u) CORRUPT("no zstd frame");
    bool single = p[4] >> 5 & 1;
    unsigned dictionary = dictionary_bytes[p[4] & 3], content = size_bytes[p[4] >> 6];
    if (content == 0 && single) content = 1;
    if (content == 0 || p[4] & 0x0C || n < 6 + dictionary + content) CORRUPT("a zstd frame without a size, with a checksum, or cut short");
    u64 window = size;
    if (!single) window = (8u + (p[5] & 7u)) * ((u64)1 << (7 + (p[5] >> 3)));
    p += single ? 5 : 6;
    if (load(p, dictionary) != 0) CORRUPT("a zstd frame with a dictionary");
    u64 declared = load(p + dictionary, content) + (content == 2 ? 256 : 0);
    p -= single ? 5 : 6;
    if (declared != size) CORRUPT("a zstd frame of another size");
    if (window > MAX_WINDOW) return fail(f, NCZ_OVER, "a zstd window of more than 8 MiB");
    if (ZSTD_findFrameCompressedSize(p, n) != n) CORRUPT("a broken zstd frame, or something after it");
    if (ZSTD_decompressDCtx(z, out, size, p, n) != size) CORRUPT("a broken zstd frame");
    return NCZ_OK;
}

// The blocks of a payload that are still to be read.
struct blocks {
    const u8 *json;  // where next_item goes on
    u64 at;          // where the next one lies in the file
    bool flat;       // all are stored uncompressed
};

static int stored_block(ncz *f, struct blocks *b, const u8 **p, u64 *n) {
    const u8 *size = next_item(&b->json), *crc = size == NULL ? NULL : next_item(&b->json);
    u64 expected;
    if (crc == NULL) CORRUPT("a payload has too few blocks");
    natural(size, 0, BLOCK, n);  // as ncz_open found it
    natural(crc, 0, UINT32_MAX, &expected);
    *p = f->file + b->at;
    b->at += *n;
    if (crc32_of(f, *p, *n) != expected) CORRUPT("the CRC-32 of a block is wrong");
    return NCZ_OK;
}

// The next block, of a known decoded size: *p is in the file where it is uncompressed, else `buffer`.
static int next_block(ncz *f, ZSTD_DCtx *z, struct blocks *b, u64 decoded, u8 *buffer, const u8 **p) {
    u64 n;
    TRY(stored_block(f, b, p, &n));
    if (n > decoded) CORRUPT("a block is larger than what it holds");
    if (n == decoded) return NCZ_OK;
    if (b->flat) CORRUPT("a compressed block in a mapped file");
    TRY(unpack(f, z, *p, (size_t)n, buffer, (size_t)decoded));
    *p = buffer;
    return NCZ_OK;
}

// Goes to the payload after the one at *json, both as next_item has them; the file's offset goes along. Null: there is none.
static const u8 *next_payload(const ncz *f, const u8 **json, u64 *at) {
    const u8 *payload = next_item(json), *size;
    if (payload == NULL) return NULL;
    for (const u8 *p = payload + 1; (size = next_item(&p)) != NULL; next_item(&p)) {
        int64_t n = 0;
        integer(size, 0, BLOCK, &n);
        *at += (u64)n;
    }
    if (f->mapped) *at = (*at + 63) / 64 * 64;
    return payload;
}

// Tensors, §3 and the parameters of §4 -------------------------------------------------------------------------------------------

struct format { unsigned exponent, fraction; };
static const struct format FLOAT16 = { 5, 10 }, BFLOAT16 = { 8, 7 }, FLOAT32 = { 8, 23 }, FLOAT64 = { 11, 52 };

static const struct { const char *name; unsigned size; const struct format *format; } TYPES[] = {
    { "int8", 1, NULL }, { "int16", 2, NULL }, { "int32", 4, NULL }, { "int64", 8, NULL },
    { "uint8", 1, NULL }, { "uint16", 2, NULL }, { "uint32", 4, NULL }, { "uint64", 8, NULL },
    { "float16", 2, &FLOAT16 }, { "bfloat16", 2, &BFLOAT16 }, { "float32", 4, &FLOAT32 }, { "float64", 8, &FLOAT64 } };

enum { RAW, TERNARY, SPARSE, LOW_RANK, LEVELS, SEEDED };
enum { GAPS, BITMAP, DENSE };                      // positions; the words of the parameter, and none
enum { EXACT, VALUES_FLOAT16, VALUES_BFLOAT16, SIGN };  // values of sparse
enum { TABLE, GRID };                              // values of levels
#define SCALE_TENSOR 0
#define SCALE_ROW UINT64_MAX

// Bytes of a stored value of sparse, the sign's being none.
static unsigned stored_bytes(const ncz_tensor *t) {
    return t->values == SIGN ? 0 : t->values == EXACT ? t->size : 2;
}

// Whether a string follows the rule for `path` and `aliases`.
static bool is_path(const u8 *p) {
    u8 run[4];  // the escaped bytes just before, as many as a character of UTF-8 may have
    unsigned n = 0, link = 0;  // link: bytes of the name of a link so far
    int c, last = 0;
    if (*p++ != '"') return false;
    for (; (c = next_byte(&p)) >= 0; last = c) {
        if (c == 0) return false;
        if (c == '/' && (link == 0 || (link == 1 && last == '.'))) return false;
        link = c == '/' ? 0 : link + 1;
        if (c != '\\') { n = 0; continue; }
        int x = next_byte(&p), high = x == 'x' ? next_byte(&p) : -1, low = high >= 0 ? next_byte(&p) : -1;
        if (low < 0) return false;
        const char *digits = "0123456789ABCDEF", *a = strchr(digits, high), *b = strchr(digits, low);
        if (high == 0 || low == 0 || a == NULL || b == NULL) return false;
        u8 byte = (u8)((a - digits) * 16 + (b - digits));
        if (byte == 0x5C) { n = 0; continue; }
        if (byte < 0x80) return false;
        if (n == 4) memmove(run, run + 1, --n);
        run[n++] = byte;
        for (unsigned i = 0; i < n; i++) if (utf8(run + i, run + n) == n - i) return false;
    }
    return link > 1 || (link == 1 && last != '.');
}

static int read_history(ncz *f, const u8 *history) {
    const u8 *at = history + 1, *entry, *v[3];
    int64_t last = -1;
    while ((entry = next_item(&at)) != NULL) {
        double error;
        bool unknown = false;
        if (*entry != '{' || !members(entry, "error? from? step", v, true, &unknown)) CORRUPT("an entry of a history is malformed");
        if (v[0] != NULL && !real(v[0], 0, INFINITY, &error)) CORRUPT("the error of a step is out of range");
        if (v[1] != NULL && !is_digest(v[1])) CORRUPT("a digest in a history is malformed");
        if (!integer(v[2], last + 1, (int64_t)f->steps - 1, &last)) CORRUPT("the steps of a history are no ascending numbers of steps");
        if (unknown) f->steps_unsupported = true;
    }
    return NCZ_OK;
}

// A string among known words: its number; −1 and unsupported where it is another; corrupt where it is no string.
static int read_word(ncz *f, const u8 *p, const char *list, int *number, int *verdict) {
    if (*p != '"') CORRUPT("a value that has to be a string is none");
    *number = word(p, list);
    if (*number < 0) *verdict = NCZ_UNSUPPORTED;
    return NCZ_OK;
}

static int read_scale_per(ncz *f, const u8 *p, ncz_tensor *t) {
    int which = 0;
    if (*p == '"') {
        TRY(read_word(f, p, "tensor row", &which, &t->verdict));
        t->scale_per = which == 0 ? SCALE_TENSOR : SCALE_ROW;
    } else if (!natural(p, 1, INT64_MAX, &t->scale_per)) CORRUPT("`scale_per` is out of range");
    return NCZ_OK;
}

static int read_least(ncz *f, const u8 *p, ncz_tensor *t) {
    unsigned bytes = t->values < 0 ? 0 : stored_bytes(t);
    int n = 0;
    if (*p++ != '"' || *p == '0') CORRUPT("`least` is out of range");
    for (; *p != '"'; p++) {
        if (n++ == 16 || (!(*p >= '0' && *p <= '9') && !(*p >= 'a' && *p <= 'f'))) CORRUPT("`least` is out of range");
        t->least = t->least << 4 | (u64)(*p <= '9' ? *p - '0' : *p - 'a' + 10);
    }
    if (n == 0 || (bytes != 0 && t->least >> (8 * bytes - 1) != 0)) CORRUPT("`least` is out of range");
    return NCZ_OK;
}

static int read_seed(ncz *f, const u8 *p, ncz_tensor *t) {
    int n = 0;
    if (*p++ != '"') CORRUPT("`seed` is no string");
    for (; (*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'f'); p++, n++) {
        if (n == 16) CORRUPT("`seed` has too many digits");
        t->seed = t->seed << 4 | (u64)(*p <= '9' ? *p - '0' : *p - 'a' + 10);
    }
    if (n != 16 || *p != '"') CORRUPT("`seed` has not 16 hexadecimal digits");
    return NCZ_OK;
}

// The parameters of each encoding. Where one has a value that is not known, what depends on it is not looked at.
static int read_parameters(ncz *f, const u8 *p, ncz_tensor *t) {
    static const char *const LISTS[] = { "planes?", "scale_per", "least? positions scale_per? values", "rank singular_values",
        "bits? classes? exceptions? levels? positions? scale_per? values", "scale_per seed threshold" };
    const u8 *v[7], *item;
    bool unknown = false;
    t->positions = DENSE;
    if (!members(p, LISTS[t->encoding], v, false, &unknown)) CORRUPT("a parameter is missing");
    if (unknown) t->verdict = NCZ_UNSUPPORTED;
    if (t->encoding == RAW && v[0] != NULL) {
        if (!is_true(v[0]) || f->mapped || t->size == 1) CORRUPT("`planes` where it must not be");
        t->planes = true;
    } else if (t->encoding == SEEDED) {
        TRY(read_scale_per(f, v[0], t));
        TRY(read_seed(f, v[1], t));
        if (!natural(v[2], 0, 1 << 15, &t->threshold)) CORRUPT("`threshold` is out of range");
    } else if (t->encoding == TERNARY) {
        TRY(read_scale_per(f, v[0], t));
    } else if (t->encoding == SPARSE) {
        TRY(read_word(f, v[1], "gaps bitmap", &t->positions, &t->verdict));
        TRY(read_word(f, v[3], "exact float16 bfloat16 sign", &t->values, &t->verdict));
        if (v[2] != NULL) TRY(read_scale_per(f, v[2], t));
        if (t->values >= 0 && (v[2] != NULL) != (t->values == SIGN)) CORRUPT("`scale_per` without signs, or signs without it");
        if (v[0] != NULL && t->values == SIGN) CORRUPT("`least` with signs");
        if (v[0] != NULL) TRY(read_least(f, v[0], t));
        // Only what is narrower is widened.
        if ((t->values == VALUES_FLOAT16 || t->values == VALUES_BFLOAT16) && t->size < 4) t->verdict = NCZ_UNSUPPORTED;
    } else if (t->encoding == LOW_RANK) {
        double last = INFINITY;
        u64 n = 0;
        if (!natural(v[0], 0, smaller(smaller(t->rows, t->columns), INT64_MAX), &t->factor_rank)) CORRUPT("`rank` is out of range");
        if (*v[1] != '[') CORRUPT("`singular_values` is no array");
        for (const u8 *at = v[1] + 1; (item = next_item(&at)) != NULL; n++)
            if (!real(item, 0, last, &last)) CORRUPT("`singular_values` are not as they should be");
        if (n != t->factor_rank) CORRUPT("not as many `singular_values` as `rank`");
    } else if (t->encoding == LEVELS) {
        TRY(read_word(f, v[6], "table grid", &t->values, &t->verdict));
        if (v[4] != NULL) TRY(read_word(f, v[4], "gaps bitmap", &t->positions, &t->verdict));
        if (v[5] != NULL) TRY(read_scale_per(f, v[5], t));
        u64 bits = 0, a, b;
        if (v[0] != NULL && (!natural(v[0], t->values == GRID ? 2 : 1, 8, &bits) || (bits & (bits - 1)) != 0)) CORRUPT("`bits` is out of range");
        t->bits = (unsigned)bits;
        if (v[2] != NULL && !natural(v[2], 1, INT64_MAX, &t->exceptions)) CORRUPT("`exceptions` is out of range");
        if (v[3] != NULL && !natural(v[3], 1, v[4] != NULL ? 255 : 256, &t->levels)) CORRUPT("`levels` is out of range");
        if (t->values == TABLE && (v[3] == NULL || v[2] != NULL || v[5] != NULL)) CORRUPT("parameters that do not belong to a table");
        if (t->values == GRID && (v[3] != NULL || v[5] == NULL)) CORRUPT("parameters that do not belong to a grid");
        if (v[1] != NULL) {
            const u8 *at = v[1] + 1;
            if (*v[1] != '[' || count_items(v[1]) != 2 || !natural(next_item(&at), 1, 16, &a) || !natural(next_item(&at), 1, 16, &b) || a * b == 1)
                CORRUPT("`classes` are out of range");
            if (v[0] != NULL || v[4] != NULL) CORRUPT("`classes` with `bits` or `positions`");
            t->row_classes = (unsigned)a;
            t->column_classes = (unsigned)b;
        }
    }
    return NCZ_OK;
}

static u64 row_blocks(const ncz_tensor *t) {
    if (t->rows == 0 || t->columns == 0) return 0;
    return t->columns <= WEIGHTS ? divide_up(t->rows, WEIGHTS / t->columns) : t->rows * divide_up(t->columns, WEIGHTS);
}

static u64 scales(const ncz_tensor *t) {
    if (t->scale_per == SCALE_TENSOR || t->scale_per == SCALE_ROW) return t->scale_per == SCALE_ROW ? t->rows : 1;
    return t->rows * divide_up(t->columns, t->scale_per);
}

#define MAX_PARTS 12

// The numbers of blocks of the parts of a tensor that can be decoded; returns how many parts there are.
static unsigned part_blocks(const ncz_tensor *t, u64 blocks[MAX_PARTS]) {
    unsigned n = 0;
    u64 each = row_blocks(t), some = each != 0, scale = some * divide_up(scales(t) * (t->size == 8 ? 8 : 4), BLOCK);
    if (t->encoding == RAW) blocks[n++] = divide_up(t->bytes, BLOCK);
    if (t->encoding == TERNARY) { blocks[n++] = each; blocks[n++] = scale; }
    if (t->encoding == SEEDED) blocks[n++] = scale;
    if (t->encoding == LOW_RANK) {
        blocks[n++] = divide_up(t->rows * t->factor_rank * 4, BLOCK);
        blocks[n++] = divide_up(t->columns * t->factor_rank * 4, BLOCK);
    }
    if (t->encoding == SPARSE || t->encoding == LEVELS) {
        if (t->positions == GAPS) blocks[n++] = divide_up(each * 4, BLOCK);
        if (t->positions != DENSE) blocks[n++] = each;
    }
    if (t->encoding == SPARSE) {
        for (unsigned i = 0; i < stored_bytes(t); i++) blocks[n++] = each;
        if (t->values == SIGN) { blocks[n++] = each; blocks[n++] = scale; }
    }
    if (t->encoding == LEVELS) {
        if (t->row_classes != 0) blocks[n++] = some * divide_up(t->rows + t->columns, BLOCK);
        blocks[n++] = each;
        if (t->exceptions != 0) blocks[n++] = some * (divide_up(t->exceptions, BLOCK / 4));
        blocks[n++] = t->values == GRID ? scale : some;
    }
    return n;
}

static int read_tensor(ncz *f, u64 number, const u8 *p, ncz_tensor *t) {
    enum { ALIASES, AXES, ORDER, DIGEST, ENCODING, HISTORY, NAME, OUTPUTS, PARAMETERS, PARTS, PATH, PLACE, ROLE, SHAPE, TYPE };
    const u8 *v[15], *item;
    bool unknown = false;
    u64 size, product, outputs, encoding = RAW, blocks[MAX_PARTS], seen = 0;
    *t = (ncz_tensor){ .number = number, .parts = 1, .type = -1, .type_name = "?" };
    if (*p != '{' || !members(p, "aliases? axes? byte_order? digest encoding? history? name outputs? parameters? parts? path? place? role? shape type",
                              v, true, &unknown)) CORRUPT("a tensor is malformed");
    if (unknown) t->verdict = NCZ_UNSUPPORTED;
    if (!is_string(v[NAME], true, &size) || size == 0) CORRUPT("the name of a tensor is malformed");
    if (size > MAX_NAME) return fail(f, NCZ_OVER, "a name of more than 4096 bytes");
    t->name = v[NAME] + 1;
    t->name_size = (size_t)(after_string(v[NAME]) - t->name) - 1;
    if (!is_digest(v[DIGEST])) CORRUPT("the digest of a tensor is malformed");
    t->digest = v[DIGEST];

    if (*v[TYPE] != '"') CORRUPT("the type of a tensor is no string");
    for (int i = 0; i < 12; i++) if (word(v[TYPE], TYPES[i].name) == 0) { t->type = i; t->type_name = TYPES[i].name; t->size = TYPES[i].size; }
    if (t->type < 0) t->verdict = NCZ_UNSUPPORTED;
    if (*v[SHAPE] != '[') CORRUPT("the shape of a tensor is no array");
    product = t->size == 0 ? 1 : t->size;
    bool empty = false;
    for (const u8 *at = v[SHAPE] + 1; (item = next_item(&at)) != NULL; ) {
        if (t->rank == MAX_RANK) return fail(f, NCZ_OVER, "a shape of more than 32 dimensions");
        u64 *d = &t->shape[t->rank];
        if (!natural(item, 0, INT64_MAX, d) || (*d != 0 && product > ((u64)1 << 62) / *d)) CORRUPT("the shape of a tensor is out of range");
        if (*d == 0) empty = true; else product *= *d;
        t->axes[t->rank] = t->rank;
        t->rank++;
    }
    t->bytes = empty ? 0 : product;
    if (v[AXES] != NULL) {
        unsigned i = 0;
        if (*v[AXES] != '[' || count_items(v[AXES]) != t->rank) CORRUPT("`axes` is no permutation");
        for (const u8 *at = v[AXES] + 1; (item = next_item(&at)) != NULL; i++) {
            u64 axis;
            if (!natural(item, 0, t->rank - 1, &axis) || (seen >> axis & 1) != 0) CORRUPT("`axes` is no permutation");
            seen |= (u64)1 << axis;
            t->axes[i] = (unsigned)axis;
            if (axis != i) t->permuted = true;
        }
        if (!t->permuted) CORRUPT("`axes` is the default");
    }
    outputs = t->rank == 0 ? 0 : t->rank - 1;
    if (v[OUTPUTS] != NULL) {
        u64 usual = outputs;
        if (!natural(v[OUTPUTS], 0, t->rank, &outputs) || outputs == usual) CORRUPT("`outputs` is out of range or the default");
    }
    t->rows = t->columns = 1;
    for (unsigned i = 0; i < t->rank; i++) {  // no overflow: without zeros the product is small, and with one what comes after is 0
        u64 *side = i < outputs ? &t->rows : &t->columns;
        *side *= t->shape[t->axes[i]];
    }

    if (v[ALIASES] != NULL) {
        if (*v[ALIASES] != '[' || v[ALIASES][1] == ']') CORRUPT("`aliases` is no array, or empty");
        for (const u8 *at = v[ALIASES] + 1; (item = next_item(&at)) != NULL; ) if (!is_path(item)) CORRUPT("an alias is malformed");
    }
    if (v[PATH] != NULL && !is_path(v[PATH])) CORRUPT("the path of a tensor is malformed");
    if (v[ORDER] != NULL && (*v[ORDER] != '"' || word(v[ORDER], "big") != 0)) CORRUPT("`byte_order` is not \"big\"");
    if (v[ROLE] != NULL && (*v[ROLE] != '"' || word(v[ROLE], "other") == 0)) CORRUPT("`role` is no string, or the default");
    if (v[HISTORY] != NULL) {
        if (*v[HISTORY] != '[' || v[HISTORY][1] == ']') CORRUPT("`history` is no array, or empty");
        t->history = true;
        TRY(read_history(f, v[HISTORY]));
    }
    t->place = v[PLACE];
    if (t->place != NULL && (*t->place != '{' || f->container == NULL || empty)) CORRUPT("a `place` that is no object, or where none may be");
    if (v[PARTS] != NULL && (!natural(v[PARTS], 0, INT64_MAX, &t->parts) || t->parts == 1)) CORRUPT("`parts` is out of range or the default");

    if (v[ENCODING] != NULL && !natural(v[ENCODING], 1, 127, &encoding)) CORRUPT("`encoding` is out of range or the default");
    t->encoding = (int)encoding;
    if (v[PARAMETERS] != NULL && (*v[PARAMETERS] != '{' || v[PARAMETERS][1] == '}')) CORRUPT("`parameters` is no object, or empty");
    if (encoding > SEEDED) { t->verdict = NCZ_UNSUPPORTED; return NCZ_OK; }
    TRY(read_parameters(f, v[PARAMETERS] != NULL ? v[PARAMETERS] : (const u8 *)"{}", t));
    bool any_type = encoding == RAW || (encoding == LEVELS && t->values == TABLE);
    if (t->type >= 0 && TYPES[t->type].format == NULL && !any_type) t->verdict = NCZ_UNSUPPORTED;
    if (t->verdict != NCZ_OK) return NCZ_OK;
    if (part_blocks(t, blocks) != t->parts) CORRUPT("`parts` is not what the encoding has");
    if (encoding == LEVELS && t->bits == 0 && f->mapped && row_blocks(t) != 0) CORRUPT("codes by frequency in a mapped file");
    return NCZ_OK;
}

// The rest of the directory -------------------------------------------------------------------------------------------------

static int read_steps(ncz *f, const u8 *steps) {
    const u8 *step, *item, *v[6], *c[2], *in[4];
    if (*steps != '[' || steps[1] == ']') CORRUPT("`steps` is no array, or empty");
    for (const u8 *at = steps + 1; (step = next_item(&at)) != NULL; f->steps++) {
        bool unknown = false;
        double error;
        u64 size;
        if (*step != '{' || !members(step, "claim? from? options removed? tool version", v, true, &unknown)) CORRUPT("a step is malformed");
        if (*v[2] != '"' || *v[4] != '"' || *v[5] != '"' || (v[1] != NULL && !is_digest(v[1]))) CORRUPT("a step is malformed");
        if (v[3] != NULL) {
            if (*v[3] != '[' || v[3][1] == ']') CORRUPT("`removed` is no array, or empty");
            for (const u8 *r = v[3] + 1; (item = next_item(&r)) != NULL; ) {
                if (!is_string(item, true, &size) || size == 0) CORRUPT("`removed` has what is no name");
                if (size > MAX_NAME) return fail(f, NCZ_OVER, "a name of more than 4096 bytes");
            }
        }
        if (unknown) f->steps_unsupported = true;
        if (v[0] == NULL) continue;
        if (v[1] == NULL || *v[0] != '{' || !members(v[0], "error inputs", c, false, &unknown) || !real(c[0], 0, INFINITY, &error) || *c[1] != '{')
            CORRUPT("a claim is malformed");
        if (unknown) f->steps_unsupported = true;
        unknown = false;
        members(c[1], "data? distribution? samples? seed?", in, false, &unknown);
        // Other keys, or not the right ones together, are another form.
        if (unknown || (in[0] != NULL) == (in[1] != NULL) || (in[2] != NULL) != (in[3] != NULL) || (in[0] != NULL && in[2] != NULL)) {
            f->steps_unsupported = true;
            continue;
        }
        if (in[0] != NULL ? !is_digest(in[0]) : *in[1] != '"' || (in[2] != NULL && !(is_integer(in[2]) && is_integer(in[3]))))
            CORRUPT("the inputs of a claim are malformed");
        if (in[0] == NULL && word(in[1], "normal") != 0) f->steps_unsupported = true;
    }
    return NCZ_OK;
}

static int read_container(ncz *f) {
    const u8 *v[4];
    bool unknown = false;
    u64 offset = 0;
    if (*f->container != '{' || !members(f->container, "digest kind offset? size", v, true, &unknown)) CORRUPT("the container is malformed");
    if (!is_digest(v[0]) || *v[1] != '"' || !natural(v[3], 0, INT64_MAX, &f->container_size)) CORRUPT("the container is malformed");
    if (v[2] != NULL && !natural(v[2], 1, f->container_size, &offset)) CORRUPT("the offset of the container is out of range or the default");
    int kind = word(v[1], "hdf5 keras");
    if (kind == 0 && offset != 0) CORRUPT("an HDF5 file with an offset");
    f->container_unsupported = unknown || kind < 0;
    f->container_digest = v[0];
    f->container_kind = v[1];
    return NCZ_OK;
}

// Checks a tensor's place; its holes are added to the array, if there is one, and counted.
static int read_place(ncz *f, const ncz_tensor *t, struct pair *holes, u64 *count) {
    const u8 *v[4], *chunk, *item;
    bool unknown = false;
    u64 hole[2], number, first[2][MAX_RANK];
    unsigned chunks = 0;
    members(t->place, "address? chunks? kept? offset?", v, false, &unknown);
    // Other keys, or not the right ones together, are another form.
    if (v[3] != NULL ? v[0] != NULL || v[1] != NULL || v[2] != NULL : v[0] == NULL || v[1] == NULL) unknown = true;
    if (unknown || (v[3] != NULL && t->size == 0)) f->container_unsupported = true;
    if (unknown) return NCZ_OK;
    if ((v[0] != NULL && !natural(v[0], 0, INT64_MAX, &number)) || (v[2] != NULL && !is_true(v[2])) || (v[1] != NULL && *v[1] != '[') ||
        (v[3] != NULL && !natural(v[3], 0, INT64_MAX, &hole[0]))) CORRUPT("a place is malformed");
    if (v[3] != NULL) {
        if (f->container_unsupported) return NCZ_OK;
        if (hole[0] > f->container_size || t->bytes > f->container_size - hole[0]) CORRUPT("a place outside the source file");
        if (holes != NULL) holes[*count] = (struct pair){ hole[0], t->bytes };
        ++*count;
        return NCZ_OK;
    }
    for (const u8 *at = v[1] + 1; (chunk = next_item(&at)) != NULL; chunks = 1) {
        if (*chunk != '[' || count_items(chunk) != 3 + t->rank) CORRUPT("a chunk is malformed");
        const u8 *in = chunk + 1;
        for (int i = 0; i < 2; i++) if (!natural(next_item(&in), 0, INT64_MAX, &hole[i])) CORRUPT("a chunk is malformed");
        if (!natural(next_item(&in), 0, UINT32_MAX, &number)) CORRUPT("the mask of a chunk is out of range");
        for (unsigned i = 0; (item = next_item(&in)) != NULL; i++)
            if (!natural(item, 0, t->shape[i] - 1, &first[1][i])) CORRUPT("a chunk outside its tensor");
        unsigned i = 0;
        while (chunks != 0 && i < t->rank && first[0][i] == first[1][i]) i++;
        if (chunks != 0 && (i == t->rank || first[0][i] > first[1][i])) CORRUPT("chunks are not in ascending order");
        memcpy(first[0], first[1], sizeof first[0]);
        if (f->container_unsupported) continue;
        if (hole[0] > f->container_size || hole[1] > f->container_size - hole[0]) CORRUPT("a chunk outside the source file");
        if (v[2] != NULL || hole[1] == 0) continue;
        if (holes != NULL) holes[*count] = (struct pair){ hole[0], hole[1] };
        ++*count;
    }
    return NCZ_OK;
}

// What every operation and activation has: numbers of inputs, parameters, tensors. The parameters' rules go by their names.
static const struct { const char *name; int least, most; const char *parameters, *tensors; } OPERATIONS[] = {
    { "input", 0, 0, "shape?", "" }, { "dense", 1, 1, "", "bias? kernel" }, { "activation", 1, 1, "kind", "" },
    { "batch_normalization", 1, 1, "epsilon", "beta? gamma? mean variance" }, { "layer_normalization", 1, 1, "epsilon", "beta? gamma?" },
    { "normalization", 1, 1, "epsilon", "mean variance" }, { "rescaling", 1, 1, "offset scale", "" }, { "rotation", 1, 1, "seed", "" }, { "prelu", 1, 1, "", "slope" },
    { "add", 1, INT32_MAX, "", "" }, { "multiply", 1, INT32_MAX, "", "" }, { "subtract", 2, 2, "", "" }, { "average", 1, INT32_MAX, "", "" },
    { "maximum", 1, INT32_MAX, "", "" }, { "minimum", 1, INT32_MAX, "", "" }, { "concatenate", 1, INT32_MAX, "", "" }, { "flatten", 1, 1, "", "" },
    { "reshape", 1, 1, "shape", "" }, { "dropout", 1, 1, "rate", "" }, { "opaque", 0, INT32_MAX, "class", NULL } };
static const struct { const char *names, *parameters; } ACTIVATIONS[] = {
    { "linear relu tanh sin cos erf sigmoid silu softplus softsign exponential abs sign step softmax selu", "" }, { "elu", "alpha" },
    { "leaky_relu", "slope" }, { "bounded_relu", "maximum? slope threshold" }, { "gelu", "approximate" }, { "hard_sigmoid", "divisor" },
    { "piecewise_constant", "levels thresholds" } };
#define COUNT(array) ((int)(sizeof (array) / sizeof *(array)))

static int check_parameter(ncz *f, const u8 *key, const u8 *p, bool reshape) {
    enum { ALPHA, SLOPE, MAXIMUM, EPSILON, THRESHOLD, RATE, DIVISOR, LEVELS_, THRESHOLDS, OFFSET, SCALE, SHAPE, APPROXIMATE, KIND, CLASS, SEED };
    int which = word(key, "alpha slope maximum epsilon threshold rate divisor levels thresholds offset scale shape approximate kind class seed");
    const u8 *item;
    double x = 0, last = -INFINITY;
    int64_t d, open = 0;
    u64 n = 0;
    bool good = true;
    if (which <= DIVISOR) good = real(p, which < EPSILON ? -INFINITY : 0, which == RATE ? 1 : INFINITY, &x) && (which != DIVISOR || x > 0);
    else if (which <= SHAPE) {
        good = *p == '[';
        for (const u8 *at = p + 1; good && (item = next_item(&at)) != NULL; n++) {
            if (which != SHAPE) good = real(item, -INFINITY, INFINITY, &x) && (which != THRESHOLDS || x > last);
            else if ((good = integer(item, -1, INT64_MAX, &d))) open += d == -1;
            last = x;
        }
        if (good && which == SHAPE && n > MAX_RANK) return fail(f, NCZ_OVER, "a shape of more than 32 dimensions in the network");
        good = good && (which == SHAPE ? !reshape || open <= 1 : which == THRESHOLDS ? n < 256 : n > 0 && (which != LEVELS_ || n <= 256));
    } else if (which == SEED) good = is_hexadecimal(p, 16);
    else good = which == APPROXIMATE ? *p == 't' || *p == 'f' : *p == '"';
    return good ? NCZ_OK : fail(f, NCZ_CORRUPT, "a parameter of a node is out of range");
}

static struct pair *find_name(const ncz *f, const u8 *name, size_t size);

static int read_node(ncz *f, const u8 *node, u64 number) {
    char list[96];
    const u8 *v[9], *t[5], *key, *value, *kind, *item;
    bool unknown = false, ignored = false;
    int op = -1;
    u64 inputs = 1, input = 0;
    // Once for `op`, once more with the parameters that it has; and for `kind`.
    if (*node != '{' || !members(node, "inputs? name? op tensors? kind?", v, true, &ignored) || *v[2] != '"') CORRUPT("a node is malformed");
    kind = v[4];
    for (int i = 0; i < COUNT(OPERATIONS); i++) if (word(v[2], OPERATIONS[i].name) == 0) op = i;
    if (v[1] != NULL && *v[1] != '"') CORRUPT("the name of a node is no string");
    bool is_input = op >= 0 && OPERATIONS[op].most == 0;
    if (v[0] != NULL) {
        if (*v[0] != '[') CORRUPT("`inputs` is no array");
        inputs = 0;
        for (const u8 *at = v[0] + 1; (item = next_item(&at)) != NULL; inputs++)
            if (number == 0 || !natural(item, 0, number - 1, &input)) CORRUPT("an input of a node is no node before it");
        if (is_input ? inputs == 0 : inputs == 1 && input == number - 1) CORRUPT("`inputs` is the default");
    } else if (is_input) inputs = 0;
    else if (number == 0) CORRUPT("there is no node before the first one");
    if (v[3] != NULL && (*v[3] != '{' || v[3][1] == '}')) CORRUPT("`tensors` of a node is no object, or empty");
    const u8 *roles = v[3] != NULL ? v[3] : (const u8 *)"{}";
    for (const u8 *at = roles + 1; (value = next_member(&at, &key)) != NULL; )
        if (*value != '"' || find_name(f, value + 1, (size_t)(after_string(value) - value) - 2) == NULL) CORRUPT("a node has a tensor that is none");
    if (op < 0) { f->network_unsupported = true; return NCZ_OK; }
    if (inputs < (u64)OPERATIONS[op].least || inputs > (u64)OPERATIONS[op].most) CORRUPT("a node has the wrong number of inputs");
    if (OPERATIONS[op].tensors != NULL && !members(roles, OPERATIONS[op].tensors, t, false, &unknown)) CORRUPT("a tensor of a node is missing");

    const char *more = "";
    if (strcmp(OPERATIONS[op].parameters, "kind") == 0) {
        int found = -1;
        if (kind == NULL || *kind != '"') CORRUPT("an activation without kind");
        for (int i = 0; i < COUNT(ACTIVATIONS); i++) if (word(kind, ACTIVATIONS[i].names) >= 0) found = i;
        if (found < 0) { f->network_unsupported = true; return NCZ_OK; }
        more = ACTIVATIONS[found].parameters;
    }
    int head = snprintf(list, sizeof list, "inputs? name? op tensors? ");
    snprintf(list + head, sizeof list - (size_t)head, "%s%s%s", OPERATIONS[op].parameters, *more == 0 ? "" : " ", more);
    if (!members(node, list, v, true, &unknown)) CORRUPT("a parameter of a node is missing");
    if (unknown) f->network_unsupported = true;
    for (const u8 *at = node + 1; (value = next_member(&at, &key)) != NULL; )
        if (word(key, list + head) >= 0) TRY(check_parameter(f, key, value, strcmp(OPERATIONS[op].name, "reshape") == 0));
    double maximum = INFINITY, threshold;
    if (strstr(more, "maximum") != NULL && ((v[5] != NULL && !real(v[5], 0, INFINITY, &maximum)) || !real(v[7], 0, maximum, &threshold)))
        CORRUPT("`threshold` is above `maximum`");
    if (strstr(more, "levels") != NULL && count_items(v[5]) != count_items(v[6]) + 1) CORRUPT("not one threshold fewer than levels");
    return NCZ_OK;
}

// `seen`: as many bytes as there are nodes, all 0.
static int read_network(ncz *f, u8 *seen) {
    const u8 *v[5], *item;
    bool unknown = false;
    u64 count = 0, outputs = 0, output = 0;
    int number, verdict = NCZ_OK;
    if (*f->network != '{' || !members(f->network, "assumed? layout? nodes outputs? precision?", v, true, &unknown)) CORRUPT("the network is malformed");
    if (*v[2] != '[' || v[2][1] == ']' || (v[0] != NULL && !is_true(v[0]))) CORRUPT("the network is malformed");
    if (v[1] != NULL) TRY(read_word(f, v[1], "keras", &number, &verdict));
    if (v[4] != NULL) TRY(read_word(f, v[4], "float16 bfloat16", &number, &verdict));
    if (unknown || verdict != NCZ_OK) f->network_unsupported = true;
    for (const u8 *at = v[2] + 1; (item = next_item(&at)) != NULL; count++) TRY(read_node(f, item, count));
    if (v[3] == NULL) return NCZ_OK;
    if (*v[3] != '[' || v[3][1] == ']') CORRUPT("`outputs` of the network is no array, or empty");
    for (const u8 *at = v[3] + 1; (item = next_item(&at)) != NULL; outputs++) {
        if (!natural(item, 0, count - 1, &output) || seen[output] != 0) CORRUPT("an output of the network is no node, or twice there");
        seen[output] = 1;
    }
    if (outputs == 1 && output == count - 1) CORRUPT("`outputs` of the network is the default");
    return NCZ_OK;
}

// Opening, §2 and step 2 of §7 ------------------------------------------------------------------------------------------------

static int compare(const u8 *a, size_t a_size, const u8 *b, size_t b_size) {
    int order = memcmp(a, b, a_size < b_size ? a_size : b_size);
    return order != 0 ? order : (a_size > b_size) - (a_size < b_size);
}

// The bytes of the name at an offset of the directory; canonical spelling makes equal names equal bytes.
static size_t name_size(const ncz *f, u64 at) { return (size_t)(after_string(f->directory + at - 1) - (f->directory + at)) - 1; }

static struct pair *find_name(const ncz *f, const u8 *name, size_t size) {
    for (u64 low = 0, high = f->tensors; low < high; ) {
        u64 middle = (low + high) / 2;
        struct pair *p = &f->names[middle];
        int order = compare(name, size, f->directory + p->a, name_size(f, p->a));
        if (order == 0) return p;
        if (order < 0) high = middle; else low = middle + 1;
    }
    return NULL;
}

static bool is_before(const ncz *f, bool names, struct pair a, struct pair b) {
    if (!names) return a.a < b.a;
    return compare(f->directory + a.a, name_size(f, a.a), f->directory + b.a, name_size(f, b.a)) < 0;
}

// Heapsort, of names or of holes by their offsets.
static void sort(const ncz *f, bool names, struct pair *p, u64 n) {
    for (u64 start = n / 2, end = n; end > 1; ) {
        if (start > 0) start--;
        else { struct pair first = p[0]; p[0] = p[--end]; p[end] = first; }
        for (u64 i = start, child; (child = 2 * i + 1) < end; i = child) {
            if (child + 1 < end && is_before(f, names, p[child], p[child + 1])) child++;
            if (!is_before(f, names, p[i], p[child])) break;
            struct pair x = p[i]; p[i] = p[child]; p[child] = x;
        }
    }
}

static int read_payloads(ncz *f) {
    const u8 *payload, *item;
    u64 at = f->mapped ? 64 : 32, crc, size = 0, end = 32;
    if (*f->payloads != '[') CORRUPT("`payloads` is no array");
    for (const u8 *p = f->payloads + 1; (payload = next_item(&p)) != NULL; ) {
        if (*payload != '[') CORRUPT("a payload is no array");
        if (f->mapped) at = (at + 63) / 64 * 64;
        for (const u8 *q = payload + 1; (item = next_item(&q)) != NULL; at += size) {
            if (!natural(item, 0, BLOCK, &size)) CORRUPT("the size of a block is out of range");
            if ((item = next_item(&q)) == NULL || !natural(item, 0, UINT32_MAX, &crc)) CORRUPT("the CRC-32 of a block is out of range");
        }
        end = at;
    }
    if (end != f->start) CORRUPT("the payloads do not fill the file");
    return NCZ_OK;
}

// Header and trailer: where the stored directory is.
static int read_ends(ncz *f, u64 *stored, u64 *decoded) {
    const u8 *p = f->file, *end = f->file + f->size - 32;
    if (memcmp(p, "\x89NCZ\r\n\x1a\n", 8) != 0) CORRUPT("not an .ncz file");
    snprintf(f->version, sizeof f->version, "version %u.%u of the format", (unsigned)load(p + 8, 2), (unsigned)load(p + 10, 2));
    if (load(p + 8, 4) == 0x10000) return fail(f, NCZ_UNSUPPORTED, f->version);  // 0.1 had no CRC-32 there
    if (load(p + 28, 4) != crc32_of(f, p, 28)) CORRUPT("the CRC-32 of the header is wrong");
    if (load(p + 8, 2) != 0 || load(p + 10, 2) != 2) return fail(f, NCZ_UNSUPPORTED, f->version);
    if (load(p + 12, 8) != 0) return fail(f, NCZ_UNSUPPORTED, "the file needs a feature that is not known");
    if (load(p + 20, 8) != 0) CORRUPT("bytes of the header that have to be zero are not");
    if (memcmp(end + 24, "\n\x1a\n\rZCN\x89", 8) != 0) CORRUPT("the file was cut short, or something follows it");
    if (load(end + 20, 4) != crc32_of(f, end, 20)) CORRUPT("the CRC-32 of the trailer is wrong");
    if (load(end, 8) != f->size) CORRUPT("the size of the file is not the one in its trailer");
    *stored = load(end + 8, 4);
    *decoded = load(end + 12, 4);
    if (*stored > MAX_DIRECTORY || *decoded > MAX_DIRECTORY) return fail(f, NCZ_OVER, "a directory of more than 256 MiB");
    if ((*decoded != 0 && *decoded <= *stored) || *stored > f->size - 64) CORRUPT("the size of the directory is wrong");
    f->start = f->size - 32 - *stored;
    if (load(end + 16, 4) != crc32_of(f, f->file + f->start, *stored)) CORRUPT("the CRC-32 of the directory is wrong");
    return NCZ_OK;
}

// Are the holes disjoint, and has the container the blocks for what they leave?
static int read_holes(ncz *f, struct pair *holes, u64 count) {
    u64 end = 0, blocks = count_items(f->container_payload) / 2;
    f->container_left = f->container_size;
    sort(f, false, holes, count);
    for (u64 i = 0; i < count; i++) {
        if (holes[i].a < end) CORRUPT("two places overlap");
        end = holes[i].a + holes[i].b;
        f->container_left -= holes[i].b;
    }
    if (divide_up(f->container_left, BLOCK) != blocks) CORRUPT("the container has the wrong number of blocks");
    return NCZ_OK;
}

int ncz_open(ncz *f, const void *file, size_t size, void *work, size_t work_size) {
    struct space space = { work, work_size, 0 };
    const u8 *v[8], *item, *payload, *list;
    u64 stored, decoded, holes = 0, at, count = 0;
    bool unknown = false;
    ncz_tensor t;
    *f = (ncz){ .file = file, .size = size };
    crc_table(f->crc);
    if (size < 66) CORRUPT("too short for an .ncz file");
    TRY(read_ends(f, &stored, &decoded));
    f->directory = f->file + f->start;
    if (decoded != 0) {
        ZSTD_DCtx *z = take_zstd(&space);
        u8 *directory = take(&space, decoded);
        if (z == NULL || directory == NULL) return no_space(f, &space);
        TRY(unpack(f, z, f->directory, (size_t)stored, directory, (size_t)decoded));
        f->directory = directory;
        stored = decoded;
    }
    if (stored == 0 || *f->directory != '{') CORRUPT("the directory is no object");
    TRY(check_json(f, f->directory, f->directory + stored));
    if (!members(f->directory, "container? digest mapped? network? payloads steps? tensors features?", v, true, &unknown)) CORRUPT("a key of the directory is missing");
    f->container = v[0], f->digest = v[1], f->network = v[3], f->payloads = v[4];
    if (v[7] != NULL) CORRUPT("`features` that the header does not have");  // whose are 0
    if (!is_digest(f->digest)) CORRUPT("the digest of the file is malformed");
    if (v[2] != NULL && !is_true(v[2])) CORRUPT("`mapped` is not true");
    f->mapped = v[2] != NULL;
    TRY(read_payloads(f));
    if (v[5] != NULL) TRY(read_steps(f, v[5]));
    if (f->container != NULL) TRY(read_container(f));

    if (*v[6] != '[') CORRUPT("`tensors` is no array");
    for (list = v[6] + 1; (item = next_item(&list)) != NULL; f->tensors++) {
        if (f->tensors == MAX_TENSORS) return fail(f, NCZ_OVER, "more than 2^19 tensors");
        TRY(read_tensor(f, f->tensors, item, &t));
        if (t.place != NULL) TRY(read_place(f, &t, NULL, &holes));
    }
    f->index = take(&space, f->tensors * sizeof *f->index);
    f->names = take(&space, f->tensors * sizeof *f->names);
    struct pair *hole = take(&space, holes * sizeof *hole);
    u64 nodes = f->network == NULL ? 0 : (u64)(after(f->network) - f->network) / 8;  // at least: a node has {"op":""}
    u8 *seen = take(&space, nodes);
    if (f->index == NULL || f->names == NULL || hole == NULL || seen == NULL) return no_space(f, &space);

    const u8 *payloads = f->payloads + 1;
    at = f->mapped ? 64 : 32;
    list = v[6] + 1;
    for (u64 i = 0; (item = next_item(&list)) != NULL; i++) {
        TRY(read_tensor(f, i, item, &t));
        f->index[i] = (struct place){ item, payloads, at };
        f->names[i] = (struct pair){ (u64)(t.name - f->directory), i };
        for (u64 part = 0; part < t.parts; part++) if (next_payload(f, &payloads, &at) == NULL) CORRUPT("too few payloads");
        if (t.place != NULL) TRY(read_place(f, &t, hole, &count));
    }
    f->container_at = at;
    if (f->container != NULL && (f->container_payload = next_payload(f, &payloads, &at)) == NULL) CORRUPT("too few payloads");
    if ((payload = next_item(&payloads)) != NULL) CORRUPT("too many payloads");
    sort(f, true, f->names, f->tensors);
    for (u64 i = 1; i < f->tensors; i++) if (!is_before(f, true, f->names[i - 1], f->names[i])) CORRUPT("two tensors have the same name");
    if (f->container != NULL && !f->container_unsupported) TRY(read_holes(f, hole, count));
    if (nodes > 0) memset(seen, 0, nodes);
    if (f->network != NULL) TRY(read_network(f, seen));
    make_key(f);
    return NCZ_OK;
}

int ncz_tensor_at(ncz *f, u64 i, ncz_tensor *t) {
    return i < f->tensors ? read_tensor(f, i, f->index[i].json, t) : NCZ_ABSENT;
}

int ncz_find(ncz *f, const char *name, size_t size, ncz_tensor *t) {
    // Spelled as the directory has it; what cannot be a name is not there.
    u8 spelled[2 * MAX_NAME];
    size_t n = 0;
    if (size > MAX_NAME) return NCZ_ABSENT;
    for (size_t i = 0; i < size; i++) {
        if (name[i] == '"' || name[i] == '\\') spelled[n++] = '\\';
        spelled[n++] = (u8)name[i];
    }
    struct pair *p = find_name(f, spelled, n);
    return p == NULL ? NCZ_ABSENT : ncz_tensor_at(f, p->b, t);
}

// Decoding, §4 --------------------------------------------------------------------------------------------------------------

// Rounds to nearest, ties to even, or widens exactly; a NaN keeps the high bits of its fraction, and is quiet.
static u64 convert(u64 x, struct format from, struct format to) {
    u64 top = ((u64)1 << to.exponent) - 1, infinity = top << to.fraction, fraction = x & (((u64)1 << from.fraction) - 1);
    u64 sign = (x >> (from.exponent + from.fraction) & 1) << (to.exponent + to.fraction);
    int exponent = (int)(x >> from.fraction & (((u64)1 << from.exponent) - 1));
    int drop = (int)from.fraction - (int)to.fraction;
    if (exponent == (1 << from.exponent) - 1) {
        if (fraction == 0) return sign | infinity;
        return sign | infinity | (u64)1 << (to.fraction - 1) | (drop > 0 ? fraction >> drop : fraction << -drop);
    }
    if (exponent == 0 && fraction == 0) return sign;
    if (exponent != 0) fraction |= (u64)1 << from.fraction;
    else for (exponent = 1; fraction >> from.fraction == 0; exponent--) fraction <<= 1;
    // The value is `fraction` × 2^(exponent − bias − from.fraction), and `fraction` has exactly from.fraction + 1 bits.
    exponent += (1 << (to.exponent - 1)) - (1 << (from.exponent - 1));
    if (exponent >= (int)top) return sign | infinity;
    if (exponent <= 0) drop += 1 - exponent;  // subnormal
    if (drop > (int)from.fraction + 1) return sign;
    if (drop <= 0) fraction <<= -drop;
    else {
        u64 rest = fraction & (((u64)1 << drop) - 1), half = (u64)1 << (drop - 1);
        fraction >>= drop;
        if (rest > half || (rest == half && (fraction & 1) != 0)) fraction++;
    }
    // A carry goes on into the exponent as it has to, and at last to infinity.
    return sign | (exponent <= 0 ? fraction : ((u64)(exponent - 1) << to.fraction) + fraction);
}

static bool is_finite(u64 x, struct format format) {
    return (x >> format.fraction & (((u64)1 << format.exponent) - 1)) != ((u64)1 << format.exponent) - 1;
}

static double as_double(u64 bits) { double x; memcpy(&x, &bits, 8); return x; }
static u64 as_bits(double x) { u64 bits; memcpy(&bits, &x, 8); return bits; }

// The fixed part of a workspace.
struct scratch {
    u8 arrays[3][BLOCK], planes[8][WEIGHTS], positions[WEIGHTS], codes[WEIGHTS];
    u8 marks[WEIGHTS];      // which weights of the row block are stored
    u32 columns[WEIGHTS];   // columns sorted by their class
    u64 table[256];
};

enum { ANYTHING, SCALE, SCALE_OF_TYPE, FINITE, EXCEPTION };  // what the elements of an array must be

// A raw array, read from the beginning to the end, a block at a time.
struct array {
    struct blocks blocks;
    u64 left, first, count;  // elements not yet loaded; those of the block
    const u8 *block;
    u8 *buffer;
    unsigned size;
    bool planes;
    int rule;
    struct format type;      // for the rules: of the tensor
};

static struct array array_of(const ncz *f, struct blocks blocks, u64 elements, unsigned size, u8 *buffer, int rule) {
    return (struct array){ .blocks = blocks, .left = elements, .buffer = buffer, .size = size, .planes = size > 1 && !f->mapped, .rule = rule };
}

static u64 element(const struct array *a, u64 i) {
    if (!a->planes) return load(a->block + i * a->size, a->size);
    u64 x = 0;
    for (unsigned b = a->size; b-- > 0; ) x = x << 8 | a->block[b * a->count + i];
    return x;
}

static int load_array(ncz *f, ZSTD_DCtx *z, struct array *a) {
    struct format format = a->size == 8 ? FLOAT64 : FLOAT32;
    a->first += a->count;
    a->count = smaller(a->left, BLOCK / a->size);
    a->left -= a->count;
    TRY(next_block(f, z, &a->blocks, a->count * a->size, a->buffer, &a->block));
    for (u64 i = 0; a->rule != ANYTHING && i < a->count; i++) {
        u64 x = element(a, i);
        if (a->rule == EXCEPTION) {
            if (x > 1u << 24 && x < 0xFFFFFFFFu - (1u << 24) + 1) CORRUPT("an exception is out of range");
            continue;
        }
        if (!is_finite(x, format)) CORRUPT("a scale or a factor is not finite");
        if (a->rule == FINITE) continue;
        if (x >> (8 * a->size - 1) != 0) CORRUPT("a scale is negative");
        if (a->rule == SCALE_OF_TYPE && convert(convert(x, format, a->type), a->type, format) != x) CORRUPT("a scale is no value of the tensor's type");
    }
    return NCZ_OK;
}

// Element i, not before the one asked for last.
static int array_at(ncz *f, ZSTD_DCtx *z, struct array *a, u64 i, u64 *x) {
    while (i >= a->first + a->count) TRY(load_array(f, z, a));
    *x = element(a, i - a->first);
    return NCZ_OK;
}

// Puts the elements of the stored matrix, one after the other, where they belong in the tensor.
struct writer { u8 *out; u64 at; unsigned size, rank; u64 index[MAX_RANK], dimension[MAX_RANK], stride[MAX_RANK]; };

static struct writer writer_of(const ncz_tensor *t, void *out) {
    struct writer w = { .out = out, .size = t->size, .rank = t->permuted ? t->rank : 0 };
    for (unsigned i = 0; i < w.rank; i++) {
        w.dimension[i] = t->shape[t->axes[i]];
        w.stride[i] = t->size;
        for (unsigned j = t->axes[i] + 1; j < t->rank; j++) w.stride[i] *= t->shape[j];
    }
    return w;
}

static void put(struct writer *w, u64 x) {
    for (unsigned b = 0; b < w->size; b++) w->out[w->at + b] = (u8)(x >> 8 * b);
    if (w->rank == 0) { w->at += w->size; return; }
    for (unsigned i = w->rank; i-- > 0; ) {
        w->at += w->stride[i];
        if (++w->index[i] < w->dimension[i]) return;
        w->at -= w->stride[i] * w->dimension[i];
        w->index[i] = 0;
    }
}

static int decode_raw(ncz *f, ZSTD_DCtx *z, const ncz_tensor *t, struct blocks b, u8 *out, struct scratch *s) {
    for (u64 at = 0; at < t->bytes; at += BLOCK) {
        u64 n = smaller(BLOCK, t->bytes - at), elements = n / t->size;
        const u8 *p;
        TRY(next_block(f, z, &b, n, t->planes ? s->arrays[0] : out + at, &p));
        if (t->planes) for (u64 i = 0; i < n; i++) out[at + i % elements * t->size + i / elements] = p[i];
        else if (p != out + at) memcpy(out + at, p, (size_t)n);
    }
    return NCZ_OK;
}

// `right`: room for the right factor, `sums` for a row of the product.
static int decode_low_rank(ncz *f, ZSTD_DCtx *z, const ncz_tensor *t, const struct blocks *b, u8 *out, struct scratch *s, float *right, double *sums) {
    u64 r = t->factor_rank;
    struct format type = *TYPES[t->type].format;
    struct array a = array_of(f, b[0], t->rows * r, 4, s->arrays[0], FINITE), other = array_of(f, b[1], r * t->columns, 4, s->arrays[1], FINITE);
    struct writer w = writer_of(t, out);
    u64 x;
    for (u64 i = 0; i < r * t->columns; i++) {
        TRY(array_at(f, z, &other, i, &x));
        u32 bits = (u32)x;
        memcpy(right + i, &bits, 4);
    }
    for (u64 row = 0; row < t->rows; row++) {
        for (u64 j = 0; j < t->columns; j++) sums[j] = 0;
        for (u64 k = 0; k < r; k++) {
            TRY(array_at(f, z, &a, row * r + k, &x));
            double left = as_double(convert(x, FLOAT32, FLOAT64));
            for (u64 j = 0; j < t->columns; j++) sums[j] += left * (double)right[k * t->columns + j];
        }
        for (u64 j = 0; j < t->columns; j++) {
            x = convert(as_bits(sums[j]), FLOAT64, FLOAT32);
            if (!is_finite(x, FLOAT32)) CORRUPT("a product of low rank is infinite");
            put(&w, convert(x, FLOAT32, type));
        }
    }
    return NCZ_OK;
}

// A block of codes of 1, 2, 4 or 8 bits, every row beginning with a byte.
static int read_codes(ncz *f, ZSTD_DCtx *z, struct blocks *b, unsigned bits, u64 rows, u64 columns, u8 *buffer, u8 *codes) {
    u64 bytes = divide_up(columns * bits, 8);
    const u8 *p;
    TRY(next_block(f, z, b, rows * bytes, buffer, &p));
    for (u64 row = 0; row < rows; row++, p += bytes) {
        for (u64 i = 0; i < columns; i++) *codes++ = (u8)(p[i * bits / 8] >> i * bits % 8 & ((1 << bits) - 1));
        if (columns * bits % 8 != 0 && p[bytes - 1] >> columns * bits % 8 != 0) CORRUPT("unused bits that are not zero");
    }
    return NCZ_OK;
}

// Marks the stored weights of a row block and counts them.
static int read_positions(ncz *f, ZSTD_DCtx *z, const ncz_tensor *t, struct blocks *b, u64 gaps, u64 rows, u64 columns, struct scratch *s, u64 *stored) {
    u64 weights = rows * columns, at = 0;
    const u8 *p;
    *stored = 0;
    if (t->positions == BITMAP) {
        TRY(read_codes(f, z, b, 1, rows, columns, s->positions, s->marks));
        for (u64 i = 0; i < weights; i++) *stored += s->marks[i];
        return NCZ_OK;
    }
    if (gaps > weights) CORRUPT("a block has more gaps than weights");
    TRY(next_block(f, z, b, gaps, s->positions, &p));
    if (gaps > 0 && p[gaps - 1] == 255) CORRUPT("a gap without an end");
    memset(s->marks, 0, (size_t)weights);
    for (u64 i = 0; i < gaps; i++) {
        at += p[i];
        if (p[i] == 255) continue;
        if (at >= weights) CORRUPT("a position outside its block");
        s->marks[at++] = 1;
        ++*stored;
    }
    return NCZ_OK;
}

// A table of frequencies, §4.7. `slots` may be null: then it is only checked.
struct frequencies { unsigned frequency[256], start[256]; u8 slots[4096]; };

static bool read_frequencies(const u8 **at, const u8 *end, struct frequencies *q) {
    const u8 *p = *at;
    if (end - p < 2 || p[0] + p[1] > 255) return false;
    unsigned first = p[0], last = first + p[1], sum = 0;
    p += 2;
    for (unsigned i = first; i <= last; i++) {
        if (p == end) return false;
        unsigned x = *p++;
        if (x >= 128) {
            if (p == end || *p == 0) return false;
            x = (x & 127) | (unsigned)*p++ << 7;
        }
        if (x > 4096 - sum || (x == 0 && (i == first || i == last))) return false;
        memset(q->slots + sum, (int)i, x);
        q->frequency[i] = x;
        q->start[i] = sum;
        sum += x;
    }
    *at = p;
    return sum == 4096;
}

// A block of codes by frequency: the symbols go to s->codes. Without classes the classes are null.
static int read_symbols(ncz *f, const u8 *p, u64 size, u64 rows, u64 columns, const u8 *row_class, const u8 *column_class, struct scratch *s) {
    struct frequencies q;
    u64 in_row[16] = { 0 }, starts[17] = { 0 }, next[16];
    u32 state[32];
    const u8 *end = p + size;
    if (rows * columns == 0) return size == 0 ? NCZ_OK : fail(f, NCZ_CORRUPT, "a block without weights has bytes");
    for (u64 i = 0; i < rows; i++) in_row[row_class == NULL ? 0 : row_class[i]]++;
    for (u64 i = 0; i < columns; i++) starts[1 + (column_class == NULL ? 0 : column_class[i])]++;
    for (int i = 0; i < 16; i++) { next[i] = starts[i]; starts[i + 1] += starts[i]; }
    for (u64 i = 0; i < columns; i++) s->columns[next[column_class == NULL ? 0 : column_class[i]]++] = (u32)i;

    if (size == 0 || *p > 5) CORRUPT("a block of codes has no number of lanes");
    unsigned lanes = 1u << *p++;
    const u8 *table = p;
    for (int a = 0; a < 16; a++) for (int b = 0; b < 16; b++)
        if (in_row[a] != 0 && starts[b + 1] > starts[b] && !read_frequencies(&p, end, &q)) CORRUPT("a table of frequencies is broken");
    if (end - p < 4 * (ptrdiff_t)lanes) CORRUPT("a block of codes is too short");
    for (unsigned i = 0; i < lanes; i++, p += 4) {
        state[i] = (u32)load(p, 4);
        if (state[i] >> 15 == 0 || state[i] >> 31 != 0) CORRUPT("a state is out of range");
    }
    for (int a = 0; a < 16; a++) for (int b = 0; b < 16; b++) {
        if (in_row[a] == 0 || starts[b + 1] == starts[b]) continue;
        u64 j = 0;
        read_frequencies(&table, end, &q);
        for (u64 row = 0; row < rows; row++) {
            if (row_class != NULL && row_class[row] != a) continue;
            for (u64 i = starts[b]; i < starts[b + 1]; i++, j++) {
                u32 *x = &state[j % lanes], y = *x % 4096;
                u8 symbol = q.slots[y];
                *x = q.frequency[symbol] * (*x / 4096) + y - q.start[symbol];
                if (*x < 1u << 15) {
                    if (end - p < 2) CORRUPT("a block of codes is too short");
                    *x = *x << 16 | (u32)load(p, 2);
                    p += 2;
                }
                s->codes[row * columns + s->columns[i]] = symbol;
            }
        }
    }
    for (unsigned i = 0; i < lanes; i++) if (state[i] != 1u << 15) CORRUPT("a state does not end as it has to");
    return p == end ? NCZ_OK : fail(f, NCZ_CORRUPT, "a block of codes is too long");
}

// The code that ternary would have of a weight of a seeded matrix, by its number.
static u8 drawn(const ncz_tensor *t, u64 number) {
    u64 z = t->seed + (number / 4 + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    u64 u = z >> 16 * (number % 4) & 0xFFFF;
    return u / 2 >= t->threshold ? 0 : u % 2 == 1 ? 3 : 1;
}

// Ternary, sparse, levels and seeded: by row blocks. `classes`: room for those of the rows and columns, where the tensor has any.
static int decode_matrix(ncz *f, ZSTD_DCtx *z, const ncz_tensor *t, const struct blocks *part, u8 *out, struct scratch *s, u8 *classes) {
    const bool sparse = t->encoding == SPARSE, seeded = t->encoding == SEEDED, table = t->encoding == LEVELS && t->values == TABLE, grid = t->encoding == LEVELS && !table;
    const struct format type = TYPES[t->type].format == NULL ? FLOAT64 : *TYPES[t->type].format, scale_type = t->size == 8 ? FLOAT64 : FLOAT32;
    const struct format half = t->values == VALUES_FLOAT16 ? FLOAT16 : BFLOAT16;
    const u64 sign = (u64)1 << (8 * t->size - 1), high = (u64)1 << (8 * (sparse && t->values != SIGN ? stored_bytes(t) : 1) - 1);
    struct array counts = { .left = 0 }, scale = counts, exceptions = counts;
    struct blocks positions = { 0 }, codes = { 0 }, planes[8] = { { 0 } };
    struct writer w = writer_of(t, out);
    u64 exception = 0, block = 0, height, x = 0;
    if (t->bytes == 0) return t->exceptions == 0 ? NCZ_OK : fail(f, NCZ_CORRUPT, "exceptions without weights");
    height = t->columns <= WEIGHTS ? WEIGHTS / t->columns : 1;
    if (t->positions == GAPS) counts = array_of(f, *part++, row_blocks(t), 4, s->arrays[0], ANYTHING);
    if (t->positions != DENSE) positions = *part++;
    if (sparse) for (unsigned i = 0; i < stored_bytes(t); i++) planes[i] = *part++;
    if (t->row_classes != 0) {
        struct array a = array_of(f, *part++, t->rows + t->columns, 1, s->arrays[0], ANYTHING);
        for (u64 i = 0; i < t->rows + t->columns; i++) {
            TRY(array_at(f, z, &a, i, &x));
            if (x >= (i < t->rows ? t->row_classes : t->column_classes)) CORRUPT("a class is out of range");
            classes[i] = (u8)x;
        }
    }
    if (!seeded && (!sparse || t->values == SIGN)) codes = *part++;
    if (t->exceptions != 0) exceptions = array_of(f, *part++, t->exceptions, 4, s->arrays[1], EXCEPTION);
    if (table) {
        struct array a = array_of(f, *part++, t->levels, t->size, s->arrays[2], ANYTHING);
        for (u64 i = 0; i < t->levels; i++) TRY(array_at(f, z, &a, i, &s->table[i]));
    } else if (!sparse || t->values == SIGN) {
        scale = array_of(f, *part++, scales(t), t->size == 8 ? 8 : 4, s->arrays[2], grid ? SCALE : SCALE_OF_TYPE);
        scale.type = type;
    }

    for (u64 row = 0; row < t->rows; row += height) for (u64 column = 0; column < t->columns; column += WEIGHTS, block++) {
        u64 rows = smaller(height, t->rows - row), columns = smaller(WEIGHTS, t->columns - column), stored = rows * columns, j = 0;
        const u8 *plane[8] = { NULL };
        if (t->positions == GAPS) TRY(array_at(f, z, &counts, block, &x));
        if (t->positions != DENSE) TRY(read_positions(f, z, t, &positions, x, rows, columns, s, &stored));
        u64 lines = t->positions == DENSE ? rows : 1, width = t->positions == DENSE ? columns : stored;
        if (sparse && t->values != SIGN) {
            for (unsigned i = 0; i < stored_bytes(t); i++) TRY(next_block(f, z, &planes[i], stored, s->planes[i], &plane[i]));
        } else if (seeded) {
            for (u64 i = 0; i < rows * columns; i++) s->codes[i] = drawn(t, (row + i / columns) * t->columns + column + i % columns);
        } else if (t->encoding == LEVELS && t->bits == 0) {
            const u8 *p;
            TRY(stored_block(f, &codes, &p, &x));
            if (t->row_classes != 0) TRY(read_symbols(f, p, x, rows, columns, classes + row, classes + t->rows + column, s));
            else TRY(read_symbols(f, p, x, 1, stored, NULL, NULL, s));
            if (grid) for (u64 i = 0; i < stored; i++) s->codes[i] ^= 0x80;  // k + 128 to two's complement
        } else {
            unsigned bits = sparse ? 1 : t->encoding == TERNARY ? 2 : t->bits;
            TRY(read_codes(f, z, &codes, bits, lines, width, s->planes[0], s->codes));
            for (u64 i = 0; grid && i < stored; i++) {
                if (bits < 8 && s->codes[i] == 1 << (bits - 1)) CORRUPT("the lowest code of few bits");
                if (s->codes[i] >> (bits - 1) != 0) s->codes[i] |= (u8)(0xFF << bits);
            }
        }
        for (u64 i = 0; i < rows * columns; i++) {
            u64 value = 0, factor = 0, r = row + i / columns, c = column + i % columns;
            if (scale.size != 0) {
                u64 number = t->scale_per == SCALE_TENSOR ? 0 : t->scale_per == SCALE_ROW ? r : r * divide_up(t->columns, t->scale_per) + c / t->scale_per;
                TRY(array_at(f, z, &scale, number, &factor));
            }
            if (t->positions != DENSE && s->marks[i] == 0) { put(&w, 0); continue; }
            u8 code = sparse && t->values != SIGN ? 0 : s->codes[j];
            if (sparse && t->values != SIGN) {
                for (unsigned b = stored_bytes(t); b-- > 0; ) value = value << 8 | plane[b][j];
                u64 magnitude = (value & (high - 1)) + t->least;
                if (magnitude >= high) CORRUPT("a magnitude and `least` are too much");
                value = (value & high) | magnitude;
                if (value == 0) CORRUPT("a stored value is 0");
                if (t->values != EXACT) value = convert(value, half, type);
            } else if (table) {
                if (code >= t->levels) CORRUPT("a code that is no level");
                value = s->table[code];
                if (value == 0 && t->positions != DENSE) CORRUPT("a stored level is 0");
            } else if (grid) {
                double k = code < 128 ? code : code - 256;
                if (code == 128) {
                    if (exception == t->exceptions) CORRUPT("a code −128 without an exception");
                    TRY(array_at(f, z, &exceptions, exception++, &x));
                    k = x >> 31 == 0 ? (double)x : (double)x - 4294967296.0;
                }
                if (k == 0 && t->positions != DENSE) CORRUPT("a stored weight is 0");
                if (k != 0) value = convert(as_bits(as_double(convert(factor, scale_type, FLOAT64)) * k), FLOAT64, type);
                if (!is_finite(value, type)) CORRUPT("a weight is infinite");
            } else {  // ternary, seeded, or the signs of sparse
                if (t->encoding == TERNARY && code == 2) CORRUPT("a code of ternary is 10");
                if (sparse || code != 0) value = convert(factor, scale_type, type) | (code == (sparse ? 1 : 3) ? sign : 0);
            }
            put(&w, value);
            j++;
        }
    }
    return exception == t->exceptions ? NCZ_OK : fail(f, NCZ_CORRUPT, "exceptions that no code stands for");
}

int ncz_decode(ncz *f, const ncz_tensor *t, void *out, void *work, size_t work_size, int digest) {
    struct space space = { work, work_size, 0 };
    struct blocks part[MAX_PARTS];
    u64 expected[MAX_PARTS], at = f->index[t->number].at, factor = 0, sums = 0, classes = 0;
    const u8 *payloads = f->index[t->number].payload, *payload;
    if (t->verdict != NCZ_OK) return fail(f, NCZ_UNSUPPORTED, "an encoding, type, key or parameter that is not known");
    unsigned parts = part_blocks(t, expected);
    for (unsigned i = 0; i < parts; i++) {
        u64 start = at;
        payload = next_payload(f, &payloads, &at);
        if (payload == NULL || count_items(payload) / 2 != expected[i]) CORRUPT("a part has the wrong number of blocks");
        part[i] = (struct blocks){ payload + 1, start, f->mapped && (t->encoding == RAW || t->encoding == TERNARY || t->encoding == LEVELS || t->encoding == SEEDED) };
    }
    if (t->encoding == LOW_RANK && t->bytes != 0) {
        factor = t->factor_rank * t->columns;
        sums = smaller(t->columns, UINT64_MAX / 16);
    }
    if (t->row_classes != 0 && t->bytes != 0) classes = t->rows + t->columns;
    ZSTD_DCtx *z = take_zstd(&space);
    struct scratch *s = take(&space, sizeof *s);
    float *right = take(&space, factor * sizeof *right);
    double *row = take(&space, sums * sizeof *row);
    u8 *class_of = take(&space, classes);
    if (z == NULL || s == NULL || right == NULL || row == NULL || class_of == NULL) return no_space(f, &space);
    if (t->encoding == RAW) TRY(decode_raw(f, z, t, part[0], out, s));
    else if (t->encoding == LOW_RANK) TRY(decode_low_rank(f, z, t, part, out, s, right, row));
    else TRY(decode_matrix(f, z, t, part, out, s, class_of));
    if (!digest) return NCZ_OK;

    struct sha sha;
    char text[32];
    sha_begin(&sha);
    sha_text(&sha, "ncz tensor ");
    sha_text(&sha, t->type_name);
    for (unsigned i = 0; i < t->rank; i++) {
        snprintf(text, sizeof text, "%c%llu", i == 0 ? '[' : ',', (unsigned long long)t->shape[i]);
        sha_text(&sha, text);
    }
    snprintf(text, sizeof text, "%s] %llu\n", t->rank == 0 ? "[" : "", (unsigned long long)t->bytes);
    sha_text(&sha, text);
    fold(f, &sha, out, t->bytes);
    return same_digest(&sha, t->digest) ? NCZ_OK : fail(f, NCZ_CORRUPT, "the digest of a tensor is wrong");
}

static int test_container(ncz *f, void *work, size_t work_size, u64 limit) {
    struct space space = { work, work_size, 0 };
    struct blocks b = { f->container_payload + 1, f->container_at, false };
    struct sha sha;
    char text[64];
    const u8 *p, *kind = f->container_kind + 1;
    if (f->container_left > limit) return fail(f, NCZ_OVER, "a container larger than the reader's limit");
    ZSTD_DCtx *z = take_zstd(&space);
    u8 *buffer = take(&space, BLOCK);
    if (z == NULL || buffer == NULL) return no_space(f, &space);
    sha_begin(&sha);
    sha_text(&sha, "ncz container ");
    sha_add(&sha, kind, (u64)(after_string(kind - 1) - kind) - 1);
    snprintf(text, sizeof text, " %llu %llu\n", (unsigned long long)f->container_size, (unsigned long long)f->container_left);
    sha_text(&sha, text);
    for (u64 left = f->container_left, n; left > 0; left -= n) {
        n = smaller(left, BLOCK);
        TRY(next_block(f, z, &b, n, buffer, &p));
        fold(f, &sha, p, n);
    }
    return same_digest(&sha, f->container_digest) ? NCZ_OK : fail(f, NCZ_CORRUPT, "the digest of the container is wrong");
}

int ncz_test(ncz *f, void *work, size_t work_size, uint64_t limit) {
    static const char *const KEYS = "axes? digest name outputs? role? shape type", *const SPELLED[] = { "axes", "digest", "name", "outputs", "role", "shape", "type" };
    struct sha sha;
    const u8 *p = f->payloads + 1, *payload, *v[7];
    u64 at = f->mapped ? 64 : 32, n;
    for (u64 end = 32; (payload = next_item(&p)) != NULL; end = at) {
        if (f->mapped) at = (at + 63) / 64 * 64;
        for (; end < at; end++) if (f->file[end] != 0) CORRUPT("a byte between payloads is not zero");
        struct blocks b = { payload + 1, at, false };
        while (*b.json != ']') {  // also of what cannot be decoded
            const u8 *block;
            TRY(stored_block(f, &b, &block, &n));
        }
        at = b.at;
    }
    if (f->container != NULL && !f->container_unsupported) TRY(test_container(f, work, work_size, limit));
    sha_begin(&sha);
    sha_text(&sha, "ncz file\n{");
    if (f->container != NULL) {
        sha_text(&sha, "\"container\":");
        sha_add(&sha, f->container_digest, 34);
        sha_text(&sha, ",");
    }
    if (f->network != NULL) {
        sha_text(&sha, "\"network\":");
        sha_add(&sha, f->network, (u64)(after(f->network) - f->network));
        sha_text(&sha, ",");
    }
    sha_text(&sha, "\"tensors\":[");
    for (u64 i = 0; i < f->tensors; i++) {
        bool unknown, comma = false;
        members(f->index[i].json, KEYS, v, true, &unknown);
        sha_text(&sha, i == 0 ? "{" : ",{");
        for (int k = 0; k < 7; k++) {
            if (v[k] == NULL) continue;
            sha_text(&sha, comma ? ",\"" : "\"");
            sha_text(&sha, SPELLED[k]);
            sha_text(&sha, "\":");
            sha_add(&sha, v[k], (u64)(after(v[k]) - v[k]));
            comma = true;
        }
        sha_text(&sha, "}");
    }
    sha_text(&sha, "]}");
    return same_digest(&sha, f->digest) ? NCZ_OK : fail(f, NCZ_CORRUPT, "the digest of the file is wrong");
}

#ifdef NCZ_MAIN

#define LIMIT ((u64)1 << 32)  // this program's own limit on decoded bytes

static u8 *file, *open_work, *work, *values;  // all that is allocated; main frees it

static bool allocate(u8 **p, u64 size) {
    free(*p);
    *p = size < SIZE_MAX ? malloc((size_t)size + 1) : NULL;
    return *p != NULL;
}

static int give_up(int verdict, const char *name, const char *why) {
    fflush(stdout);
    fprintf(stderr, "ncz: %s: %s\n", name, why);
    return verdict;
}

// Decodes a tensor to `values`. The blocks are counted before anything is allocated.
static int decode(ncz *f, const ncz_tensor *t) {
    int verdict = ncz_decode(f, t, NULL, NULL, 0, 1);
    if (verdict != NCZ_SPACE) return verdict;
    if (t->bytes > LIMIT) return fail(f, NCZ_OVER, "a tensor larger than this program's limit");
    if (!allocate(&values, t->bytes) || !allocate(&work, f->need)) return fail(f, NCZ_OVER, "not enough memory");
    return ncz_decode(f, t, values, work, f->need, 1);
}

static int run(const char *path, const char *name) {
    static ncz f;
    ncz_tensor t;
    size_t size = 0, room = 1 << 16, n;
    int verdict, worst = NCZ_OK;
    FILE *in = fopen(path, "rb");
    if (in == NULL) return give_up(66, path, "cannot be opened");
    file = malloc(room);
    while (file != NULL && (n = fread(file + size, 1, room - size, in)) > 0) {
        if ((size += n) < room) continue;
        u8 *larger = room > SIZE_MAX / 2 ? NULL : realloc(file, room *= 2);
        if (larger == NULL) free(file);
        file = larger;
    }
    bool failed = file == NULL || ferror(in) != 0;
    fclose(in);
    if (failed) return give_up(74, path, "cannot be read");
    size_t open_size = 0;
    while ((verdict = ncz_open(&f, file, size, open_work, open_size)) == NCZ_SPACE)
        if (!allocate(&open_work, open_size = f.need)) return give_up(NCZ_OVER, path, "not enough memory");
    if (verdict != NCZ_OK) return give_up(verdict, path, f.why);

    if (name != NULL) {
        if (ncz_find(&f, name, strlen(name), &t) != NCZ_OK) return give_up(66, path, "no tensor of this name");
        verdict = decode(&f, &t);
        if (verdict != NCZ_OK) return give_up(verdict, path, f.why);
        bool written = fwrite(values, 1, (size_t)t.bytes, stdout) == t.bytes && fflush(stdout) == 0;
        return written ? 0 : give_up(74, path, "cannot be written");
    }
    for (u64 i = 0; i < f.tensors; i++) {
        ncz_tensor_at(&f, i, &t);
        printf("%.*s %s[", (int)t.name_size, (const char *)t.name, t.type_name);
        for (unsigned k = 0; k < t.rank; k++) printf(k == 0 ? "%llu" : ",%llu", (unsigned long long)t.shape[k]);
        printf("] encoding %d%s\n", t.encoding, t.verdict == NCZ_OK ? "" : ": cannot be decoded");
    }
    // What is not supported is told only where nothing is worse.
    for (u64 i = 0; i < f.tensors; i++) {
        ncz_tensor_at(&f, i, &t);
        verdict = decode(&f, &t);
        if (verdict == NCZ_UNSUPPORTED) worst = verdict;
        else if (verdict != NCZ_OK) return give_up(verdict, path, f.why);
    }
    verdict = ncz_test(&f, NULL, 0, LIMIT);
    if (verdict == NCZ_SPACE) verdict = !allocate(&work, f.need) ? fail(&f, NCZ_OVER, "not enough memory") : ncz_test(&f, work, f.need, LIMIT);
    if (verdict != NCZ_OK) return give_up(verdict, path, f.why);
    if (worst != NCZ_OK) return give_up(worst, path, "a tensor that this program cannot decode");
    if (f.container_unsupported) return give_up(NCZ_UNSUPPORTED, path, "a container of a kind that this program does not know");
    if (f.network_unsupported) return give_up(NCZ_UNSUPPORTED, path, "a network that could not be run");
    if (f.steps_unsupported) return give_up(NCZ_UNSUPPORTED, path, "a step whose claim could not be checked");
    return 0;
}

int main(int count, char **arguments) {
    if (count != 2 && count != 3) return give_up(64, "usage", "ncz FILE [NAME]");
    int verdict = run(arguments[1], count == 3 ? arguments[2] : NULL);
    free(file);
    free(open_work);
    free(work);
    free(values);
    return verdict;
}

#endif
