/* SPDX-License-Identifier: Apache-2.0 */
/* What a store, or somebody in its place, may answer: lists and errors in XML, lent keys in JSON. */
#include "storage/storage_s3_priv.h"
#include "fuzz.h"

static void walk(struct span xml, const char *tag, char *out, size_t n)
{
        for (struct span rest = xml; s3_xml_next(&rest, tag, out, n);) {
                demand(strlen(out) < n);
                demand(rest.n < xml.n && rest.p >= xml.p && rest.p + rest.n == xml.p + xml.n); /* gets shorter */
                demand(s3_xml_has(xml, tag));
                xml = rest;
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        char *copy = malloc(size ? size : 1), out[2048], small[8];
        struct span body = {copy, size};
        struct s3_identity id;
        struct err e = {0};
        demand(copy != NULL);
        if (size)
                memcpy(copy, data, size);
        walk(body, "Key", out, sizeof out);
        walk(body, "NextContinuationToken", out, sizeof out);
        walk(body, "IsTruncated", small, sizeof small);
        walk(body, "Code", small, 1);
        (void)s3_xml_has(body, "CompleteMultipartUploadResult");
        if (s3_identity_read(body, &id, &e) == 0) {
                /* they go into a header */
                demand(id.key[0] && id.secret[0] && !has_control(span_of(id.key)) && !has_control(span_of(id.token)));
                demand(strlen(id.key) < sizeof id.key && strlen(id.token) < sizeof id.token);
        } else {
                demand(e.code == ERR_UNAVAILABLE);
        }
        free(copy);
        return 0;
}
