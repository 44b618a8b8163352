/* SPDX-License-Identifier: Apache-2.0 */
/* How the threads of this room wait, so that the end of the service ends every wait. */
#include "admin/admin_priv.h"

bool admin_pause(struct admin *a, struct dur d)
{
        struct mono until = mono_add(mono_now(), d);
        bool stop;
        lock_take(&a->lock);
        while (!a->stop && !mono_reached(until))
                cond_wait_until(&a->wake, &a->lock, until);
        stop = a->stop;
        lock_drop(&a->lock);
        return !stop;
}
