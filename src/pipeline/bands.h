/* bands.h - an autoencoder on a picture too large for memory: the steps of models/vae.h, each done
 * band by band over the whole picture.
 *
 *     for each step
 *         for each of its norms     a pass that only takes the moments of the whole picture there
 *         a last pass               rows of the result -> the new map
 *
 *     map in    ......................          one band: its rows and, above and below, the
 *               :halo:== band ==:halo:          halo of rows that its convolutions reach into
 *     map out         == rows ==                in place of the old map where the shapes agree
 *
 * Where the picture wraps, the halo of the first and the last band is at the other side.
 *
 * So nothing is approximated: no tile has a norm of its own, which would change its colours, and
 * there are no seams to blend. Only two maps between the steps are ever held, and none of the
 * widest ones; what a norm needs is computed again in each pass.
 */
#ifndef LAR_PIPELINE_BANDS_H
#define LAR_PIPELINE_BANDS_H

#include "models/vae.h"
#include "tensor/dtype.h"

#include <stdatomic.h>
#include <stddef.h>

struct backend;
struct err;

/* A map [1, h, w, c] between two steps. */
struct band_map {
    void *data; /* owned; NULL where only the shape matters */
    int64_t h, w, c;
    enum dtype type;
};
void band_map_release(struct band_map *m);

struct bands {
    const struct vae_step *steps;
    int n;                /* steps, >= 1 */
    enum dtype precision; /* of activations and maps */
    enum wrap wrap;
    bool last_f32; /* the last step's result is f32 */
    long pixels;   /* of a band, about; 0: what is fast and small */
};

/* The memory it will take for a map of this shape, the map included. */
int bands_need(const struct bands *b, const struct band_map *shape, size_t *bytes, struct err *e);

/* Replaces the map, whose height and width the sampling steps divide, by the result of all steps.
 * Releases it on failure. `cancel` is polled after every op. */
int bands_run(const struct bands *b, struct backend *backend, const atomic_bool *cancel,
              struct band_map *map, struct err *e);

#endif
