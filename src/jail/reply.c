/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Judging a reply. The decoder has just read a hostile file and may be under
 * its control; everything it says is held against what was asked and against
 * the real size of the memory file.
 */
#include <string.h>
#include "jail/jail_priv.h"

#define META_MAX (1u << 20)

static bool known_format(const struct jail_reply *r)
{
        static const char *const names[] = {"jpeg", "png", "webp", "gif", "tiff", "heif", "avif"};
        if (!memchr(r->format, 0, sizeof r->format))
                return false;
        for (size_t i = 0; i < COUNT_OF(names); i++)
                if (!strcmp(r->format, names[i]))
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

static const char *products_fault(const struct jail_reply *r, const struct jail_request *req, uint64_t memfd_size)
{
        uint64_t rgb = (uint64_t)req->model_width * req->model_height * 3;
        uint64_t sum = (uint64_t)r->rgb_len + r->thumb_len + r->preview_len + r->meta_len;
        if (r->rgb_len != rgb)
                return "model input of a wrong length";
        if ((r->thumb_len != 0) != (req->thumb_size != 0) || (r->preview_len != 0) != (req->preview_size != 0))
                return "a product missing or not asked for";
        if (r->meta_len < 2 || r->meta_len > META_MAX)
                return "metadata of a wrong length";
        if (sum > JAIL_OUTPUT_MAX || sum != memfd_size)
                return "lengths that do not fit the memory file";
        return NULL;
}

static const char *reply_fault(const struct jail_reply *r, size_t n, const struct jail_request *req,
                               uint64_t memfd_size)
{
        if (n != sizeof *r)
                return "a reply of a wrong size";
        if (r->magic != JAIL_MAGIC || r->serial != req->serial)
                return "a reply to another question";
        if (r->status > JAIL_FAILED)
                return "an unknown status";
        if (r->status != JAIL_OK)
                return clean_text(r->error, sizeof r->error) ? NULL : "an error message that is no text";
        if (!known_format(r))
                return "an unknown format";
        if (!r->width || !r->height || !r->pages)
                return "an empty picture";
        /* in steps, so that nothing can wrap */
        uint64_t pixels = (uint64_t)r->width * r->height;
        if (pixels > req->max_pixels || r->pages > req->max_pixels / pixels)
                return "more pixels than allowed";
        return products_fault(r, req, memfd_size);
}

int jail_check_reply(const struct jail_reply *r, size_t n, const struct jail_request *req, uint64_t memfd_size,
                     struct err *e)
{
        const char *fault = reply_fault(r, n, req, memfd_size);
        return fault ? err_set(e, ERR_CRASHED, "the decoder sent %s", fault) : 0;
}
