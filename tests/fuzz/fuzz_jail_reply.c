/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A reply that the parent accepts keeps its promises, whatever bytes the
 * decoder sent: each entry is one that was asked for, lies inside the memory
 * file and meets no other, and together they fill it.
 */
#include "fuzz.h"
#include "jail/jail_priv.h"

#define SERIAL 7

/* One for each thing that may be asked for. */
static const struct decode_request requests[] = {
        {.max_pixels = 1000},
        {.max_pixels = 1000000,
         .product = {{.name = "thumb.webp", .type = JAIL_WEBP, .size = 16},
                     {.name = "preview.jpg", .type = JAIL_JPEG, .size = 64}},
         .input = {{.width = 2, .height = 3, .crop_num = 1, .crop_den = 1}}},
        {.max_pixels = 1000000,
         .product = {{.name = ""}, {.name = "frame-#.jpg", .type = JAIL_JPEG, .size = 64, .series = 3}},
         .input = {{.width = 1, .height = 1, .crop_num = 1, .crop_den = 1, .part = PART_FRAME, .series = 3},
                   {.width = 0},
                   {.width = 1, .height = 2, .crop_num = 1, .crop_den = 1, .part = PART_PAGE, .series = 2}}},
        {.max_pixels = 1000000, .max_text = 64},
        {.max_pixels = 1000000,
         .max_text = 10,
         .product = {{.name = "a"}, {.name = "b"}, {.name = "c"}, {.name = "d"}, {.name = "e-#", .series = 1000}}},
};

/* How an input of the fuzzer begins; the rest is the memory file, or the message of a failure. */
struct shape {
        uint8_t request, missing, wrong, status; /* missing: of the reply's own bytes; wrong: bit 0 magic, 1 serial */
        uint32_t entries, width, height, pages;
        char format[16];
};

static bool inside(struct span s, struct span memory)
{
        return s.n && s.p >= memory.p && s.n <= memory.n && s.p - memory.p <= (ptrdiff_t)(memory.n - s.n);
}

static bool has_product(const struct decode_result *d, const char *name)
{
        for (size_t i = 0; i < d->nproducts; i++)
                if (!strcmp(d->products[i].name, name))
                        return true;
        return false;
}

static uint64_t check_products(const struct decode_request *want, const struct decode_result *d, struct span memory)
{
        uint64_t sum = 0;
        for (size_t i = 0; i < JAIL_PRODUCTS_MAX; i++)
                if (want->product[i].name[0] && !want->product[i].series)
                        demand(has_product(d, want->product[i].name));
        for (size_t i = 0; i < d->nproducts; i++) {
                const struct decode_product *p = &d->products[i];
                demand(memchr(p->name, 0, sizeof p->name) && p->name[0] && p->name[0] != '.' && !strstr(p->name, ".."));
                demand(strspn(p->name, "abcdefghijklmnopqrstuvwxyz0123456789.-") == strlen(p->name));
                for (size_t k = 0; k < i; k++)
                        demand(strcmp(p->name, d->products[k].name) != 0);
                demand(inside(p->bytes, memory));
                sum += p->bytes.n;
        }
        return sum;
}

static uint64_t check_inputs(const struct decode_request *want, const struct decode_result *d, struct span memory)
{
        uint64_t sum = 0;
        for (size_t i = 0; i < d->ninputs; i++) {
                const struct decode_input *in = &d->inputs[i];
                demand(in->wish < JAIL_INPUTS_MAX && want->input[in->wish].width == in->width);
                demand(in->bytes.n == 3ull * in->width * in->height && inside(in->bytes, memory));
                demand(in->part == want->input[in->wish].part && (in->part || !in->position));
                for (size_t k = 0; k < i; k++)
                        demand(d->inputs[k].wish != in->wish ||
                               (d->inputs[k].position < in->position && d->inputs[k].time_us <= in->time_us));
                sum += in->bytes.n;
        }
        return sum;
}

static uint64_t check_texts(const struct decode_request *want, const struct decode_result *d, struct span memory)
{
        uint64_t sum = 0;
        for (size_t i = 0; i < d->ntexts; i++) {
                const struct decode_text *t = &d->texts[i];
                demand(utf8_valid(t->text) && !memchr(t->text.p, 0, t->text.n) && inside(t->text, memory));
                demand(t->part != PART_FRAME && t->part < PART_KIND_COUNT);
                sum += t->text.n;
        }
        demand(sum <= want->max_text);
        return sum;
}

static void check_result(const struct jail_reply *r, const struct decode_request *want, struct span memory)
{
        struct decode_result d;
        struct err e;
        demand(!jail_list_reply(r, want, memory, &d, &e));
        demand(d.width && d.height && (uint64_t)d.width * d.height * d.pages <= want->max_pixels);
        demand(memchr(d.format, 0, sizeof d.format) != NULL);
        demand(inside(d.meta, memory) && d.meta.p[0] == '{' && utf8_valid(d.meta));
        demand(1 + d.nproducts + d.ninputs + d.ntexts == r->entries);
        uint64_t sum = r->entries * sizeof(struct jail_entry) + d.meta.n;
        sum += check_products(want, &d, memory);
        sum += check_inputs(want, &d, memory);
        sum += check_texts(want, &d, memory);
        demand(sum == memory.n && sum <= JAIL_OUTPUT_MAX);
        decode_result_done(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        struct shape s;
        struct err e = {0};
        if (size < sizeof s)
                return 0;
        memcpy(&s, data, sizeof s);
        struct span rest = {(const char *)data + sizeof s, size - sizeof s};
        struct jail_request req = {
                .magic = JAIL_MAGIC, .serial = SERIAL, .want = requests[s.request % COUNT_OF(requests)]};
        struct jail_reply r = {.magic = JAIL_MAGIC ^ (s.wrong & 1),
                               .serial = SERIAL ^ (s.wrong & 2),
                               .status = s.status,
                               .entries = s.entries,
                               .width = s.width,
                               .height = s.height,
                               .pages = s.pages};
        memcpy(r.format, s.format, sizeof r.format);
        memcpy(r.error, rest.p, rest.n < sizeof r.error ? rest.n : sizeof r.error);
        demand(!jail_check_request(&req.want, &e));
        char *copy = exact_copy(rest);
        struct span memory = {copy, rest.n};
        int rc = jail_check_reply(&r, sizeof r - s.missing, &req, memory, &e);
        demand(rc == 0 || (e.code == ERR_CRASHED && e.msg[0]));
        if (rc == 0 && r.status == JAIL_OK)
                check_result(&r, &req.want, memory);
        else if (rc == 0)
                demand(memchr(r.error, 0, sizeof r.error) && utf8_valid(span_of(r.error)) &&
                       !has_control(span_of(r.error)));
        free(copy);
        return 0;
}
