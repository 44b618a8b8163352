/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The caller-owned error value. A message is one line whatever its arguments
 * held, because it ends up in a log line and in an HTTP answer.
 */
#include "base/base_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const err_names[] = {
        [ERR_NONE] = "none",
        [ERR_INVALID] = "invalid",
        [ERR_FORBIDDEN] = "forbidden",
        [ERR_NOT_FOUND] = "not_found",
        [ERR_CONFLICT] = "conflict",
        [ERR_TOO_LARGE] = "too_large",
        [ERR_UNSUPPORTED] = "unsupported",
        [ERR_CORRUPT] = "corrupt",
        [ERR_STALE] = "stale",
        [ERR_BUSY] = "busy",
        [ERR_TIMEOUT] = "timeout",
        [ERR_UNAVAILABLE] = "unavailable",
        [ERR_NO_SPACE] = "no_space",
        [ERR_CRASHED] = "crashed",
        [ERR_STOPPED] = "stopped",
        [ERR_IO] = "io",
        [ERR_OOM] = "oom",
        [ERR_INTERNAL] = "internal",
};

/* Cut a sequence that truncation left half written, and flatten control characters. */
static void tidy_message(char *msg)
{
        size_t n = strlen(msg), i = 0;

        while (i < n) {
                size_t len = utf8_sequence((const unsigned char *)msg + i, n - i);
                if (len == 0 && n - i < 4 && (unsigned char)msg[i] >= 0xC0) {
                        msg[i] = '\0';
                        return;
                }
                if (len == 0 || (unsigned char)msg[i] < 0x20 || msg[i] == 0x7F)
                        msg[i] = len == 0 ? '?' : ' ';
                i += len ? len : 1;
        }
}

static void fill_err(struct err *e, enum err_code code, const char *text, const char *tail)
{
        int n = snprintf(e->msg, sizeof e->msg, "%s%s", text, tail);

        assert(n >= 0);
        e->code = code;
        tidy_message(e->msg);
}

/* The text is built aside first: a caller may pass e->msg as an argument. */
int err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
        char text[sizeof e->msg];
        va_list ap;

        if (!e)
                return -1;
        va_start(ap, fmt);
        vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        fill_err(e, code, text, "");
        return -1;
}

static enum err_code code_of(int errnum)
{
        switch (errnum) {
        case ENOSPC:
        case EDQUOT:
                return ERR_NO_SPACE;
        case ENOENT:
                return ERR_NOT_FOUND;
        case ENOMEM:
                return ERR_OOM;
        default:
                return ERR_IO;
        }
}

int err_errno(struct err *e, int errnum, const char *fmt, ...)
{
        char text[160], reason[72], tail[sizeof reason + 2];
        va_list ap;

        if (!e)
                return -1;
        va_start(ap, fmt);
        vsnprintf(text, sizeof text, fmt, ap);
        va_end(ap);
        /* The GNU variant: it may or may not use the buffer it is given. */
        snprintf(tail, sizeof tail, ": %s", strerror_r(errnum, reason, sizeof reason));
        fill_err(e, code_of(errnum), text, tail);
        return -1;
}

int err_oom(struct err *e)
{
        return err_set(e, ERR_OOM, "out of memory");
}

const char *err_name(enum err_code code)
{
        if ((size_t)code >= COUNT_OF(err_names))
                return "internal";
        return err_names[code];
}
