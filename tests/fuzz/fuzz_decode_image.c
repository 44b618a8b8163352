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
#include "json/json.h"

/* libdav1d 1.0 leaks pictures that it gives up on. A decoder is replaced after so many files. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
        return "leak:libdav1d\n";
}

static const struct jail_request wishes[] = {
        {.max_pixels = 1 << 20,
         .thumb_size = 16,
         .preview_size = 24,
         .model_width = 26,
         .model_height = 26,
         .crop_num = 260,
         .crop_den = 292},
        {.max_pixels = 1 << 20, .thumb_size = 256},
        {.max_pixels = 1 << 20, .preview_size = 1, .model_width = 1, .model_height = 64, .crop_num = 1, .crop_den = 9},
        {.max_pixels = 1 << 12, .thumb_size = 1, .preview_size = 1},
        {.max_pixels = UINT64_MAX >> 44, .thumb_size = 1 << 30}, /* makes no sense */
};

static void check(const struct jail_request *q, const struct decode_products *p)
{
        demand(p->width && p->height && (uint64_t)p->width * p->height * p->pages <= q->max_pixels);
        demand(p->format[0] && memchr(p->format, '\0', sizeof p->format));
        demand(p->rgb_len == 3u * q->model_width * (q->model_width ? q->model_height : 0));
        demand(!q->thumb_size || (p->thumb_len > 12 && memcmp(p->thumb, "RIFF", 4) == 0));
        demand(!q->preview_size || (p->preview_len > 4 && memcmp(p->preview, "\xff\xd8", 2) == 0));
        struct err e = {0};
        struct json *meta = json_parse(buf_span(&p->meta), &e); /* the parent reads it */
        demand(meta && json_is_object(meta));
        json_free(meta);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static bool ready;
        struct decode_products p;
        struct err e = {0};
        int fd = memfd_create("picture", MFD_CLOEXEC);
        const struct jail_request *q = &wishes[size % COUNT_OF(wishes)];
        if (!ready)
                demand(decode_init("fuzz_decode_image", &e) == 0);
        ready = true;
        demand(fd >= 0 && !fd_write_all(fd, data, size, &e));
        if (decode_file(fd, q, &p, &e) == 0) {
                check(q, &p);
                decode_products_done(&p);
        } else {
                demand(e.code != ERR_NONE && e.msg[0] && utf8_valid(span_of(e.msg)) && !has_control(span_of(e.msg)));
        }
        close(fd);
        return 0;
}
