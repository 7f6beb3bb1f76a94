"""Nova's fake hypervisor with the size that a host of the tests has, and an identity that survives a restart.

The environment variable CLOUD_HOST has the host as JSON: vcpus, memory_mb, disk_gb, inventory, traits.
"""

import json
import os
import uuid

from nova.virt import fake


def node_uuid(name):
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, name))


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
