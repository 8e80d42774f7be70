/* about.c - the commands `lar help` and `lar version`. */
#include "cli/commands.h"

#include "base/buf.h"
#include "cli/completions.h"
#include "cli/help.h"
#include "cli/manual.h"
#include "cli/message.h"

#define MAX_PAGE (1u << 20)

int command_help(const struct options *o, struct err *e)
{
    struct buf page;
    enum command command;
    int rc = 0;
    buf_init(&page, MAX_PAGE);
    if (o->value[OPTION_MAN].given)
        manual_page(&page);
    else if (o->value[OPTION_COMPLETIONS].given)
        completions(&page, o->value[OPTION_COMPLETIONS].text);
    else if (o->n_operands == 0)
        help_overview(&page);
    else if (!(rc = options_command(o->operands[0], &command, e)))
        help_command(&page, command);
    if (!rc)
        rc = message_out(buf_str(&page), page.len, e);
    buf_release(&page);
    return rc;
}

int command_version(const struct options *o, struct err *e)
{
    static const char text[] = "lar " LAR_VERSION "\n";
    (void)o;
    return message_out(text, sizeof(text) - 1, e);
}
