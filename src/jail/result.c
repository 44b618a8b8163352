/* SPDX-License-Identifier: Apache-2.0 */
/* Turns a checked reply into lists: which wish each entry fulfilled, and where its bytes are. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include "jail/jail_priv.h"

static const char *type_name(uint32_t t)
{
        static const char *const names[] = JAIL_TYPE_NAMES;
        assert(t < COUNT_OF(names));
        return names[t];
}

/* The number starts at 1. */
static struct decode_product product_of(const struct jail_product_wish *w, unsigned number, struct span bytes)
{
        struct decode_product p = {.media_type = type_name(w->type), .bytes = bytes};
        int head = (int)strcspn(w->name, "#");
        if (w->series)
                snprintf(p.name, sizeof p.name, "%.*s%u%s", head, w->name, number, w->name + head + 1);
        else
                snprintf(p.name, sizeof p.name, "%s", w->name);
        return p;
}

static struct decode_input input_of(const struct jail_entry *x, const struct jail_input_wish *w, struct span bytes)
{
        return (struct decode_input){.wish = x->wish,
                                     .part = (enum part_kind)x->part,
                                     .position = x->position,
                                     .time_us = x->time_us,
                                     .width = w->width,
                                     .height = w->height,
                                     .bytes = bytes};
}

static struct decode_text text_of(const struct jail_entry *x, struct span text)
{
        return (struct decode_text){.part = (enum part_kind)x->part,
                                    .position = x->position,
                                    .page = x->page,
                                    .offset = x->offset,
                                    .text = text};
}

static int make_room(struct span memory, uint32_t entries, struct decode_result *out, struct err *e)
{
        size_t n[JAIL_TEXT + 1] = {0};
        for (uint32_t i = 0; i < entries; i++)
                n[jail_entry_at(memory, i).kind]++;
        out->products = n[JAIL_PRODUCT] ? mem_calloc(n[JAIL_PRODUCT], sizeof *out->products) : NULL;
        out->inputs = n[JAIL_INPUT] ? mem_calloc(n[JAIL_INPUT], sizeof *out->inputs) : NULL;
        out->texts = n[JAIL_TEXT] ? mem_calloc(n[JAIL_TEXT], sizeof *out->texts) : NULL;
        bool all =
                (out->products || !n[JAIL_PRODUCT]) && (out->inputs || !n[JAIL_INPUT]) && (out->texts || !n[JAIL_TEXT]);
        return all ? 0 : err_oom(e);
}

int jail_list_reply(const struct jail_reply *r, const struct decode_request *want, struct span memory,
                    struct decode_result *out, struct err *e)
{
        unsigned numbers[JAIL_PRODUCTS_MAX] = {0};
        const char *p = memory.p + r->entries * sizeof(struct jail_entry);
        *out = (struct decode_result){.width = r->width, .height = r->height, .pages = r->pages, .phash = r->phash};
        memcpy(out->format, r->format, sizeof out->format);
        if (make_room(memory, r->entries, out, e)) {
                decode_result_done(out);
                return -1;
        }
        for (uint32_t i = 0; i < r->entries; i++) {
                struct jail_entry x = jail_entry_at(memory, i);
                struct span bytes = {p, x.length};
                p += x.length;
                if (x.kind == JAIL_METADATA)
                        out->meta = bytes;
                else if (x.kind == JAIL_PRODUCT)
                        out->products[out->nproducts++] = product_of(&want->product[x.wish], ++numbers[x.wish], bytes);
                else if (x.kind == JAIL_INPUT)
                        out->inputs[out->ninputs++] = input_of(&x, &want->input[x.wish], bytes);
                else
                        out->texts[out->ntexts++] = text_of(&x, bytes);
        }
        return 0;
}

struct span decode_result_input(const struct decode_result *r, unsigned wish)
{
        for (size_t i = 0; i < r->ninputs; i++)
                if (r->inputs[i].wish == wish)
                        return r->inputs[i].bytes;
        return (struct span){0};
}

void decode_result_done(struct decode_result *r)
{
        if (!r)
                return;
        if (r->map)
                munmap(r->map, r->map_len);
        mem_free(r->products);
        mem_free(r->inputs);
        mem_free(r->texts);
        *r = (struct decode_result){0};
}
