"""Nova's fake hypervisor with the size that a host of the tests has, and an identity that survives a restart.

The environment variable CLOUD_HOST has the host as JSON: vcpus, memory_mb, disk_gb, inventory, traits. What a
server would find when it boots is in `servers/<id>/user-data` below the host's state, and what a test writes
into `console` there is the server's console.
"""

import json
import os
import uuid
from pathlib import Path

import nova.conf
from nova.virt import fake


def node_uuid(name):
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


def place_of(instance):
    return Path(nova.conf.CONF.state_path) / "servers" / instance.uuid


class Driver(fake.FakeDriver):
    def __init__(self, *args, **kwargs):
        self.size = json.loads(os.environ["CLOUD_HOST"])
        self.vcpus, self.memory_mb, self.local_gb = (self.size[k] for k in ("vcpus", "memory_mb", "disk_gb"))
        super().__init__(*args, **kwargs)

    def get_available_resource(self, nodename):
        return super().get_available_resource(nodename) | {"uuid": node_uuid(nodename)}

    def get_nodenames_by_uuid(self, refresh=False):
        return {node_uuid(name): name for name in self.get_available_nodes()}

    def update_provider_tree(self, provider_tree, nodename, allocations=None):
        super().update_provider_tree(provider_tree, nodename, allocations)
        inventory = provider_tree.data(nodename).inventory
        for resource_class, total in self.size["inventory"].items():
            inventory[resource_class] = {
                "total": total,
                "reserved": 0,
                "min_unit": 1,
                "max_unit": total,
                "step_size": 1,
                "allocation_ratio": 1.0,
            }
        provider_tree.update_inventory(nodename, inventory)
        provider_tree.add_traits(nodename, *self.size["traits"])

    def spawn(self, context, instance, *args, **kwargs):
        place = place_of(instance)
        place.mkdir(parents=True, exist_ok=True)
        (place / "user-data").write_text(instance.user_data or "")
        super().spawn(context, instance, *args, **kwargs)

    def get_console_output(self, context, instance):
        console = place_of(instance) / "console"
        # as much as libvirt's driver gives
        return console.read_bytes()[-100 * 1024 :] if console.exists() else b""
