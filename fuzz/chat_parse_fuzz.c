/* chat_parse_fuzz.c - any answer in any format: what comes out is the same in one piece and in
 * many, and no text is lost or invented. The first byte chooses the format, the second the pieces.
 */
#include "base/buf.h"
#include "base/err.h"
#include "text/chat_parse.h"

#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const templates[] = {
    "<tool_call> <think> <function=",
    "<|python_tag|> \"parameters\": dictionary",
    "[TOOL_CALLS] [THINK]",
    "<|channel|> <|message|>",
    "<start_of_turn>",
    "<|tool_call> <|channel>thought",
    "<｜tool▁calls▁begin｜> <think>",
    "｜DSML｜ <minimax:tool_call>",
    "<|START_ACTION|> <|START_THINKING|>",
    "<|tool_call_start|> <|tool_call|> <TOOLCALL>",
    "tools",
    "<|tool_calls_section_begin|> <start_function_call>",
};

/* Events as bytes; text of one kind is joined. */
struct record {
    struct buf out;
    int last;
};

static void on_event(void *ctx, const struct chat_event *e)
{
    struct record *r = ctx;
    if (strlen(e->text) > e->n)
        abort();
    if (r->last != (int)e->type || e->type > CHAT_THINKING)
        buf_append_char(&r->out, (char)(1 + (int)e->type));
    r->last = (int)e->type;
    buf_append(&r->out, e->text, e->n);
    if (e->type != CHAT_CALL)
        return;
    json_t *arguments = json_loads(e->arguments, JSON_ALLOW_NUL, NULL);
    if (!json_is_object(arguments) || !e->name[0])
        abort();
    json_decref(arguments);
    buf_append_str(&r->out, e->name);
    buf_append_str(&r->out, e->arguments);
}

static void parse(struct record *r, struct chat_parser_options o, const char *text, size_t n,
                  size_t step)
{
    *r = (struct record){.last = -1};
    buf_init(&r->out, 64 << 20);
    o.event = on_event;
    o.ctx = r;
    struct chat_parser *p = chat_parser_new(&o);
    for (size_t at = 0; at < n; at += step)
        if (chat_parser_push(p, text + at, step < n - at ? step : n - at, NULL) != 0)
            abort();
    if (chat_parser_finish(p, NULL) != 0)
        abort();
    chat_parser_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static json_t *tools;
    struct record whole, cut;
    if (!tools)
        tools = json_loads("[{\"function\": {\"name\": \"f\", \"parameters\": {\"properties\": "
                           "{\"s\": {\"type\": \"string\"}, \"n\": {\"type\": \"integer\"}}}}}]",
                           0, NULL);
    if (size < 2 || size > 4096)
        return 0;
    size_t n_templates = sizeof templates / sizeof *templates;
    struct chat_parser_options o = {.format = chat_format_of(templates[data[0] % n_templates]),
                                    .tools = data[0] & 0x80 ? NULL : tools};
    if (data[0] & 0x40) {
        o.prompt = "<think>\n";
        o.prompt_n = 8;
    }
    const char *text = (const char *)data + 2;
    parse(&whole, o, text, size - 2, size);
    parse(&cut, o, text, size - 2, 1 + data[1] % 16);
    if (whole.out.len != cut.out.len ||
        memcmp(buf_str(&whole.out), buf_str(&cut.out), cut.out.len) != 0)
        abort();
    buf_release(&whole.out);
    buf_release(&cut.out);
    return 0;
}
