/* help.c - see help.h. */
#include "cli/help.h"

#include "base/buf.h"
#include "base/mem.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WIDTH  80
#define COLUMN 26 /* where the texts of options begin */

/* Appends words, broken before column WIDTH; the first line goes on at `column`, the others are
 * indented by `indent`. */
static void wrap(struct buf *b, const char *text, size_t column, size_t indent)
{
    bool first = true;
    while (*text) {
        size_t n = strcspn(text, " ");
        if (!first && column + 1 + n > WIDTH) {
            buf_printf(b, "\n%*s", (int)indent, "");
            column = indent;
        } else if (!first) {
            buf_append_char(b, ' ');
            column++;
        }
        buf_append(b, text, n);
        column += n;
        text += n;
        text += strspn(text, " ");
        first = false;
    }
    buf_append_char(b, '\n');
}

/* "left" in a column of its own, the text beside it or below. */
static void row(struct buf *b, const char *left, const char *text, size_t column)
{
    buf_append_str(b, left);
    if (strlen(left) + 2 > column)
        buf_printf(b, "\n%*s", (int)column, "");
    else
        buf_printf(b, "%*s", (int)(column - strlen(left)), "");
    wrap(b, text, column, column);
}

static void option(struct buf *b, const struct option_row *r)
{
    char letter[] = {'-', r->letter, ',', '\0'};
    char *left = mem_printf("  %s --%s%s%s", r->letter ? letter : "   ", r->name,
                            *r->value ? " " : "", r->value);
    char *text = *r->standard ? mem_printf("%s (default: %s)", r->text, r->standard)
                              : mem_strdup(r->text);
    row(b, left, text, COLUMN);
    free(left);
    free(text);
}

static void sentence(struct buf *b, const char *summary)
{
    char *s = mem_printf("%s.", summary);
    *s = (char)toupper((unsigned char)*s);
    wrap(b, s, 0, 0);
    free(s);
}

void help_command(struct buf *b, enum command command)
{
    const struct command_row *r = &command_rows[command];
    buf_printf(b, "usage: lar %s%s%s [OPTIONS]\n\n", r->name, *r->operands ? " " : "", r->operands);
    sentence(b, r->summary);
    if (*r->details) {
        buf_append_char(b, '\n');
        wrap(b, r->details, 0, 0);
    }
    buf_append_char(b, '\n');
    for (int i = 0; i < N_OPTION; i++)
        if (option_rows[i].commands & (1u << command))
            option(b, &option_rows[i]);
}

const struct help_section help_sections[] = {
    {"Model",
     "The first of these that is given is used:",
     {{"-m MODEL",
       "a file (safetensors, GGUF, .ckpt), a folder (diffusers), or a name that `lar list` shows"},
      {"LAR_MODEL", "the same, in the environment"},
      {"~/.config/lar/model", "a file whose first line names it (in XDG_CONFIG_HOME, if set)"},
      {"Spark", "the small model that comes with Lar"}}},
    {"Environment",
     "",
     {{"LAR_MODEL", "the model, see above"},
      {"LAR_MODELS",
       "the folder of models that `lar list` shows, laid out as Ollama's; with loras/ and "
       "embeddings/ in it, where those are looked for"},
      {"OLLAMA_MODELS", "the folder of models where LAR_MODELS is not set"},
      {"LAR_UPSCALER", "the network of lar upscale"},
      {"LAR_CPU", "the kernels to use: generic, avx2, avx512, avx512bf16, amx or neon"},
      {"LAR_LOG", "debug, info or warn (default: warn): what to log on standard error"},
      {"NO_COLOR", "no colours and no escape sequences"}}},
    {"Files",
     "",
     {{"~/.config/lar/model", "the default model, see above"},
      {"~/.local/share/lar/models", "models (in XDG_DATA_HOME, if set)"},
      {"~/.local/state/lar/history", "what was typed in conversations (in XDG_STATE_HOME, if set)"},
      {"~/.cache/lar/hashes",
       "ids of models, so that each is read for it only once; may be deleted "
       "(in XDG_CACHE_HOME, if set)"}}},
    {"Exit codes",
     "",
     {{"0", "all went well"},
      {"1", "it failed while running: a file, the memory, the disk"},
      {"2", "the command line or a value in it is wrong"},
      {"130", "ended by Ctrl-C (143 by SIGTERM, 129 by SIGHUP); no partial file is left"}}},
    {NULL, NULL, {{NULL, NULL}}},
};

void help_overview(struct buf *b)
{
    char left[32];
    buf_append_str(b, "Lar runs generative models on this computer.\n\n"
                      "usage: lar COMMAND [ARGUMENTS] [OPTIONS]\n\n");
    for (int i = 0; i < N_COMMAND; i++) {
        snprintf(left, sizeof(left), "  lar %s", command_rows[i].name);
        row(b, left, command_rows[i].summary, COLUMN);
    }
    buf_append_str(b, "\n`lar help COMMAND` or `lar COMMAND --help` says more.\n");
    for (const struct help_section *s = help_sections; s->title; s++) {
        buf_printf(b, "\n%s%s%s\n", s->title, *s->text ? ". " : "", s->text);
        for (const struct help_row *r = s->rows; r->left; r++) {
            snprintf(left, sizeof(left), "  %s", r->left);
            row(b, left, r->text, COLUMN);
        }
    }
}
