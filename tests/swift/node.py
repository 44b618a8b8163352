# SPDX-License-Identifier: Apache-2.0
"""One part of a Swift of one node whose configuration is in a folder, not in /etc.

node.py FOLDER rings ACCOUNT_PORT CONTAINER_PORT OBJECT_PORT    makes the three rings
node.py FOLDER serve proxy|account|container|object             runs that server in the foreground

swift-ring-builder could do the first in nine calls; Swift's own commands look for swift.conf in /etc/swift only.
"""
import sys

from swift.common import utils

folder, what, *words = sys.argv[1:]
utils.set_swift_dir(folder)

if what == "rings":
    from swift.common.ring import RingBuilder

    for name, port in zip(("account", "container", "object"), words):
        ring = RingBuilder(part_power=4, replicas=1, min_part_hours=0)
        ring.add_dev({"id": 0, "region": 1, "zone": 1, "ip": "127.0.0.1", "port": int(port), "device": "disk", "weight": 1})
        ring.rebalance()
        ring.get_ring().save(f"{folder}/{name}.ring.gz")
else:
    from swift.common.wsgi import run_wsgi

    sys.exit(run_wsgi(f"{folder}/{words[0]}.conf", f"{words[0]}-server"))
