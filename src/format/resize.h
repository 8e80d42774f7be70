/* resize.h - scaling pictures with antialiasing, sample for sample as Pillow 13's Image.LANCZOS and
 * Image.BICUBIC.
 *
 * Separable windowed sinc, a = 3, or cubic convolution, a = -0.5, widened by the scale when
 * shrinking (so that it averages over the area); 8-bit samples between the two passes, weights in
 * 22-bit fixed point. RGBA is premultiplied meanwhile, so invisible colours do not bleed.
 */
#ifndef LAR_FORMAT_RESIZE_H
#define LAR_FORMAT_RESIZE_H

struct err;
struct picture;

/* `out` becomes `in` at width x height, a copy when the size is the same. `out` is empty on
 * failure and must not be `in`. */
int picture_resize(const struct picture *in, int width, int height, struct picture *out,
                   struct err *e);

/* The same with the cubic filter, as image encoders want it. */
int picture_resize_bicubic(const struct picture *in, int width, int height, struct picture *out,
                           struct err *e);

/* picture_resize() without distortion: the largest centred part of `in` with the aspect of width x
 * height is scaled, as Pillow's ImageOps.fit. */
int picture_fit(const struct picture *in, int width, int height, struct picture *out,
                struct err *e);

#endif
