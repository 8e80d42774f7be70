/* esrgan_names.c - see esrgan_names.h. */
#include "format/esrgan_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool starts(const char **p, const char *prefix)
{
    size_t n = strlen(prefix);
    if (strncmp(*p, prefix, n) != 0)
        return false;
    *p += n;
    return true;
}

/* A number of up to three digits and the dot after it. */
static bool number(const char **p, int *n)
{
    char *end;
    if (**p < '0' || **p > '9')
        return false;
    long v = strtol(*p, &end, 10);
    if (end - *p > 3 || *end != '.')
        return false;
    *p = end + 1;
    *n = (int)v;
    return true;
}

int esrgan_names_layer(const char *name)
{
    int n;
    return starts(&name, "model.") && number(&name, &n) ? n : -1;
}

static bool write_name(char out[ESRGAN_NAME_MAX], const char *head, const char *rest)
{
    int n = snprintf(out, ESRGAN_NAME_MAX, "%s%s", head, rest);
    return n > 0 && n < ESRGAN_NAME_MAX;
}

/* "I.RDB1.conv1.0.weight" or "I.RDB1.conv1.weight"; in the original form also "N.weight", the
 * convolution behind the blocks. */
static bool map_block(const char *s, char out[ESRGAN_NAME_MAX])
{
    char head[64];
    int block, dense, conv;
    if (!number(&s, &block))
        return false;
    if (!starts(&s, "RDB"))
        return write_name(out, "conv_body.", s);
    if (!number(&s, &dense) || !starts(&s, "conv") || !number(&s, &conv))
        return false;
    starts(&s, "0.");
    snprintf(head, sizeof(head), "body.%d.rdb%d.conv%d.", block, dense, conv);
    return write_name(out, head, s);
}

static bool map_layer(int layer, int last, const char *s, char out[ESRGAN_NAME_MAX])
{
    char head[64];
    if (layer == 0)
        return write_name(out, "conv_first.", s);
    if (layer == last)
        return write_name(out, "conv_last.", s);
    if (layer == last - 2)
        return write_name(out, "conv_hr.", s);
    if (layer % 3)
        return false;
    snprintf(head, sizeof(head), "conv_up%d.", layer / 3);
    return write_name(out, head, s);
}

bool esrgan_names_map(int last_layer, const char *name, char out[ESRGAN_NAME_MAX])
{
    static const char *const plain[][2] = {
        {"conv_first.", "conv_first."}, {"trunk_conv.", "conv_body."},
        {"upconv1.", "conv_up1."},      {"upconv2.", "conv_up2."},
        {"HRconv.", "conv_hr."},        {"conv_last.", "conv_last."}};
    int layer;
    const char *s = name;
    if (starts(&s, "model.1.sub.") || starts(&s, "RRDB_trunk."))
        return map_block(s, out);
    if (starts(&s, "model.") && number(&s, &layer))
        return map_layer(layer, last_layer, s, out);
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        s = name;
        if (starts(&s, plain[i][0]))
            return write_name(out, plain[i][1], s);
    }
    return false;
}
