/* pytorch.h - the tensors of a file that torch.save() wrote: .pth, .pt, .ckpt, .bin.
 *
 *     zip, since PyTorch 1.6                    before that
 *     x/data.pkl   a pickle: names, shapes      magic, version and system pickles
 *     x/data/0     bytes of a storage           a pickle: names, shapes
 *     x/data/1     ...                          a pickle: keys of storages
 *                                               per key: u64 elements, bytes
 *
 * The pickle is read as data (pickle.h): of what it names, only tensors, their containers and a few
 * harmless leftovers of training are known. Nested dictionaries give names with dots
 * (`string_to_param.*`); what a trainer wraps weights in (`state_dict`, `params_ema`, `params`)
 * gives none. Sources: torch/serialization.py, torch/_utils.py.
 */
#ifndef LAR_FORMAT_PYTORCH_H
#define LAR_FORMAT_PYTORCH_H

#include "format/file_tensor.h"
#include "format/pickle.h"
#include "format/zip.h"

struct pytorch {
    struct zip zip;
    struct pickle pickle;
    struct arena arena;          /* names */
    struct file_tensor *tensors; /* owned; in the order of the pickle */
    size_t n, cap;
};

bool pytorch_probe(const void *data, size_t n); /* a zip archive or the magic of older files */

/* Parses a whole file. `data` is borrowed until pytorch_release(); on an error nothing is held. The
 * sentence does not name the file. Tensors that share a storage may overlap; one whose elements are
 * not in order has a type that cannot be computed with. */
int pytorch_parse(struct pytorch *p, const void *data, size_t n, struct err *e);
void pytorch_release(struct pytorch *p); /* a zeroed one is fine */

#endif
