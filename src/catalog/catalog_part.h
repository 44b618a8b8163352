/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts: what of an asset is found by itself. Every asset that has a vector or
 * a text has its whole; a video has frames, a document pages and chunks of
 * text, a table rows. Vectors belong to (part, model), text to the part.
 *
 * A list of parts is what some analysis found. It says which kinds it speaks
 * for: parts of these kinds that it does not name, or names with another
 * content, are replaced in the same transaction. A part that is as it was keeps
 * its number, and its vectors of other models.
 */
#ifndef FA_CATALOG_PART_H
#define FA_CATALOG_PART_H

#include "model/model.h"

#include <string.h>

struct catalog;

#define PARTS_MAX     100000       /* of a list */
#define PART_TEXT_MAX (128 * 1024) /* bytes: who has more text makes more parts of it */

struct part_vector {
        const char *model_id;
        const float *v; /* unit */
        uint32_t dim;
};

struct new_part {
        enum part_kind kind;
        uint32_t position; /* 0, 1, … among its kind; of a whole 0 */
        int64_t time_us;   /* of a frame */
        uint32_t page;     /* of a page or chunk, from 1 on; 0: none */
        uint64_t offset;   /* of a chunk: bytes of the document's text before it */
        const char *text;  /* UTF-8, found by its words; NULL: none */
        const struct part_vector *vectors;
        size_t nvectors;
};

struct part_list {
        const struct new_part *parts;
        size_t n;
        /*
         * Bits of the kinds it speaks for (1u << PART_CHUNK …). Of other kinds missing parts are added, and those
         * that are there keep their content and get the vectors. The whole is never removed.
         */
        uint32_t replaces;
};

/* The list of the whole alone with one vector; v NULL: the empty list. It points into *room. */
struct part_room {
        struct part_vector vector;
        struct new_part part;
};
static inline struct part_list part_list_whole(struct part_room *room, const char *model_id, const float *v,
                                               uint32_t dim)
{
        room->vector = (struct part_vector){model_id, v, dim};
        room->part = (struct new_part){.kind = PART_WHOLE, .vectors = &room->vector, .nvectors = 1};
        return (struct part_list){.parts = &room->part, .n = v ? 1 : 0};
}

/* The whole's vector of a model in the list; NULL: there is none. */
static inline const float *part_list_vector(const struct part_list *l, const char *model_id)
{
        for (size_t i = 0; i < l->n; i++)
                for (size_t j = 0; l->parts[i].kind == PART_WHOLE && j < l->parts[i].nvectors; j++)
                        if (strcmp(l->parts[i].vectors[j].model_id, model_id) == 0)
                                return l->parts[i].vectors[j].v;
        return NULL;
}

/*
 * Puts an asset's parts, all or none. owner NULL: any. ERR_NOT_FOUND; ERR_INVALID: a list that cannot be (a kind that
 * does not exist, a second whole, text that is no UTF-8 or too long, a vector that is not finite); ERR_CONFLICT: a
 * model has another dimension.
 */
int catalog_parts_put(struct catalog *c, struct id asset, const char *owner, const struct part_list *list,
                      struct err *e) MUST_CHECK;

struct part {      /* as it is stored; the text lives in the arena */
        int64_t n; /* 0: there is none of this number any more */
        enum part_kind kind;
        uint32_t position, page;
        int64_t time_us;
        uint64_t offset;
        const char *text; /* NULL: none */
};
/* Many at once, by their numbers and in their order. */
int catalog_parts_get(struct catalog *c, const int64_t *numbers, size_t n, struct arena *a, struct part **out,
                      struct err *e) MUST_CHECK;

#endif
