/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stranger's picture the whole way, in this process and without the jail:
 * header, pixels, turning, resizing, encoders, metadata. The length of the file
 * chooses what is asked of it. libvips and its libraries are not instrumented:
 * what AddressSanitizer sees of them is their heap.
 */
#include <sys/mman.h>
#include <unistd.h>
#include "decode/decode.h"
#include "fuzz.h"
#include "jail/jail_priv.h"
#include "json/json.h"

/* libdav1d 1.0 leaks pictures that it gives up on. A decoder is replaced after so many files. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
        return "leak:libdav1d\n";
}

#define THUMB(n)                                                                                                       \
        {                                                                                                              \
                .name = "thumb.webp", .type = JAIL_WEBP, .size = (n)                                                   \
        }
#define PREVIEW(n)                                                                                                     \
        {                                                                                                              \
                .name = "preview.jpg", .type = JAIL_JPEG, .size = (n)                                                  \
        }

static const struct decode_request wishes[] = {
        {.max_pixels = 1 << 20,
         .product = {THUMB(16), PREVIEW(24)},
         .input = {{.width = 26, .height = 26, .crop_num = 260, .crop_den = 292}}},
        {.max_pixels = 1 << 20, .product = {THUMB(256)}},
        {.max_pixels = 1 << 20,
         .product = {PREVIEW(1)},
         .input = {{.width = 1, .height = 64, .crop_num = 1, .crop_den = 9},
                   {.width = 7, .height = 5, .crop_num = 1, .crop_den = 1}}},
        {.max_pixels = 1 << 12, .product = {PREVIEW(1), THUMB(1)}},
        {.max_pixels = UINT64_MAX >> 44, .product = {THUMB(1 << 30)}}, /* makes no sense */
};

static const struct decode_piece *find_product(const struct decode_output *out, uint32_t wish)
{
        for (size_t i = 0; i < out->n; i++)
                if (out->piece[i].entry.kind == JAIL_PRODUCT && out->piece[i].entry.wish == wish)
                        return &out->piece[i];
        return NULL;
}

/* Through the memory file and the parent's own check. */
static void check_reply(const struct decode_request *q, const struct decode_output *out)
{
        static char memory[4 << 20];
        const struct jail_request req = {.magic = JAIL_MAGIC, .want = *q};
        struct jail_reply r = {.magic = JAIL_MAGIC, .width = out->width, .height = out->height, .pages = out->pages};
        struct err e;
        int fd = memfd_create("output", MFD_CLOEXEC);
        memcpy(r.format, out->format, sizeof r.format);
        demand(fd >= 0 && !decode_output_write(out, fd, &r.entries, &e));
        ssize_t n = pread(fd, memory, sizeof memory, 0);
        demand(n > 0 && (size_t)n < sizeof memory);
        demand(!jail_check_reply(&r, sizeof r, &req, (struct span){memory, (size_t)n}, &e));
        close(fd);
}

static void check(const struct decode_request *q, const struct decode_output *out)
{
        demand(out->width && out->height && (uint64_t)out->width * out->height * out->pages <= q->max_pixels);
        for (uint32_t i = 0; i < JAIL_PRODUCTS_MAX; i++) {
                const struct decode_piece *p = find_product(out, i);
                demand(!p == !q->product[i].name[0]);
                if (p && q->product[i].type == JAIL_WEBP)
                        demand(p->entry.length > 12 && !memcmp(p->bytes, "RIFF", 4));
                if (p && q->product[i].type == JAIL_JPEG)
                        demand(p->entry.length > 4 && !memcmp(p->bytes, "\xff\xd8", 2));
        }
        struct err e = {0};
        struct json *meta = json_parse(buf_span(&out->meta), &e); /* the parent reads it */
        demand(meta && json_is_object(meta));
        json_free(meta);
        check_reply(q, out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static bool ready;
        struct decode_output out;
        struct err e = {0};
        int fd = memfd_create("picture", MFD_CLOEXEC);
        const struct decode_request *q = &wishes[size % COUNT_OF(wishes)];
        if (!ready)
                demand(decode_init("fuzz_decode_image", &e) == 0);
        ready = true;
        demand(fd >= 0 && !fd_write_all(fd, data, size, &e));
        if (decode_file(fd, q, &out, &e) == 0) {
                check(q, &out);
                decode_output_done(&out);
        } else {
                demand(e.code != ERR_NONE && e.msg[0] && utf8_valid(span_of(e.msg)) && !has_control(span_of(e.msg)));
        }
        close(fd);
        return 0;
}
