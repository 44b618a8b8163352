/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line per event on stderr: JSON (timestamp level logger message request_id job_id asset_id …) or text for
 * people. Library rooms do not log the failures that they return; the outermost caller logs each error once.
 */
#ifndef FA_LOG_H
#define FA_LOG_H

#include "base/base.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };
enum log_format { LOG_JSON, LOG_TEXT };

/* Called once before threads start. */
void log_init(enum log_level level, enum log_format format);
enum log_level log_level(void);
bool log_level_parse(struct span s, enum log_level *out); /* DEBUG INFO WARNING WARN ERROR, any case */

/*
 * The ids every line of this thread carries until cleared. Empty strings are
 * left out. Set by http (request), worker (job, asset).
 */
struct log_context {
        char request_id[64];
        char job_id[ID_TEXT_LEN];
        char asset_id[ID_TEXT_LEN];
};
struct log_context *log_context(void); /* this thread's; never NULL */
void log_context_clear(void);

/* One extra field of a line; numbers stay numbers in JSON. */
struct log_field {
        const char *key;
        const char *str; /* NULL: use num */
        double num;
};
static inline struct log_field log_field_str(const char *key, const char *v)
{
        return (struct log_field){key, v ? v : "", 0};
}
#define LOG_STR(k, v) log_field_str((k), (v))
#define LOG_NUM(k, v) ((struct log_field){(k), NULL, (double)(v)})

void log_write(enum log_level level, const char *logger, const struct log_field *fields, size_t n, const char *fmt, ...)
        PRINTF_LIKE(5, 6);

/* log_info("storage", "opened %s", path); preserves errno. */
#define log_debug(logger, ...)   log_plain(LOG_DEBUG, logger, __VA_ARGS__)
#define log_info(logger, ...)    log_plain(LOG_INFO, logger, __VA_ARGS__)
#define log_warning(logger, ...) log_plain(LOG_WARNING, logger, __VA_ARGS__)
#define log_error(logger, ...)   log_plain(LOG_ERROR, logger, __VA_ARGS__)
#define log_plain(level, logger, ...)                                                                                  \
        do {                                                                                                           \
                if ((level) >= log_level())                                                                            \
                        log_write((level), (logger), NULL, 0, __VA_ARGS__);                                            \
        } while (0)

#endif
