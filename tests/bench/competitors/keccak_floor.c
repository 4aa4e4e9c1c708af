/* The floor of the claim tree: what its hashing and sorting cost in plain C.

   usage: keccak_floor PREIMAGES THREADS

   PREIMAGES holds 96 bytes a leaf. Each is hashed twice, the hashes are sorted, and pairs are hashed up to the root
   in the order of OpenZeppelin's `standard-v1` tree. One line of JSON tells the root and the seconds, which begin when
   the file is in memory and end at the root. Keccak-256 as Ethereum has it: Keccak-f[1600] of FIPS 202, rate 136,
   padded with 0x01. LANES messages go through one permutation side by side: 1 or, with vectors of GCC or Clang, 8. */

#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#ifndef LANES
#define LANES 1
#endif

#if LANES == 1
typedef uint64_t word;
#else
typedef uint64_t word __attribute__((vector_size(8 * LANES)));
#endif

enum { RATE_WORDS = 17, MAX_THREADS = 64 };

typedef struct {
    uint64_t words[4];
} digest;

static const uint64_t ROUND_CONSTANTS[24] = {
    0x0000000000000001, 0x0000000000008082, 0x800000000000808A, 0x8000000080008000, 0x000000000000808B,
    0x0000000080000001, 0x8000000080008081, 0x8000000000008009, 0x000000000000008A, 0x0000000000000088,
    0x0000000080008009, 0x000000008000000A, 0x000000008000808B, 0x800000000000008B, 0x8000000000008089,
    0x8000000000008003, 0x8000000000008002, 0x8000000000000080, 0x000000000000800A, 0x800000008000000A,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
};

#define ROTATE(x, n) ((x) << (n) | (x) >> (64 - (n)))

/* Compilers would keep single words in vector registers, which is slower by half. */
#if LANES == 1 && defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define PLAIN_REGISTERS __attribute__((target("general-regs-only")))
#else
#define PLAIN_REGISTERS
#endif

/* One plane: the five words that theta, rho and pi bring there, mixed by chi. */
#define PLANE(to, w0, w1, w2, w3, w4)                  \
    do {                                               \
        word b0 = w0, b1 = w1, b2 = w2, b3 = w3, b4 = w4; \
        e[(to) + 0] = b0 ^ (~b1 & b2);                 \
        e[(to) + 1] = b1 ^ (~b2 & b3);                 \
        e[(to) + 2] = b2 ^ (~b3 & b4);                 \
        e[(to) + 3] = b3 ^ (~b4 & b0);                 \
        e[(to) + 4] = b4 ^ (~b0 & b1);                 \
    } while (0)

PLAIN_REGISTERS static inline void run_round(const word a[25], word e[25], uint64_t constant) {
    word c0 = a[0] ^ a[5] ^ a[10] ^ a[15] ^ a[20], c1 = a[1] ^ a[6] ^ a[11] ^ a[16] ^ a[21];
    word c2 = a[2] ^ a[7] ^ a[12] ^ a[17] ^ a[22], c3 = a[3] ^ a[8] ^ a[13] ^ a[18] ^ a[23];
    word c4 = a[4] ^ a[9] ^ a[14] ^ a[19] ^ a[24];
    word d0 = c4 ^ ROTATE(c1, 1), d1 = c0 ^ ROTATE(c2, 1), d2 = c1 ^ ROTATE(c3, 1);
    word d3 = c2 ^ ROTATE(c4, 1), d4 = c3 ^ ROTATE(c0, 1);
    PLANE(0, a[0] ^ d0, ROTATE(a[6] ^ d1, 44), ROTATE(a[12] ^ d2, 43), ROTATE(a[18] ^ d3, 21), ROTATE(a[24] ^ d4, 14));
    PLANE(5, ROTATE(a[3] ^ d3, 28), ROTATE(a[9] ^ d4, 20), ROTATE(a[10] ^ d0, 3), ROTATE(a[16] ^ d1, 45),
          ROTATE(a[22] ^ d2, 61));
    PLANE(10, ROTATE(a[1] ^ d1, 1), ROTATE(a[7] ^ d2, 6), ROTATE(a[13] ^ d3, 25), ROTATE(a[19] ^ d4, 8),
          ROTATE(a[20] ^ d0, 18));
    PLANE(15, ROTATE(a[4] ^ d4, 27), ROTATE(a[5] ^ d0, 36), ROTATE(a[11] ^ d1, 10), ROTATE(a[17] ^ d2, 15),
          ROTATE(a[23] ^ d3, 56));
    PLANE(20, ROTATE(a[2] ^ d2, 62), ROTATE(a[8] ^ d3, 55), ROTATE(a[14] ^ d4, 39), ROTATE(a[15] ^ d0, 41),
          ROTATE(a[21] ^ d1, 2));
    e[0] ^= constant;
}

PLAIN_REGISTERS static void permute(word s[25]) {
    word a[25], e[25];
    memcpy(a, s, sizeof a);
    for (int round = 0; round < 24; round += 2) {
        run_round(a, e, ROUND_CONSTANTS[round]);
        run_round(e, a, ROUND_CONSTANTS[round + 1]);
    }
    memcpy(s, a, sizeof a);
}

/* Keccak-256 of up to LANES messages of `size` words (fewer than 17), one behind the other at each of `from`. */
static void hash_some(const uint64_t *const from[], int count, int size, digest *to) {
    word state[25];
    uint64_t *at = (uint64_t *)state;
    memset(state, 0, sizeof state);
    for (int lane = 0; lane < count; lane++) {
        for (int i = 0; i < size; i++) at[i * LANES + lane] = from[lane][i];
        at[size * LANES + lane] = 1;
        at[(RATE_WORDS - 1) * LANES + lane] |= UINT64_C(1) << 63;
    }
    permute(state);
    for (int lane = 0; lane < count; lane++)
        for (int i = 0; i < 4; i++) to[lane].words[i] = at[i * LANES + lane];
}

static uint64_t head(const digest *d) { return __builtin_bswap64(d->words[0]); }

static int compare(const digest *one, const digest *other) {
    uint64_t a = head(one), b = head(other);
    return a != b ? (a < b ? -1 : 1) : memcmp(one, other, sizeof *one);
}

/* Work of one thread: messages `first` to `last` of a level, or buckets of the sort. */
typedef struct {
    const uint64_t *preimages;
    const digest *below;
    digest *to;
    const size_t *ends;
    size_t first, last;
} piece;

static void *hash_leaves(void *argument) {
    const piece *p = argument;
    for (size_t i = p->first; i < p->last; i += LANES) {
        const uint64_t *from[LANES];
        digest once[LANES];
        int count = p->last - i < LANES ? (int)(p->last - i) : LANES;
        for (int lane = 0; lane < count; lane++) from[lane] = p->preimages + (i + lane) * 12;
        hash_some(from, count, 12, once);
        for (int lane = 0; lane < count; lane++) from[lane] = once[lane].words;
        hash_some(from, count, 4, p->to + i);
    }
    return NULL;
}

static void *hash_pairs(void *argument) {
    const piece *p = argument;
    for (size_t i = p->first; i < p->last; i += LANES) {
        const uint64_t *from[LANES];
        digest pairs[LANES][2];
        int count = p->last - i < LANES ? (int)(p->last - i) : LANES;
        for (int lane = 0; lane < count; lane++) {
            const digest *one = p->below + 2 * (i + lane), *other = one + 1;
            int in_order = compare(one, other) <= 0;
            pairs[lane][0] = in_order ? *one : *other;
            pairs[lane][1] = in_order ? *other : *one;
            from[lane] = pairs[lane][0].words;
        }
        hash_some(from, count, 8, p->to + i);
    }
    return NULL;
}

static void *sort_buckets(void *argument) {
    const piece *p = argument;
    for (size_t bucket = p->first; bucket < p->last; bucket++) {
        size_t start = bucket ? p->ends[bucket - 1] : 0;
        for (size_t i = start + 1; i < p->ends[bucket]; i++) {
            digest moving = p->to[i];
            size_t j = i;
            for (; j > start && compare(&moving, p->to + j - 1) < 0; j--) p->to[j] = p->to[j - 1];
            p->to[j] = moving;
        }
    }
    return NULL;
}

static void run(void *(*work)(void *), piece whole, size_t count, int threads) {
    pthread_t started[MAX_THREADS];
    piece pieces[MAX_THREADS];
    if (count < 1024) threads = 1;
    for (int t = 0; t < threads; t++) {
        pieces[t] = whole;
        pieces[t].first = count * t / threads;
        pieces[t].last = count * (t + 1) / threads;
        if (t && pthread_create(&started[t], NULL, work, &pieces[t])) exit(3);
    }
    work(&pieces[0]);
    for (int t = 1; t < threads; t++) pthread_join(started[t], NULL);
}

/* Into buckets by the first bits, about eight hashes each, then by insertion: hashes lie as if at random. */
static void sort_hashes(const digest *from, digest *to, size_t count, int threads) {
    int bits = 1;
    while (bits < 24 && count >> bits > 8) bits++;
    size_t buckets = (size_t)1 << bits, *ends = calloc(buckets, sizeof *ends), sum = 0;
    if (!ends) exit(3);
    for (size_t i = 0; i < count; i++) ends[head(from + i) >> (64 - bits)]++;
    for (size_t bucket = 0; bucket < buckets; bucket++) {
        size_t held = ends[bucket];
        ends[bucket] = sum;
        sum += held;
    }
    for (size_t i = 0; i < count; i++) to[ends[head(from + i) >> (64 - bits)]++] = from[i];
    run(sort_buckets, (piece){.to = to, .ends = ends}, buckets, threads);
    free(ends);
}

/* Number the nodes so that the sorted leaves come first and each pair's hash is appended in turn. Everything of one
   level is hashed at once; where an odd node is left, it is the first of the next level's pairs. */
static void build(digest *nodes, size_t count, int threads) {
    size_t done = 0, known = count, all = 2 * count - 1;
    while (known < all) {
        size_t pairs = (known - done) / 2;
        run(hash_pairs, (piece){.below = nodes + done, .to = nodes + known}, pairs, threads);
        done += 2 * pairs;
        known += pairs;
    }
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

int main(int argc, char **argv) {
    int threads = argc == 3 ? atoi(argv[2]) : 0;
    FILE *file = threads >= 1 && threads <= MAX_THREADS ? fopen(argv[1], "rb") : NULL;
    if (!file || fseek(file, 0, SEEK_END)) {
        fprintf(stderr, "usage: keccak_floor PREIMAGES THREADS\n");
        return 2;
    }
    size_t count = (size_t)ftell(file) / 96;
    rewind(file);
    uint64_t *preimages = malloc(count * 96 + 1);
    digest *hashes = malloc(count * sizeof *hashes + 1), *nodes = malloc(2 * count * sizeof *nodes + 1);
    if (!count || !preimages || !hashes || !nodes || fread(preimages, 96, count, file) != count) {
        fprintf(stderr, "keccak_floor: no leaf in %s, or no memory for them\n", argv[1]);
        return 3;
    }
    fclose(file);

    double began = now();
    run(hash_leaves, (piece){.preimages = preimages, .to = hashes}, count, threads);
    sort_hashes(hashes, nodes, count, threads);
    build(nodes, count, threads);
    double took = now() - began;

    printf("{\"root\": \"0x");
    const unsigned char *root = (const unsigned char *)(nodes + 2 * count - 2);
    for (int i = 0; i < 32; i++) printf("%02x", root[i]);
    printf("\", \"seconds\": %.6f}\n", took);
    return 0;
}
