/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vectors that cluster as pictures do: some hundred themes, in each some dozens
 * of events, around each event its pictures; a few directions carry more than
 * the others. Row i is always the same vector, so whoever measures can make
 * again what was filled in.
 */
#ifndef FA_BENCH_MIXTURE_H
#define FA_BENCH_MIXTURE_H

#include "load.h"

#include "model/model.h"
#include "vector/vector.h"

#define MIXTURE_DIM 512
#define THEMES      500
#define EVENTS      40 /* a theme */
#define EVENT_AWAY  0.6f
#define ROW_AWAY    0.4f

/*
 * TEXT: the nearest rows have a cosine of about 0.45, which with the built-in
 * model is the least that a search shows (models/builtin/REPORT.md). FAR: about
 * 0.25, a text that fits nothing; what it finds is cut off by the threshold.
 */
enum query_sort { QUERY_PICTURE, QUERY_TEXT, QUERY_FAR };
static const float query_signal[] = {[QUERY_TEXT] = 0.6f, [QUERY_FAR] = 0.3f};

static float themes[THEMES][MIXTURE_DIM], events[THEMES * EVENTS][MIXTURE_DIM];

static inline uint64_t mix_next(uint64_t *s)
{
        uint64_t z = *s += 0x9E3779B97F4A7C15u;
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
        z = (z ^ z >> 27) * 0x94D049BB133111EBu;
        return z ^ z >> 31;
}

/* A random direction. Four uniform numbers added are nearly a Gaussian one. */
static inline void mix_direction(uint64_t *s, bool even, float *v)
{
        for (int d = 0; d < MIXTURE_DIM; d++) {
                uint64_t r = mix_next(s);
                int sum = (int)(r & 0xFFFF) + (int)(r >> 16 & 0xFFFF) + (int)(r >> 32 & 0xFFFF) + (int)(r >> 48);
                float weight = even ? 1.0f : __builtin_sqrtf(16.0f / (16.0f + (float)d));
                v[d] = weight * (float)(sum - 2 * 0xFFFF);
        }
        vec_normalise(v, MIXTURE_DIM);
}

static inline void mixture_init(void)
{
        uint64_t s = 1;
        for (int t = 0; t < THEMES; t++)
                mix_direction(&s, false, themes[t]);
        for (int i = 0; i < THEMES * EVENTS; i++) {
                mix_direction(&s, false, events[i]);
                for (int d = 0; d < MIXTURE_DIM; d++)
                        events[i][d] = themes[i / EVENTS][d] + EVENT_AWAY * events[i][d];
        }
}

static inline void mix_sample(uint64_t *s, float *v)
{
        const float *event = events[mix_next(s) % COUNT_OF(events)];
        mix_direction(s, false, v);
        for (int d = 0; d < MIXTURE_DIM; d++)
                v[d] = event[d] + ROW_AWAY * v[d];
        vec_normalise(v, MIXTURE_DIM);
}

/* The unit vector of row i. */
static inline void mixture_row(uint64_t i, float *v)
{
        uint64_t s = i * 0xD1342543DE82EF95u + 7;
        mix_sample(&s, v);
}

/* A query that is no row: another picture of the same sort, or something as far from all rows as a text is. */
static inline void mixture_query(uint64_t i, enum query_sort sort, float *v)
{
        uint64_t s = ~i * 0xD1342543DE82EF95u + 11;
        float away[MIXTURE_DIM];
        mix_sample(&s, v);
        if (sort == QUERY_PICTURE)
                return;
        mix_direction(&s, true, away);
        for (int d = 0; d < MIXTURE_DIM; d++)
                v[d] = query_signal[sort] * v[d] + away[d];
        vec_normalise(v, MIXTURE_DIM);
}

/* Which rows are whose: of a hundred, one is of "one", ten are of "ten", the rest of "rest"; five are documents. */
static inline const char *row_owner(uint64_t i)
{
        return i % 100 == 0 ? "one" : i % 100 <= 10 ? "ten" : "rest";
}

static inline enum asset_kind row_kind(uint64_t i)
{
        return i % 20 == 7 ? KIND_DOCUMENT : KIND_MEDIA;
}

#endif
