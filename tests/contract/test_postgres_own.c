/* SPDX-License-Identifier: Apache-2.0 */
/* What only PostgreSQL can get wrong: pools, restarts, instances, extensions, approximate search. */
#include "contract/catalog_postgres_backend.h"

int main(void)
{
        return 0;
}
