/* recipe_fuzz.c - any text as a recipe in both forms; what was read survives being written. */
#include "base/err.h"
#include "base/mem.h"
#include "pipeline/recipe.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct recipe *r)
{
    struct recipe back;
    char *json = recipe_to_json(r), *text = recipe_to_parameters(r);
    if (recipe_from_json(&back, json, NULL) != 0)
        abort(); /* we do not read what we wrote */
    char *again = recipe_to_json(&back);
    if (strcmp(json, again) != 0)
        abort(); /* or read it differently */
    recipe_release(&back);
    if (recipe_from_parameters(&back, text, NULL) != 0)
        abort();
    recipe_release(&back);
    free(again);
    free(text);
    free(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct recipe r;
    char *text = mem_strndup((const char *)data, size);
    if (recipe_from_parameters(&r, text, NULL) == 0)
        check(&r);
    recipe_release(&r);
    if (recipe_from_json(&r, text, NULL) == 0)
        check(&r);
    recipe_release(&r);
    free(text);
    return 0;
}
