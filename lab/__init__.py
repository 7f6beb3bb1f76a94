"""A federation on one machine: network namespaces joined by an emulated wide-area network."""
