/* err.c - the error table and the functions over it. */
#include "base/err.h"

#include <stdio.h>
#include <string.h>

static const struct {
    int code;
    int http;
    const char *name;
    const char *text;
} table[] = {
#define ERR(name, value, http, text) {value, http, "ERR_" #name, text},
#include "base/err.def"
#undef ERR
};

#define N_TABLE (sizeof(table) / sizeof(table[0]))

int err_vset(struct err *e, int code, const char *fmt, va_list args)
{
    if (!e)
        return code;
    if (e->code)
        return e->code;
    e->code = code;
    vsnprintf(e->text, sizeof(e->text), fmt, args);
    return code;
}

#undef err_set /* see err.h */
int err_set(struct err *e, int code, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    code = err_vset(e, code, fmt, args);
    va_end(args);
    return code;
}

void err_prefix(struct err *e, const char *fmt, ...)
{
    char prefix[512];
    char text[sizeof(e->text)];
    va_list args;
    if (!e || !e->code)
        return;
    va_start(args, fmt);
    vsnprintf(prefix, sizeof(prefix), fmt, args);
    va_end(args);
    memcpy(text, e->text, sizeof(text));
    if (snprintf(e->text, sizeof(e->text), "%s: %s", prefix, text) < 0)
        e->text[0] = '\0';
}

static unsigned find(int code)
{
    unsigned i = 0;
    while (i < N_TABLE && table[i].code != code)
        i++;
    return i;
}

const char *err_name(int code)
{
    unsigned i = find(code);
    return i < N_TABLE ? table[i].name : "ERR_UNKNOWN";
}

const char *err_meaning(int code)
{
    unsigned i = find(code);
    return i < N_TABLE ? table[i].text : "unknown error";
}

int err_http_status(int code)
{
    unsigned i = find(code);
    return i < N_TABLE ? table[i].http : 500;
}
