/* random_checkpoint.c - writes a checkpoint of random weights with a real model's names and shapes,
 * for tests and for measuring speed and memory without the trained weights.
 *
 *     random_checkpoint tests/data/manifests/full/sd15.txt /tmp/sd15
 *     random_checkpoint tests/data/manifests/sdxl.txt /tmp/tiny.safetensors
 *         --layout ldm tests/data/manifests/sdxl.ldm.txt --type bf16
 */
#include "support/hash_checkpoint.h"

#include "base/err.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: random_checkpoint MANIFEST OUT [options]\n"
    "  --layout folder     a diffusers folder (the default)\n"
    "  --layout ldm MAP    one safetensors file with the names of MAP (*.ldm.txt)\n"
    "  --type TYPE         f16 (the default), f32 or bf16\n"
    "  --component NAME    folder: only this component\n"
    "  --shards N          folder: N weight files per component, with an index\n";

/* Reads the options after MANIFEST and OUT; 0, or -1 where one is wrong. */
static int parse(int argc, char **argv, struct hash_checkpoint_options *o)
{
    for (int i = 3; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--type") == 0)
            o->type = dtype_from_name(value);
        else if (strcmp(argv[i], "--component") == 0)
            o->component = value;
        else if (strcmp(argv[i], "--shards") == 0)
            o->n_shards = (int)strtol(value, NULL, 10);
        else if (strcmp(argv[i], "--layout") == 0 && strcmp(value, "folder") == 0)
            o->map = NULL;
        else if (strcmp(argv[i], "--layout") == 0 && strcmp(value, "ldm") == 0 && i + 2 < argc)
            o->map = argv[++i + 1];
        else
            return -1;
    }
    return argc > 2 && argv[1][0] != '-' ? 0 : -1;
}

int main(int argc, char **argv)
{
    struct hash_checkpoint_options o = {.type = DTYPE_F16};
    struct err e = {0};
    if (parse(argc, argv, &o)) {
        fputs(usage, stderr);
        return 2;
    }
    if (hash_checkpoint_write(argv[1], argv[2], &o, &e)) {
        fprintf(stderr, "random_checkpoint: %s\n", e.text);
        return 1;
    }
    return 0;
}
