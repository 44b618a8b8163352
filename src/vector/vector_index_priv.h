/* SPDX-License-Identifier: Apache-2.0 */
/* The array behind struct vec_index; only for src/vector. */
#ifndef FA_VECTOR_INDEX_PRIV_H
#define FA_VECTOR_INDEX_PRIV_H

#include "vector/vector.h"
#include "vector_priv.h"

#define VECTOR_HOLE (-1.0f) /* scale of a row that is never returned */

struct vec_index {
        size_t dim, stride; /* stride: dim rounded up to 64, the rest zero */
        size_t count, cap;
        int8_t *rows;
        float *scales;
};

float vec_quantise(const float *v, size_t dim, int8_t *out);

#endif
