/* jinja_fuzz.c - any bytes as a chat template: parsed, and rendered with a conversation. */
#include "base/buf.h"
#include "base/err.h"
#include "text/jinja.h"

#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char conversation[] =
    "{\"messages\": [{\"role\": \"system\", \"content\": \"Be <brief>.\"}, {\"role\": \"user\", "
    "\"content\": [{\"type\": \"text\", \"text\": \"h\\u00e9\"}, {\"type\": \"image\"}]}, "
    "{\"role\": "
    "\"assistant\", \"content\": null, \"tool_calls\": [{\"id\": \"1\", \"function\": {\"name\": "
    "\"f\", \"arguments\": {\"a\": 1, \"b\": [0.5, true]}}}]}], \"tools\": [{\"type\": "
    "\"function\", "
    "\"function\": {\"name\": \"f\", \"parameters\": {\"properties\": {}}}}], "
    "\"add_generation_prompt\": true, \"bos_token\": \"<s>\"}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static json_t *variables;
    struct jinja *t;
    struct buf out;
    const struct tm now = {.tm_mday = 1};
    if (!variables)
        variables = json_loads(conversation, 0, NULL);
    if (!variables)
        abort();
    if (jinja_parse(&t, (const char *)data, size, NULL) != 0)
        return 0;
    buf_init(&out, 1 << 16);
    struct err e = {0};
    int rc = jinja_render(t, variables, &now, &out, &e);
    if (rc != e.code || (rc && !e.text[0]))
        abort();
    buf_release(&out);
    jinja_free(t);
    return 0;
}
