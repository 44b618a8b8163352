/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target over every file of a folder: the corpus as a regression test without libFuzzer. */
#include <dirent.h>
#include <stdio.h>
#include "base/base.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
        if (argc != 2)
                return 2;
        DIR *d = opendir(argv[1]);
        if (!d) {
                fprintf(stderr, "no corpus at %s\n", argv[1]);
                return 2;
        }
        int runs = 0;
        for (struct dirent *e; (e = readdir(d));) {
                if (e->d_name[0] == '.')
                        continue;
                char path[1024];
                snprintf(path, sizeof path, "%s/%s", argv[1], e->d_name);
                char *data;
                size_t n;
                struct err err;
                if (file_read_all(path, 64 << 20, &data, &n, &err)) {
                        fprintf(stderr, "%s\n", err.msg);
                        return 1;
                }
                LLVMFuzzerTestOneInput((const uint8_t *)data, n);
                mem_free(data);
                runs++;
        }
        closedir(d);
        printf("%d inputs replayed\n", runs);
        return runs ? 0 : 1;
}
