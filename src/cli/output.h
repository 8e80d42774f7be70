/* output.h - where pictures go.
 *
 *     nothing      a-lighthouse-at-dusk-42.png in the current folder, never over an existing file
 *     FOLDER       the same there
 *     FILE.png     that file (or .jpg, .webp), replaced; several pictures are FILE-1.png, ...
 */
#ifndef LAR_CLI_OUTPUT_H
#define LAR_CLI_OUTPUT_H

#include <stdint.h>

struct err;

struct output {
    char *folder;      /* owned; "." when nothing was said */
    char *stem;        /* owned; FILE without its suffix, or NULL: named after prompt and seed */
    char extension[6]; /* as the user wrote it: ".png" */
    int n;             /* pictures to come */
};

/* `option` is the value of --output or NULL. Fails unless files can be created there. */
int output_init(struct output *o, const char *option, int n, struct err *e);
void output_release(struct output *o);

/* The path for picture i, on the heap; OUTPUT_SHEET: of a grid's sheet, FILE-grid.png. */
#define OUTPUT_SHEET (-1)
char *output_path(const struct output *o, const char *prompt, uint64_t seed, int i);

#endif
