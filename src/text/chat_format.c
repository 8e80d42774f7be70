/* chat_format.c - see chat_format.h. */
#include "text/chat_format.h"

#include "text/chat.h"
#include "text/chat_parse.h"

#include <string.h>

/* No marker begins with another one. */
const struct chat_call_marks chat_call_rows[CHAT_CALL_ROWS] = {
    /* Llama 3, Phi 4 mini and whoever is asked to answer in JSON. */
    [CHAT_CALL_BARE] = {"", "", CHAT_END_JSON, chat_calls_json, "\"parameters\": dictionary"},
    /* Hermes, Qwen, Granite 4, SmolLM; with XML inside Qwen3-Coder, Nemotron; with keys GLM. */
    {"<tool_call>", "</tool_call>", CHAT_END_MARKER, chat_calls_tagged, NULL},
    /* Functionary; Qwen3-Coder when it forgets the tag around it. */
    {"<function=", "</function>", CHAT_END_MARKER, chat_calls_function, NULL},
    /* Llama 3.1. */
    {"<|python_tag|>", "", CHAT_END_ANSWER, chat_calls_llama, NULL},
    /* Mistral. */
    {"[TOOL_CALLS]", "", CHAT_END_JSON, chat_calls_mistral, NULL},
    {"<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", CHAT_END_MARKER, chat_calls_deepseek, NULL},
    {"<｜DSML｜function_calls>", "</｜DSML｜function_calls>", CHAT_END_MARKER, chat_calls_invoke,
     "｜DSML｜"},
    {"<｜DSML｜tool_calls>", "</｜DSML｜tool_calls>", CHAT_END_MARKER, chat_calls_invoke,
     "｜DSML｜"},
    {"<minimax:tool_call>", "</minimax:tool_call>", CHAT_END_MARKER, chat_calls_invoke, NULL},
    {"<|tool_calls_section_begin|>", "<|tool_calls_section_end|>", CHAT_END_MARKER, chat_calls_kimi,
     NULL},
    /* Command R7B, Command A. */
    {"<|START_ACTION|>", "<|END_ACTION|>", CHAT_END_MARKER, chat_calls_json, NULL},
    /* Granite 3, Phi 4 mini. */
    {"<|tool_call|>", "<|/tool_call|>", CHAT_END_JSON, chat_calls_json, NULL},
    /* LFM2. */
    {"<|tool_call_start|>", "<|tool_call_end|>", CHAT_END_MARKER, chat_calls_llama, NULL},
    /* FunctionGemma and Gemma 4. */
    {"<start_function_call>", "<end_function_call>", CHAT_END_MARKER, chat_calls_gemma, NULL},
    {"<|tool_call>", "<tool_call|>", CHAT_END_MARKER, chat_calls_gemma, NULL},
    /* Gemma 2 and 3, as Google's guide asks them. */
    {"```tool_code\n", "```", CHAT_END_MARKER, chat_calls_python, "<start_of_turn>"},
    {"```tool_call\n", "```", CHAT_END_MARKER, chat_calls_llama, "<start_of_turn>"},
    /* Nemotron 2, Apriel, MiniMax M1. */
    {"<TOOLCALL>", "</TOOLCALL>", CHAT_END_MARKER, chat_calls_json, NULL},
    {"<tool_calls>", "</tool_calls>", CHAT_END_MARKER, chat_calls_json, NULL},
    /* Solar. */
    {"<|tool_calls|>", "<|calls|>", CHAT_END_MARKER, chat_calls_solar, NULL},
    /* Apertus. */
    {"<|tools_prefix|>", "<|tools_suffix|>", CHAT_END_MARKER, chat_calls_keyed, NULL},
};

const struct chat_thinking_marks chat_thinking_rows[CHAT_THINKING_ROWS] = {
    {"<think>", "</think>"},
    {"[THINK]", "[/THINK]"},
    {"<|START_THINKING|>", "<|END_THINKING|>"},
    {"<|channel>thought", "<channel|>"},
    {"<seed:think>", "</seed:think>"},
    {"<thinking>", "</thinking>"},
};

const char *const chat_dropped[] = {"<|START_RESPONSE|>", "<|END_RESPONSE|>", "<|START_TEXT|>",
                                    "<|END_TEXT|>", NULL};

const char *const chat_harmony_ends[] = {"<|end|>",   "<|call|>",    "<|return|>",
                                         "<|start|>", "<|channel|>", NULL};

struct chat_format chat_format_of(const char *source)
{
    struct chat_format f = {0};
    for (int i = 0; i < CHAT_CALL_ROWS; i++) {
        const char *mention = chat_call_rows[i].mention;
        if (strstr(source, mention ? mention : chat_call_rows[i].open))
            f.calls |= UINT32_C(1) << i;
    }
    for (int i = 0; i < CHAT_THINKING_ROWS; i++)
        if (strstr(source, chat_thinking_rows[i].open) ||
            strstr(source, chat_thinking_rows[i].close))
            f.thinking |= UINT32_C(1) << i;
    f.harmony = strstr(source, "<|channel|>") && strstr(source, "<|message|>");
    if (!f.calls && !f.harmony && strstr(source, "tools")) /* nothing known: JSON, perhaps */
        f.calls = UINT32_C(1) << CHAT_CALL_BARE | UINT32_C(1) << 1;
    return f;
}

struct chat_format chat_format_of_template(const struct chat_template *t)
{
    struct chat_format f = chat_format_of(chat_template_source(t, false));
    if (chat_template_source(t, true)) {
        struct chat_format more = chat_format_of(chat_template_source(t, true));
        f.calls |= more.calls;
        f.thinking |= more.thinking;
    }
    return f;
}
