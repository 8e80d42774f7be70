/* esrgan_names.h - from the tensor names of older ESRGAN files to those of Real-ESRGAN.
 *
 *     original (2018)                         xinntao's second        Real-ESRGAN, and here
 *     model.0                                 conv_first              conv_first
 *     model.1.sub.I.RDB1.conv1.0              RRDB_trunk.I.RDB1.conv1 body.I.rdb1.conv1
 *     model.1.sub.N                           trunk_conv              conv_body
 *     model.3, model.6, ...                   upconv1, upconv2        conv_up1, conv_up2
 *     model.L-2, model.L (the last)           HRconv, conv_last       conv_hr, conv_last
 */
#ifndef LAR_FORMAT_ESRGAN_NAMES_H
#define LAR_FORMAT_ESRGAN_NAMES_H

#include <stdbool.h>

#define ESRGAN_NAME_MAX 128

/* The number behind "model." in a name of the original form, else -1. The highest of a file is
 * what esrgan_names_map() needs. */
int esrgan_names_layer(const char *name);

/* False where the name is none of these; then nothing is written. */
bool esrgan_names_map(int last_layer, const char *name, char out[ESRGAN_NAME_MAX]);

#endif
