/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The check of a reply. Everything here comes from a process that an attacker may control; nothing is trusted that
 * cannot be computed from the request and the memory file's real size. Each entry must fulfil one of the request's
 * wishes, each wish must be fulfilled as often as it says, and table and bytes must fill the memory file to its end.
 */
#include <string.h>
#include "jail/jail_priv.h"

/* The totals over the entries read so far. */
struct tally {
        uint64_t at; /* the next entry's bytes */
        uint32_t metadata, products[JAIL_PRODUCTS_MAX], inputs[JAIL_INPUTS_MAX], texts;
        uint64_t text;                           /* bytes */
        struct jail_entry last_text;             /* if texts */
        struct jail_entry last[JAIL_INPUTS_MAX]; /* if inputs[i] */
};

static bool known_format(const struct jail_reply *r)
{
        static const char *const names[] = {"jpeg", "png", "webp", "gif", "tiff", "heif", "avif", "jxl"};
        for (size_t i = 0; i < COUNT_OF(names); i++)
                if (!strncmp(r->format, names[i], sizeof r->format))
                        return true;
        return false;
}

static bool clean_text(const char *s, size_t size)
{
        const char *end = memchr(s, 0, size);
        if (!end)
                return false;
        for (const char *p = s; p < end; p++)
                if ((unsigned char)*p < 0x20 || *p == 0x7f)
                        return false;
        return utf8_valid((struct span){s, (size_t)(end - s)});
}

struct jail_entry jail_entry_at(struct span memory, size_t i)
{
        struct jail_entry x;
        assert(i < memory.n / sizeof x);
        memcpy(&x, memory.p + i * sizeof x, sizeof x);
        return x;
}

/* ---- entries ------------------------------------------------------------------------ */

static const char *metadata_fault(const struct jail_entry *x, struct span bytes, struct tally *t)
{
        if (t->metadata++)
                return "metadata twice";
        if (x->wish || x->part || x->position || x->time_us || x->page || x->offset)
                return "metadata of a part";
        if (bytes.n < 2 || bytes.n > JAIL_META_MAX)
                return "metadata of a wrong length";
        if (bytes.p[0] != '{' || bytes.p[bytes.n - 1] != '}' || !utf8_valid(bytes))
                return "metadata that is no object";
        return NULL;
}

static const char *product_fault(const struct jail_entry *x, const struct decode_request *want, struct tally *t)
{
        if (x->wish >= JAIL_PRODUCTS_MAX || !want->product[x->wish].name[0])
                return "a product that was not asked for";
        if (x->part || x->position || x->time_us || x->page || x->offset)
                return "a product of a part";
        uint32_t most = want->product[x->wish].series;
        return t->products[x->wish]++ < (most ? most : 1) ? NULL : "more products than asked for";
}

static uint64_t tensor_bytes(const struct jail_input_wish *w)
{
        return (uint64_t)w->width * w->height * 3; /* JAIL_RGB8, the only one */
}

static const char *input_fault(const struct jail_entry *x, const struct decode_request *want, struct tally *t)
{
        if (x->wish >= JAIL_INPUTS_MAX || !want->input[x->wish].width)
                return "a model input that was not asked for";
        const struct jail_input_wish *w = &want->input[x->wish];
        const struct jail_entry *last = &t->last[x->wish];
        if (x->length != tensor_bytes(w))
                return "a model input of a wrong length";
        if (x->part != w->part || x->page || x->offset || (x->part == PART_WHOLE && x->position))
                return "a model input of a wrong part";
        if (x->time_us > INT64_MAX || (x->time_us && x->part != PART_FRAME))
                return "a model input of a wrong time";
        if (t->inputs[x->wish] && (x->position <= last->position || x->time_us < last->time_us))
                return "model inputs out of order";
        t->last[x->wish] = *x;
        return t->inputs[x->wish]++ < (w->series ? w->series : 1) ? NULL : "more model inputs than asked for";
}

static bool text_is_readable(struct span s)
{
        for (size_t i = 0; i < s.n; i++) {
                unsigned char c = (unsigned char)s.p[i];
                if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r' && c != '\f') || c == 0x7f)
                        return false;
        }
        return utf8_valid(s);
}

static const char *text_fault(const struct jail_entry *x, const struct decode_request *want, struct span bytes,
                              struct tally *t)
{
        const struct jail_entry *last = &t->last_text;
        bool placed = x->part == PART_PAGE || x->part == PART_CHUNK;
        if (bytes.n > want->max_text - t->text)
                return "more text than asked for";
        if (x->wish || x->time_us || x->part >= PART_KIND_COUNT || x->part == PART_FRAME)
                return "text of a wrong part";
        if ((x->part == PART_WHOLE && x->position) || (!placed && (x->page || x->offset)))
                return "text of a wrong place";
        if (t->texts && (x->part < last->part || (x->part == last->part && x->position <= last->position)))
                return "texts out of order";
        if (!text_is_readable(bytes))
                return "text that is none";
        t->text += bytes.n;
        t->last_text = *x;
        t->texts++;
        return NULL;
}

static const char *entry_fault(const struct jail_entry *x, const struct decode_request *want, struct span memory,
                               struct tally *t)
{
        if (!x->length || x->length > memory.n - t->at)
                return "an entry of a wrong length";
        struct span bytes = {memory.p + t->at, x->length};
        t->at += x->length;
        switch (x->kind) {
        case JAIL_METADATA:
                return metadata_fault(x, bytes, t);
        case JAIL_PRODUCT:
                return product_fault(x, want, t);
        case JAIL_INPUT:
                return input_fault(x, want, t);
        case JAIL_TEXT:
                return text_fault(x, want, bytes, t);
        default:
                return "an entry of an unknown kind";
        }
}

/* Only a series may be empty. */
static const char *missing_wish(const struct decode_request *want, const struct tally *t)
{
        for (size_t i = 0; i < JAIL_PRODUCTS_MAX; i++)
                if (want->product[i].name[0] && !want->product[i].series && !t->products[i])
                        return "a reply without a product that was asked for";
        for (size_t i = 0; i < JAIL_INPUTS_MAX; i++)
                if (want->input[i].width && !want->input[i].series && !t->inputs[i])
                        return "a reply without a model input that was asked for";
        return t->metadata ? NULL : "a reply without metadata";
}

static const char *list_fault(uint32_t entries, const struct decode_request *want, struct span memory)
{
        if (memory.n > JAIL_OUTPUT_MAX)
                return "a memory file that is too large";
        if (entries > JAIL_ENTRIES_MAX || entries > memory.n / sizeof(struct jail_entry))
                return "more entries than it may";
        struct tally t = {.at = entries * sizeof(struct jail_entry)};
        for (uint32_t i = 0; i < entries; i++) {
                struct jail_entry x = jail_entry_at(memory, i);
                const char *fault = entry_fault(&x, want, memory, &t);
                if (fault)
                        return fault;
        }
        return t.at == memory.n ? missing_wish(want, &t) : "bytes that belong to no entry";
}

/* ---- the whole ------------------------------------------------------------------------ */

static const char *picture_fault(const struct jail_reply *r, const struct decode_request *want)
{
        if (!known_format(r))
                return "an unknown format";
        if (!r->width || !r->height || !r->pages)
                return "an empty picture";
        if (r->pages > want->max_pixels / ((uint64_t)r->width * r->height)) /* divided, so that nothing can wrap */
                return "more pixels than allowed";
        return NULL;
}

static const char *reply_fault(const struct jail_reply *r, size_t n, const struct jail_request *req, struct span memory)
{
        if (n != sizeof *r)
                return "a reply of a wrong size";
        if (r->magic != JAIL_MAGIC || r->serial != req->serial)
                return "a reply to another question";
        if (r->status > JAIL_FAILED)
                return "an unknown status";
        if (r->status != JAIL_OK)
                return clean_text(r->error, sizeof r->error) ? NULL : "an error message that is no text";
        const char *fault = picture_fault(r, &req->want); /* JAIL_READ_IMAGE, the only reader */
        return fault ? fault : list_fault(r->entries, &req->want, memory);
}

int jail_check_reply(const struct jail_reply *r, size_t n, const struct jail_request *req, struct span memory,
                     struct err *e)
{
        const char *fault = reply_fault(r, n, req, memory);
        return fault ? err_set(e, ERR_CRASHED, "the decoder sent %s", fault) : 0;
}
