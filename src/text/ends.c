/* ends.c - which tokens end generation (tokenizer_parts.h). The texts are those that llama.cpp's
 * src/llama-vocab.cpp knows. */
#include "text/tokenizer_parts.h"

#include <string.h>

static int32_t find_end(const struct tokenizer *t, const char *text)
{
    int32_t id = vocab_find(&t->vocab, text, strlen(text));
    return id >= 0 && t->end[id] ? id : -1;
}

/* Texts that mean an end in one family, not in another. */
static void correct_ends(struct tokenizer *t)
{
    int32_t end = find_end(t, "<|end|>"), s = find_end(t, "</s>");
    bool call = find_end(t, "<|call|>") >= 0 || find_end(t, "<|calls|>") >= 0;
    bool harmony = find_end(t, "<|return|>") >= 0 || find_end(t, "<|flush|>") >= 0;
    if (end >= 0 && call && harmony) { /* it ends a message there, and another follows */
        t->end[end] = 0;
        t->kind[end] = TOKEN_VISIBLE;
    }
    if (s >= 0 && find_end(t, "<|tool_response>") >= 0) {
        t->end[s] = 0;
        t->kind[s] = TOKEN_NORMAL;
    }
    static const char *const parts[] = {"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        int32_t id = vocab_find(&t->vocab, parts[i], strlen(parts[i]));
        if (id >= 0 && t->kind[id] == TOKEN_CONTROL)
            t->kind[id] = TOKEN_VISIBLE; /* the harmony parser wants to see them */
    }
}

void tokenizer_find_ends(struct tokenizer *t, bool any)
{
    static const char *const texts[] = {
        "<|eot_id|>",
        "<|im_end|>",
        "<|end|>",
        "<|return|>",
        "<|call|>",
        "<|flush|>",
        "<|calls|>",
        "<end_of_turn>",
        "<|endoftext|>",
        "</s>",
        "<|eom_id|>",
        "<EOT>",
        "_<EOT>",
        "[EOT]",
        "[EOS]",
        "<|end_of_text|>",
        "<end_of_utterance>",
        "<eos>",
        "<turn|>",
        "<|tool_response>",
        "<｜end▁of▁sentence｜>",
        "[e~[",
        "<|content_model_end_sampling|>",
        "<|fim_pad|>",
        "<fim-pad>",
        "<fim_pad>",
        "<PAD>",
        "[PAD]",
        "<|fim_repo|>",
        "<|repo_name|>",
        "<fim-repo>",
        "<REPO>",
        "<reponame>",
        "<|file_sep|>",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        int32_t id = vocab_find(&t->vocab, texts[i], strlen(texts[i]));
        if (id < 0 || (!any && t->kind[id] != TOKEN_CONTROL))
            continue;
        t->end[id] = 1;
        t->kind[id] = TOKEN_CONTROL;
    }
    correct_ends(t);
}
