/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by both halves of the gate: access to the request's fields, and refusals. */
#include <stdio.h>
#include "http/gate.h"

bool gate_refuse(struct gate_verdict *v, unsigned status, const char *code, const char *fmt, ...)
{
        va_list ap;
        v->status = status;
        v->code = code;
        va_start(ap, fmt);
        vsnprintf(v->message, sizeof v->message, fmt, ap);
        va_end(ap);
        return false;
}

const struct gate_field *gate_field(const struct gate_request *q, const char *name, size_t *count)
{
        const struct gate_field *first = NULL;
        size_t n = 0;
        for (size_t i = 0; i < q->nfields; i++) {
                if (!span_ieq(q->fields[i].name, name))
                        continue;
                if (!first)
                        first = &q->fields[i];
                n++;
        }
        if (count)
                *count = n;
        return first;
}

bool gate_keys_required(const struct gate_config *c)
{
        return c->keys_required && c->keys_required(c->ctx);
}
