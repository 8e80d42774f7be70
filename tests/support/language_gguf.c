/* language_gguf.c - see language_gguf.h. */
#include "support/language_gguf.h"

#include "format/convert.h"

int language_gguf_write(const struct checkpoint *file, const char *path, struct err *e)
{
    return convert_checkpoint(file, path, &(struct convert_options){.type = DTYPE_F32}, e);
}
