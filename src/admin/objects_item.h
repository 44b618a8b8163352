/* SPDX-License-Identifier: Apache-2.0 */
/* One object that objects_run is to copy or check. */
#ifndef FA_OBJECTS_ITEM_H
#define FA_OBJECTS_ITEM_H

#include "model/model.h"

struct objects_item {
        struct sha256 key;
        uint64_t size;
        char products[PRODUCTS_MAX]; /* to go with it, see model.h; "" none */
};

#endif
