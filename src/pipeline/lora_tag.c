/* lora_tag.c - see lora_tag.h. */
#include "pipeline/lora_tag.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define MAX_NUMBER 32

/* A decimal number between p and end and nothing else. The program never calls setlocale(). */
static bool read_number(const char *p, const char *end, double *x)
{
    char text[MAX_NUMBER], *stop;
    size_t n = (size_t)(end - p);
    if (n == 0 || n >= sizeof(text) || strspn(p, "+-.0123456789eE") < n ||
        isspace((unsigned char)*p))
        return false;
    memcpy(text, p, n);
    text[n] = '\0';
    *x = strtod(text, &stop);
    return !*stop && isfinite(*x);
}

/* "0.8", "te=0.8" or "unet=0.8", the i-th of the tag. */
static bool read_weight(const char *p, const char *end, int i, struct lora_tag *tag)
{
    bool te = strncmp(p, "te=", 3) == 0, unet = strncmp(p, "unet=", 5) == 0;
    if (te || unet)
        return read_number(p + (te ? 3 : 5), end, te ? &tag->text : &tag->unet);
    if (i == 0 && read_number(p, end, &tag->text)) {
        tag->unet = tag->text;
        return true;
    }
    return i == 1 && read_number(p, end, &tag->unet);
}

const char *lora_tag_read(const char *p, struct lora_tag *tag)
{
    static const char begin[] = "<lora:";
    if (strncmp(p, begin, sizeof(begin) - 1) != 0)
        return NULL;
    p += sizeof(begin) - 1;
    size_t n = strcspn(p, ":<>\n");
    if (n == 0 || n >= sizeof(tag->name))
        return NULL;
    tag->text = tag->unet = 1;
    memcpy(tag->name, p, n);
    tag->name[n] = '\0';
    p += n;
    for (int i = 0; *p == ':'; i++) {
        const char *end = p + 1 + strcspn(p + 1, ":<>\n");
        if (!read_weight(p + 1, end, i, tag))
            return NULL;
        p = end;
    }
    return *p == '>' ? p + 1 : NULL;
}

void lora_tags_take(char *prompt, void (*fn)(const struct lora_tag *tag, void *ctx), void *ctx)
{
    struct lora_tag tag;
    const char *after;
    char *to = prompt;
    for (const char *p = prompt; *p;) {
        if (*p != '<' || !(after = lora_tag_read(p, &tag))) {
            *to++ = *p++;
            continue;
        }
        while (to > prompt && to[-1] == ' ')
            to--;
        fn(&tag, ctx);
        p = after;
    }
    *to = '\0';
}
