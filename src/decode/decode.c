/* SPDX-License-Identifier: Apache-2.0 */
/* Sets libvips up and warms it up, and dispatches a request to its reader. */
#include <sys/mman.h>
#include <unistd.h>
#include <vips/vips.h>
#include <vips/vector.h>
#include "decode/decode_priv.h"
#include "decode/warmup_files_priv.h"

#define META_MAX (64 * 1024)

static void swallow_message(const char *domain, GLogLevelFlags level, const char *text, void *ctx)
{
        (void)domain, (void)level, (void)text, (void)ctx;
}

int decode_init(const char *program, struct err *e)
{
        /* a hostile file can cause tens of thousands of warnings, and writing one opens files */
        g_log_set_default_handler(swallow_message, NULL);
        if (vips_init(program))
                return err_set(e, ERR_UNAVAILABLE, "libvips does not start");
        /* no code made at run time: it would differ by machine and needs executable memory */
        vips_vector_set_enabled(FALSE);
        vips_cache_set_max(0);
        vips_concurrency_set(1);
        vips_block_untrusted_set(TRUE);
        /* libvips marks libjxl as untrusted, like most loaders; here it is confined like all others */
        vips_operation_block_set("VipsForeignLoadJxl", FALSE);
        return 0;
}

/* ---- one file ------------------------------------------------------------------------ */

int decode_file(int fd, const struct decode_request *want, struct decode_output *out, struct err *e)
{
        static decode_read_fn *const readers[] = {[JAIL_READ_IMAGE] = decode_read_image};
        *out = (struct decode_output){0};
        buf_init(&out->meta, META_MAX);
        int rc = want->reader < COUNT_OF(readers) ? readers[want->reader](fd, want, out, e)
                                                  : err_set(e, ERR_INVALID, "a request for an unknown reader");
        if (rc)
                decode_output_done(out);
        vips_error_clear();
        return rc;
}

/* ---- warm-up ------------------------------------------------------------------------- */

void decode_warm_up_close(struct decode_warm_up *w)
{
        for (size_t i = 0; i < COUNT_OF(w->fd); i++)
                fd_close(&w->fd[i]);
}

int decode_warm_up_open(struct decode_warm_up *w, struct err *e)
{
        for (size_t i = 0; i < COUNT_OF(w->fd); i++)
                w->fd[i] = -1;
        for (size_t i = 0; warmup_files[i].n; i++) {
                assert(i < COUNT_OF(w->fd));
                w->fd[i] = memfd_create("warm-up", MFD_CLOEXEC);
                if (w->fd[i] < 0 || fd_write_all(w->fd[i], warmup_files[i].p, warmup_files[i].n, e)) {
                        decode_warm_up_close(w);
                        return err_set(e, ERR_UNAVAILABLE, "no memory file for the warm-up");
                }
        }
        return 0;
}

int decode_warm_up(const struct decode_warm_up *w, struct err *e)
{
        const struct decode_request all = {
                .max_pixels = 1 << 20,
                .product = {{.name = "thumb", .type = JAIL_WEBP, .size = 16},
                            {.name = "preview", .type = JAIL_JPEG, .size = 24}},
                .input = {{.width = 16, .height = 16, .crop_num = 1, .crop_den = 1}},
        };
        for (size_t i = 0; i < COUNT_OF(w->fd) && w->fd[i] >= 0; i++) {
                struct decode_output out;
                /* A format that this libvips has no loader for is refused as unsupported, here and later. */
                if (decode_file(w->fd[i], &all, &out, e) && e->code != ERR_UNSUPPORTED)
                        return -1;
                decode_output_done(&out);
        }
        return 0;
}
