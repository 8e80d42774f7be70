/* base64.h - RFC 4648, section 4. */
#ifndef LAR_BASE_BASE64_H
#define LAR_BASE_BASE64_H

#include <stddef.h>

/* Decodes n characters into out (n / 4 * 3 + 2 bytes of room); returns the number of bytes, or
 * SIZE_MAX for a text that is no base64. Padding may be missing. */
size_t base64_decode(const char *text, size_t n, void *out);

#endif
