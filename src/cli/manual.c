/* manual.c - see manual.h. */
#include "cli/manual.h"

#include "base/buf.h"
#include "cli/help.h"
#include "cli/options.h"

#include <ctype.h>
#include <string.h>

/* Text for roff: hyphens that can be copied, no accidental requests. */
static void escape(struct buf *b, const char *s)
{
    for (; *s; s++) {
        if (*s == '-')
            buf_append_str(b, "\\-");
        else if (*s == '\\')
            buf_append_str(b, "\\e");
        else if (*s == '\'')
            buf_append_str(b, "\\(aq");
        else
            buf_append_char(b, *s);
    }
}

static void line(struct buf *b, const char *before, const char *text, const char *after)
{
    buf_append_str(b, before);
    escape(b, text);
    buf_append_str(b, after);
}

static void option(struct buf *b, const struct option_row *r)
{
    buf_append_str(b, ".TP\n");
    if (r->letter)
        buf_printf(b, "\\fB\\-%c\\fR, ", r->letter);
    line(b, "\\fB\\-\\-", r->name, "\\fR");
    if (*r->value)
        line(b, " \\fI", r->value, "\\fR");
    line(b, "\n", r->text, "");
    if (*r->standard)
        line(b, " (default: ", r->standard, ")");
    buf_append_str(b, ".\n");
}

static void command(struct buf *b, int i)
{
    const struct command_row *r = &command_rows[i];
    line(b, ".SS lar ", r->name, "");
    line(b, *r->operands ? " " : "", r->operands, " [OPTIONS]\n");
    buf_append_char(b, (char)toupper((unsigned char)*r->summary));
    line(b, "", r->summary + 1, ".\n");
    if (*r->details)
        line(b, "", r->details, "\n");
    for (int j = 0; j < N_OPTION; j++)
        if (option_rows[j].commands & (1u << i))
            option(b, &option_rows[j]);
}

void manual_page(struct buf *b)
{
    buf_append_str(b, ".\\\" Made by `lar help --man` from src/cli/options.def.\n"
                      ".TH LAR 1 \"\" \"lar " LAR_VERSION "\" \"\"\n"
                      ".SH NAME\nlar \\- runs generative models on this computer\n"
                      ".SH SYNOPSIS\n\\fBlar\\fR \\fICOMMAND\\fR [\\fIARGUMENTS\\fR] "
                      "[\\fIOPTIONS\\fR]\n.SH COMMANDS\n");
    for (int i = 0; i < N_COMMAND; i++)
        command(b, i);
    for (const struct help_section *s = help_sections; s->title; s++) {
        buf_append_str(b, ".SH ");
        for (const char *p = s->title; *p; p++)
            buf_append_char(b, (char)toupper((unsigned char)*p));
        line(b, "\n", s->text, *s->text ? "\n" : "");
        for (const struct help_row *r = s->rows; r->left; r++) {
            line(b, ".TP\n\\fB", r->left, "\\fR\n");
            line(b, "", r->text, "\n");
        }
    }
}
