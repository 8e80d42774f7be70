/* json_schema_string.c - see json_schema_writer.h: strings, formats and constants. */
#include "text/json_schema_writer.h"

#include "base/err.h"
#include "text/gbnf.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Formats as GBNF, between the quotes; their parts are the rules below. Of international ones only
 * what is ASCII is written, of templates what has no variables: all of that is valid. */
static const struct {
    const char *name, *rule;
} formats[] = {
    {"date", "f-date"},
    {"time", "f-time"},
    {"date-time", "f-date \"T\" f-time"},
    {"duration", "\"P\" (f-dday | f-dmonth | f-dyear | f-dtime | [0-9]{1,4} \"W\")"},
    {"uuid", "hex{8} \"-\" hex{4} \"-\" hex{4} \"-\" hex{4} \"-\" hex{12}"},
    {"ipv4", "f-ipv4"},
    {"ipv6", "f-ipv6"},
    {"hostname", "f-host"},
    {"email", "f-atom (\".\" f-atom){0,4} \"@\" f-host"},
    {"uri", "f-uri"},
    {"uri-reference", "(f-uri | f-path)"},
    {"uri-template", "(f-uri | f-path)"},
    {"iri", "f-uri"},
    {"iri-reference", "(f-uri | f-path)"},
    {"idn-email", "f-atom (\".\" f-atom){0,4} \"@\" f-host"},
    {"idn-hostname", "f-host"},
    {"json-pointer", "(\"/\" ([^~/\"\\\\\\x00-\\x1f] | \"~\" [01])*)*"},
    {"byte", "(f-b64{4})* (f-b64{2} \"==\" | f-b64{3} \"=\")?"},
    {"password", "char*"},
    {"binary", "char*"},
};

/* Years 1000 to 9999; the days that each month has. */
static const char format_rules[] =
    "f-year ::= [1-9] [0-9]{3}\n"
    "f-leap ::= [1-9] [0-9] (\"0\" [48] | [2468] [048] | [13579] [26]) | "
    "([2468] [048] | [13579] [26]) \"00\"\n"
    "f-d28 ::= \"0\" [1-9] | \"1\" [0-9] | \"2\" [0-8]\n"
    "f-date ::= f-year \"-\" ((\"0\" [13578] | \"1\" [02]) \"-\" (f-d28 | \"29\" | \"30\" | "
    "\"31\") | "
    "(\"0\" [469] | \"11\") \"-\" (f-d28 | \"29\" | \"30\") | \"02-\" f-d28) | f-leap \"-02-29\"\n"
    "f-hour ::= [01] [0-9] | \"2\" [0-3]\n"
    "f-time ::= f-hour \":\" [0-5] [0-9] \":\" [0-5] [0-9] (\".\" [0-9]{1,6})? "
    "(\"Z\" | [+-] f-hour \":\" [0-5] [0-9])\n"
    "f-dsecond ::= [0-9]{1,4} \"S\"\n"
    "f-dminute ::= [0-9]{1,4} \"M\" f-dsecond?\n"
    "f-dhour ::= [0-9]{1,4} \"H\" f-dminute?\n"
    "f-dtime ::= \"T\" (f-dhour | f-dminute | f-dsecond)\n"
    "f-dday ::= [0-9]{1,4} \"D\" f-dtime?\n"
    "f-dmonth ::= [0-9]{1,4} \"M\" (f-dday | f-dtime)?\n"
    "f-dyear ::= [0-9]{1,4} \"Y\" (f-dmonth | f-dtime)?\n"
    "f-octet ::= [0-9] | [1-9] [0-9] | \"1\" [0-9]{2} | \"2\" [0-4] [0-9] | \"25\" [0-5]\n"
    "f-ipv4 ::= f-octet (\".\" f-octet){3}\n"
    "f-h ::= hex{1,4}\n"
    "f-ipv6 ::= f-h (\":\" f-h){7} | \"::\" (f-h (\":\" f-h){0,6})? | "
    "f-h \"::\" (f-h (\":\" f-h){0,5})? | f-h \":\" f-h \"::\" (f-h (\":\" f-h){0,4})? | "
    "f-h (\":\" f-h){2} \"::\" (f-h (\":\" f-h){0,3})? | "
    "f-h (\":\" f-h){3} \"::\" (f-h (\":\" f-h){0,2})? | "
    "f-h (\":\" f-h){4} \"::\" (f-h (\":\" f-h)?)? | f-h (\":\" f-h){5} \"::\" f-h? | "
    "f-h (\":\" f-h){6} \"::\"\n"
    "f-label ::= [a-zA-Z] ([a-zA-Z0-9-]{0,30} [a-zA-Z0-9])?\n"
    "f-host ::= f-label (\".\" f-label){0,6}\n"
    "f-atom ::= [a-zA-Z0-9!#$%&'*+/=?\\^_`{|}~-]{1,12}\n"
    "f-uri ::= [a-zA-Z] [a-zA-Z0-9+.-]{0,15} \"://\" f-host (\":\" [0-9]{1,4})? "
    "(\"/\" f-uchar*)* f-query\n"
    "f-path ::= (\"/\" f-uchar+ | (f-schar | \"%\" hex hex)+)? (\"/\" f-uchar+)* f-query\n"
    "f-query ::= (\"?\" (f-uchar | [/?])*)? (\"#\" (f-uchar | [/?])*)?\n"
    "f-b64 ::= [A-Za-z0-9+/]\n"
    "f-schar ::= [a-zA-Z0-9._~!$&'()*+,;=@-]\n" /* no colon: nothing that looks like a scheme */
    "f-uchar ::= f-schar | \":\" | \"%\" hex hex\n";

void schema_string_rules(const struct schema_writer *w, struct buf *out)
{
    if (w->has_formats)
        buf_append_str(out, format_rules);
}

static int format(struct schema_writer *w, const char *name, struct buf *out)
{
    char known[400] = "";
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        if (strcmp(name, formats[i].name) == 0) {
            w->has_formats = true;
            buf_printf(out, "\"\\\"\" %s \"\\\"\"", formats[i].rule);
            return 0;
        }
        size_t n = strlen(known);
        snprintf(known + n, sizeof known - n, "%s%s", i ? ", " : "", formats[i].name);
    }
    return schema_fail(w, ERR_UNSUPPORTED, "the format \"%s\" is not supported; known are %s", name,
                       known);
}

int schema_string(struct schema_writer *w, const json_t *s, struct buf *out)
{
    const json_t *pattern = json_object_get(s, "pattern"), *kind = json_object_get(s, "format");
    uint64_t least = 0, most = UINT64_MAX;
    int rc = schema_count(w, s, "minLength", &least);
    if (!rc)
        rc = schema_count(w, s, "maxLength", &most);
    if (rc)
        return rc;
    bool counted = least > 0 || most != UINT64_MAX;
    if ((pattern != NULL) + (kind != NULL) + counted > 1)
        return schema_fail(w, ERR_UNSUPPORTED,
                           "\"pattern\", \"format\" and bounds of the length "
                           "can not be put together");
    if ((pattern && !json_is_string(pattern)) || (kind && !json_is_string(kind)))
        return schema_fail(w, ERR_FORMAT, "\"pattern\" or \"format\" is no string");
    if (pattern)
        return schema_pattern(w, json_string_value(pattern), out);
    if (kind)
        return format(w, json_string_value(kind), out);
    if (least > most)
        return schema_fail(w, ERR_FORMAT, "\"minLength\" is larger than \"maxLength\"");
    if (least > GBNF_MAX_REPEAT || (most > GBNF_MAX_REPEAT && most != UINT64_MAX))
        return schema_fail(w, ERR_UNSUPPORTED, "a length of more than %d", GBNF_MAX_REPEAT);
    if (!counted)
        buf_append_str(out, "string");
    else if (most == UINT64_MAX)
        buf_printf(out, "\"\\\"\" char{%u,} \"\\\"\"", (unsigned)least);
    else
        buf_printf(out, "\"\\\"\" char{%u,%u} \"\\\"\"", (unsigned)least, (unsigned)most);
    return 0;
}

/* ---- constants ---- */

/* Bytes inside a text of GBNF. */
static void put_text(struct buf *out, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == '"' || c == '\\')
            buf_append_char(out, '\\');
        if (c < 0x20)
            buf_printf(out, "\\x%02x", c);
        else
            buf_append_char(out, (char)c);
    }
}

void schema_name(const char *name, struct buf *out)
{
    json_t *v = json_string_nocheck(name);
    schema_value(v, out);
    json_decref(v);
}

/* As short as reads back the same. */
static void put_real(struct buf *out, double d)
{
    char text[32];
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, d);
        if (strtod(text, NULL) == d)
            break;
    }
    buf_printf(out, "\"%s\"", text);
}

static void put_members(const json_t *v, struct buf *out)
{
    const char *name;
    json_t *x;
    size_t i, n = 0;
    bool object = json_is_object(v);
    buf_append_str(out, object ? "\"{\" ws" : "\"[\" ws");
    json_object_foreach((json_t *)v, name, x)
    {
        buf_append_str(out, n++ ? " \",\" ws " : " ");
        schema_name(name, out);
        buf_append_str(out, " \":\" ws ");
        schema_value(x, out);
    }
    json_array_foreach(v, i, x)
    {
        buf_append_str(out, n++ ? " \",\" ws " : " ");
        schema_value(x, out);
    }
    buf_append_str(out, n ? " ws" : "");
    buf_append_str(out, object ? " \"}\"" : " \"]\"");
}

void schema_value(const json_t *v, struct buf *out)
{
    if (json_is_object(v) || json_is_array(v)) {
        put_members(v, out);
    } else if (json_is_real(v)) {
        put_real(out, json_real_value(v));
    } else {
        char *text = json_dumps(v, JSON_ENCODE_ANY);
        buf_append_char(out, '"');
        if (text)
            put_text(out, text, strlen(text));
        buf_append_char(out, '"');
        free(text);
    }
}
