/* Masking, UTF-8, and frame headers (RFC 6455, sections 5.2, 5.3 and 8.1): the loops over bytes that Python is slow at.

   Portable C. The compilers make vector code of the loops over words; memcpy of a word is how C reads one that may be
   unaligned. */
#ifndef AUTOBAHNLIKE_KERNEL_H
#define AUTOBAHNLIKE_KERNEL_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* XOR with the masking key, in place or to elsewhere; key[0] goes with the first byte. */
static inline void kernel_mask(uint8_t *to, const uint8_t *from, size_t size, const uint8_t key[4]) {
    uint32_t four;
    uint64_t eight;
    size_t done = 0;
    memcpy(&four, key, 4);
    eight = (uint64_t)four << 32 | four;
    for (; done + 8 <= size; done += 8) {
        uint64_t word;
        memcpy(&word, from + done, 8);
        word ^= eight;
        memcpy(to + done, &word, 8);
    }
    for (; done < size; done++) to[done] = from[done] ^ key[done & 3];
}

/* How many bytes a masked or unmasked header takes, without the key. */
static inline size_t kernel_header_size(uint64_t length) { return length < 126 ? 2 : length < 65536 ? 4 : 10; }

/* Write a header without the key; return what follows it. */
static inline uint8_t *kernel_header(uint8_t *to, uint8_t first, uint8_t mask_bit, uint64_t length) {
    *to++ = first;
    if (length < 126) {
        *to++ = mask_bit | (uint8_t)length;
    } else {
        int bits = length < 65536 ? 16 : 64;
        *to++ = mask_bit | (bits == 16 ? 126 : 127);
        while (bits) {
            bits -= 8;
            *to++ = (uint8_t)(length >> bits);
        }
    }
    return to;
}

/* UTF-8 (RFC 3629, section 4) as an automaton: where a text has got to. A state is a multiple of 6, see below. */
enum {
    UTF8_BAD = 0,   /* no continuation makes it valid */
    UTF8_WHOLE = 6, /* between code points; where a text begins, and may end */
    UTF8_ONE = 12,  /* so many continuation bytes are to come */
    UTF8_TWO = 18,
    UTF8_THREE = 24,
    UTF8_E0 = 30, /* after a byte that forbids some of the next: overlong forms, */
    UTF8_ED = 36, /* surrogates, */
    UTF8_F0 = 42,
    UTF8_F4 = 48 /* and what is above U+10FFFF */
};

/* For each byte a word: the six bits at a state's number are the state that follows it. So a step is one shift by the
   state; the word is looked up meanwhile. No branch depends on the text: for European languages that is four times as
   fast as taking sequences apart. */
#define UTF8_GO(from, to) ((uint64_t)(to) << (from))
#define UTF8_ASCII UTF8_GO(UTF8_WHOLE, UTF8_WHOLE)
#define UTF8_ANY_MORE UTF8_GO(UTF8_ONE, UTF8_WHOLE) | UTF8_GO(UTF8_TWO, UTF8_ONE) | UTF8_GO(UTF8_THREE, UTF8_TWO)
#define UTF8_80_8F UTF8_ANY_MORE | UTF8_GO(UTF8_ED, UTF8_ONE) | UTF8_GO(UTF8_F4, UTF8_TWO)
#define UTF8_90_9F UTF8_ANY_MORE | UTF8_GO(UTF8_ED, UTF8_ONE) | UTF8_GO(UTF8_F0, UTF8_TWO)
#define UTF8_A0_BF UTF8_ANY_MORE | UTF8_GO(UTF8_E0, UTF8_ONE) | UTF8_GO(UTF8_F0, UTF8_TWO)
#define UTF8_LEAD(to) UTF8_GO(UTF8_WHOLE, to)
#define UTF8_2(word) word, word
#define UTF8_4(word) UTF8_2(word), UTF8_2(word)
#define UTF8_8(word) UTF8_4(word), UTF8_4(word)
#define UTF8_16(word) UTF8_8(word), UTF8_8(word)
#define UTF8_32(word) UTF8_16(word), UTF8_16(word)

static const uint64_t kernel_utf8_words[256] = {
    UTF8_32(UTF8_ASCII), UTF8_32(UTF8_ASCII), UTF8_32(UTF8_ASCII), UTF8_32(UTF8_ASCII), /* 00 to 7F */
    UTF8_16(UTF8_80_8F), UTF8_16(UTF8_90_9F), UTF8_32(UTF8_A0_BF),
    0, 0, UTF8_2(UTF8_LEAD(UTF8_ONE)), UTF8_4(UTF8_LEAD(UTF8_ONE)), /* C0, C1: overlong; C2 to C7 */
    UTF8_8(UTF8_LEAD(UTF8_ONE)), UTF8_16(UTF8_LEAD(UTF8_ONE)), /* to DF */
    UTF8_LEAD(UTF8_E0), UTF8_4(UTF8_LEAD(UTF8_TWO)), UTF8_8(UTF8_LEAD(UTF8_TWO)), /* E0, E1 to EC */
    UTF8_LEAD(UTF8_ED), UTF8_2(UTF8_LEAD(UTF8_TWO)), /* ED, EE, EF */
    UTF8_LEAD(UTF8_F0), UTF8_2(UTF8_LEAD(UTF8_THREE)), UTF8_LEAD(UTF8_THREE), UTF8_LEAD(UTF8_F4), /* F0 to F4 */
};

/* Whether 32 bytes are ASCII. */
static inline int kernel_is_ascii(const uint8_t *data) {
    uint64_t words[4];
    memcpy(words, data, 32);
    return !((words[0] | words[1] | words[2] | words[3]) & 0x8080808080808080u);
}

/* Validate the next piece of a text; UTF8_BAD as soon as it can no longer become valid, and from then on. */
static inline uint8_t kernel_utf8(uint8_t before, const uint8_t *data, size_t size) {
    const uint8_t *end = data + size;
    uint64_t state = before;
    int i;
    for (; end - data >= 32 && state != UTF8_BAD; data += 32) {
        if (state == UTF8_WHOLE && kernel_is_ascii(data)) continue;
        for (i = 0; i < 32; i++) state = kernel_utf8_words[data[i]] >> state & 63;
    }
    for (; data < end; data++) state = kernel_utf8_words[*data] >> state & 63;
    return (uint8_t)state;
}

#endif
