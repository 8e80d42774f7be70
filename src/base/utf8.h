/* utf8.h - strict UTF-8 decoding (RFC 3629). */
#ifndef LAR_BASE_UTF8_H
#define LAR_BASE_UTF8_H

#include <stddef.h>
#include <stdint.h>

#define UTF8_REPLACEMENT 0xfffdu

/* Decodes the code point at p (n > 0 bytes left) and stores the bytes it took. A malformed
 * sequence gives U+FFFD and takes its maximal valid prefix, at least one byte, as Unicode 15
 * section 3.9 recommends and Python's errors="replace" does. */
uint32_t utf8_decode(const char *p, size_t n, size_t *taken);

/* Encodes cp into out (4 bytes of room); returns the number of bytes. */
size_t utf8_encode(uint32_t cp, char *out);

#endif
